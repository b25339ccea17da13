#include "net/memcached_reply.h"

namespace keystone {

namespace {

using enum MemcachedVerb;
using Kind = Reply::Kind;

constexpr std::string_view kEnd = "END\r\n";
constexpr std::string_view kNotFound = "NOT_FOUND\r\n";

bool IsError(const Reply& reply) {
  return reply.kind == Kind::kStatus && !reply.status.ok() &&
         reply.status.code() != Code::kNotFound;
}

void AppendFetched(MemcachedVerb verb, std::string_view key, const Reply& reply, std::string* out) {
  if (reply.kind != Kind::kValue) return;
  AppendMemcachedValueHead(verb, key, reply, out);
  out->append(reply.value).append("\r\n");
}

std::string_view Stored(MemcachedVerb verb, const Reply& reply) {
  if (reply.kind != Kind::kNil) return "STORED\r\n";
  if (verb != kCas) return "NOT_STORED\r\n";
  return reply.absent ? kNotFound : "EXISTS\r\n";
}

void AppendNumber(const Reply& reply, std::string* out) {
  if (reply.kind != Kind::kInteger) {
    out->append(kNotFound);
  } else {
    out->append(std::to_string(static_cast<uint64_t>(reply.number))).append("\r\n");
  }
}

void AppendStats(const Reply& reply, std::string* out) {
  if (reply.kind == Kind::kText) {
    out->append(reply.text).append("\r\n");
    return;
  }
  for (const std::string& line : reply.lines) out->append("STAT ").append(line).append("\r\n");
  out->append(kEnd);
}

}  // namespace

void AppendMemcachedReply(MemcachedVerb verb, std::string_view key, const Reply& reply,
                          std::string* out) {
  if (IsError(reply)) return AppendMemcachedError(reply.status, out);
  switch (verb) {
    case kGet:
    case kGets:
    case kGat:
    case kGats:
      return AppendFetched(verb, key, reply, out);
    case kSet:
    case kAdd:
    case kReplace:
    case kAppend:
    case kPrepend:
    case kCas:
      out->append(Stored(verb, reply));
      return;
    case kIncr:
    case kDecr:
      return AppendNumber(reply, out);
    case kTouch:
      out->append(reply.absent ? kNotFound : "TOUCHED\r\n");
      return;
    case kDelete:
      out->append(reply.absent ? kNotFound : "DELETED\r\n");
      return;
    case kFlushAll:
    case kVerbosity:
      out->append("OK\r\n");
      return;
    case kStats:
      return AppendStats(reply, out);
    case kVersion:
      out->append("VERSION ").append(kMemcachedVersion).append("\r\n");
      return;
    case kQuit:
      return;
  }
}

void AppendMemcachedValueHead(MemcachedVerb verb, std::string_view key, const Reply& reply,
                              std::string* out) {
  const bool wants_unique = verb == kGets || verb == kGats;
  AppendMemcachedHead(key, reply.attributes.client_flags, reply.value.size(),
                      wants_unique ? &reply.sequence : nullptr, out);
}

void AppendMemcachedEnd(std::string* out) { out->append(kEnd); }

}  // namespace keystone
