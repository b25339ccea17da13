#include "net/memcached_commands.h"

#include <cstddef>
#include <cstdint>
#include <string>

#include "net/memcached.h"
#include "net/memcached_stats.h"
#include "net/session.h"

namespace keystone {

namespace {

// Where it has become shorter it is filled up to its old size.
constexpr size_t kMaxNumberSize = 1024;

MemcachedVerb VerbOf(const KeyUpdate& update) {
  return static_cast<MemcachedVerb>(update.request().verb);
}

// What it was stored with stays.
Effect Replace(const Held& held, std::string_view value) {
  return {.kind = Effect::Kind::kSet, .value = value, .attributes = held.attributes};
}

Effect ChangeByExtension(const Held& held, KeyUpdate* update) {
  const Request& request = update->request();
  if (!held.exists || held.value.size() + request.value.size() > request.limit) {
    update->reply()->kind = Reply::Kind::kNil;
    update->reply()->absent = !held.exists;
    return {};
  }
  const bool in_front = VerbOf(*update) == MemcachedVerb::kPrepend;
  std::string* const bytes = update->bytes();
  const size_t size = held.value.size() + request.value.size();
  if (!update->MakeRoom(size)) return {};
  bytes->reserve(size);
  bytes->assign(in_front ? request.value : held.value);
  bytes->append(in_front ? held.value : request.value);
  return Replace(held, *bytes);
}

uint64_t Stepped(uint64_t number, uint64_t delta, MemcachedVerb verb) {
  if (verb == MemcachedVerb::kIncr) return number + delta;
  return delta > number ? 0 : number - delta;
}

// A number that has become shorter is filled up with spaces.
Effect ChangeByStep(const Held& held, KeyUpdate* update) {
  Reply* const reply = update->reply();
  uint64_t number = 0;
  if (!held.exists) {
    reply->status = Status::NotFound();
    return {};
  }
  if (held.value.size() > kMaxNumberSize || !ParseMemcachedNumber(held.value, &number)) {
    reply->status = {Code::kInvalid, "cannot increment or decrement non-numeric value"};
    return {};
  }
  number = Stepped(number, static_cast<uint64_t>(update->request().number), VerbOf(*update));
  reply->kind = Reply::Kind::kInteger;
  reply->number = static_cast<int64_t>(number);
  std::string* const bytes = update->bytes();
  *bytes = std::to_string(number);
  if (bytes->size() < held.value.size()) bytes->resize(held.value.size(), ' ');
  return Replace(held, *bytes);
}

}  // namespace

void QueueExtend(const Request& request, Writes* writes) {
  writes->ChangeWithCopy(request.key, ChangeByExtension, request);
}

void QueueStep(const Request& request, Writes* writes) {
  writes->Change(request.key, ChangeByStep, request);
}

void ExecuteMemcachedStats(const Request& request, const Environment& environment, Reply* reply) {
  const std::string_view about = request.prefix;
  reply->kind = Reply::Kind::kLines;
  if (about.empty()) {
    reply->lines = MemcachedStats(environment.host->StatsLines());
  } else if (about == "settings") {
    reply->lines = MemcachedSettings(environment.host->StatsLines(), request.limit);
  } else if (about == "slabs") {
    reply->lines = MemcachedSlabs();
  } else if (about != "items" && about != "cachedump") {
    // What is counted stays, for who else asks.
    reply->kind = Reply::Kind::kText;
    reply->text = about == "reset" ? "RESET" : "ERROR";
  }
}

}  // namespace keystone
