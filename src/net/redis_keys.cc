#include "net/redis_keys.h"

#include <algorithm>
#include <string>
#include <utility>

#include "base/clock.h"
#include "net/key_commands.h"
#include "net/resp.h"
#include "net/resp_request.h"
#include "net/server_commands.h"

namespace keystone {

namespace {

constexpr uint64_t kMsPerSecond = 1000;

Effect ChangeByIncrement(const Held& held, KeyUpdate* update) {
  Reply* const reply = update->reply();
  int64_t number = 0;
  if (held.exists && !ParseRespInteger(held.value, &number)) {
    reply->status = NotAnInteger();
    return {};
  }
  if (__builtin_add_overflow(number, update->request().number, &number)) {
    reply->status = Status::Invalid("increment or decrement would overflow");
    return {};
  }
  reply->kind = Reply::Kind::kInteger;
  reply->number = number;
  *update->bytes() = std::to_string(number);
  return {.kind = Effect::Kind::kSet, .value = *update->bytes(), .attributes = held.attributes};
}

Effect ChangeByAppend(const Held& held, KeyUpdate* update) {
  const Request& request = update->request();
  Reply* const reply = update->reply();
  const size_t size = held.value.size() + request.value.size();
  if (size > request.limit) {
    reply->status = Status::Invalid("string exceeds maximum allowed size (max-value-size)");
    return {};
  }
  if (!update->MakeRoom(size)) return {};
  update->bytes()->reserve(size);
  update->bytes()->assign(held.value).append(request.value);
  reply->kind = Reply::Kind::kInteger;
  reply->number = static_cast<int64_t>(size);
  return {.kind = Effect::Kind::kSet, .value = *update->bytes(), .attributes = held.attributes};
}

Effect ChangeByGetDel(const Held& held, KeyUpdate* update) {
  if (!ReplyWithCopy(held, update)) return {};
  return {.kind = held.exists ? Effect::Kind::kDelete : Effect::Kind::kNone};
}

Effect ChangeByGetEx(const Held& held, KeyUpdate* update) {
  if (!ReplyWithCopy(held, update)) return {};
  const Request& request = update->request();
  Attributes attributes = held.attributes;
  attributes.expires_at_ms = request.attributes.expires_at_ms;
  if (!held.exists || request.keeps_expiry || attributes == held.attributes) return {};
  return {.kind = Effect::Kind::kSet, .value = held.value, .attributes = attributes};
}

// Lets the operations behind it happen only where its key is absent. It keeps nothing, so one is
// enough for all.
class AbsentGuard final : public Update {
 public:
  Effect Decide(const Held& held) override {
    return {.kind = held.exists ? Effect::Kind::kSkip : Effect::Kind::kNone};
  }
};

AbsentGuard& TheAbsentGuard() {
  static AbsentGuard guard;
  return guard;
}

// What a key holds, for the operations behind it, which take no effect where there is nothing.
Effect TakeValue(const Held& held, KeyUpdate* update) {
  Reply* const reply = update->reply();
  if (!held.exists) {
    reply->status = Status::Invalid("no such key");
    return {.kind = Effect::Kind::kSkip};
  }
  reply->value = held.value;
  reply->attributes = held.attributes;
  return {};
}

Effect PutValue(const Held&, KeyUpdate* update) {
  const Reply& taken = *update->source()->reply();
  return {.kind = Effect::Kind::kSet, .value = taken.value, .attributes = taken.attributes};
}

}  // namespace

void LookAtSize(const Held& held, const Request&, Reply* reply) {
  reply->kind = Reply::Kind::kInteger;
  reply->number = static_cast<int64_t>(held.value.size());
}

void LookAtType(const Held& held, const Request&, Reply* reply) {
  reply->kind = Reply::Kind::kText;
  reply->text = held.exists ? "string" : "none";
}

void LookAtTtlMs(const Held& held, const Request&, Reply* reply) {
  ReplyWithTime(held, reply, [](uint64_t expires_at_ms) {
    return static_cast<int64_t>(expires_at_ms - std::min(UnixTimeMs(), expires_at_ms));
  });
}

void LookAtExpiry(const Held& held, const Request&, Reply* reply) {
  ReplyWithTime(held, reply, [](uint64_t expires_at_ms) {
    return static_cast<int64_t>((expires_at_ms + kMsPerSecond / 2) / kMsPerSecond);
  });
}

void LookAtExpiryMs(const Held& held, const Request&, Reply* reply) {
  ReplyWithTime(held, reply,
                [](uint64_t expires_at_ms) { return static_cast<int64_t>(expires_at_ms); });
}

void QueueIncrement(const Request& request, Writes* writes) {
  writes->Change(request.key, ChangeByIncrement, request);
}

void QueueAppend(const Request& request, Writes* writes) {
  writes->ChangeWithCopy(request.key, ChangeByAppend, request);
}

void QueueGetDel(const Request& request, Writes* writes) {
  writes->ChangeWithCopy(request.key, ChangeByGetDel, request);
}

void QueueGetEx(const Request& request, Writes* writes) {
  writes->ChangeWithCopy(request.key, ChangeByGetEx, request);
}

void AnswerDone(std::span<const Operation> operations, Reply* reply) {
  reply->kind = Reply::Kind::kInteger;
  reply->number = operations.front().took_effect ? 1 : 0;
}

void QueuePairs(const Request& request, Writes* writes) {
  for (size_t i = 0; i < request.words.size(); i += 2) {
    writes->Set(request.words[i], request.words[i + 1], {});
  }
}

void QueueAbsentPairs(const Request& request, Writes* writes) {
  const size_t pairs = request.words.size() / 2;
  for (size_t i = 0; i < pairs; i++) {
    const auto behind = static_cast<uint32_t>(2 * pairs - i - 1);
    writes->batch().Change(request.words[2 * i], &TheAbsentGuard(), behind, Needs::kPresence);
  }
  QueuePairs(request, writes);
}

void AnswerAbsentPairs(std::span<const Operation> operations, Reply* reply) {
  AnswerDone(operations.last(1), reply);
}

void QueueRename(const Request& request, Writes* writes) {
  const bool moves = request.key != request.end;
  KeyUpdate* const taken = writes->Change(request.key, TakeValue, request, moves ? 2 : 0);
  if (!moves) return;
  writes->ChangeByRewrite(request.end, PutValue, request)->set_source(taken);
  writes->Delete(request.key);
}

void QueueRenameToAbsent(const Request& request, Writes* writes) {
  KeyUpdate* const taken = writes->Change(request.key, TakeValue, request, 3);
  writes->batch().Change(request.end, &TheAbsentGuard(), 2, Needs::kPresence);
  writes->ChangeByRewrite(request.end, PutValue, request)->set_source(taken);
  writes->Delete(request.key);
}

void AnswerRenameToAbsent(std::span<const Operation> operations, Reply* reply) {
  *reply = std::move(*static_cast<KeyUpdate*>(operations.front().update)->reply());
  if (reply->status.ok()) AnswerDone(operations.last(1), reply);
}

void ExecuteRespScan(const Request& request, const Environment& environment, Reply* reply) {
  if (request.matches_nothing) {
    reply->kind = Reply::Kind::kScan;  // and it is done
    return;
  }
  ExecuteScan(request, environment, reply);
  if (request.key.empty()) return;
  std::erase_if(reply->lines, [&](const std::string& key) { return key != request.key; });
}

}  // namespace keystone
