// The one command table: what clients can ask for, whatever protocol they speak.
//
// A protocol's parser turns bytes into a Request, a Command executes it once, and the protocol's
// writer turns the Reply into bytes. The table is constant; any thread may use it.
#ifndef KEYSTONE_NET_COMMAND_H_
#define KEYSTONE_NET_COMMAND_H_

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "net/counters.h"
#include "store/batch.h"
#include "store/store.h"

namespace keystone {

class SessionHost;
struct Command;

inline constexpr size_t kDefaultScanCount = 10;
inline constexpr size_t kMaxScanCount = 10000;
inline constexpr size_t kMaxScanBytes = size_t{10} << 20;  // of keys as long as the limit allows

// One command with its arguments, decoded and within all limits. The views belong to whoever parsed
// it and must stay until the command has been executed, a write until its batch has been applied.
struct Request {
  const Command* command = nullptr;
  std::string_view key{};
  std::string_view value{};
  uint64_t cursor = 0;
  size_t count = kDefaultScanCount;
  std::string_view prefix{};
};

// The outcome of a command, for a protocol's writer to put into bytes. It may hold the store's gate
// (see FoundValue): it must go before the store is called again.
struct Reply {
  enum class Kind : uint8_t {
    kStatus,  // status: done, not found or an error
    kValue,   // found
    kNumber,  // number
    kText,    // text
    kLines,   // lines
    kKeys,    // number is the next cursor, lines are keys
  };

  Kind kind = Kind::kStatus;
  bool closes = false;  // the conversation ends with this reply
  Status status{};
  FoundValue found{};
  uint64_t number = 0;
  std::string text{};
  std::vector<std::string> lines{};
};

// What commands act on. Borrowed.
struct Environment {
  Store* store;
  SessionHost* host;
  Counters* counters;
};

struct Command {
  enum class Arguments : uint8_t { kNone, kKey, kKeyAndValue, kScan };

  std::string_view name;  // upper case
  Arguments arguments;
  std::string_view usage;
  std::string_view help;
  Counter Counters::*counter;

  // Exactly one of the two. Writes are queued, so that those which follow each other are committed
  // together; the other commands are executed with no write of theirs pending: on the spot, or a
  // slow one on whatever thread can spare the time.
  void (*queue)(const Request& request, Batch* batch) = nullptr;
  void (*execute)(const Request& request, const Environment& environment, Reply* reply) = nullptr;
  bool slow = false;     // may wait for the disk, even for seconds; takes no arguments
  bool lengthy = false;  // keeps a core busy: who shares the thread comes next
};

std::span<const Command> Commands();

// Upper or lower case; nullptr where there is no such command. Allocates nothing.
const Command* FindCommand(std::string_view name);

// Equal but for the case of ASCII letters.
bool EqualsIgnoringCase(std::string_view a, std::string_view b);

}  // namespace keystone

#endif  // KEYSTONE_NET_COMMAND_H_
