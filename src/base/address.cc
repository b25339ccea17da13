#include "base/address.h"

#include <arpa/inet.h>
#include <sys/un.h>

#include <charconv>
#include <cstdint>
#include <optional>

#include "base/escape.h"

namespace keystone {

namespace {

constexpr std::string_view kUnixPrefix = "unix:";

Status Bad(std::string_view text, std::string_view reason) {
  return {Code::kInvalid, "address '" + Escape(text, 128) + "': " + std::string(reason)};
}

Result<Address> ParseUnix(std::string_view text) {
  const std::string_view path = text.substr(kUnixPrefix.size());
  if (path.empty()) return Bad(text, "the path is missing");
  if (path.find('\0') != path.npos) return Bad(text, "a path can't hold a zero byte");
  if (path.size() >= sizeof(sockaddr_un::sun_path)) {
    return Bad(text, "a socket's path can have at most " +
                         std::to_string(sizeof(sockaddr_un::sun_path) - 1) + " bytes");
  }
  return Address{Address::Kind::kUnix, {}, {}, std::string(path)};
}

std::optional<std::string> ParsePort(std::string_view text) {
  uint16_t port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return std::to_string(port);
}

// A zone (fe80::1%eth0) is left to the resolver.
bool IsV6(std::string_view host) {
  in6_addr ignored;
  return ::inet_pton(AF_INET6, std::string(host.substr(0, host.find('%'))).c_str(), &ignored) == 1;
}

}  // namespace

Result<Address> ParseAddress(std::string_view text) {
  if (text.starts_with(kUnixPrefix)) return ParseUnix(text);
  const size_t colon = text.rfind(':');
  if (colon == text.npos) return Bad(text, "HOST:PORT, [V6]:PORT or unix:PATH is expected");
  const auto port = ParsePort(text.substr(colon + 1));
  if (!port) return Bad(text, "the port must be a number from 0 to 65535");

  std::string_view host = text.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
    if (!IsV6(host)) return Bad(text, "not an IPv6 address between the brackets");
  } else if (host.empty()) {
    return Bad(text, "the host is missing");
  } else if (host.find_first_of("[]:") != host.npos) {
    return Bad(text, "an IPv6 address is written [V6]:PORT");
  }
  return Address{Address::Kind::kTcp, std::string(host), *port, {}};
}

std::string ToString(const Address& address) {
  if (address.kind == Address::Kind::kUnix) return std::string(kUnixPrefix) + address.path;
  if (address.host.find(':') != std::string::npos) return "[" + address.host + "]:" + address.port;
  return address.host + ":" + address.port;
}

}  // namespace keystone
