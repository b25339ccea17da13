// What a session remembers of a client that speaks memcached's protocol.
#ifndef KEYSTONE_NET_MEMCACHED_SESSION_H_
#define KEYSTONE_NET_MEMCACHED_SESSION_H_

#include <cstddef>

#include "base/status.h"
#include "net/memcached.h"
#include "net/session.h"

namespace keystone {

struct Session::Memcached {
  MemcachedParser parser;
  MemcachedParser next;      // once what was parsed has been handled
  MemcachedRequest request;  // that was parsed
  bool touched = false;      // by a gat, which reads the value next
  Status failure;            // of the touch
  size_t looks = 0;
};

}  // namespace keystone

#endif  // KEYSTONE_NET_MEMCACHED_SESSION_H_
