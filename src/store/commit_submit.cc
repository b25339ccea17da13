// How threads hand their batches to a Commit, and wait until they are committed.
#include "store/commit.h"

namespace keystone {

// Batches that share a round share the wait for it, so they are cut to what a round holds.
void Commit::Submit(std::span<Batch* const> batches) {
  PrefetchSlots(batches);
  size_t count = 0;
  BatchSize size;
  while (count < batches.size()) {
    const BatchSize next = Ready(batches[count]);
    if (count > 0 && size.bytes + next.bytes > queue_.limit_bytes()) {
      SubmitTogether(batches.first(count), size);
      batches = batches.subspan(count);
      count = 0;
      size = {};
    }
    count++;
    size += next;
  }
  if (count > 0) SubmitTogether(batches, size);
}

// The leader will look these keys up one after the other: what it would wait for is fetched here,
// beside other leaders' work.
BatchSize Commit::Ready(Batch* batch) {
  if (!batch->status().ok()) return {};
  const BatchSize size = Prepare(batch);
  if (batch->operations().size() > 1) PrefetchRecords(*batch);
  return size;
}

void Commit::PrefetchSlots(std::span<Batch* const> batches) const {
  for (const Batch* batch : batches) {
    for (const Operation& operation : batch->operations()) index_->PrefetchSlot(operation.key);
  }
}

// Waits for the slots.
void Commit::PrefetchRecords(const Batch& batch) const {
  for (const Operation& operation : batch.operations()) index_->PrefetchRecord(operation.key);
}

void Commit::SubmitTogether(std::span<Batch* const> batches, const BatchSize& size) {
  Waiter self;
  self.batches = batches;
  self.size = size;
  WaitForTurn(&self);
}

Status Commit::Seal() {
  Status sealed;
  Waiter self;
  self.sealed = &sealed;
  WaitForTurn(&self);
  return sealed;
}

// A leader with a single write gains nothing by a look ahead: it would wait for the same slot.
void Commit::WaitForTurn(Waiter* waiter) {
  const bool several = waiter->batches.size() > 1;
  if (several) PrefetchSingles(*waiter);
  if (queue_.Join(waiter) == CommitQueue::Part::kAwaits) {
    if (!several) PrefetchSingles(*waiter);
    if (!CommitQueue::Await(waiter)) return;
  }
  queue_.Lead(waiter);
}

// Where it has been left in the queue, the batch is not this thread's any more.
bool Commit::SubmitOrDefer(Batch* const* batch, Waiter* waiter) {
  if (!options_.sync_each_round) {
    Submit({batch, 1});
    return true;
  }
  waiter->batches = {batch, 1};
  PrefetchSlots(waiter->batches);
  waiter->size = Ready(*batch);
  const CommitQueue::Part part = queue_.Join(waiter);
  if (part == CommitQueue::Part::kLeft) return false;
  if (part == CommitQueue::Part::kLeads || CommitQueue::Await(waiter)) queue_.Lead(waiter);
  return true;
}

void Commit::PrefetchSingles(const Waiter& waiter) const {
  for (const Batch* batch : waiter.batches) {
    if (batch->operations().size() == 1) PrefetchRecords(*batch);
  }
}

}  // namespace keystone
