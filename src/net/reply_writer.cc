#include "net/reply_writer.h"

#include "net/line.h"
#include "net/memcached_reply.h"
#include "net/resp.h"
#include "net/resp_reply.h"

namespace keystone {

namespace {

void Append(const ReplyForm& form, const Reply& reply, std::string* out) {
  switch (form.protocol) {
    case Protocol::kLine:
      return AppendLineReply(reply, out);
    case Protocol::kResp:
      return AppendRespReply(reply, out);
    case Protocol::kMemcached:
      return AppendMemcachedReply(static_cast<MemcachedVerb>(form.verb), form.key, reply, out);
  }
}

}  // namespace

bool AppendReply(const ReplyForm& form, const Reply& reply, std::string* out) {
  const size_t start = out->size();
  Append(form, reply, out);
  if (reply.kind == Reply::Kind::kStatus) {
    return reply.status.ok() || reply.status.code() == Code::kNotFound;
  }
  if (reply.kind != Reply::Kind::kValue || !reply.found.spoilt()) return true;
  out->resize(start);
  AppendStatus(form, {Code::kIo, "read the log: Input/output error"}, out);
  return false;
}

bool AppendValueHead(const ReplyForm& form, const Reply& reply, std::string* out) {
  switch (form.protocol) {
    case Protocol::kLine:
      return AppendLineValueHead(reply.value, out);
    case Protocol::kResp:
      AppendRespBulkHeader(reply.value.size(), out);
      return true;
    case Protocol::kMemcached:
      AppendMemcachedValueHead(static_cast<MemcachedVerb>(form.verb), form.key, reply, out);
      return true;
  }
  return false;
}

void AppendValueTail(const ReplyForm& form, std::string* out) {
  out->append(form.protocol == Protocol::kLine ? "\n" : "\r\n");
}

void AppendStatus(const ReplyForm& form, const Status& status, std::string* out) {
  if (form.protocol == Protocol::kLine) return AppendLineStatus(status, out);
  if (form.protocol == Protocol::kResp && status.ok()) return AppendRespSimple("OK", out);
  Reply reply;
  reply.status = status;
  Append(form, reply, out);
}

void AppendCount(const ReplyForm& form, size_t count, std::string* out) {
  if (form.protocol == Protocol::kLine) return AppendLineCount(count, out);
  AppendRespArrayHeader(count, out);
}

void AppendEnd(const ReplyForm& form, std::string* out) {
  if (form.protocol == Protocol::kMemcached) AppendMemcachedEnd(out);
}

void AppendQueued(const ReplyForm& form, std::string* out) {
  if (form.protocol == Protocol::kLine) {
    out->append("QUEUED\n");
  } else {
    AppendRespSimple("QUEUED", out);
  }
}

void AppendConflict(const ReplyForm& form, std::string* out) {
  if (form.protocol != Protocol::kLine) return AppendRespNilArray(out);
  AppendLineStatus({Code::kInvalid, "a watched key has changed: nothing was done"}, out);
}

}  // namespace keystone
