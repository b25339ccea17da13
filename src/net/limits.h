// How large what a client sends may be. Constant while there are clients.
#ifndef KEYSTONE_NET_LIMITS_H_
#define KEYSTONE_NET_LIMITS_H_

#include <cstddef>
#include <string_view>

#include "base/status.h"

namespace keystone {

struct Limits {
  size_t max_key_size = 1024;         // bytes
  size_t max_value_size = 64u << 20;  // bytes

  // The longest line, without its LF, that is read before it is refused.
  size_t max_line_size() const { return max_key_size + max_value_size * 4 / 3 + 64; }

  // The longest request in RESP: a value, or many small ones.
  size_t max_resp_size() const { return max_line_size() + (size_t{1} << 20); }

  // The most that the requests of a transaction may take, with what becomes of their words.
  size_t max_transaction_size() const { return max_line_size() + (size_t{4} << 20); }
};

// kInvalid where `what` has more than `limit` bytes.
Status CheckSize(std::string_view what, size_t size, size_t limit);

}  // namespace keystone

#endif  // KEYSTONE_NET_LIMITS_H_
