#include "store/commit_queue.h"

#include <utility>

namespace keystone {

namespace {

bool Has(const Waiter* round, const Waiter* waiter) {
  while (round != nullptr && round != waiter) round = round->next;
  return round != nullptr;
}

}  // namespace

// There must always be somebody to whom the leader can resign, or its own client would wait for as
// long as others come.
CommitQueue::Part CommitQueue::Join(Waiter* waiter) {
  const std::lock_guard lock(mutex_);
  waiter->next = nullptr;
  waiter->left = heir_ != nullptr && waiter->on_served;
  (first_ == nullptr ? first_ : last_->next) = waiter;
  last_ = waiter;
  if (heir_ == nullptr) heir_ = waiter;
  if (!std::exchange(leading_, true)) return Part::kLeads;
  return waiter->left ? Part::kLeft : Part::kAwaits;
}

bool CommitQueue::Await(Waiter* waiter) {
  waiter->told.Wait();
  return waiter->leads;
}

// To wake the next leader takes longer than a round without a sync, and nobody would commit
// meanwhile: so the one who is awake leads on for a while.
void CommitQueue::Lead(const Waiter* self) {
  bool served = false;
  bool resigned = false;
  for (int rounds = 1; !resigned; rounds++) {
    Waiter* const round = ServeRound();
    served = served || Has(round, self);
    resigned = Resigns(served && rounds >= most_rounds_);
    TellAll(round, self);
  }
}

// Its members are not told yet.
Waiter* CommitQueue::ServeRound() {
  Waiter* const round = TakeRound();
  serve_(round);
  return round;
}

// As many of the queue as fit; at least the first. Who wants a round of its own gets it.
Waiter* CommitQueue::TakeRound() {
  const std::lock_guard lock(mutex_);
  Waiter* const round = first_;
  Waiter* last = round;
  bool has_heir = last == heir_;
  uint64_t bytes = round->size.bytes;
  while (round->sealed == nullptr && last->next != nullptr && last->next->sealed == nullptr &&
         bytes + last->next->size.bytes <= limit_bytes_) {
    last = last->next;
    bytes += last->size.bytes;
    has_heir = has_heir || last == heir_;
  }
  first_ = std::exchange(last->next, nullptr);
  if (has_heir) {
    heir_ = first_;
    while (heir_ != nullptr && heir_->left) heir_ = heir_->next;
  }
  return round;
}

// True where the leader is one no more: nobody waits, or, if it `must`, the heir leads.
bool CommitQueue::Resigns(bool must) {
  std::unique_lock lock(mutex_);
  Waiter* const heir = heir_;
  if (first_ != nullptr && (!must || heir == nullptr)) return false;
  leading_ = first_ != nullptr;
  lock.unlock();
  if (heir != nullptr) Tell(heir, true);
  return true;
}

void CommitQueue::TellAll(Waiter* round, const Waiter* self) {
  while (round != nullptr) {
    Waiter* const next = round->next;
    if (round != self) Tell(round, false);
    round = next;
  }
}

// A waiter's memory may be gone as soon as it is told.
void CommitQueue::Tell(Waiter* waiter, bool leads) {
  if (waiter->left) return waiter->on_served();
  waiter->leads = leads;
  waiter->told.Post();
}

}  // namespace keystone
