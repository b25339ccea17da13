#include "daemon/notify.h"

#include <CppUTest/TestHarness.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <string>

#include "base/fd.h"
#include "base/log.h"
#include "scratch.h"

using keystone::Fd;
using keystone::Log;
using keystone::Notify;
using keystone::Priority;

namespace {

// Plays the service manager.
class Manager {
 public:
  explicit Manager(const std::string& socket)
      : fd_(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, socket.data(), socket.size());
    if (socket.front() == '@') address.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket.size());
    LONGS_EQUAL(0, ::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), size));
  }

  // The next message that is there already; empty: none.
  std::string Next() const {
    char bytes[1024];
    const ssize_t n = ::recv(fd_.get(), bytes, sizeof bytes, 0);
    return {bytes, n > 0 ? static_cast<size_t>(n) : 0};
  }

 private:
  Fd fd_;
};

}  // namespace

TEST_GROUP(Notify) {
  Scratch scratch;
  Log log{Log::Sink::kStderr, Priority::kError};
  std::string path = scratch.File("notify");
};

TEST(Notify, ReadySaysWhoServes) {
  const Manager manager(path);
  Notify(path, log).Ready();
  const std::string expected = "READY=1\nSTATUS=serving\nMAINPID=" + std::to_string(::getpid());
  STRCMP_EQUAL(expected.c_str(), manager.Next().c_str());
}

TEST(Notify, EachMessageIsADatagram) {
  const Manager manager(path);
  const Notify notify(path, log);
  notify.Status("recovering: 12 %");
  notify.Extend(60000);
  notify.Stopping();
  STRCMP_EQUAL("STATUS=recovering: 12 %", manager.Next().c_str());
  STRCMP_EQUAL("EXTEND_TIMEOUT_USEC=60000000", manager.Next().c_str());
  STRCMP_EQUAL("STOPPING=1", manager.Next().c_str());
  STRCMP_EQUAL("", manager.Next().c_str());
}

TEST(Notify, ReloadingSaysWhen) {
  const Manager manager(path);
  Notify(path, log).Reloading();
  const std::string message = manager.Next();
  const std::string start = "RELOADING=1\nMONOTONIC_USEC=";
  STRCMP_EQUAL(start.c_str(), message.substr(0, start.size()).c_str());
  CHECK_TRUE(std::stoull(message.substr(start.size())) > 0);
}

TEST(Notify, AbstractSockets) {
  const std::string name = "@keystone-notify-test-" + std::to_string(::getpid());
  const Manager manager(name);
  Notify(name, log).Stopping();
  STRCMP_EQUAL("STOPPING=1", manager.Next().c_str());
}

TEST(Notify, NobodyToTellIsNoError) {
  Notify("", log).Ready();
  Notify(scratch.File("none"), log).Ready();
  Notify("/" + std::string(200, 'x'), log).Ready();
}

TEST(Notify, AManagerThatDoesNotReadIsNotWaitedFor) {
  const Manager manager(path);
  const Notify notify(path, log);
  for (int i = 0; i < 10000; i++) notify.Stopping();
  STRCMP_EQUAL("STOPPING=1", manager.Next().c_str());
}

TEST(Notify, TheSocketComesFromTheEnvironment) {
  ::setenv("NOTIFY_SOCKET", "/run/x", 1);
  STRCMP_EQUAL("/run/x", Notify::SocketFromEnvironment().c_str());
  ::unsetenv("NOTIFY_SOCKET");
  STRCMP_EQUAL("", Notify::SocketFromEnvironment().c_str());
}
