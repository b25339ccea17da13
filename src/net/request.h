// One command of a client with its arguments, whatever protocol it came by.
//
// The views belong to whoever parsed it, and must stay until the command has been executed, a write
// until its batch has been applied.
#ifndef KEYSTONE_NET_REQUEST_H_
#define KEYSTONE_NET_REQUEST_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "store/update.h"

namespace keystone {

struct Command;

enum class Protocol : uint8_t { kLine, kResp, kMemcached };

using Words = std::span<const std::string_view>;

inline constexpr size_t kDefaultScanCount = 10;
inline constexpr size_t kMaxScanCount = 10000;
inline constexpr size_t kMaxScanBytes = size_t{10} << 20;  // of keys as long as the limit allows

// On what a SET depends.
enum class Condition : uint8_t {
  kNone,
  kAbsent,    // NX
  kPresent,   // XX
  kSequence,  // the value is still the one whose sequence is known
};

// On which expiry of its key an EXPIRE depends; on none where all are false.
struct ExpiryCondition {
  bool none = false;     // NX: it has none
  bool some = false;     // XX: it has one
  bool earlier = false;  // GT: the one that it has is earlier than the new one
  bool later = false;    // LT: it has none, or a later one
};

struct Request {
  const Command* command = nullptr;
  std::string_view key{};
  std::string_view value{};
  Words words{};  // keys, or keys and values by turns, or what else the command takes

  // Of what is stored. An expiry that is relative to now has been added to it.
  Attributes attributes{};
  bool keeps_expiry = false;  // the one that the key has, instead
  bool returns_old = false;   // the reply is the value before
  Condition condition = Condition::kNone;
  uint64_t sequence = 0;  // for kSequence
  ExpiryCondition expiry_condition{};
  bool has_passed = false;  // of an EXPIRE that was queued: the date was in the past by then

  // What to add; of CLEAR a delay, ms; of memcached's incr and decr the bits of a uint64_t.
  int64_t number = 0;

  uint64_t cursor = 0;
  size_t count = kDefaultScanCount;
  std::string_view prefix{};  // of keys; of memcached's stats: what about
  std::string_view end{};  // the last key of a range that begins with `key`; of RENAME the new name
  size_t limit = 0;        // of keys, or of a value's size; 0: none
  bool matches_nothing = false;

  // Memcached's.
  uint8_t verb = 0;     // its name for the command, where several share one
  bool silent = false;  // no reply is wanted
};

}  // namespace keystone

#endif  // KEYSTONE_NET_REQUEST_H_
