#include "net/event_loop.h"

#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <exception>
#include <new>
#include <string>
#include <system_error>
#include <utility>

#include "base/thread.h"

namespace keystone {

namespace {

using std::chrono::milliseconds;

constexpr int kAcceptsPerPass = 16;  // its clients get their turn in a storm of new ones

// An eighth of the shortest timeout is how late a client may be found to have passed it.
milliseconds SweepInterval(const ConnectionContext& context) {
  milliseconds shortest{8000};
  for (const milliseconds timeout :
       {context.idle_timeout, context.request_timeout, context.write_timeout}) {
    if (timeout.count() > 0) shortest = std::min(shortest, timeout);
  }
  return std::max(shortest / 8, milliseconds{10});
}

}  // namespace

EventLoop::EventLoop(const ConnectionContext& context, Acceptor* acceptor, Choice choose)
    : context_(context),
      acceptor_(acceptor),
      choose_(std::move(choose)),
      sweep_interval_(SweepInterval(context)),
      turns_(context.store) {}

EventLoop::~EventLoop() { Stop(); }

void EventLoop::Stop() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  Wake();
  thread_.join();
}

Status EventLoop::Open() {
  wake_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_.valid()) return Status::FromErrno("make", "an eventfd", errno).As(Code::kSystem);
  base_.reset(::event_base_new());
  if (!base_) return {Code::kSystem, "start an event loop: out of memory or descriptors"};
  wake_event_.reset(::event_new(
      base_.get(), wake_.get(), EV_READ | EV_PERSIST,
      [](evutil_socket_t, short, void* self) { static_cast<EventLoop*>(self)->OnWake(); }, this));
  acceptable_.reset(::event_new(
      base_.get(), acceptor_->fd(), EV_READ | EV_PERSIST,
      [](evutil_socket_t, short, void* self) { static_cast<EventLoop*>(self)->OnAcceptable(); },
      this));
  sweep_.reset(::event_new(
      base_.get(), -1, 0,
      [](evutil_socket_t, short, void* self) { static_cast<EventLoop*>(self)->OnSweep(); }, this));
  const bool watching = wake_event_ && acceptable_ && sweep_ &&
                        ::event_add(wake_event_.get(), nullptr) == 0 &&
                        ::event_add(acceptable_.get(), nullptr) == 0;
  return watching ? Status::Ok() : Status(Code::kSystem, "start an event loop: out of memory");
}

Status EventLoop::Start() {
  try {
    thread_ = std::thread(&EventLoop::Run, this);
  } catch (const std::system_error& error) {
    return {Code::kSystem, std::string("start an event loop's thread: ") + error.what()};
  }
  return Status::Ok();
}

void EventLoop::SlowDone(EventClient* client) {
  {
    const std::lock_guard lock(mutex_);
    client->next_done = std::exchange(done_, client);
  }
  Wake();
}

void EventLoop::Wake() {
  const uint64_t one = 1;
  (void)!::write(wake_.get(), &one, sizeof(one));  // fails only where it is awake already
}

void EventLoop::Run() {
  BlockSignals();
  SetBatchThread(true);
  while (!stopped_) Pass();
}

// Who has more to do than one pass allows comes first in the next, and nobody waits for bytes then.
void EventLoop::Pass() {
  SetBatchThread(!context_.store->compacting());
  continuing_.swap(again_);
  for (EventClient* client : continuing_) {
    if (turns_.full()) turns_.TakeAll();
    turns_.Add(client);
  }
  continuing_.clear();
  turns_.TakeAll();
  ended_.clear();
  const int flags = again_.empty() ? EVLOOP_ONCE : EVLOOP_ONCE | EVLOOP_NONBLOCK;
  if (::event_base_loop(base_.get(), flags) < 0) {
    context_.log->Write(Priority::kCritical, "an event loop failed: %s", std::strerror(errno));
    stopped_ = true;
    context_.on_loop_failed();
  }
  turns_.TakeAll();
  ended_.clear();
}

// What comes of a client that can't be served is in the log: nothing may be thrown through
// libevent.
void EventLoop::OnAcceptable() {
  for (int i = 0; i < kAcceptsPerPass; i++) {
    Registry::Membership client = acceptor_->Accept(milliseconds{0});
    if (!client.valid()) break;
    EventLoop* const host = choose_(this);
    host->load_++;
    if (host == this) {
      Serve(&client);
    } else {
      host->Adopt(&client);
    }
  }
  if (acceptor_->stopped()) acceptable_.reset();
}

void EventLoop::Adopt(Registry::Membership* membership) noexcept {
  bool first;
  try {
    const std::lock_guard lock(mutex_);
    first = adopted_.empty();
    adopted_.push_back(std::move(*membership));
  } catch (const std::bad_alloc&) {
    return Drop("out of memory");
  }
  if (first) Wake();  // else it is about to look
}

void EventLoop::Drop(const char* reason) noexcept {
  load_--;
  context_.log->Write(Priority::kError, "connection closed: %s", reason);
}

void EventLoop::OnWake() {
  uint64_t count;
  (void)!::read(wake_.get(), &count, sizeof(count));  // non-blocking; only resets it
  std::vector<Registry::Membership> adopted;
  EventClient* done = nullptr;
  {
    const std::lock_guard lock(mutex_);
    adopted.swap(adopted_);
    done = std::exchange(done_, nullptr);
    stopped_ = stopping_;
  }
  while (done != nullptr) std::exchange(done, done->next_done)->FinishSlow();
  for (Registry::Membership& membership : adopted) Serve(&membership);
}

void EventLoop::Serve(Registry::Membership* membership) noexcept {
  try {
    clients_.emplace_front(this, context_, membership);
  } catch (const std::exception& error) {
    return Drop(error.what());
  }
  clients_.front().place = clients_.begin();
  clients_.front().Begin();
}

void EventLoop::Remove(EventClient* client) {
  load_--;
  ended_.splice(ended_.begin(), clients_, client->place);
}

void EventLoop::SweepIn(milliseconds delay) {
  if (sweep_delay_.count() > 0 && sweep_delay_ <= delay) return;
  const timeval value{.tv_sec = delay.count() / 1000, .tv_usec = delay.count() % 1000 * 1000};
  if (::event_add(sweep_.get(), &value) == 0) sweep_delay_ = delay;
}

void EventLoop::OnSweep() {
  sweep_delay_ = milliseconds{0};
  const auto now = EventClient::Clock::now();
  for (auto client = clients_.begin(); client != clients_.end();) (client++)->Sweep(now);
}

}  // namespace keystone
