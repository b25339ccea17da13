// What operations that have been committed came to. Any thread.
#ifndef KEYSTONE_NET_ANSWERS_H_
#define KEYSTONE_NET_ANSWERS_H_

#include <span>

#include "net/command.h"
#include "net/reply.h"
#include "net/request.h"
#include "store/batch.h"

namespace keystone {

// True where the command looks at its key, not at each of its words: a line has none.
bool LooksAtOne(const Request& request);

// Of a write, there is one operation at least.
void Answer(const Command& command, std::span<const Operation> operations, Reply* reply);

// Of reads in a transaction.
void AnswerLooks(const Request& request, std::span<const Operation> operations, Reply* reply);

// Of the guards of watched keys: one has changed.
bool HasConflict(std::span<const Operation> guards);

}  // namespace keystone

#endif  // KEYSTONE_NET_ANSWERS_H_
