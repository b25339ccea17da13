#include "net/listener.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <string>

#include "base/address.h"
#include "net/sockets.h"
#include "scratch.h"
#include "wait.h"

using keystone::Address;
using keystone::Fd;
using keystone::Listener;

TEST_GROUP(Listener){};

namespace {

bool IsOn(int fd, int level, int option) {
  int value = 0;
  socklen_t size = sizeof(value);
  return ::getsockopt(fd, level, option, &value, &size) == 0 && value != 0;
}

Fd ConnectToFile(const std::string& path) {
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.size());
  if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    fd.reset();
  }
  return fd;
}

}  // namespace

TEST(Listener, AClientsSocketSendsAtOnceAndIsKeptAlive) {
  const std::unique_ptr<Listener> listener = testing::BoundListener();
  CHECK_TRUE(listener->Listen().ok());
  const Fd client = testing::ConnectTo(listener->name());
  Fd accepted;
  testing::WaitUntil([&] {
    accepted = listener->Accept();
    return accepted.valid();
  });
  CHECK_TRUE(IsOn(accepted.get(), IPPROTO_TCP, TCP_NODELAY));
  CHECK_TRUE(IsOn(accepted.get(), SOL_SOCKET, SO_KEEPALIVE));
}

TEST(Listener, NobodyGetsInOnceItIsStopped) {
  const std::unique_ptr<Listener> listener = testing::BoundListener();
  CHECK_TRUE(listener->Listen().ok());
  const Fd waiting = testing::ConnectTo(listener->name());
  listener->Stop();
  STRCMP_EQUAL("", testing::ReadAll(waiting.get()).c_str());
  CHECK_FALSE(testing::ConnectTo(listener->name()).valid());
  CHECK_FALSE(listener->Accept().valid());
}

TEST(Listener, AStoppedUnixSocketIsGoneAndWhoWaitedIsSentAway) {
  const Scratch scratch;
  const std::string path = scratch.File("socket");
  auto bound =
      Listener::Bind({.kind = Address::Kind::kUnix, .host = {}, .port = {}, .path = path}, {});
  CHECK_TRUE(bound.ok());
  Listener& listener = *bound.value().front();
  CHECK_TRUE(listener.Listen().ok());
  const Fd waiting = ConnectToFile(path);
  CHECK_TRUE(waiting.valid());
  listener.Stop();
  STRCMP_EQUAL("", testing::ReadAll(waiting.get()).c_str());
  CHECK_EQUAL(-1, ::access(path.c_str(), F_OK));
}

TEST(Listener, AUnixSocketThatWasReplacedIsNotListenedOn) {
  const Scratch scratch;
  const Address address{
      .kind = Address::Kind::kUnix, .host = {}, .port = {}, .path = scratch.File("socket")};
  auto first = Listener::Bind(address, {});
  auto second = Listener::Bind(address, {});  // takes the first for one left over
  CHECK_TRUE(first.ok() && second.ok());
  CHECK_TRUE(first.value().front()->Listen().code() == keystone::Code::kRunning);
  CHECK_TRUE(second.value().front()->Listen().ok());
  first.value().clear();
  CHECK_TRUE(ConnectToFile(address.path).valid());
}
