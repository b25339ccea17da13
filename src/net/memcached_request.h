// Requests of memcached's protocol as commands of the one table. Any thread.
#ifndef KEYSTONE_NET_MEMCACHED_REQUEST_H_
#define KEYSTONE_NET_MEMCACHED_REQUEST_H_

#include "net/memcached.h"
#include "net/request.h"

namespace keystone {

struct Limits;

// What is relative to now is added to it. A gat is a GET; see MemcachedTouch.
Request MemcachedCommand(const MemcachedRequest& from, const Limits& limits);

// What a gat does beside reading, or what a touch does.
Request MemcachedTouch(const MemcachedRequest& from);

inline bool IsGat(MemcachedVerb verb) {
  return verb == MemcachedVerb::kGat || verb == MemcachedVerb::kGats;
}

}  // namespace keystone

#endif  // KEYSTONE_NET_MEMCACHED_REQUEST_H_
