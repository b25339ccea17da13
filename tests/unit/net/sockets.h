// Clients of a listening socket, for tests.
#ifndef KEYSTONE_TESTS_UNIT_NET_SOCKETS_H_
#define KEYSTONE_TESTS_UNIT_NET_SOCKETS_H_

#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <memory>
#include <string>
#include <utility>

#include "base/address.h"
#include "base/fd.h"
#include "net/listener.h"

// It takes over operator new, so it comes behind all headers that have one of their own.
// clang-format off
#include <CppUTest/TestHarness.h>
// clang-format on

namespace testing {

// On a port of 127.0.0.1 that the kernel picks.
inline std::unique_ptr<keystone::Listener> BoundListener() {
  auto bound = keystone::Listener::Bind(
      {.kind = keystone::Address::Kind::kTcp, .host = "127.0.0.1", .port = "0", .path = {}}, {});
  CHECK_TRUE(bound.ok());
  return std::move(bound.value().front());
}

// Invalid where it is refused. `name` as a listener's.
inline keystone::Fd ConnectTo(const std::string& name) {
  keystone::Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::stoi(name.substr(name.rfind(':') + 1))));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    fd.reset();
  }
  return fd;
}

// All until the end of file, or a reset.
inline std::string ReadAll(int fd) {
  std::string all;
  std::array<char, 256> bytes;
  for (ssize_t size; (size = ::recv(fd, bytes.data(), bytes.size(), 0)) > 0;) {
    all.append(bytes.data(), static_cast<size_t>(size));
  }
  return all;
}

}  // namespace testing

#endif  // KEYSTONE_TESTS_UNIT_NET_SOCKETS_H_
