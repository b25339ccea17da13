// The memcached text protocol: bytes to requests, outcomes to replies (keystone-protocol(7)).
//
// As memcached 1.6 words it. Pure functions of bytes. Any thread; a parser one thread at a time.
#ifndef KEYSTONE_NET_MEMCACHED_H_
#define KEYSTONE_NET_MEMCACHED_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/status.h"

namespace keystone {

struct Limits;

// Whose protocol it is. Our own version would be taken for none: libmemcached refuses a 0 in front.
inline constexpr std::string_view kMemcachedVersion = "1.6.0";

inline constexpr size_t kMemcachedMaxKeySize = 250;
inline constexpr size_t kMemcachedMaxLineSize = 2048;
// Of a line that fetches, which may name many keys: more than 4000 of the longest.
inline constexpr size_t kMemcachedMaxFetchLineSize = size_t{1} << 20;

enum class MemcachedVerb : uint8_t {
  kGet,
  kGets,
  kGat,
  kGats,
  kSet,
  kAdd,
  kReplace,
  kAppend,
  kPrepend,
  kCas,
  kIncr,
  kDecr,
  kTouch,
  kDelete,
  kFlushAll,
  kVerbosity,
  kStats,
  kVersion,
  kQuit,
};

// One request; a line that fetches is one for each of its keys. The views point into the input.
struct MemcachedRequest {
  MemcachedVerb verb = MemcachedVerb::kGet;
  std::string_view key{};
  std::string_view value{};     // the data block of a storage command
  uint32_t client_flags = 0;    // of a storage command
  int64_t exptime = 0;          // as it was sent; of flush_all: the delay
  uint64_t unique = 0;          // of cas
  uint64_t delta = 0;           // of incr and decr
  std::string_view argument{};  // of stats: about what; empty: in general
  bool noreply = false;
};

struct MemcachedStep {
  enum class Kind : uint8_t {
    kUnfinished,  // no complete request is there
    kRequest,     // `request`
    kEnd,         // all keys of a line that fetches have been handed out
    kRefused,     // `text` is the reply to what the client did wrong, empty after noreply
    kHttp,        // the client speaks HTTP, `text` is the line
  };

  Kind kind = Kind::kUnfinished;
  size_t used = 0;      // bytes at the start of the input that are done with, whatever the kind
  size_t skipped = 0;   // of them, those at the front that belong to no request
  bool closes = false;  // what follows can't be understood
  MemcachedRequest request{};
  std::string_view text{};
};

// Cuts what a client sends into requests. A small value without pointers: a copy can look at what
// comes next without taking it.
class MemcachedParser {
 public:
  // `input` begins behind what the last step has used. After kUnfinished it holds all that it held
  // then: bytes of an unfinished line are not searched twice.
  MemcachedStep Next(std::string_view input, const Limits& limits);

  // Of a line that fetches, neither the keys that are left nor the end are handed out.
  void Abandon() { abandoned_ = fetching_; }

 private:
  size_t Skip(std::string_view input);
  MemcachedStep NextLine(std::string_view input, const Limits& limits);
  std::string_view StartFetch(MemcachedVerb verb, std::string_view line, const Limits& limits,
                              size_t* before_keys);
  MemcachedStep NextKey(std::string_view input, size_t start);

  size_t searched_ = 0;    // bytes of the unfinished line that are known to hold no LF
  uint64_t skips_ = 0;     // bytes still to come of a data block that was refused
  bool fetching_ = false;  // within a line that fetches:
  bool abandoned_ = false;
  MemcachedVerb verb_ = MemcachedVerb::kGet;
  int64_t exptime_ = 0;
};

// The key where `input` begins with one to fetch, else empty. `size`: of what was parsed, 0 where
// that is not complete.
std::string_view KeyOfFetch(std::string_view input, const Limits& limits, MemcachedParser* parser,
                            size_t* size);

// When what is stored with `exptime` expires, Unix time in ms; 0: never. Up to 30 days count from
// now, more is Unix time in s, what is negative has expired already.
uint64_t MemcachedExpiry(int64_t exptime, uint64_t now_ms);

// The number that a value holds for incr and decr: decimal, spaces around it, whatever follows
// those; as memcached reads it. False where it is none.
bool ParseMemcachedNumber(std::string_view value, uint64_t* number);

// The line before a value, which a line's end follows; with its unique unless nullptr.
void AppendMemcachedHead(std::string_view key, uint32_t client_flags, size_t value_size,
                         const uint64_t* unique, std::string* out);

// "SERVER_ERROR reason", always one line; CLIENT_ERROR where the client is to blame.
void AppendMemcachedError(const Status& status, std::string* out);

}  // namespace keystone

#endif  // KEYSTONE_NET_MEMCACHED_H_
