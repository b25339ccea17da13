#include "daemon/notify.h"

#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "base/fd.h"

namespace keystone {

namespace {

uint64_t MonotonicUsec() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * 1000000 + static_cast<uint64_t>(now.tv_nsec) / 1000;
}

// 0, or an errno.
int SendDatagram(const std::string& socket, const std::string& message) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket.size() >= sizeof address.sun_path) return ENAMETOOLONG;
  std::memcpy(address.sun_path, socket.data(), socket.size());
  if (socket.front() == '@') address.sun_path[0] = '\0';
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + socket.size());

  // Non-blocking: a manager that does not read must not hold the daemon up.
  const Fd fd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return errno;
  const ssize_t sent = ::sendto(fd.get(), message.data(), message.size(), MSG_NOSIGNAL,
                                reinterpret_cast<const sockaddr*>(&address), size);
  return sent < 0 ? errno : 0;
}

}  // namespace

std::string Notify::SocketFromEnvironment() {
  const char* socket = std::getenv("NOTIFY_SOCKET");
  return socket != nullptr ? socket : "";
}

void Notify::Ready() const {
  Send("READY=1\nSTATUS=serving\nMAINPID=" + std::to_string(::getpid()));
}

void Notify::Reloading() const {
  Send("RELOADING=1\nMONOTONIC_USEC=" + std::to_string(MonotonicUsec()));
}

void Notify::Stopping() const { Send("STOPPING=1"); }

void Notify::Status(std::string_view text) const { Send("STATUS=" + std::string(text)); }

void Notify::Extend(uint64_t timeout_ms) const {
  Send("EXTEND_TIMEOUT_USEC=" + std::to_string(timeout_ms * 1000));
}

void Notify::Send(const std::string& message) const {
  if (socket_.empty()) return;
  const int error = SendDatagram(socket_, message);
  if (error != 0) {
    log_.Write(Priority::kDebug, "notify %s: %s", socket_.c_str(), std::strerror(error));
  }
}

}  // namespace keystone
