#include "net/http.h"

namespace keystone {

namespace {

std::string_view ReasonOf(int status) {
  switch (status) {
    case 200:
      return "OK";
    case 400:
      return "Bad Request";
    case 404:
      return "Not Found";
    case 405:
      return "Method Not Allowed";
    case 431:
      return "Request Header Fields Too Large";
    default:
      return "Service Unavailable";
  }
}

bool IsHttp1(std::string_view version) {
  return version.size() == 8 && version.starts_with("HTTP/1.") && version[7] >= '0' &&
         version[7] <= '9';
}

}  // namespace

size_t HttpHeadSize(std::string_view input) {
  for (size_t end = input.find('\n'); end != input.npos; end = input.find('\n', end + 1)) {
    const std::string_view rest = input.substr(end + 1);
    if (rest.starts_with('\n')) return end + 2;
    if (rest.starts_with("\r\n")) return end + 3;
  }
  return 0;
}

std::optional<HttpRequest> ParseHttpRequest(std::string_view head) {
  std::string_view line = head.substr(0, head.find('\n'));
  if (line.ends_with('\r')) line.remove_suffix(1);
  const size_t method_end = line.find(' ');
  const size_t target_end = line.rfind(' ');
  if (method_end == line.npos || target_end == method_end) return std::nullopt;
  const std::string_view target = line.substr(method_end + 1, target_end - method_end - 1);
  if (method_end == 0 || !target.starts_with('/') || target.find(' ') != target.npos ||
      !IsHttp1(line.substr(target_end + 1))) {
    return std::nullopt;
  }
  return HttpRequest{line.substr(0, method_end), target.substr(0, target.find('?'))};
}

std::string EncodeHttpReply(const HttpReply& reply, bool is_head) {
  std::string bytes = "HTTP/1.1 " + std::to_string(reply.status) + " ";
  bytes.append(ReasonOf(reply.status)).append("\r\nContent-Type: ").append(reply.content_type);
  bytes += "\r\nContent-Length: " + std::to_string(reply.body.size());
  if (reply.status == 405) bytes += "\r\nAllow: GET, HEAD";
  bytes += "\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n";
  if (!is_head) bytes += reply.body;
  return bytes;
}

}  // namespace keystone
