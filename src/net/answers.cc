#include "net/answers.h"

#include <algorithm>
#include <utility>

namespace keystone {

namespace {

Reply* ReplyOf(const Operation& operation) {
  return static_cast<KeyUpdate*>(operation.update)->reply();
}

}  // namespace

void Answer(const Command& command, std::span<const Operation> operations, Reply* reply) {
  if (command.answer != nullptr) {
    command.answer(operations, reply);
  } else if (operations.front().update != nullptr) {
    *reply = std::move(*ReplyOf(operations.front()));
  }
}

bool LooksAtOne(const Request& request) {
  return request.command->each == Command::Each::kNone || request.words.empty();
}

void AnswerLooks(const Request& request, std::span<const Operation> operations, Reply* reply) {
  if (LooksAtOne(request)) {
    *reply = std::move(*ReplyOf(operations.front()));
    return;
  }
  const bool sums = request.command->each == Command::Each::kSum;
  reply->kind = sums ? Reply::Kind::kCount : Reply::Kind::kArray;
  for (const Operation& operation : operations) {
    Reply* const item = ReplyOf(operation);
    if (sums) {
      reply->number += item->number;
    } else {
      reply->items.push_back(std::move(*item));
    }
  }
}

bool HasConflict(std::span<const Operation> guards) {
  return std::any_of(guards.begin(), guards.end(), [](const Operation& guard) {
    return ReplyOf(guard)->kind == Reply::Kind::kNil;
  });
}

}  // namespace keystone
