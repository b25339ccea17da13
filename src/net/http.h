// HTTP/1.x (RFC 9112) as far as monitors need it: requests without a body, one a connection.
//
// Pure; any thread.
#ifndef KEYSTONE_NET_HTTP_H_
#define KEYSTONE_NET_HTTP_H_

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace keystone {

inline constexpr size_t kMaxHttpHead = 8192;  // bytes

// Points into the bytes it was parsed from.
struct HttpRequest {
  std::string_view method;
  std::string_view path;  // without "?query"
};

// The size of the head that `input` begins with, its empty line included; 0 where that has not
// come. Lines end with LF or CRLF: people type, too.
size_t HttpHeadSize(std::string_view input);

// What the first line of a head asks for; header fields mean nothing here. Nothing where that line
// is not one of HTTP/1.
std::optional<HttpRequest> ParseHttpRequest(std::string_view head);

struct HttpReply {
  int status = 200;  // one that ReasonOf knows
  std::string_view content_type = "text/plain; charset=utf-8";
  std::string body;
};

// The reply's bytes, after which the connection ends. To a HEAD the body is left out, not its size.
std::string EncodeHttpReply(const HttpReply& reply, bool is_head);

}  // namespace keystone

#endif  // KEYSTONE_NET_HTTP_H_
