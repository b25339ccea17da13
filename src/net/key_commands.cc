#include "net/key_commands.h"

#include <algorithm>

#include "base/clock.h"

namespace keystone {

namespace {

constexpr int64_t kNoKey = -2;
constexpr int64_t kNoExpiry = -1;
constexpr uint64_t kMsPerSecond = 1000;

// A later value of the same key goes on with what it was stored with.
Effect Keep(const Held& held, std::string_view value) {
  return {.kind = Effect::Kind::kSet, .value = value, .attributes = held.attributes};
}

bool Holds(const Request& request, const Held& held) {
  switch (request.condition) {
    case Condition::kNone:
      return true;
    case Condition::kAbsent:
      return !held.exists;
    case Condition::kPresent:
      return held.exists;
    case Condition::kSequence:
      return held.exists && held.sequence != 0 && held.sequence == request.sequence;
  }
  return false;
}

Effect ChangeBySet(const Held& held, KeyUpdate* update) {
  const Request& request = update->request();
  Reply* const reply = update->reply();
  const bool done = Holds(request, held);
  if (request.returns_old) {
    if (!ReplyWithCopy(held, update)) return {};
    if (!held.exists) reply->kind = Reply::Kind::kNil;
  } else if (!done) {
    reply->kind = Reply::Kind::kNil;
    reply->absent = !held.exists;
  }
  if (!done) return {};
  Attributes attributes = request.attributes;
  if (request.keeps_expiry) attributes.expires_at_ms = held.attributes.expires_at_ms;
  return {.kind = Effect::Kind::kSet, .value = request.value, .attributes = attributes};
}

bool Holds(const ExpiryCondition& condition, uint64_t old_ms, uint64_t new_ms) {
  if (condition.none && old_ms != 0) return false;
  if (condition.some && old_ms == 0) return false;
  if (condition.earlier && (old_ms == 0 || old_ms >= new_ms)) return false;
  return !condition.later || old_ms == 0 || old_ms > new_ms;
}

Effect ChangeExpiry(const Held& held, KeyUpdate* update) {
  const Request& request = update->request();
  LookAtPresence(held, request, update->reply());
  if (!held.exists) return {};
  if (!Holds(request.expiry_condition, held.attributes.expires_at_ms,
             request.attributes.expires_at_ms)) {
    update->reply()->number = 0;
    return {};
  }
  if (request.has_passed) return {.kind = Effect::Kind::kDelete};
  if (!update->MakeRoom(held.value.size())) return {};
  Effect effect = Keep(held, held.value);
  effect.attributes.expires_at_ms = request.attributes.expires_at_ms;
  return effect;
}

Effect ChangeToPersistent(const Held& held, KeyUpdate* update) {
  Reply* const reply = update->reply();
  reply->kind = Reply::Kind::kCount;
  reply->absent = !held.exists;
  if (!held.exists || held.attributes.expires_at_ms == 0) return {};
  reply->number = 1;
  if (!update->MakeRoom(held.value.size())) return {};
  Effect effect = Keep(held, held.value);
  effect.attributes.expires_at_ms = 0;
  return effect;
}

}  // namespace

void ReplyWithValue(const Held& held, Reply* reply) {
  if (!held.exists) {
    reply->status = Status::NotFound();
    return;
  }
  reply->kind = Reply::Kind::kValue;
  reply->value = held.value;
  reply->attributes = held.attributes;
  reply->sequence = held.sequence;
}

bool ReplyWithCopy(const Held& held, KeyUpdate* update) {
  ReplyWithValue(held, update->reply());
  return update->ReplyWithCopy(held.value);
}

void LookAtValue(const Held& held, const Request&, Reply* reply) { ReplyWithValue(held, reply); }

void LookAtPresence(const Held& held, const Request&, Reply* reply) {
  reply->kind = Reply::Kind::kCount;
  reply->number = held.exists ? 1 : 0;
  reply->absent = !held.exists;
}

void ReplyWithTime(const Held& held, Reply* reply, int64_t (*time)(uint64_t expires_at_ms)) {
  reply->kind = Reply::Kind::kInteger;
  reply->absent = !held.exists;
  if (!held.exists) {
    reply->number = kNoKey;
  } else if (held.attributes.expires_at_ms == 0) {
    reply->number = kNoExpiry;
  } else {
    reply->number = time(held.attributes.expires_at_ms);
  }
}

void LookAtTtl(const Held& held, const Request&, Reply* reply) {
  ReplyWithTime(held, reply, [](uint64_t expires_at_ms) {
    const uint64_t left_ms = expires_at_ms - std::min(UnixTimeMs(), expires_at_ms);
    return static_cast<int64_t>((left_ms + kMsPerSecond / 2) / kMsPerSecond);
  });
}

void QueueSet(const Request& request, Writes* writes) {
  if (request.condition == Condition::kNone && !request.keeps_expiry && !request.returns_old) {
    writes->Set(request.key, request.value, request.attributes);
  } else if (request.returns_old) {
    writes->ChangeWithCopy(request.key, ChangeBySet, request);
  } else {
    const Needs needs = request.keeps_expiry ? Needs::kValue : Needs::kPresence;
    writes->Change(request.key, ChangeBySet, request, 0, needs);
  }
}

void QueueDelete(const Request& request, Writes* writes) {
  if (request.words.empty()) return writes->Delete(request.key);
  for (const std::string_view key : request.words) writes->Delete(key);
}

void AnswerDeletes(std::span<const Operation> operations, Reply* reply) {
  reply->kind = Reply::Kind::kCount;
  reply->number = std::count_if(operations.begin(), operations.end(),
                                [](const Operation& operation) { return operation.took_effect; });
  reply->absent = reply->number == 0;
}

void QueueExpire(const Request& request, Writes* writes) {
  Request dated = request;
  dated.has_passed = request.attributes.expires_at_ms <= UnixTimeMs();
  writes->ChangeByRewrite(request.key, ChangeExpiry, dated);
}

void QueuePersist(const Request& request, Writes* writes) {
  writes->ChangeByRewrite(request.key, ChangeToPersistent, request);
}

}  // namespace keystone
