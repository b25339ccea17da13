#include "net/connection.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <exception>
#include <limits>
#include <new>
#include <optional>
#include <span>
#include <utility>

#include "base/semaphore.h"
#include "base/thread.h"
#include "net/input.h"
#include "net/listener.h"

namespace keystone {

namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr size_t kMostAhead = size_t{16} << 20;  // of requests read while replies wait to be sent
constexpr size_t kKeptReplies = 4 * 1024;        // what an idle connection may hold on to
constexpr size_t kMostDeferred = Input::kSmall / 2;  // of a request; the next is received behind it
constexpr milliseconds kSilence{1000};
constexpr milliseconds kLinger{1000};
constexpr milliseconds kLingerStep{10};

int PollTimeout(Clock::duration left) {
  const auto ms = std::chrono::ceil<milliseconds>(left).count();
  return static_cast<int>(std::clamp<int64_t>(ms, 0, std::numeric_limits<int>::max()));
}

class Connection final : private SessionHost {
 public:
  Connection(const ConnectionContext& context, const Registry::Membership& membership)
      : context_(context),
        fd_(membership.fd()),
        id_(membership.id()),
        counters_(membership.counters()),
        session_(context.store, &context.limits, this, membership.counters(),
                 membership.protocol()),
        deferral_([this] { OnApplied(); }) {}

  ~Connection() override {
    if (deferred_) applied_.Wait();
  }

  void Run() {
    SetTimeouts();
    while (Receive()) {
      SetBatchThread(!context_.store->compacting());
      if (!Answer()) return;
      if (!deferred_ && (session_.closing() || context_.draining)) break;
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
  bool ReceiveAhead();
  bool WaitForRest();
  bool WaitInSilence(Clock::duration silent);
  bool Answer();
  void Commit(size_t used);
  bool IsAlone(size_t used) const;
  void OnApplied() noexcept;
  bool TakeBack(size_t received);
  bool SendReplies();
  bool SendSome();
  bool WaitToSend();
  void NoteRest(size_t used);
  void Linger();

  const ConnectionContext& context_;
  const int fd_;
  const uint64_t id_;
  Counters* const counters_;
  std::optional<Clock::time_point> deadline_;  // of an unfinished request
  Writes writes_;                              // empty but between Consume and Commit
  std::string replies_;
  size_t sent_ = 0;  // bytes of them, and of the values placed in them
  Session session_;
  Input input_;

  // A commit that this thread does not wait for: until `applied_` all of the connection but what
  // receives is the thread's that commits.
  Deferral deferral_;
  bool deferred_ = false;
  bool failed_ = false;  // to answer it
  Clock::time_point applied_at_;
  Semaphore applied_;
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

// False where nothing comes any more: end of file, a timeout, or a broken connection. The wait for
// the rest of a request is bounded by poll, but only where the rest isn't there yet.
bool Connection::Receive() {
  for (;;) {
    const std::span<char> room = input_.Room();
    const ssize_t size = ::recv(fd_, room.data(), room.size(), deadline_ ? MSG_DONTWAIT : 0);
    const int error = errno;
    const size_t received = size > 0 ? static_cast<size_t>(size) : 0;
    input_.Added(received);
    counters_->bytes_read.Add(received);
    const bool was_deferred = deferred_;
    if (was_deferred) {
      if (!TakeBack(received)) return false;
      if (!input_.bytes().empty()) return true;  // sending may have read more
    }
    if (size >= 0) return size > 0;
    if (error == EINTR) continue;
    if (error != EAGAIN) return false;
    const Clock::duration silent = was_deferred ? Clock::now() - applied_at_ : Silence();
    if (!(deadline_ ? WaitForRest() : WaitInSilence(silent))) return false;
  }
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
// the client, which is `silent` for so long now, has been for as long as it may be.
bool Connection::WaitInSilence(Clock::duration silent) {
  const bool bounded = context_.idle_timeout.count() > 0;
  const Clock::duration left = context_.idle_timeout - silent;
  if (bounded && left <= Clock::duration::zero()) return false;
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
    if (!writes_.empty()) Commit(used);
    if (deferred_) return true;
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

void Connection::Commit(size_t used) {
  if (IsAlone(used)) {
    deadline_.reset();
    deferred_ = !context_.store->ApplyOrDefer(writes_.batches().front(), &deferral_);
    if (deferred_) return;
  } else {
    context_.store->Apply(writes_.batches());
  }
  session_.Committed(&writes_, &replies_);
}

// A client that waits for the reply to its one write sends nothing meanwhile: so its thread can
// wait for the next request already, and whoever commits sends the reply, which is one thread less
// to wake for each write. What the others have to do for it must be little.
bool Connection::IsAlone(size_t used) const {
  return writes_.is_small() && replies_.empty() && used <= kMostDeferred &&
         used == input_.bytes().size() && !session_.has_more();
}

// On another thread; see Deferral. What it can't do, or the socket does not take, is left for this
// one, which looks after it when the client sends more, or after a second.
void Connection::OnApplied() noexcept {
  try {
    session_.Committed(&writes_, &replies_);
    (void)SendSome();
  } catch (const std::exception&) {
    failed_ = true;
  }
  applied_at_ = Clock::now();
  applied_.Post();
}

// Waits for what was deferred. Of the input, only the last `received` bytes are not used up. False
// where the peer doesn't take the reply.
bool Connection::TakeBack(size_t received) {
  applied_.Wait();
  deferred_ = false;
  input_.Keep(received);
  if (failed_) throw std::bad_alloc();
  return SendReplies();
}

bool Connection::SendReplies() {
  while (!SendSome()) {
    if (errno != EAGAIN || !WaitToSend()) return false;
  }
  return true;
}

// What the socket takes now. False, with errno: something is left.
bool Connection::SendSome() {
  std::vector<PlacedValue>& values = session_.placed();
  const size_t size = OutgoingSize(replies_, values);
  while (sent_ < size) {
    const ssize_t sent = SendOutgoing(fd_, replies_, values, sent_);
    if (sent < 0 && errno != EINTR) return false;
    if (sent > 0) sent_ += static_cast<size_t>(sent);
  }
  counters_->bytes_written.Add(size);
  sent_ = 0;
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
  int unacknowledged = Unacknowledged(fd_);
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
    } else if (const int before = std::exchange(unacknowledged, Unacknowledged(fd_));
               unacknowledged < before) {
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
    if (size == 0 && (!context_.draining || Unacknowledged(fd_) == 0)) return;
    // After the end of file POLLIN is there for good: what may come is a hang-up, or time goes by.
    pollfd event{.fd = fd_, .events = static_cast<int16_t>(size == 0 ? 0 : POLLIN), .revents = 0};
    const int ready =
        ::poll(&event, 1, PollTimeout(size == 0 ? kLingerStep : deadline - Clock::now()));
    if (ready > 0 && size == 0) return;
  }
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
