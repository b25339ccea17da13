#include "cli/endpoint.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/un.h>

#include <boost/program_options/value_semantic.hpp>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>

namespace keystone {

namespace {

namespace po = boost::program_options;

// "connect to NAME: reason (what to check)"; the code follows from `error`.
Status ConnectError(const Endpoint& endpoint, std::string_view reason, int error = 0) {
  std::string message = "connect to " + endpoint.Name() + ": ";
  message.append(reason);
  if (error == EMFILE || error == ENFILE) return {Code::kSystem, std::move(message)};
  message.append(" (is keystoned running, and does it listen there? See ");
  message.append(endpoint.socket_path.empty() ? "-h, -p and -s)" : "-s)");
  return {Code::kIo, std::move(message)};
}

}  // namespace

std::string Endpoint::Name() const {
  if (!socket_path.empty()) return socket_path;
  const bool v6 = host.find(':') != host.npos;
  return (v6 ? "[" + host + "]:" : host + ":") + port;
}

void AddEndpointOptions(po::options_description* options, Endpoint* endpoint) {
  options->add_options()("host,h", po::value(&endpoint->host)->value_name("HOST"),
                         "where keystoned listens (127.0.0.1)")(
      "port,p", po::value(&endpoint->port)->value_name("PORT"), "its port (7878)")(
      "socket,s", po::value(&endpoint->socket_path)->value_name("SOCKET"),
      "its Unix socket, instead");
}

std::string CheckEndpoint(const po::variables_map& given, const Endpoint& endpoint) {
  if (given.count("socket") > 0 && (given.count("host") > 0 || given.count("port") > 0)) {
    return "--socket excludes --host and --port";
  }
  unsigned port = 0;
  const char* end = endpoint.port.data() + endpoint.port.size();
  const auto [stop, error] = std::from_chars(endpoint.port.data(), end, port);
  if (error != std::errc() || stop != end || port == 0 || port > 65535) {
    return "bad port '" + endpoint.port + "'";
  }
  if (given.count("socket") > 0 && endpoint.socket_path.empty()) return "empty --socket";
  return {};
}

Result<EndpointAddresses> EndpointAddresses::Find(const Endpoint& endpoint) {
  std::vector<SocketAddress> addresses;
  if (!endpoint.socket_path.empty()) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (endpoint.socket_path.size() >= sizeof address.sun_path) {
      return ConnectError(endpoint, std::strerror(ENAMETOOLONG));
    }
    endpoint.socket_path.copy(address.sun_path, sizeof address.sun_path - 1);
    SocketAddress& only = addresses.emplace_back(SocketAddress{{}, sizeof address});
    std::memcpy(&only.bytes, &address, sizeof address);
    return EndpointAddresses(endpoint, std::move(addresses));
  }
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* first = nullptr;
  const int error = ::getaddrinfo(endpoint.host.c_str(), endpoint.port.c_str(), &hints, &first);
  if (error != 0) return ConnectError(endpoint, ::gai_strerror(error));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(first, ::freeaddrinfo);
  for (const addrinfo* at = first; at != nullptr; at = at->ai_next) {
    SocketAddress& found = addresses.emplace_back(SocketAddress{{}, at->ai_addrlen});
    std::memcpy(&found.bytes, at->ai_addr, at->ai_addrlen);
  }
  return EndpointAddresses(endpoint, std::move(addresses));
}

Result<Fd> EndpointAddresses::Connect() const {
  Result<Fd> fd = ConnectError(endpoint_, "no address");
  for (size_t i = 0; i < addresses_.size() && !fd.ok(); i++) fd = ConnectTo(addresses_[i]);
  return fd;
}

Result<Fd> EndpointAddresses::ConnectTo(const SocketAddress& address) const {
  const auto* target = reinterpret_cast<const sockaddr*>(&address.bytes);
  Fd fd(::socket(target->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid() || ::connect(fd.get(), target, address.size) < 0) {
    return ConnectError(endpoint_, std::strerror(errno), errno);
  }
  if (target->sa_family != AF_UNIX) {
    const int on = 1;
    (void)::setsockopt(fd.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  }
  return fd;
}

}  // namespace keystone
