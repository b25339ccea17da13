#include "net/listener.h"

#include <event2/event.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <string>
#include <utility>

#include "base/address.h"
#include "wait.h"

using keystone::Address;
using keystone::EventBase;
using keystone::Fd;
using keystone::Listener;

TEST_GROUP(Listener){};

namespace {

bool IsOn(int fd, int level, int option) {
  int value = 0;
  socklen_t size = sizeof(value);
  return ::getsockopt(fd, level, option, &value, &size) == 0 && value != 0;
}

Fd ConnectTo(const std::string& name) {
  Fd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(std::stoi(name.substr(name.rfind(':') + 1))));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int rc = ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  CHECK_EQUAL(0, rc);
  return fd;
}

}  // namespace

TEST(Listener, AClientsSocketSendsAtOnceAndIsKeptAlive) {
  const EventBase base(event_base_new());
  auto bound = Listener::Bind(
      {.kind = Address::Kind::kTcp, .host = "127.0.0.1", .port = "0", .path = {}}, {});
  CHECK_TRUE(bound.ok());
  Listener& listener = *bound.value().front();
  Fd accepted;
  CHECK_TRUE(listener
                 .Start(base.get(), {.on_accept = [&](Fd client) { accepted = std::move(client); },
                                     .on_exhausted = {}})
                 .ok());
  const Fd client = ConnectTo(listener.name());
  testing::WaitUntil([&] {
    event_base_loop(base.get(), EVLOOP_NONBLOCK);
    return accepted.valid();
  });
  CHECK_TRUE(IsOn(accepted.get(), IPPROTO_TCP, TCP_NODELAY));
  CHECK_TRUE(IsOn(accepted.get(), SOL_SOCKET, SO_KEEPALIVE));
}
