#include "store/commit.h"

#include <algorithm>
#include <chrono>
#include <new>
#include <utility>

#include "base/bus_guard.h"
#include "base/escape.h"
#include "base/file.h"

namespace keystone {

namespace {

// Rounds stay small enough that nobody waits long for others' bytes.
constexpr uint64_t kRoundLimit = uint64_t{4} << 20;

// A leader's own client waits for them all.
constexpr int kRoundsALeader = 16;

// How many bytes of groups fit one segment and kRoundLimit.
uint64_t RoundLimit(const Commit::Options& options) {
  return std::min(kRoundLimit, options.segment_size_bytes - kSegmentHeaderSize) - kSyncMarkSize;
}

// Of a batch that is decided: the log gets something of it.
bool Writes(const Batch& batch) {
  return std::any_of(batch.operations().begin(), batch.operations().end(),
                     [](const Operation& o) { return o.is_written; });
}

// Nothing will ever come of it for the log.
bool OnlyLooks(const Batch& batch) {
  return std::all_of(batch.operations().begin(), batch.operations().end(),
                     [](const Operation& o) { return o.looks; });
}

// And that is not all tombstones.
bool Sets(const Batch& batch) {
  return std::any_of(batch.operations().begin(), batch.operations().end(),
                     [](const Operation& o) { return o.is_written && !o.deletes; });
}

}  // namespace

Commit::Commit(const Options& options, Directory* directory, Reserve* reserve, SegmentSet* segments,
               Index* index, const Log* log, uint64_t next_sequence)
    : options_(options),
      directory_(directory),
      reserve_(reserve),
      segments_(segments),
      index_(index),
      log_(log),
      health_(log),
      queue_(RoundLimit(options), options.sync_each_round ? 1 : kRoundsALeader,
             [this](Waiter* round) { Serve(round); }),
      active_(segments->active()),
      next_sequence_(next_sequence),
      decider_(segments, index, &options_.on_expired) {
  appended_offset_ = synced_offset_ = active_->size();
  // The first mark tells of what recovery has found and synced.
  marked_offset_ = kSegmentHeaderSize;
}

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
  if (!queue_.Join(waiter)) {
    if (!several) PrefetchSingles(*waiter);
    if (!CommitQueue::Await(waiter)) return;
  }
  queue_.Lead();
}

void Commit::PrefetchSingles(const Waiter& waiter) const {
  for (const Batch* batch : waiter.batches) {
    if (batch->operations().size() == 1) PrefetchRecords(*batch);
  }
}

// Whatever happens, its members will be told.
void Commit::Serve(Waiter* round) {
  try {
    ServeRound(round);
  } catch (const std::bad_alloc&) {
    // For an error's text. Where the store has become read-only, the log may have the round.
    const Code code = read_only() ? Code::kReadOnly : Code::kSystem;
    const Status status(code, "out of memory");  // so short that it takes none
    if (round->sealed != nullptr) *round->sealed = status;
    Refuse(round, status);
  }
}

void Commit::ServeRound(Waiter* round) {
  uint64_t synced_offset = SyncedOffset();
  Status status = ReadOnlyError();
  if (round->sealed != nullptr) {
    *round->sealed = status.ok() ? SealActive() : status;
    return;
  }
  if (!status.ok()) return ServeReads(round, status, &synced_offset);
  status = CommitRound(round, &synced_offset);
  LogRefusals(status);
  Refuse(round, status);
}

// Nothing is left to be written once what might write has been refused.
void Commit::ServeReads(Waiter* round, const Status& refusal, uint64_t* synced_offset) {
  ForEachBatch(round, [&](Batch* batch) {
    if (batch->status().ok() && !OnlyLooks(*batch)) batch->set_status(refusal);
  });
  Refuse(round, HasGood(round) ? WriteRound(round, nullptr, synced_offset) : refusal);
}

uint64_t Commit::SyncedOffset() const {
  const std::lock_guard lock(mutex_);
  return synced_offset_;
}

// Gives all that succeeded so far that status, and counts what failed.
void Commit::Refuse(Waiter* round, const Status& status) {
  ForEachBatch(round, [&](Batch* batch) {
    if (!status.ok() && batch->status().ok()) batch->set_status(status);
  });
  ForEachBatch(round, [&](const Batch* batch) {
    if (!batch->status().ok()) write_errors_ += batch->operations().size();
  });
}

// One line when writes begin to be refused and one when they work again, not one a write.
void Commit::LogRefusals(const Status& status) {
  if (status.ok() == !refusing_ || status.code() == Code::kReadOnly) return;
  if (status.ok() && reserve_->released()) return;  // of deletes
  refusing_ = !status.ok();
  if (refusing_) {
    log_->Write(Priority::kError, "%s: writes are refused, reads go on", status.message().c_str());
  } else {
    log_->Write(Priority::kNotice, "writes work again");
  }
}

Status Commit::CommitRound(Waiter* round, uint64_t* synced_offset) {
  try {
    return WriteWithReserve(round, synced_offset);
  } catch (const std::bad_alloc&) {
    // The log may have what the index has not.
    return BecomeReadOnlyForGood({Code::kSystem, "out of memory"});
  }
}

// What the reserve is let go for is not for sets.
Status Commit::WriteWithReserve(Waiter* round, uint64_t* synced_offset) {
  if (reserve_->released()) {
    const Status full(Code::kNoSpace, "the disk is full");
    const Status status = WriteRound(round, &full, synced_offset);
    return status.ok() && !HasGood(round) ? full : status;
  }
  const Status status = WriteRound(round, nullptr, synced_offset);
  if (status.code() != Code::kNoSpace) return status;
  const bool has_deletes = LeaveDeletes(round, status);
  if (!HasGood(round) || (has_deletes && !reserve_->Release(status))) return status;
  return WriteRound(round, &status, synced_offset);
}

// Refuses the batches that were decided to set something. True where others want to write.
bool Commit::LeaveDeletes(Waiter* round, const Status& status) {
  bool left = false;
  ForEachBatch(round, [&](Batch* batch) {
    if (!batch->status().ok()) return;
    if (Sets(*batch))
      batch->set_status(status);
    else
      left = left || Writes(*batch);
  });
  return left;
}

// False where all batches have been refused.
bool Commit::HasGood(const Waiter* round) {
  bool has = false;
  ForEachBatch(round, [&](const Batch* batch) { has = has || batch->status().ok(); });
  return has;
}

Status Commit::SealActive() {
  if (active_->size() == kSegmentHeaderSize) return Status::Ok();
  try {
    return Rotate(0);
  } catch (const std::bad_alloc&) {
    return BecomeReadOnly({Code::kSystem, "out of memory"});
  }
}

// Batches that set something are refused with `refusal`, if there is one.
Status Commit::WriteRound(Waiter* round, const Status* refusal, uint64_t* synced_offset) {
  bool marks = false;
  Status encoded = EncodeRound(round, refusal, synced_offset, &marks);
  if (!encoded.ok() || round_.empty()) return encoded;
  const uint64_t start = active_->size();
  if (Status status = Append(); !status.ok()) {
    return status.code() == Code::kReadOnly ? BecomeReadOnly(status) : status;
  }
  if (Status status = SyncRound(start); !status.ok()) return status;
  next_sequence_ = round_.next_sequence();
  if (marks) marked_offset_ = *synced_offset;
  Publish();
  return Status::Ok();
}

// Of a page that can't be read come zeros from then on (BusGuard). Where that has happened
// meanwhile, what was a good value when it was looked at may not have been when it was used: that
// is found out by looking again.
Status Commit::EncodeRound(Waiter* round, const Status* refusal, uint64_t* synced_offset,
                           bool* marks) {
  BatchSize size;
  uint64_t faults_before = 0;
  do {
    faults_before = BusGuard::faults();
    size = Decide(round, refusal);
    if (size.bytes == 0) {
      round_.Start(next_sequence_, active_->size(), 0);
      return Status::Ok();
    }
    if (NeedsMark(*synced_offset)) size.bytes += kSyncMarkSize;
    if (Status status = MakeRoom(size.bytes, synced_offset); !status.ok()) return status;

    round_.Start(next_sequence_, active_->size(), size.copied_bytes + kSyncMarkSize);
    *marks = NeedsMark(*synced_offset);
    if (*marks) round_.AddSyncMark(*synced_offset);
    ForEachBatch(round, [&](const Batch* batch) {
      if (batch->status().ok()) round_.AddGroup(*batch);
    });
  } while (size.is_open && BusGuard::faults() != faults_before);
  return Status::Ok();
}

// Tells the size of what is to be written. A batch that can't be decided is left out of the round.
BatchSize Commit::Decide(Waiter* round, const Status* refusal) {
  BatchSize prepared;
  for (const Waiter* waiter = round; waiter != nullptr; waiter = waiter->next) {
    prepared += waiter->size;
  }
  if (!prepared.is_open && refusal == nullptr) return prepared;
  BatchSize size;
  size.is_open = prepared.is_open;
  decider_.Start();
  ForEachBatch(round, [&](Batch* batch) {
    if (!batch->status().ok()) return;
    Status status = decider_.Decide(batch);
    if (status.ok() && refusal != nullptr && Sets(*batch)) {
      decider_.Undo();
      status = *refusal;
    }
    if (!status.ok()) return batch->set_status(std::move(status));
    for (const Operation& operation : batch->operations()) {
      if (operation.is_written) size += SizeOf(operation);
    }
  });
  return size;
}

// To reserve pays where each round is synced.
Status Commit::Append() {
  return options_.sync_each_round && !reserve_->released()
             ? active_->AppendAndReserve(round_.pieces(), round_.size_bytes())
             : active_->Append(round_.pieces(), round_.size_bytes());
}

bool Commit::NeedsMark(uint64_t synced_offset) const {
  return options_.sync_each_round || synced_offset > marked_offset_;
}

// A segment is left when the next round would pass its size; a round bigger than that has one to
// itself.
Status Commit::MakeRoom(uint64_t size_bytes, uint64_t* synced_offset) {
  const uint64_t size = active_->size();
  if (size + size_bytes <= std::min(options_.segment_size_bytes, active_->capacity())) {
    return Status::Ok();
  }
  if (size == kSegmentHeaderSize && size + size_bytes <= active_->capacity()) return Status::Ok();
  if (Status status = Rotate(size_bytes); !status.ok()) return status;
  *synced_offset = active_->size();
  return Status::Ok();
}

Status Commit::Rotate(uint64_t size_bytes) {
  if (Status status = active_->CutReserve(); !status.ok()) return status;
  if (Status status = SyncFile(active_->writer(), active_->path()); !status.ok()) return status;
  const uint64_t capacity = std::max(options_.segment_size_bytes, kSegmentHeaderSize + size_bytes);
  auto segment = directory_->CreateSegment(next_sequence_, capacity);
  if (!segment.ok()) return segment.status();
  if (Status status = Install(*segment.value()); !status.ok()) {
    if (status.code() == Code::kReadOnly) return BecomeReadOnly(status);
    segment.value()->Remove();
    return status;
  }
  segments_->Add(segment.value());
  const std::shared_ptr<Segment> sealed = active_;
  Begin(std::move(segment.value()));
  sealed->Seal();  // nobody finds its descriptor any more
  if (options_.on_seal) options_.on_seal(sealed);
  log_->Write(Priority::kInfo, "segment %s sealed, %s begun", sealed->name().c_str(),
              active_->name().c_str());
  return Status::Ok();
}

// A segment is on stable storage under its name before a MANIFEST names it.
Status Commit::Install(Segment& segment) {
  // That is not the disk's room, so there is no way out of it in the reserve.
  Status room = segments_->CheckRoom(segment.number());
  if (!room.ok()) return room.As(Code::kSystem);
  if (Status status = segment.Finish(); !status.ok()) return status;
  if (Status status = directory_->Sync(); !status.ok()) return status.As(Code::kReadOnly);
  return directory_->CommitAppended(segment.number());
}

void Commit::Begin(std::shared_ptr<Segment> active) {
  const std::lock_guard lock(mutex_);
  active_ = std::move(active);
  appended_offset_ = synced_offset_ = marked_offset_ = active_->size();
}

void Commit::Adopt(std::shared_ptr<Segment> active) {
  Begin(std::move(active));
  health_.Cure();
}

Status Commit::SyncRound(uint64_t round_start) {
  const uint64_t appended = active_->size();
  Status status;
  if (options_.sync_each_round) status = SyncFile(active_->writer(), active_->path());
  // What is refused shall not come back with a restart; if this fails, too, that is allowed.
  if (!status.ok()) (void)active_->CutTo(round_start);
  const std::lock_guard lock(mutex_);
  appended_offset_ = active_->size();
  if (status.ok() && options_.sync_each_round) synced_offset_ = appended;
  return status;
}

void Commit::Publish() {
  const bool debug = log_->Enabled(Priority::kDebug);
  for (const Round::Placed& placed : round_.placed()) {
    const Operation& operation = *placed.operation;
    Status status = operation.deletes
                        ? index_->Erase(operation.key)
                        : index_->Put(operation.key, {active_->number(), placed.offset},
                                      placed.size_bytes, operation.attributes.expires_at_ms);
    // A key deleted twice in one round is gone by now.
    if (!status.ok() && status.code() != Code::kNotFound) {
      log_->Write(Priority::kCritical, "%s", status.message().c_str());
    }
    if (debug) {
      log_->Write(Priority::kDebug, "appended '%s' to %s at offset %llu, %u bytes",
                  Escape(operation.key).c_str(), active_->name().c_str(),
                  static_cast<unsigned long long>(placed.offset), placed.size_bytes);
    }
  }
}

Status Commit::Sync() {
  if (Status status = ReadOnlyError(); !status.ok()) return status;
  std::unique_lock lock(mutex_);
  const std::shared_ptr<Segment> segment = active_;
  const std::shared_ptr<const Fd> fd = segment->writer();
  const uint64_t appended = appended_offset_;
  lock.unlock();
  // A segment that was sealed meanwhile has been synced by who sealed it.
  if (Status status = SyncFile(fd, segment->path()); !status.ok()) return status;
  lock.lock();
  if (active_ == segment) synced_offset_ = std::max(synced_offset_, appended);
  return Status::Ok();
}

Status Commit::SyncDirty() {
  {
    const std::lock_guard lock(mutex_);
    if (appended_offset_ == synced_offset_ || read_only()) return Status::Ok();
  }
  return Sync();
}

// A compaction removes a segment only once another is the active one.
void Commit::WatchActive(SegmentWatch* watch) {
  std::unique_lock lock(mutex_);
  if (read_only()) return;
  const std::shared_ptr<Segment> segment = active_;
  const std::shared_ptr<const Fd> fd = segment->writer();
  const uint64_t appended = appended_offset_;
  lock.unlock();
  const auto [status, way_out] = watch->Look(*segment, fd->get(), appended);
  lock.lock();
  if (!status.ok() && active_ == segment) (void)health_.BecomeReadOnly(status, way_out);
}

// One at a time: the kernel reports a failed write to one sync only, and a second one beside it
// would take that for success.
Status Commit::SyncFile(const std::shared_ptr<const Fd>& fd, const std::string& path) {
  const std::lock_guard sync_lock(sync_mutex_);
  if (Status status = ReadOnlyError(); !status.ok()) return status;
  const auto start = std::chrono::steady_clock::now();
  Status status = SyncData(fd->get(), path);
  const auto spent = std::chrono::steady_clock::now() - start;
  fsyncs_.fetch_add(1, std::memory_order_relaxed);
  fsync_last_us_.store(
      static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(spent).count()),
      std::memory_order_relaxed);
  // The kernel may have dropped what it could not write, so trying again would prove nothing.
  return status.ok() ? status : BecomeReadOnly(status);
}

Commit::Stats Commit::GetStats() const {
  return {.fsyncs = fsyncs_.load(std::memory_order_relaxed),
          .fsync_last_us = fsync_last_us_.load(std::memory_order_relaxed),
          .write_errors = write_errors_.load(std::memory_order_relaxed),
          .read_only = read_only()};
}

}  // namespace keystone
