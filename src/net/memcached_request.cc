#include "net/memcached_request.h"

#include <algorithm>

#include "base/clock.h"
#include "net/command.h"
#include "net/limits.h"

namespace keystone {

namespace {

using enum MemcachedVerb;

const Command* CommandOf(MemcachedVerb verb) {
  // Looked up once: a busy client would do it for each of its requests.
  static const Command* const get = FindCommand("GET");
  static const Command* const set = FindCommand("SET");
  switch (verb) {
    case kGet:
    case kGets:
    case kGat:
    case kGats:
      return get;
    case kSet:
    case kAdd:
    case kReplace:
    case kCas:
      return set;
    case kAppend:
    case kPrepend:
      return FindCommand("EXTEND");
    case kIncr:
    case kDecr:
      return FindCommand("STEP");
    case kTouch:
      return nullptr;  // see MemcachedTouch
    case kDelete:
      return FindCommand("DELETE");
    case kFlushAll:
      return FindCommand("CLEAR");
    case kVerbosity:
      return FindCommand("PING");
    case kStats:
      return FindCommand("MEMCACHED STATS");
    case kVersion:
      return FindCommand("VERSION");
    case kQuit:
      return FindCommand("QUIT");
  }
  return nullptr;
}

Condition ConditionOf(MemcachedVerb verb) {
  switch (verb) {
    case kAdd:
      return Condition::kAbsent;
    case kReplace:
      return Condition::kPresent;
    case kCas:
      return Condition::kSequence;
    default:
      return Condition::kNone;
  }
}

// flush_all's time is one to wait for, even where it was told as a date.
int64_t DelayMs(int64_t exptime) {
  const uint64_t now_ms = UnixTimeMs();
  const uint64_t then_ms = MemcachedExpiry(exptime, now_ms);
  return static_cast<int64_t>(std::max(then_ms, now_ms) - now_ms);
}

}  // namespace

Request MemcachedCommand(const MemcachedRequest& from, const Limits& limits) {
  if (from.verb == kTouch) return MemcachedTouch(from);
  Request request;
  request.command = CommandOf(from.verb);
  request.verb = static_cast<uint8_t>(from.verb);
  request.silent = from.noreply;
  request.key = from.key;
  request.value = from.value;
  request.attributes.client_flags = from.client_flags;
  if (request.command == CommandOf(kSet) && from.exptime != 0) {
    request.attributes.expires_at_ms = MemcachedExpiry(from.exptime, UnixTimeMs());
  }
  request.condition = ConditionOf(from.verb);
  request.sequence = from.unique;
  request.limit = limits.max_value_size;
  request.number =
      from.verb == kFlushAll ? DelayMs(from.exptime) : static_cast<int64_t>(from.delta);
  request.prefix = from.argument;
  return request;
}

Request MemcachedTouch(const MemcachedRequest& from) {
  Request request;
  request.command = FindCommand(from.exptime == 0 ? "PERSIST" : "EXPIRE");
  request.verb = static_cast<uint8_t>(from.verb);
  request.silent = from.noreply || IsGat(from.verb);
  request.key = from.key;
  request.attributes.expires_at_ms = MemcachedExpiry(from.exptime, UnixTimeMs());
  return request;
}

}  // namespace keystone
