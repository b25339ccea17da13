// What a value is stored with.
#ifndef KEYSTONE_STORE_ATTRIBUTES_H_
#define KEYSTONE_STORE_ATTRIBUTES_H_

#include <cstdint>

namespace keystone {

struct Attributes {
  uint32_t client_flags = 0;   // a client's own; the store only keeps them
  uint64_t expires_at_ms = 0;  // Unix time; 0: never

  bool operator==(const Attributes&) const = default;
  bool empty() const { return client_flags == 0 && expires_at_ms == 0; }
  bool ExpiredBy(uint64_t now_ms) const { return expires_at_ms != 0 && expires_at_ms <= now_ms; }
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_ATTRIBUTES_H_
