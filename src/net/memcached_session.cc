// What a session does for clients of memcached's protocol only.
#include "net/memcached_session.h"

#include <optional>
#include <string>
#include <utility>

#include "base/clock.h"
#include "net/memcached_request.h"
#include "net/reply_writer.h"

namespace keystone {

namespace {

// Keys that are looked at before others have their turn: a line may name very many.
constexpr size_t kMostLooks = 4096;

Outcome HitOrMiss(bool hit, Outcome on_hit, Outcome on_miss) { return hit ? on_hit : on_miss; }

// What STATS counts of a write that was committed.
std::optional<Outcome> OutcomeOf(MemcachedVerb verb, const Reply& reply) {
  switch (verb) {
    case MemcachedVerb::kCas:
      if (reply.kind == Reply::Kind::kNil && !reply.absent) return Outcome::kCasBadValue;
      return HitOrMiss(reply.kind != Reply::Kind::kNil, Outcome::kCasHit, Outcome::kCasMiss);
    case MemcachedVerb::kIncr:
      return HitOrMiss(reply.kind == Reply::Kind::kInteger, Outcome::kIncrHit, Outcome::kIncrMiss);
    case MemcachedVerb::kDecr:
      return HitOrMiss(reply.kind == Reply::Kind::kInteger, Outcome::kDecrHit, Outcome::kDecrMiss);
    case MemcachedVerb::kGat:
    case MemcachedVerb::kGats:
    case MemcachedVerb::kTouch:
      return HitOrMiss(!reply.absent, Outcome::kTouchHit, Outcome::kTouchMiss);
    case MemcachedVerb::kDelete:
      return HitOrMiss(!reply.absent, Outcome::kDeleteHit, Outcome::kDeleteMiss);
    default:
      return std::nullopt;
  }
}

}  // namespace

void Session::ParseMemcachedAt(std::string_view input, Parsed* parsed) {
  using Kind = MemcachedStep::Kind;
  parsed->protocol = Protocol::kMemcached;
  memcached_->next = memcached_->parser;
  const MemcachedStep step = memcached_->next.Next(input, *limits_);
  parsed->size = step.used;
  parsed->bytes = input.substr(step.skipped, step.used - step.skipped);
  switch (step.kind) {
    case Kind::kUnfinished:
      memcached_->parser = memcached_->next;
      return;
    case Kind::kRequest:
      parsed->state = Parsed::State::kRequest;
      parsed->request = MemcachedCommand(step.request, *limits_);
      memcached_->request = step.request;
      return;
    case Kind::kEnd:
      parsed->state = Parsed::State::kEnd;
      return;
    case Kind::kRefused:
      parsed->state = step.closes ? Parsed::State::kBroken : Parsed::State::kRefused;
      parsed->bytes = step.text;
      return;
    case Kind::kHttp:
      parsed->state = Parsed::State::kHttp;
      parsed->bytes = step.text;
      return;
  }
}

void Session::RefuseMemcached(const Parsed& parsed, std::string* replies) {
  if (parsed.state != Parsed::State::kHttp) replies->append(parsed.bytes);
}

void Session::TookMemcached() { memcached_->parser = memcached_->next; }

// What a gat could not write is told in the place of the next value, or the end.
bool Session::EndFetch(std::string* replies) {
  constexpr ReplyForm kForm{.protocol = Protocol::kMemcached};
  if (memcached_->failure.ok()) {
    AppendEnd(kForm, replies);
  } else {
    AppendStatus(kForm, std::exchange(memcached_->failure, Status::Ok()), replies);
  }
  return true;
}

// The value is read behind the touch, so that its unique is that of the record which the touch has
// made. Where the touch lets the key go, it is read before.
bool Session::FetchAndTouch(const Parsed& parsed, Writes* writes, std::string* replies) {
  if (!memcached_->failure.ok()) {
    memcached_->next.Abandon();
    return EndFetch(replies);
  }
  const Request touch = MemcachedTouch(memcached_->request);
  const uint64_t expires_at_ms = touch.attributes.expires_at_ms;
  const bool goes = expires_at_ms != 0 && expires_at_ms <= UnixTimeMs();
  if (!goes && !std::exchange(memcached_->touched, true)) {
    Queue(touch, Protocol::kMemcached, writes);
    return false;
  }
  memcached_->touched = false;
  (void)Execute(parsed, writes, replies);
  if (goes) Queue(touch, Protocol::kMemcached, writes);
  return true;
}

void Session::NoteFetched(bool well) {
  if (!well) memcached_->next.Abandon();
  yields_ = ++memcached_->looks % kMostLooks == 0;
}

void Session::NoteCommitted(const PendingReply& pending, const Reply& reply) {
  const auto verb = static_cast<MemcachedVerb>(pending.verb);
  const bool failed = !reply.status.ok() && reply.status.code() != Code::kNotFound;
  if (failed && IsGat(verb)) memcached_->failure = reply.status;
  if (failed) return;
  const std::optional<Outcome> outcome = OutcomeOf(verb, reply);
  if (outcome) environment_.counters->Of(*outcome).Add();
}

}  // namespace keystone
