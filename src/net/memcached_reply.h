// Replies in the words of memcached's protocol. Pure; any thread.
#ifndef KEYSTONE_NET_MEMCACHED_REPLY_H_
#define KEYSTONE_NET_MEMCACHED_REPLY_H_

#include <string>
#include <string_view>

#include "net/memcached.h"
#include "net/reply.h"

namespace keystone {

// `key` is the value's. That of a fetch for which there is no value is nothing.
void AppendMemcachedReply(MemcachedVerb verb, std::string_view key, const Reply& reply,
                          std::string* out);

// What is before a value; a line's end is behind it.
void AppendMemcachedValueHead(MemcachedVerb verb, std::string_view key, const Reply& reply,
                              std::string* out);

// Behind the values of a fetch.
void AppendMemcachedEnd(std::string* out);

}  // namespace keystone

#endif  // KEYSTONE_NET_MEMCACHED_REPLY_H_
