// A client's bytes through a session: the replies are the same however the bytes were split on
// their way, and those to lines are whole lines that a terminal can show.
//
//   0  1  n: how many sizes of pieces follow; with the highest bit, the client speaks memcached's
//         protocol
//   1  n  the sizes, used in turn
//   1+n   what the client sends
#include "net/session.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <span>
#include <vector>

#include "net/counters.h"
#include "store_files.h"

using namespace fuzz;
using namespace keystone;

namespace {

constexpr size_t kMostBytes = 16 << 10;
constexpr uint64_t kMostLogBytes = 8 << 20;
constexpr uint8_t kIsMemcached = 0x80;
// What is stored with memcached's shortest time is still there after it.
constexpr std::chrono::milliseconds kMostTime{500};
constexpr Limits kLimits{.max_key_size = 12, .max_value_size = 60};

class QuietHost : public SessionHost {
 public:
  std::vector<std::string> StatsLines() override { return {"pid 1"}; }
  void ClearLater(std::chrono::milliseconds) override {}
  void OnHttpRequest(std::string_view) override {}
  uint64_t ClientId() override { return 7; }
  bool StartCompaction() override { return true; }
};

// A store that lasts for many inputs, and is empty at the start of each conversation.
class EmptyStore {
 public:
  Store& Get() {
    if (store_ == nullptr || store_->Stats().log_bytes > kMostLogBytes) Renew();
    ScanResult result;
    do {
      Require(store_->Scan(result.next_cursor, 1000, {}, &result).ok(), "a scan goes well");
      for (const std::string& key : result.keys) Delete(*store_, key);
    } while (result.next_cursor != 0);
    if (HoldsExpired()) Renew();
    return *store_;
  }

 private:
  // No scan finds it, but its cursors count it until it is dropped.
  bool HoldsExpired() const {
    const StoreStats stats = store_->Stats();
    return stats.keys_expiring != 0 || stats.expired != 0;
  }

  // The MANIFEST is the same each time, so that scans are in the same order.
  void Renew() {
    store_.reset();
    scratch_ = std::make_unique<Scratch>();
    scratch_->Write(kManifestName, ManifestText(1));
    scratch_->Write(SegmentName(1), SegmentBytes(1, 1, {}));
    store_ = MustOpen(*scratch_);
  }

  std::unique_ptr<Scratch> scratch_;
  std::unique_ptr<Store> store_;
};

struct Conversation {
  std::string replies;
  bool closed = false;

  bool operator==(const Conversation&) const = default;
};

// What a connection does: what was left over is offered again together with each new piece.
class Talk {
 public:
  Talk(Store* store, Protocol protocol)
      : store_(store), session_(store, &kLimits, &host_, &counters_, protocol) {}

  void Receive(std::string_view piece) {
    waiting_.append(piece);
    do {
      std::string replies;
      Writes writes;
      const size_t used = session_.Consume(waiting_, &writes, &replies);
      Require(used <= waiting_.size(), "no more is used up than there is");
      if (!writes.empty()) {
        store_->Apply(writes.batches());
        session_.Committed(&writes, &replies);
      }
      if (session_.is_slow()) session_.ExecuteSlow(&replies);
      waiting_.erase(0, used);
      done_.replies += replies;
    } while (session_.has_more() && !session_.closing());
    done_.closed = session_.closing();
  }

  const Conversation& done() const { return done_; }

 private:
  Store* const store_;
  QuietHost host_;
  Counters counters_;
  Session session_;
  std::string waiting_;
  Conversation done_;
};

Conversation Have(Protocol protocol, std::string_view stream, std::string_view sizes,
                  EmptyStore* stores) {
  Talk talk(&stores->Get(), protocol);
  for (size_t i = 0; !stream.empty() && !talk.done().closed; i++) {
    const size_t wanted =
        sizes.empty() ? stream.size() : static_cast<unsigned char>(sizes[i % sizes.size()]);
    const std::string_view piece = stream.substr(0, std::max<size_t>(wanted, 1));
    // A copy of exactly that size, so that the address sanitizer sees a read behind its end.
    const std::vector<char> received(piece.begin(), piece.end());
    talk.Receive({received.data(), received.size()});
    stream.remove_prefix(piece.size());
  }
  return talk.done();
}

// Of lines only: elsewhere a reply may hold any bytes.
void CheckReplies(Protocol protocol, std::string_view stream, std::string_view replies) {
  Require(replies.empty() || replies.ends_with('\n'), "replies end with a line");
  if (protocol == Protocol::kMemcached || stream.find(kRespRequest) != stream.npos) return;
  for (const char c : replies) {
    const auto byte = static_cast<unsigned char>(c);
    Require(c == '\n' || c == '\t' || (byte >= 0x20 && byte != 0x7f), "replies can be shown");
  }
}

// What is asked depends on the time, on chance, or on what the store was asked before.
bool MayDiffer(Protocol protocol, std::string_view stream) {
  std::string upper(stream);
  for (char& c : upper) c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 0x20) : c;
  constexpr std::array<std::string_view, 4> kMemcached = {"GETS", "GATS", "CAS", "STATS"};
  constexpr std::array<std::string_view, 6> kOthers = {"EX",   "PX",       "TTL",
                                                       "TIME", "LASTSAVE", "RANDOM"};
  const bool is_memcached = protocol == Protocol::kMemcached;
  const auto words = is_memcached ? std::span<const std::string_view>(kMemcached) : kOthers;
  return std::any_of(words.begin(), words.end(),
                     [&](std::string_view word) { return upper.find(word) != upper.npos; });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static EmptyStore stores;
  if (size > kMostBytes) return 0;
  Input input(data, size);
  const uint8_t first = input.Byte();
  const Protocol protocol = (first & kIsMemcached) != 0 ? Protocol::kMemcached : Protocol::kLine;
  const std::string_view sizes = input.Bytes(first & ~kIsMemcached);
  const std::string_view stream = input.Rest();
  const auto start = std::chrono::steady_clock::now();
  const Conversation whole = Have(protocol, stream, {}, &stores);
  CheckReplies(protocol, stream, whole.replies);
  if (MayDiffer(protocol, stream)) return 0;
  const Conversation split = Have(protocol, stream, sizes, &stores);
  if (std::chrono::steady_clock::now() - start > kMostTime) return 0;
  Require(split == whole,
          "pieces have the same replies:\n" + whole.replies + "--- in pieces:\n" + split.replies);
  return 0;
}
