// A thread that waits for the bytes of many clients at once, and serves them.
//
// Open, Start, Stop and the destructor are the owner's, on one thread; what its clients call
// belongs to the loop's thread, where nothing else is said. Borrows the context and the acceptor,
// which must outlive it.
#ifndef KEYSTONE_NET_EVENT_LOOP_H_
#define KEYSTONE_NET_EVENT_LOOP_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <list>
#include <mutex>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/status.h"
#include "net/acceptor.h"
#include "net/connection.h"
#include "net/event.h"
#include "net/event_client.h"
#include "net/registry.h"
#include "net/turns.h"

namespace keystone {

class EventLoop {
 public:
  // Whose the client is that `accepting` has let in. Called on the loops' threads.
  using Choice = std::function<EventLoop*(EventLoop* accepting)>;

  EventLoop(const ConnectionContext& context, Acceptor* acceptor, Choice choose);
  ~EventLoop();  // stopped; it must have no clients any more
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;

  // kSystem: no descriptors or memory.
  Status Open();

  // Accepts and serves from now on; all loops that `choose` knows must be open. kSystem: no thread.
  Status Start();

  // Ends the thread. Before one of several is destroyed, all are to be stopped.
  void Stop();

  // Any thread: how many clients it has, those included that it has not looked at.
  size_t load() const { return load_.load(std::memory_order_relaxed); }

  // ---- for its clients

  event_base* base() { return base_.get(); }
  Turns& turns() { return turns_; }

  // Gives the client a turn in the next pass.
  void Continue(EventClient* client) { again_.push_back(client); }

  // The client has a deadline: looks after it from time to time.
  void SweepSoon() { SweepIn(sweep_interval_); }
  void SweepIn(std::chrono::milliseconds delay);

  // Destroys the client once this pass is over.
  void Remove(EventClient* client);

  // Any thread: the client's slow command is over.
  void SlowDone(EventClient* client);

 private:
  void Run();
  void Pass();
  void OnAcceptable();
  void OnWake();
  void Adopt(Registry::Membership* membership) noexcept;  // any thread
  void Serve(Registry::Membership* membership) noexcept;
  void Drop(const char* reason) noexcept;
  void OnSweep();
  void Wake();

  // Constant after Start.
  const ConnectionContext& context_;
  Acceptor* const acceptor_;
  const Choice choose_;
  const std::chrono::milliseconds sweep_interval_;
  Fd wake_;  // an eventfd: other threads write to it

  std::atomic<size_t> load_{0};

  // The loop's thread only.
  EventBase base_;
  EventHandle wake_event_;
  EventHandle acceptable_;
  EventHandle sweep_;
  std::chrono::milliseconds sweep_delay_{0};  // 0: none is under way
  Turns turns_;
  std::list<EventClient> clients_;
  std::list<EventClient> ended_;  // until the pass is over, since one may end with itself at work
  std::vector<EventClient*> again_;
  std::vector<EventClient*> continuing_;
  bool stopped_ = false;

  std::mutex mutex_;
  std::vector<Registry::Membership> adopted_;  // guarded by mutex_
  EventClient* done_ = nullptr;                // guarded by mutex_; a list
  bool stopping_ = false;                      // guarded by mutex_

  std::thread thread_;
};

}  // namespace keystone

#endif  // KEYSTONE_NET_EVENT_LOOP_H_
