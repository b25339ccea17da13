#include "net/resp_reply.h"

#include "net/resp.h"

namespace keystone {

namespace {

void AppendStatusReply(const Reply& reply, std::string* out) {
  if (reply.status.ok()) return AppendRespSimple("OK", out);
  if (reply.status.code() == Code::kNotFound) return AppendRespNil(out);
  std::string text(reply.error_word);
  text.append(" ").append(ReasonFor(reply.status));
  AppendRespError(text, out);
}

void AppendStrings(const std::vector<std::string>& strings, std::string* out) {
  AppendRespArrayHeader(strings.size(), out);
  for (const std::string& string : strings) AppendRespBulk(string, out);
}

}  // namespace

void AppendRespReply(const Reply& reply, std::string* out) {
  switch (reply.kind) {
    case Reply::Kind::kStatus:
      return AppendStatusReply(reply, out);
    case Reply::Kind::kValue:
      return AppendRespBulk(reply.value, out);
    case Reply::Kind::kNil:
      return AppendRespNil(out);
    case Reply::Kind::kInteger:
    case Reply::Kind::kCount:
      return AppendRespInteger(reply.number, out);
    case Reply::Kind::kText:
      return AppendRespSimple(reply.text, out);
    case Reply::Kind::kBytes:
      return AppendRespBulk(reply.text, out);
    case Reply::Kind::kScan:
      AppendRespArrayHeader(2, out);
      AppendRespBulk(std::to_string(reply.number), out);
      return AppendStrings(reply.lines, out);
    case Reply::Kind::kLines:
    case Reply::Kind::kKeys:
      return AppendStrings(reply.lines, out);
    case Reply::Kind::kArray:
      AppendRespArrayHeader(reply.items.size(), out);
      for (const Reply& item : reply.items) AppendRespReply(item, out);
  }
}

}  // namespace keystone
