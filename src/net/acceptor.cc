#include "net/acceptor.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <new>
#include <utility>

namespace keystone {

namespace {

// Never waits: a client that doesn't take one short line at once goes without.
void SendError(int fd, Protocol protocol, const char* reason) {
  std::array<char, 128> reply;
  const bool is_memcached = protocol == Protocol::kMemcached;
  const int size = std::snprintf(reply.data(), reply.size(),
                                 is_memcached ? "SERVER_ERROR %s\r\n" : "ERROR %s\n", reason);
  std::array<char, 16384> input;  // left unread it would turn the close into a reset
  (void)!::recv(fd, input.data(), input.size(), MSG_DONTWAIT);
  (void)::send(fd, reply.data(), static_cast<size_t>(size), MSG_DONTWAIT | MSG_NOSIGNAL);
}

// After so many clients that left unserved, the thread yields: a storm of them could have all the
// processor that there is, at the cost of those that are served.
constexpr unsigned kGonePerYield = 8;

// The client has closed, or reset, and said nothing.
bool IsGone(int fd) {
  char byte;
  const ssize_t size = ::recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  return size == 0 || (size < 0 && errno != EAGAIN && errno != EINTR);
}

// One thread at a time is told of a client; whoever was arms the socket again.
constexpr uint32_t kOneClient = EPOLLIN | EPOLLONESHOT;

}  // namespace

Acceptor::Acceptor(Registry* registry, const Log* log, std::function<void()> on_pause)
    : registry_(registry), log_(log), on_pause_(std::move(on_pause)) {}

Acceptor::~Acceptor() = default;

void Acceptor::Add(Protocol protocol, std::unique_ptr<Listener> listener) {
  Door& door = doors_.emplace_back();
  door.protocol = protocol;
  door.listener = std::move(listener);
}

std::vector<std::string> Acceptor::Addresses() const {
  std::vector<std::string> names;
  for (const Door& door : doors_) {
    const bool is_memcached = door.protocol == Protocol::kMemcached;
    names.push_back((is_memcached ? "memcached " : "") + door.listener->name());
  }
  return names;
}

Status Acceptor::Listen() {
  epoll_.reset(::epoll_create1(EPOLL_CLOEXEC));
  stop_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  epoll_event stop{.events = EPOLLIN, .data = {.ptr = nullptr}};
  if (!epoll_.valid() || !stop_.valid() ||
      ::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, stop_.get(), &stop) != 0) {
    return Status::FromErrno("wait for", "clients", errno).As(Code::kSystem);
  }
  OpenReserve();
  for (Door& door : doors_) {
    if (Status listening = door.listener->Listen(); !listening.ok()) return listening;
    epoll_event event{.events = EPOLLONESHOT, .data = {.ptr = &door}};
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, door.listener->fd(), &event) != 0) {
      return Status::FromErrno("watch", door.listener->name(), errno).As(Code::kSystem);
    }
    log_->Write(Priority::kNotice, "listening on %s%s", door.listener->name().c_str(),
                door.protocol == Protocol::kMemcached ? " for memcached" : "");
  }
  return Status::Ok();
}

void Acceptor::Open() {
  for (Door& door : doors_) Arm(&door);
}

Registry::Membership Acceptor::Accept(std::chrono::milliseconds timeout) {
  epoll_event event;
  if (::epoll_wait(epoll_.get(), &event, 1, static_cast<int>(timeout.count())) < 1) return {};
  if (event.data.ptr == nullptr) return {};  // stopped
  auto* const door = static_cast<Door*>(event.data.ptr);
  Fd client = door->listener->Accept();
  if (client.valid()) {
    Registry::Membership membership = Admit(std::move(client), door->protocol);
    const bool gone = membership.valid() && IsGone(membership.fd());
    if (gone) membership = {};
    Arm(door);
    if (gone && ++gone_ % kGonePerYield == 0) ::sched_yield();
    return membership;
  }
  // What is no exhaustion is the first client's: it was gone already (accept(2) lists such errors).
  if (const int error = errno; IsExhausted(error)) {
    OnExhausted(door, error);
  } else {
    Arm(door);
  }
  return {};
}

Registry::Membership Acceptor::Admit(Fd client, Protocol protocol) {
  try {
    Registry::Membership membership = registry_->Join(&client, protocol);
    if (membership.valid() || stopped_) return membership;
    registry_->CountRejected();
    SendError(client.get(), protocol, "too many connections");
  } catch (const std::bad_alloc&) {
    registry_->CountRejected();  // without the memory to say why
  }
  return {};
}

void Acceptor::Refuse(const Registry::Membership& client, const Status& no_thread) {
  registry_->CountRejected();
  SendError(client.fd(), client.protocol(), "out of threads, try again later");
  if (threads_warning_.Now()) log_->Write(Priority::kWarning, "%s", no_thread.message().c_str());
}

void Acceptor::Arm(Door* door) {
  if (stopped_) return;
  epoll_event event{.events = kOneClient, .data = {.ptr = door}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, door->listener->fd(), &event) != 0) Pause(door);
}

// Without a pause a full queue would keep us spinning; without the reserve its first client would
// never learn why nobody answers.
void Acceptor::OnExhausted(Door* door, int error) {
  Fd client;
  {
    const std::lock_guard lock(reserve_mutex_);
    reserve_.reset();
    client = door->listener->Accept();
    if (client.valid()) {
      registry_->CountRejected();
      SendError(client.get(), door->protocol, "out of descriptors, try again later");
      client.reset();
    }
    if (!stopped_) OpenReserve();
  }
  if (descriptors_warning_.Now()) {
    log_->Write(Priority::kWarning, "accept: %s; trying again ten times a second",
                std::strerror(error));
  }
  Pause(door);
}

void Acceptor::Pause(Door* door) {
  door->paused = true;
  on_pause_();
}

void Acceptor::Resume() {
  for (Door& door : doors_) {
    if (door.paused.exchange(false)) Arm(&door);
  }
}

void Acceptor::Stop() {
  stopped_ = true;
  {
    const std::lock_guard lock(reserve_mutex_);
    reserve_.reset();  // to send a Unix socket's clients away, each has to be accepted
  }
  for (Door& door : doors_) door.listener->Stop();
  const uint64_t one = 1;
  (void)!::write(stop_.get(), &one, sizeof(one));
}

void Acceptor::OpenReserve() { reserve_.reset(::open("/dev/null", O_RDONLY | O_CLOEXEC)); }

}  // namespace keystone
