// Redis's commands on keys beside those of key_commands. See the fields of Command. Any thread.
#ifndef KEYSTONE_NET_REDIS_KEYS_H_
#define KEYSTONE_NET_REDIS_KEYS_H_

#include <span>

#include "net/command.h"

namespace keystone {

void LookAtSize(const Held& held, const Request& request, Reply* reply);      // STRLEN
void LookAtType(const Held& held, const Request& request, Reply* reply);      // TYPE
void LookAtTtlMs(const Held& held, const Request& request, Reply* reply);     // PTTL
void LookAtExpiry(const Held& held, const Request& request, Reply* reply);    // EXPIRETIME
void LookAtExpiryMs(const Held& held, const Request& request, Reply* reply);  // PEXPIRETIME

void QueueIncrement(const Request& request, Writes* writes);
void QueueAppend(const Request& request, Writes* writes);
void QueueGetDel(const Request& request, Writes* writes);
void QueueGetEx(const Request& request, Writes* writes);  // keeps_expiry: changes nothing

// One operation: whether it took effect, as 1 or 0.
void AnswerDone(std::span<const Operation> operations, Reply* reply);

void QueuePairs(const Request& request, Writes* writes);        // MSET
void QueueAbsentPairs(const Request& request, Writes* writes);  // MSETNX
void AnswerAbsentPairs(std::span<const Operation> operations, Reply* reply);

// The value and what it is stored with goes from key to end.
void QueueRename(const Request& request, Writes* writes);
void QueueRenameToAbsent(const Request& request, Writes* writes);
void AnswerRenameToAbsent(std::span<const Operation> operations, Reply* reply);

// SCAN, of which a line knows less.
void ExecuteRespScan(const Request& request, const Environment& environment, Reply* reply);

}  // namespace keystone

#endif  // KEYSTONE_NET_REDIS_KEYS_H_
