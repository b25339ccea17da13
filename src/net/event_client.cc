#include "net/event_client.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <exception>
#include <system_error>
#include <thread>
#include <utility>

#include "net/event_loop.h"

namespace keystone {

namespace {

using std::chrono::milliseconds;

constexpr size_t kMostAtOnce = size_t{64} << 10;  // new bytes that are executed in one go
constexpr size_t kMostAhead = size_t{16} << 20;   // of requests read while replies wait to be sent
constexpr size_t kAheadAtOnce = size_t{16} << 10;
constexpr milliseconds kLinger{1000};
constexpr milliseconds kLingerStep{10};
constexpr auto kNever = EventClient::Clock::time_point::max();

EventClient::Clock::time_point In(milliseconds timeout) {
  return timeout.count() > 0 ? EventClient::Clock::now() + timeout : kNever;
}

bool Happens(int fd, int16_t events) {
  pollfd peer{.fd = fd, .events = events, .revents = 0};
  return ::poll(&peer, 1, 0) > 0;
}

bool HungUp(int fd) { return Happens(fd, 0); }
bool HasArrived(int fd) { return Happens(fd, POLLIN); }

}  // namespace

struct EventClient::SlowCall {
  std::thread thread;
  std::string replies;
  std::exception_ptr error;
};

EventClient::EventClient(EventLoop* loop, const ConnectionContext& context,
                         Registry::Membership* membership)
    : membership_(std::move(*membership)),
      loop_(loop),
      context_(context),
      session_(context.store, &context.limits, this, membership_.counters(),
               membership_.protocol()) {}

EventClient::~EventClient() = default;

// None of what comes from libevent, which is C, may throw.
void EventClient::Try(void (EventClient::*step)()) noexcept {
  try {
    (this->*step)();
  } catch (const std::exception& error) {
    Fail(error.what());
  }
}

void EventClient::Begin() noexcept {
  readable_.reset(::event_new(
      loop_->base(), fd(), EV_READ | EV_PERSIST,
      [](evutil_socket_t, short, void* self) {
        static_cast<EventClient*>(self)->Try(&EventClient::OnReadable);
      },
      this));
  if (!readable_) return Fail("out of memory");
  AwaitInput();
}

void EventClient::OnReadable() {
  if (queued_) return;  // what there is comes first
  if (lingering_) return DiscardInput();
  if (loop_->turns().full()) loop_->turns().TakeAll();
  const bool keeps = !rest_.empty() || !unsent_.empty();
  std::span<char> room = keeps ? rest_.Room() : loop_->turns().Room();
  // There is no hurry to read what has to wait, and the others share the loop with many such.
  if (!unsent_.empty()) room = room.first(std::min(room.size(), kAheadAtOnce));
  const ssize_t received = ::recv(fd(), room.data(), room.size(), MSG_DONTWAIT);
  if (received < 0 && (errno == EINTR || errno == EAGAIN)) return;
  if (received < 0) return End();
  if (received == 0) return OnEndOfFile();
  const auto size = static_cast<size_t>(received);
  membership_.counters()->bytes_read.Add(size);
  if (keeps) rest_.Added(size);
  if (!unsent_.empty()) {
    if (rest_.bytes().size() >= kMostAhead) StopReading();
    return;
  }
  queued_ = true;
  loop_->turns().Add(this, keeps ? 0 : size);
}

void EventClient::OnEndOfFile() {
  eof_ = true;
  StopReading();
  if (unsent_.empty()) Settle();
}

// ---- a turn

std::string_view EventClient::InputOf(const Turn& turn) const {
  return turn.received.empty() ? rest_.bytes() : turn.received;
}

void EventClient::Execute(Turn* turn) {
  const std::string_view input = InputOf(*turn).substr(turn->used, seen_ + kMostAtOnce);
  const size_t used = session_.Consume(input, &turn->writes, &turn->replies);
  turn->used += used;
  seen_ = session_.has_more() ? 0 : input.size() - used;
}

void EventClient::Committed(Turn* turn) { session_.Committed(&turn->writes, &turn->replies); }

bool EventClient::GoesOn(const Turn& turn) const {
  if (session_.closing() || session_.is_slow()) return false;
  if (session_.IsFull(turn.replies)) return false;
  return session_.has_more() || InputOf(turn).size() > turn.used + seen_;
}

void EventClient::Finish(Turn* turn) {
  queued_ = false;
  KeepRest(*turn);
  SendAll(&turn->replies);
}

// The clock of an unfinished request starts with its first byte.
void EventClient::KeepRest(const Turn& turn) {
  if (turn.received.empty()) {
    rest_.Drop(turn.used);
  } else {
    rest_.Append(turn.received.substr(turn.used));
  }
  if (rest_.empty()) {
    request_deadline_ = kNever;
  } else if (turn.used > 0 || request_deadline_ == kNever) {
    RestartRequestClock();
  }
}

// Where we have kept the client waiting, that is not its fault.
void EventClient::RestartRequestClock() {
  request_deadline_ = rest_.empty() ? kNever : In(context_.request_timeout);
}

// ---- what comes next

// All replies are sent.
void EventClient::Settle() {
  if (session_.is_slow()) return StartSlow();
  if (session_.closing()) return Linger();
  if (HasMore()) {
    queued_ = true;
    SetDeadline(kNever);
    return loop_->Continue(this);
  }
  if (context_.draining) return Linger();
  if (eof_) return End();
  AwaitInput();
}

void EventClient::AwaitInput() {
  StartReading();
  SetDeadline(std::min(In(context_.idle_timeout), request_deadline_));
}

void EventClient::StartReading() {
  if (reading_ || eof_) return;
  if (::event_add(readable_.get(), nullptr) != 0) return Fail("out of memory");
  reading_ = true;
}

void EventClient::StopReading() {
  if (reading_) ::event_del(readable_.get());
  reading_ = false;
}

void EventClient::SetDeadline(Clock::time_point deadline) {
  deadline_ = deadline;
  if (deadline != kNever && !ended_) loop_->SweepSoon();
}

void EventClient::Sweep(Clock::time_point now) noexcept {
  if (lingering_) return DiscardInput();
  if (queued_ || deadline_ == kNever) return;
  if (!IsLate(now)) return loop_->SweepSoon();
  End();
}

// What has arrived may have been in time: where the loop was held up, it is not read yet.
bool EventClient::IsLate(Clock::time_point now) {
  if (now < deadline_) return false;
  return unsent_.empty() ? !HasArrived(fd()) : !TakesReplies();
}

// ---- replies

// False where the connection is broken. A socket that takes no more is none of that.
bool EventClient::Send(std::string_view replies, size_t* sent) {
  const size_t size = OutgoingSize(replies, session_.placed());
  while (*sent < size) {
    const ssize_t taken = SendOutgoing(fd(), replies, session_.placed(), *sent);
    if (taken < 0 && errno == EINTR) continue;
    if (taken < 0) return errno == EAGAIN;
    *sent += static_cast<size_t>(taken);
    membership_.counters()->bytes_written.Add(static_cast<uint64_t>(taken));
    if (session_.placed().empty()) break;
  }
  if (*sent == size) session_.placed().clear();
  return true;
}

void EventClient::SendAll(std::string* replies) {
  size_t sent = 0;
  if (!Send(*replies, &sent)) return End();
  if (sent >= replies->size() && session_.placed().empty()) return Settle();
  unsent_.swap(*replies);
  sent_ = sent;
  AwaitWritable();
}

// A client that sends all its requests before it reads a reply would wait for us as we wait for it,
// so what it sends is read meanwhile.
void EventClient::AwaitWritable() {
  if (!writable_) {
    writable_.reset(::event_new(
        loop_->base(), fd(), EV_WRITE | EV_PERSIST,
        [](evutil_socket_t, short, void* self) {
          static_cast<EventClient*>(self)->Try(&EventClient::OnWritable);
        },
        this));
    if (!writable_ || ::event_add(writable_.get(), nullptr) != 0) return Fail("out of memory");
  }
  if (rest_.bytes().size() < kMostAhead) StartReading();
  unacknowledged_ = Unacknowledged(fd());
  SetDeadline(In(context_.write_timeout));
}

void EventClient::OnWritable() {
  if (!Send(unsent_, &sent_)) return End();
  if (sent_ < unsent_.size() || !session_.placed().empty()) return AwaitWritable();
  writable_.reset();
  std::string().swap(unsent_);
  RestartRequestClock();
  Settle();
}

// Whether the peer has taken any since the last look, if slowly.
bool EventClient::TakesReplies() {
  const int before = std::exchange(unacknowledged_, Unacknowledged(fd()));
  if (unacknowledged_ >= before) return false;
  deadline_ = In(context_.write_timeout);
  return true;
}

// ---- slow commands

// Nothing is read meanwhile, so that the order of replies and the bounds of memory hold.
void EventClient::StartSlow() {
  StopReading();
  SetDeadline(kNever);
  slow_ = std::make_unique<SlowCall>();
  const auto execute = [this, call = slow_.get()] {
    try {
      session_.ExecuteSlow(&call->replies);
    } catch (...) {
      call->error = std::current_exception();
    }
    loop_->SlowDone(this);
  };
  try {
    slow_->thread = std::thread(execute);
  } catch (const std::system_error& error) {
    session_.RefuseSlow({Code::kSystem, std::string("start a thread for it: ") + error.what()},
                        &slow_->replies);
    OnSlowDone();
  }
}

void EventClient::FinishSlow() noexcept { Try(&EventClient::OnSlowDone); }

void EventClient::OnSlowDone() {
  const std::unique_ptr<SlowCall> call = std::move(slow_);
  if (call->thread.joinable()) call->thread.join();
  if (call->error) std::rethrow_exception(call->error);
  RestartRequestClock();
  SendAll(&call->replies);
}

// ---- the end

// Closing a socket with unread input resets it, and a reset destroys the replies on their way: so
// first the input is thrown away until the peer has closed too. Not for long, it may never do so.
void EventClient::Linger() {
  lingering_ = true;
  // In a drain the reading side is shut down; were both, the next byte to come would reset.
  if (!context_.draining) ::shutdown(fd(), SHUT_WR);
  rest_ = Buffer();
  SetDeadline(Clock::now() + kLinger);
  StartReading();
  if (!ended_) DiscardInput();
}

// In a drain the end of file comes at once, and the peer's system shall have got the replies.
void EventClient::DiscardInput() {
  constexpr int kMostReceives = 16;
  std::array<char, size_t{16} << 10> input;
  ssize_t size = 1;
  for (int i = 0; i < kMostReceives && size > 0; i++) {
    size = ::recv(fd(), input.data(), input.size(), MSG_DONTWAIT);
  }
  if (size < 0 && errno != EAGAIN && errno != EINTR) return End();
  if (size == 0) {
    eof_ = true;
    StopReading();
    if (!context_.draining || Unacknowledged(fd()) == 0 || HungUp(fd())) return End();
  }
  if (Clock::now() >= deadline_) return End();
  loop_->SweepIn(eof_ ? kLingerStep : kLinger);
}

void EventClient::Fail(const char* reason) noexcept {
  LogClosed(context_, fd(), reason);
  End();
}

void EventClient::End() {
  if (std::exchange(ended_, true)) return;
  readable_.reset();
  writable_.reset();
  loop_->Remove(this);
}

}  // namespace keystone
