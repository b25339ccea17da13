#include "net/connection.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <exception>
#include <limits>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <utility>

#include "base/memory.h"
#include "net/listener.h"

namespace keystone {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr size_t kSmallInput = 16 * 1024;  // on the stack
constexpr size_t kBigInput = 64 * 1024;    // the heap's first size
constexpr size_t kMostPerRecv = 256 * 1024;
constexpr size_t kMostAhead = size_t{16} << 20;  // of requests read while replies wait to be sent
constexpr size_t kKeptReplies = 4 * 1024;        // what an idle connection may hold on to
constexpr milliseconds kSilence{1000};
constexpr milliseconds kLinger{1000};
constexpr milliseconds kLingerStep{10};

int PollTimeout(Clock::duration left) {
  const auto ms = std::chrono::ceil<milliseconds>(left).count();
  return static_cast<int>(std::clamp<int64_t>(ms, 0, std::numeric_limits<int>::max()));
}

// What has been received and not been used yet: in an array, which lives on the thread's stack,
// while that suffices, on the heap while a big request is unfinished.
class Input {
 public:
  // Room for the next recv.
  std::span<char> Room() {
    if (capacity_ - size_ < capacity_ / 4) Grow();
    return {data() + size_, std::min(capacity_ - size_, kMostPerRecv)};
  }
  void Added(size_t bytes) { size_ += bytes; }

  std::string_view bytes() const { return {big_ ? big_.get() : small_.data(), size_}; }

  // What it holds nothing in is the system's again, until it is used.
  void GiveBack() {
    if (size_ == 0) GiveBackPages(small_.data(), small_.size());
  }

  // Keeps only the last `rest` bytes.
  void Keep(size_t rest) {
    const char* const from = data() + size_ - rest;
    size_ = rest;
    if (big_ && rest <= small_.size() / 2) {
      std::memcpy(small_.data(), from, rest);
      big_.reset();
      capacity_ = small_.size();
    } else if (from != data()) {
      std::memmove(data(), from, rest);
    }
  }

 private:
  char* data() { return big_ ? big_.get() : small_.data(); }

  void Grow() {
    const size_t capacity = std::max(2 * capacity_, kBigInput);
    auto bigger = std::make_unique_for_overwrite<char[]>(capacity);
    std::memcpy(bigger.get(), data(), size_);
    big_ = std::move(bigger);
    capacity_ = capacity;
  }

  size_t size_ = 0;
  size_t capacity_ = kSmallInput;
  std::unique_ptr<char[]> big_;
  std::array<char, kSmallInput> small_;  // not initialised: pages never touched cost nothing
};

class Connection final : private SessionHost {
 public:
  Connection(const ConnectionContext& context, const Registry::Membership& membership)
      : context_(context),
        fd_(membership.fd()),
        id_(membership.id()),
        counters_(membership.counters()),
        session_(context.store, &context.limits, this, membership.counters(),
                 membership.protocol()) {}

  void Run() {
    SetTimeouts();
    while (Receive()) {
      if (!Answer()) return;
      if (session_.closing() || context_.draining) break;
    }
    if (session_.closing() || context_.draining) Linger();
  }

 private:
  std::vector<std::string> StatsLines() override { return context_.stats_lines(); }
  void ClearLater(std::chrono::milliseconds delay) override { context_.clear_later(delay); }
  void OnHttpRequest(std::string_view first_line) override {
    context_.on_http_request(PeerName(fd_), first_line);
  }
  uint64_t ClientId() override { return id_; }
  bool StartCompaction() override { return context_.start_compaction(); }

  void SetTimeouts();
  milliseconds Silence() const;
  bool Receive();
  ssize_t ReceiveOnce(std::span<char> room);
  bool ReceiveAhead();
  bool WaitForRest();
  bool WaitInSilence();
  bool Answer();
  void Commit();
  bool SendReplies();
  bool WaitToSend();
  int Unsent() const;
  void NoteRest(size_t used);
  void Linger();
  bool EverythingArrived() const;

  const ConnectionContext& context_;
  const int fd_;
  const uint64_t id_;
  Counters* const counters_;
  std::optional<Clock::time_point> deadline_;  // of an unfinished request
  Writes writes_;                              // empty but between Consume and Commit
  std::string replies_;
  Session session_;
  Input input_;
};

void Connection::SetTimeouts() {
  const auto ms = Silence().count();
  const timeval value{.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
  (void)::setsockopt(fd_, SOL_SOCKET, SO_RCVTIMEO, &value, sizeof(value));
}

// How long a receive waits between two requests before WaitInSilence does.
milliseconds Connection::Silence() const {
  const bool bounded = context_.idle_timeout.count() > 0;
  return bounded ? std::min(kSilence, context_.idle_timeout) : kSilence;
}

// False where nothing comes any more: end of file, a timeout, or a broken connection.
bool Connection::Receive() {
  const std::span<char> room = input_.Room();
  const ssize_t size = ReceiveOnce(room);
  if (size <= 0) return false;
  input_.Added(static_cast<size_t>(size));
  counters_->bytes_read.Add(static_cast<uint64_t>(size));
  return true;
}

// What there is now. False where nothing comes any more.
bool Connection::ReceiveAhead() {
  const std::span<char> room = input_.Room();
  const ssize_t size = ::recv(fd_, room.data(), room.size(), MSG_DONTWAIT);
  if (size < 0) return errno == EINTR || errno == EAGAIN;
  input_.Added(static_cast<size_t>(size));
  counters_->bytes_read.Add(static_cast<uint64_t>(size));
  return size > 0;
}

// The wait for the rest of a request is bounded by poll, but only where the rest isn't there yet.
ssize_t Connection::ReceiveOnce(std::span<char> room) {
  for (;;) {
    const int flags = deadline_ ? MSG_DONTWAIT : 0;
    const ssize_t size = ::recv(fd_, room.data(), room.size(), flags);
    if (size >= 0) return size;
    if (errno == EINTR) continue;
    if (errno != EAGAIN || !(deadline_ ? WaitForRest() : WaitInSilence())) return -1;
  }
}

// False once the unfinished request has had its time.
bool Connection::WaitForRest() {
  Clock::duration left = *deadline_ - Clock::now();
  if (context_.idle_timeout.count() > 0) {
    left = std::min<Clock::duration>(left, context_.idle_timeout);
  }
  pollfd readable{.fd = fd_, .events = POLLIN, .revents = 0};
  const int ready = ::poll(&readable, 1, PollTimeout(left));
  return ready > 0 || (ready < 0 && errno == EINTR);
}

// Many clients are silent most of the time, so what they don't need then is given back. False once
// the client has been silent for as long as it may be.
bool Connection::WaitInSilence() {
  const bool bounded = context_.idle_timeout.count() > 0;
  const milliseconds left = context_.idle_timeout - Silence();
  if (bounded && left.count() == 0) return false;
  input_.GiveBack();
  pollfd readable{.fd = fd_, .events = POLLIN, .revents = 0};
  const int ready = ::poll(&readable, 1, bounded ? PollTimeout(left) : -1);
  return ready > 0 || (ready < 0 && errno == EINTR);
}

// Executes all that is there and sends the replies. False where the peer doesn't take them.
bool Connection::Answer() {
  size_t used = 0;
  size_t seen;
  do {
    const std::string_view input = input_.bytes();  // anew each time: sending may read more
    seen = input.size();
    used += session_.Consume(input.substr(used), &writes_, &replies_);
    if (!writes_.empty()) Commit();
    if (session_.is_slow()) {
      if (!SendReplies()) return false;  // they need not wait for it
      session_.ExecuteSlow(&replies_);
    }
    const bool waits = session_.has_more() && !session_.IsFull(replies_);
    if (!waits && !SendReplies()) return false;
  } while (!session_.closing() && (session_.has_more() || input_.bytes().size() > seen));
  NoteRest(used);
  return true;
}

void Connection::Commit() {
  context_.store->Apply(writes_.batches());
  session_.Committed(&writes_, &replies_);
}

bool Connection::SendReplies() {
  std::vector<PlacedValue>& values = session_.placed();
  const size_t size = OutgoingSize(replies_, values);
  for (size_t done = 0; done < size;) {
    const ssize_t sent = SendOutgoing(fd_, replies_, values, done);
    if (sent >= 0) {
      done += static_cast<size_t>(sent);
    } else if (errno != EINTR && (errno != EAGAIN || !WaitToSend())) {
      return false;
    }
  }
  counters_->bytes_written.Add(size);
  values.clear();
  if (replies_.capacity() > kKeptReplies) {
    std::string().swap(replies_);
  } else {
    replies_.clear();
  }
  return true;
}

// Until the socket takes more. A client that sends all its requests before it reads a reply would
// wait for us as we wait for it, so what it sends is read meanwhile. False where it takes nothing
// for write_timeout, or is gone.
bool Connection::WaitToSend() {
  const bool bounded = context_.write_timeout.count() > 0;
  auto deadline = Clock::now() + context_.write_timeout;
  int unsent = Unsent();
  bool reads = true;
  for (;;) {
    reads = reads && input_.bytes().size() < kMostAhead;
    pollfd peer{.fd = fd_,
                .events = static_cast<int16_t>(reads ? POLLIN | POLLOUT : POLLOUT),
                .revents = 0};
    const int ready = ::poll(&peer, 1, bounded ? PollTimeout(deadline - Clock::now()) : -1);
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0 || (peer.revents & (POLLERR | POLLNVAL)) != 0) return false;
    if ((peer.revents & POLLOUT) != 0) return true;
    if (ready > 0) {
      if (!reads) return false;  // hung up
      reads = ReceiveAhead();
    } else if (const int left = std::exchange(unsent, Unsent()); unsent < left) {
      deadline = Clock::now() + context_.write_timeout;  // it reads, if slowly
    } else {
      return false;
    }
  }
}

// The clock of an unfinished request starts with its first byte.
void Connection::NoteRest(size_t used) {
  const size_t rest = input_.bytes().size() - used;
  input_.Keep(rest);
  if (rest == 0) {
    deadline_.reset();
  } else if (context_.request_timeout.count() > 0 && (used > 0 || !deadline_)) {
    deadline_ = Clock::now() + context_.request_timeout;
  }
}

// Closing a socket with unread input resets it, and a reset destroys the replies on their way: so
// first the input is thrown away until the peer has closed too. Not for long, it may never do so.
void Connection::Linger() {
  const auto deadline = Clock::now() + kLinger;
  // In a drain the reading side is shut down; were both, the next byte to come would reset.
  if (!context_.draining) ::shutdown(fd_, SHUT_WR);
  input_.Keep(0);
  const std::span<char> room = input_.Room();
  while (Clock::now() < deadline) {
    const ssize_t size = ::recv(fd_, room.data(), room.size(), MSG_DONTWAIT);
    if (size > 0 || (size < 0 && errno == EINTR)) continue;
    if (size < 0 && errno != EAGAIN) return;
    if (size == 0 && (!context_.draining || EverythingArrived())) return;
    // After the end of file POLLIN is there for good: what may come is a hang-up, or time goes by.
    pollfd event{.fd = fd_, .events = static_cast<int16_t>(size == 0 ? 0 : POLLIN), .revents = 0};
    const int ready =
        ::poll(&event, 1, PollTimeout(size == 0 ? kLingerStep : deadline - Clock::now()));
    if (ready > 0 && size == 0) return;
  }
}

// Whether the peer's system has acknowledged all that was sent.
bool Connection::EverythingArrived() const { return Unsent() == 0; }

// Bytes that the peer's system has not acknowledged; 0 where nobody can tell.
int Connection::Unsent() const {
  int unsent = 0;
  return ::ioctl(fd_, TIOCOUTQ, &unsent) == 0 ? unsent : 0;
}

}  // namespace

void LogClosed(const ConnectionContext& context, int fd, const char* reason) noexcept {
  constexpr const char* kFormat = "connection of %s closed: %s";
  try {
    context.log->Write(Priority::kError, kFormat, PeerName(fd).c_str(), reason);
  } catch (const std::bad_alloc&) {
    context.log->Write(Priority::kError, kFormat, "a client", reason);
  }
}

// The objects of the connection go before the membership: see the header.
void ServeClient(const ConnectionContext& context, const Registry::Membership& membership) {
  try {
    Connection(context, membership).Run();
  } catch (const std::exception& error) {
    LogClosed(context, membership.fd(), error.what());
  }
}

}  // namespace keystone
