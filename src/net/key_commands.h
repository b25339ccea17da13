// The commands that concern single keys: reads, writes, and their lifetimes. See the fields of
// Command. Any thread.
#ifndef KEYSTONE_NET_KEY_COMMANDS_H_
#define KEYSTONE_NET_KEY_COMMANDS_H_

#include <cstdint>
#include <span>

#include "net/reply.h"
#include "net/request.h"
#include "net/writes.h"

namespace keystone {

void LookAtValue(const Held& held, const Request& request, Reply* reply);     // GET
void LookAtPresence(const Held& held, const Request& request, Reply* reply);  // EXISTS
void LookAtTtl(const Held& held, const Request& request, Reply* reply);       // TTL, in seconds

// Fills in what GET answers.
void ReplyWithValue(const Held& held, Reply* reply);

// What `time` makes of the date; negative where there is none, or no key.
void ReplyWithTime(const Held& held, Reply* reply, int64_t (*time)(uint64_t expires_at_ms));

// The same as ReplyWithValue where the reply is made from the update, when what was held may be
// gone.
bool ReplyWithCopy(const Held& held, KeyUpdate* update);

// SET, with the request's condition, attributes and so on.
void QueueSet(const Request& request, Writes* writes);

// DELETE of the key, or of all words.
void QueueDelete(const Request& request, Writes* writes);
void AnswerDeletes(std::span<const Operation> operations, Reply* reply);

// The request's expires_at_ms; in the past: the key goes. Answers with kCount.
void QueueExpire(const Request& request, Writes* writes);
// Answers with kCount: how many had an expiry; `absent` tells that there is no such key.
void QueuePersist(const Request& request, Writes* writes);

}  // namespace keystone

#endif  // KEYSTONE_NET_KEY_COMMANDS_H_
