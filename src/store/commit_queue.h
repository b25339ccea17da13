// Who waits for a commit, and who leads it.
//
// The first in the queue leads: it takes everybody who waits with it as a round, and serves them.
// Whoever comes meanwhile makes up the next round, which the same leader serves unless it has done
// so often enough: then it wakes the first of them, who leads from there. So rounds are served one
// after the other, in the order of arrival.
//
// Where there is a thread to lead the next round, those behind it need not wait: they leave what is
// theirs in the queue, and the leader says for them what is to be said.
//
// Thread-safe.
#ifndef KEYSTONE_STORE_COMMIT_QUEUE_H_
#define KEYSTONE_STORE_COMMIT_QUEUE_H_

#include <cstdint>
#include <functional>
#include <mutex>
#include <span>
#include <utility>

#include "base/semaphore.h"
#include "base/status.h"
#include "store/batch.h"
#include "store/round.h"

namespace keystone {

// A thread that waits, or what it has left behind. Its batches share a round; they have their
// status once it has been served.
struct Waiter {
  std::span<Batch* const> batches;
  BatchSize size;            // of them
  Status* sealed = nullptr;  // not null: no batches, but a round of its own for something else
  std::function<void()> on_served;  // not empty: it need not wait; called if it has left, see Join

  // The queue's.
  Waiter* next = nullptr;  // behind it in the queue, or in its round
  bool left = false;
  bool leads = false;  // once it is told
  Semaphore told;
};

class CommitQueue {
 public:
  enum class Part : uint8_t { kLeads, kAwaits, kLeft };

  // `serve` is called by the leader with a round, a list by `next`, and must not throw. A round has
  // up to `limit_bytes`, or one waiter. After `most_rounds` the leader resigns.
  CommitQueue(uint64_t limit_bytes, int most_rounds, std::function<void(Waiter*)> serve)
      : limit_bytes_(limit_bytes), most_rounds_(most_rounds), serve_(std::move(serve)) {}

  // Puts `waiter` in the queue, and tells what is next: to Lead, to Await, or nothing. In that case
  // the leader calls on_served once the round is over, perhaps before this returns.
  Part Join(Waiter* waiter);

  // True: the waiter has to Lead; else it has been served.
  static bool Await(Waiter* waiter);

  // Returns once `self`, which was told to lead, has been served, and others perhaps.
  void Lead(const Waiter* self);

  uint64_t limit_bytes() const { return limit_bytes_; }

 private:
  Waiter* ServeRound();
  Waiter* TakeRound();
  bool Resigns(bool must);
  static void TellAll(Waiter* round, const Waiter* self);
  static void Tell(Waiter* waiter, bool leads);

  const uint64_t limit_bytes_;
  const int most_rounds_;
  const std::function<void(Waiter*)> serve_;

  std::mutex mutex_;
  Waiter* first_ = nullptr;  // guarded by mutex_; in order of arrival
  Waiter* last_ = nullptr;   // guarded by mutex_; meaningless where the queue is empty
  Waiter* heir_ = nullptr;   // guarded by mutex_; the first in the queue who has not left
  bool leading_ = false;     // guarded by mutex_; somebody leads, or was told to
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_COMMIT_QUEUE_H_
