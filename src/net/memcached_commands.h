// The commands that only memcached's protocol has. See the fields of Command. Any thread.
#ifndef KEYSTONE_NET_MEMCACHED_COMMANDS_H_
#define KEYSTONE_NET_MEMCACHED_COMMANDS_H_

#include "net/command.h"
#include "net/reply.h"
#include "net/request.h"
#include "net/writes.h"

namespace keystone {

// append and prepend: the value behind or in front of the one there is, `limit` bytes at most.
// kNil: there is none, or they would be too large.
void QueueExtend(const Request& request, Writes* writes);

// incr and decr by the request's number, which stands for its bits: all are unsigned. Above 2^64 it
// goes on at 0, and not below that. Answers with a kInteger of that kind.
void QueueStep(const Request& request, Writes* writes);

// stats about what `prefix` names, in memcached's names. There are no items to tell of by their
// size, as memcached keeps them.
void ExecuteMemcachedStats(const Request& request, const Environment& environment, Reply* reply);

}  // namespace keystone

#endif  // KEYSTONE_NET_MEMCACHED_COMMANDS_H_
