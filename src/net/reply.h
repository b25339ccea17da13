// The outcome of a command, for a protocol's writer to put into bytes.
//
// It may hold the store's gate (see FoundValue): it must go before the store is called again.
#ifndef KEYSTONE_NET_REPLY_H_
#define KEYSTONE_NET_REPLY_H_

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "store/store.h"
#include "store/update.h"

namespace keystone {

struct Reply {
  enum class Kind : uint8_t {
    kStatus,   // status: done, not found or an error
    kValue,    // value, with attributes and sequence
    kNil,      // nothing, because of a condition
    kInteger,  // number
    kCount,    // number of keys that it concerned; a line tells only whether there are any
    kText,     // text, one line
    kBytes,    // text, any bytes
    kLines,    // lines of text
    kScan,     // number is the next cursor, lines are keys
    kKeys,     // lines are keys
    kArray,    // items
  };

  Kind kind = Kind::kStatus;
  bool closes = false;  // the conversation ends with this reply
  bool absent = false;  // with a kInteger, kCount or kNil: there is no such key
  Status status{};
  std::string_view error_word = "ERR";  // RESP's first word of an error
  std::string_view value{};             // in `found` or `copy`, or stays elsewhere long enough
  Attributes attributes{};
  uint64_t sequence = 0;
  FoundValue found{};
  std::unique_ptr<const std::string> copy{};
  int64_t number = 0;
  std::string text{};
  std::vector<std::string> lines{};
  std::vector<Reply> items{};
};

// Why nothing came of it, for a client: what only concerns the daemon is left out.
std::string_view ReasonFor(const Status& status);

}  // namespace keystone

#endif  // KEYSTONE_NET_REPLY_H_
