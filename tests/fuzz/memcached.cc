// The memcached protocol, by itself: any bytes are requests or are refused, and the same ones
// however they were split on their way.
//
//   0  1  n: how many sizes of pieces follow
//   1  n  the sizes, used in turn
//   1+n   what the client sends; and a value
#include "net/memcached.h"

#include <algorithm>
#include <vector>

#include "net/session.h"
#include "target.h"

using namespace fuzz;
using namespace keystone;

namespace {

using Kind = MemcachedStep::Kind;

constexpr Limits kLimits{.max_key_size = 12, .max_value_size = 60};

void CheckRequest(const MemcachedRequest& request) {
  Require(request.key.size() <= kLimits.max_key_size, "a key is not too long");
  Require(request.key.find_first_of(" \n") == request.key.npos, "and can be on a line");
  Require(request.value.size() <= kLimits.max_value_size, "nor is a value");
  Require(request.key.empty() == (request.verb >= MemcachedVerb::kFlushAll),
          "there is a key where one has to be");
}

void CheckText(const MemcachedStep& step) {
  if (step.kind != Kind::kRefused || step.text.empty()) return;
  Require(step.text.find("\r\n") == step.text.size() - 2, "a refusal is one line");
}

// All that there is of a step, as text.
std::string Text(const MemcachedStep& step) {
  const MemcachedRequest& request = step.request;
  std::string text;
  for (const uint64_t number : {uint64_t(step.kind), uint64_t(step.closes), uint64_t(request.verb),
                                uint64_t(request.client_flags), uint64_t(request.exptime),
                                request.unique, request.delta, uint64_t(request.noreply)}) {
    text += std::to_string(number) + " ";
  }
  for (const std::string_view part : {request.key, request.value, request.argument, step.text}) {
    text.append("[").append(part).append("]");
  }
  return text + "\n";
}

// A client whose bytes come in pieces; what was left over is offered again with more behind it.
class Talk {
 public:
  void Receive(std::string_view piece) {
    waiting_.append(piece);
    while (!closed_) {
      // A copy of exactly that size, so that the address sanitizer sees a read behind its end.
      const std::vector<char> input(waiting_.begin(), waiting_.end());
      const MemcachedStep step = parser_.Next({input.data(), input.size()}, kLimits);
      Require(step.used <= input.size(), "no more is used up than there is");
      Require(step.used > 0 || step.kind == Kind::kUnfinished, "what was found is used up");
      if (step.kind != Kind::kUnfinished) steps_ += Text(step);
      if (step.kind == Kind::kRequest) CheckRequest(step.request);
      CheckText(step);
      waiting_.erase(0, step.used);
      closed_ = step.closes;
      if (step.kind == Kind::kUnfinished) return;
    }
  }

  const std::string& steps() const { return steps_; }
  bool closed() const { return closed_; }

 private:
  MemcachedParser parser_;
  std::string waiting_;
  std::string steps_;
  bool closed_ = false;
};

std::string Steps(std::string_view stream, std::string_view sizes) {
  Talk talk;
  for (size_t i = 0; !stream.empty() && !talk.closed(); i++) {
    const size_t wanted =
        sizes.empty() ? stream.size() : static_cast<unsigned char>(sizes[i % sizes.size()]);
    const std::string_view piece = stream.substr(0, std::max<size_t>(wanted, 1));
    talk.Receive(piece);
    stream.remove_prefix(piece.size());
  }
  return talk.steps();
}

void CheckNumber(std::string_view value) {
  uint64_t number = 0;
  if (!ParseMemcachedNumber(value, &number)) return;
  uint64_t again = 0;
  Require(ParseMemcachedNumber(std::to_string(number), &again) && again == number,
          "a number is one when it is written, too");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const std::string_view sizes = input.Bytes(input.Byte());
  const std::string whole = Steps(input.Rest(), {});
  const std::string split = Steps(input.Rest(), sizes);
  Require(split == whole, "pieces are the same:\n" + whole + "--- in pieces:\n" + split);
  CheckNumber(input.Rest());
  return 0;
}
