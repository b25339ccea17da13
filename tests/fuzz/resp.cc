// What a client may send as RESP: the requests are the same however its bytes were split on their
// way, and each one is what its words make again.
//
//   0  1  n: how many sizes of pieces follow
//   1  n  the sizes, used in turn
//   1+n   what the client sends behind the first `*`
#include "net/resp.h"

#include <algorithm>
#include <vector>

#include "target.h"

using namespace fuzz;
using namespace keystone;

namespace {

using enum RespParser::Progress;

constexpr size_t kMaxWord = 60;
constexpr size_t kMaxRequest = 200;

std::string Encoded(const RespParser& parser) {
  std::string out;
  AppendRespArrayHeader(parser.words().size(), &out);
  for (const std::string_view word : parser.words()) AppendRespBulk(word, &out);
  return out;
}

// A reply's lines can be told apart.
void CheckError(const std::string& error) {
  Require(error.starts_with("Protocol error: "), "an error says so");
  std::string reply;
  AppendRespError(error, &reply);
  Require(reply.find_first_of("\r\n") == reply.size() - 2, "an error is one line");
}

void CheckRequest(const RespParser& parser, std::string_view input) {
  Require(parser.size() > 0 && parser.size() <= input.size(), "a request is part of the input");
  const std::string_view taken = input.substr(0, parser.size());
  if (parser.words().empty()) {
    Require(taken.ends_with("\r\n"), "a request without words is a line");
    return;
  }
  Require(Encoded(parser) == taken, "a request is made of its words");
  Require(parser.size() <= kMaxRequest, "a request is not longer than the limit");
}

void CheckKeyAhead(const RespParser& parser, std::string_view input) {
  size_t size = 0;
  const std::string_view key = KeyOfRespGet(input, &size);
  if (size == 0) return Require(key.empty(), "a key is that of a request");
  Require(size == parser.size(), "what is seen ahead is the request");
  Require(key.empty() || (parser.words().size() == 2 && parser.words()[1] == key), "and its key");
}

// One client's requests, its bytes in a copy of exactly their size for the address sanitizer.
class Client {
 public:
  void Receive(std::string_view piece) {
    waiting_.insert(waiting_.end(), piece.begin(), piece.end());
    waiting_.shrink_to_fit();
    size_t used = 0;
    RespParser::Progress progress = kRequest;
    while (progress == kRequest && !closed_) {
      const std::string_view rest = std::string_view(waiting_.data(), waiting_.size()).substr(used);
      if (!rest.empty() && rest.front() != kRespRequest) {
        closed_ = true;
        break;
      }
      progress = parser_.Next(rest);
      if (progress == kRequest) used += Took(rest);
      closed_ = closed_ || progress == kError;
    }
    if (progress == kError) {
      CheckError(parser_.error());
      seen_ += parser_.error();
    }
    waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<ptrdiff_t>(used));
    Require(closed_ || waiting_.size() <= (size_t{64} << 10) + kMaxRequest,
            "what waits is bounded");
  }

  bool closed() const { return closed_; }
  const std::string& seen() const { return seen_; }

 private:
  size_t Took(std::string_view rest) {
    CheckRequest(parser_, rest);
    CheckKeyAhead(parser_, rest);
    seen_ += Encoded(parser_);
    return parser_.size();
  }

  RespParser parser_{kMaxWord, kMaxRequest};
  std::vector<char> waiting_;
  std::string seen_;
  bool closed_ = false;
};

std::string Have(std::string_view stream, std::string_view sizes) {
  Client client;
  for (size_t i = 0; !stream.empty() && !client.closed(); i++) {
    const size_t wanted =
        sizes.empty() ? stream.size() : static_cast<unsigned char>(sizes[i % sizes.size()]);
    const std::string_view piece = stream.substr(0, std::max<size_t>(wanted, 1));
    client.Receive(piece);
    stream.remove_prefix(piece.size());
  }
  return client.seen() + (client.closed() ? "closed" : "");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const std::string_view sizes = input.Bytes(input.Byte());
  const std::string stream = kRespRequest + std::string(input.Rest());
  const std::string whole = Have(stream, {});
  Require(Have(stream, sizes) == whole, "pieces are the same requests");
  return 0;
}
