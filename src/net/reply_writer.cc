#include "net/reply_writer.h"

#include "net/line.h"
#include "net/resp.h"
#include "net/resp_reply.h"

namespace keystone {

namespace {

void Append(const ReplyForm& form, const Reply& reply, std::string* out) {
  if (form.protocol == Protocol::kLine) return AppendLineReply(reply, out);
  AppendRespReply(reply, out);
}

}  // namespace

void AppendReply(const ReplyForm& form, const Reply& reply, std::string* out) {
  const size_t start = out->size();
  Append(form, reply, out);
  if (reply.kind != Reply::Kind::kValue || !reply.found.spoilt()) return;
  out->resize(start);
  AppendStatus(form, {Code::kIo, "read the log: Input/output error"}, out);
}

bool AppendValueHead(const ReplyForm& form, const Reply& reply, std::string* out) {
  if (form.protocol == Protocol::kLine) return AppendLineValueHead(reply.value, out);
  AppendRespBulkHeader(reply.value.size(), out);
  return true;
}

void AppendValueTail(const ReplyForm& form, std::string* out) {
  out->append(form.protocol == Protocol::kLine ? "\n" : "\r\n");
}

void AppendStatus(const ReplyForm& form, const Status& status, std::string* out) {
  if (form.protocol == Protocol::kLine) return AppendLineStatus(status, out);
  Reply reply;
  reply.status = status;
  Append(form, reply, out);
}

void AppendCount(const ReplyForm& form, size_t count, std::string* out) {
  if (form.protocol == Protocol::kLine) return AppendLineCount(count, out);
  AppendRespArrayHeader(count, out);
}

void AppendEnd(const ReplyForm&, std::string*) {}

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
