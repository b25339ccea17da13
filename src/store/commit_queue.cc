#include "store/commit_queue.h"

#include <utility>

namespace keystone {

bool CommitQueue::Join(Waiter* waiter) {
  const std::lock_guard lock(mutex_);
  (first_ == nullptr ? first_ : last_->next) = waiter;
  last_ = waiter;
  return !std::exchange(leading_, true);
}

bool CommitQueue::Await(Waiter* waiter) {
  waiter->told.Wait();
  return waiter->leads;
}

// To wake the next leader takes longer than a round without a sync, and nobody would commit
// meanwhile: so the one who is awake leads on for a while.
void CommitQueue::Lead() {
  Waiter* told = ServeRound()->next;  // the first of the first round is the leader itself
  for (int rounds = 1; !Resigns(rounds == most_rounds_); rounds++) {
    TellAll(std::exchange(told, nullptr));
    TellAll(ServeRound());
  }
  TellAll(told);
}

// Its members are not told yet.
CommitQueue::Waiter* CommitQueue::ServeRound() {
  Waiter* const round = TakeRound();
  serve_(round);
  return round;
}

// As many of the queue as fit; at least the first. Who wants a round of its own gets it.
CommitQueue::Waiter* CommitQueue::TakeRound() {
  const std::lock_guard lock(mutex_);
  Waiter* const round = first_;
  Waiter* last = round;
  uint64_t bytes = round->size.bytes;
  while (round->sealed == nullptr && last->next != nullptr && last->next->sealed == nullptr &&
         bytes + last->next->size.bytes <= limit_bytes_) {
    last = last->next;
    bytes += last->size.bytes;
  }
  first_ = std::exchange(last->next, nullptr);
  return round;
}

// True where the leader is one no more: nobody waits, or, if it `must`, the first who does leads.
bool CommitQueue::Resigns(bool must) {
  std::unique_lock lock(mutex_);
  Waiter* const next = first_;
  if (next != nullptr && !must) return false;
  leading_ = next != nullptr;
  lock.unlock();
  if (next != nullptr) Tell(next, true);
  return true;
}

void CommitQueue::TellAll(Waiter* round) {
  while (round != nullptr) Tell(std::exchange(round, round->next), false);
}

// A waiter's memory may be gone as soon as it is told.
void CommitQueue::Tell(Waiter* waiter, bool leads) {
  waiter->leads = leads;
  waiter->told.Post();
}

}  // namespace keystone
