#include "store/commit.h"

#include <algorithm>
#include <new>
#include <utility>

#include "base/bus_guard.h"
#include "base/escape.h"

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

// As Writes, and not only tombstones.
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

// Must not throw: its members wait to be told. Each step catches what it may.
void Commit::Serve(Waiter* round) {
  if (round->sealed != nullptr) {
    *round->sealed = SealActive();
  } else if (Gather(round)) {
    for (Batches rest = gathered_; !rest.empty();) rest = rest.subspan(ServePart(rest));
  } else {
    for (Waiter* waiter = round; waiter != nullptr; waiter = waiter->next) {
      Refuse(waiter->batches, OutOfMemory());
    }
  }
}

// False where memory runs out.
bool Commit::Gather(const Waiter* round) try {
  gathered_.clear();
  prepared_ = {};
  for (const Waiter* waiter = round; waiter != nullptr; waiter = waiter->next) {
    gathered_.insert(gathered_.end(), waiter->batches.begin(), waiter->batches.end());
    prepared_ += waiter->size;
  }
  return true;
} catch (const std::bad_alloc&) {
  return false;
}

// Tells how many of the first `batches` have their status. Where memory runs out, nothing of these
// is in the log: what comes behind the append catches that itself.
size_t Commit::ServePart(Batches batches) {
  try {
    Status status = ReadOnlyError();
    if (status.ok()) {
      status = WriteWithReserve(&batches);
      LogRefusals(status);
    }
    if (!status.ok()) status = ServeReads(&batches, status);
    Refuse(batches, status);
  } catch (const std::bad_alloc&) {
    Refuse(batches, OutOfMemory());
  }
  return batches.size();
}

Status Commit::OutOfMemory() const {
  return Status::OutOfMemory(read_only() ? Code::kReadOnly : Code::kSystem);
}

// Nothing is left to be written once what might write has been refused.
Status Commit::ServeReads(Batches* batches, const Status& refusal) {
  for (Batch* batch : *batches) {
    if (batch->status().ok() && !OnlyLooks(*batch)) batch->set_status(refusal);
  }
  uint64_t synced_offset = SyncedOffset();
  return HasGood(*batches) ? WritePart(batches, nullptr, &synced_offset) : refusal;
}

uint64_t Commit::SyncedOffset() const {
  const std::lock_guard lock(mutex_);
  return synced_offset_;
}

// Gives all that succeeded so far that status, and counts what failed.
void Commit::Refuse(Batches batches, const Status& status) {
  for (Batch* batch : batches) {
    if (!status.ok() && batch->status().ok()) batch->set_status(status);
  }
  for (const Batch* batch : batches) {
    if (!batch->status().ok()) write_errors_ += batch->operations().size();
  }
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

// What the reserve is let go for is not for sets.
Status Commit::WriteWithReserve(Batches* batches) {
  uint64_t synced_offset = SyncedOffset();
  if (reserve_->released()) {
    const Status full(Code::kNoSpace, "the disk is full");
    const Status status = WritePart(batches, &full, &synced_offset);
    return status.ok() && !HasGood(*batches) ? full : status;
  }
  const Status status = WritePart(batches, nullptr, &synced_offset);
  if (status.code() != Code::kNoSpace) return status;
  const bool has_deletes = LeaveDeletes(*batches, status);
  if (!HasGood(*batches) || (has_deletes && !reserve_->Release(status))) return status;
  return WritePart(batches, &status, &synced_offset);
}

// Refuses the batches that were decided to set something. True where others want to write.
bool Commit::LeaveDeletes(Batches batches, const Status& status) {
  bool left = false;
  for (Batch* batch : batches) {
    if (!batch->status().ok()) continue;
    if (Sets(*batch))
      batch->set_status(status);
    else
      left = left || Writes(*batch);
  }
  return left;
}

// False where all batches have been refused.
bool Commit::HasGood(Batches batches) {
  return std::any_of(batches.begin(), batches.end(),
                     [](const Batch* batch) { return batch->status().ok(); });
}

Status Commit::SealActive() try {
  if (Status status = ReadOnlyError(); !status.ok()) return status;
  return active_->size() == kSegmentHeaderSize ? Status::Ok() : Rotate(0);
} catch (const std::bad_alloc&) {
  return OutOfMemory();
}

// Batches that set something are refused with `refusal`, if there is one.
Status Commit::WritePart(Batches* batches, const Status* refusal, uint64_t* synced_offset) {
  bool marks = false;
  Status encoded = EncodePart(batches, refusal, synced_offset, &marks);
  if (!encoded.ok() || round_.empty()) return encoded;
  if (round_.next_sequence() > kMaxSequence + 1) {
    return {Code::kSystem, directory_->path() + ": sequence numbers are used up"};
  }
  const uint64_t start = active_->size();
  if (Status status = Append(); !status.ok()) {
    return status.code() == Code::kReadOnly ? BecomeReadOnly(status) : status;
  }
  if (Status status = SyncRound(start); !status.ok()) return status;
  next_sequence_ = round_.next_sequence();
  if (marks) marked_offset_ = *synced_offset;
  return Publish();
}

// Of a page that can't be read come zeros from then on (BusGuard). Where that has happened
// meanwhile, what was a good value when it was looked at may not have been when it was used: that
// is found out by looking again.
Status Commit::EncodePart(Batches* batches, const Status* refusal, uint64_t* synced_offset,
                          bool* marks) {
  BatchSize size;
  uint64_t faults_before = 0;
  do {
    faults_before = BusGuard::faults();
    size = Decide(batches, refusal);
    if (size.bytes == 0) {
      round_.Start(next_sequence_, active_->size(), 0);
      continue;
    }
    if (NeedsMark(*synced_offset)) size.bytes += kSyncMarkSize;
    if (Status status = MakeRoom(size.bytes, synced_offset); !status.ok()) return status;

    round_.Start(next_sequence_, active_->size(), size.copied_bytes + kSyncMarkSize);
    *marks = NeedsMark(*synced_offset);
    if (*marks) round_.AddSyncMark(*synced_offset);
    for (const Batch* batch : *batches) {
      if (batch->status().ok()) round_.AddGroup(*batch);
    }
  } while (size.is_open && BusGuard::faults() != faults_before);
  return Status::Ok();
}

// Tells the size of what is to be written, and leaves those of `batches` that share the write. The
// others are decided again in their turn.
BatchSize Commit::Decide(Batches* batches, const Status* refusal) {
  if (!prepared_.is_open && refusal == nullptr) return prepared_;
  BatchSize size;
  size.is_open = prepared_.is_open;
  decider_.Start();
  for (size_t i = 0; i < batches->size(); i++) {
    const BatchSize next = DecideOne((*batches)[i], refusal);
    if (size.bytes > 0 && size.bytes + next.bytes > queue_.limit_bytes()) {
      *batches = batches->first(i);
      break;
    }
    size += next;
  }
  return size;
}

// Tells the size of what it writes. A batch that can't be decided is left out of the round.
BatchSize Commit::DecideOne(Batch* batch, const Status* refusal) {
  if (!batch->status().ok()) return {};
  Status status = decider_.Decide(batch);
  if (status.ok() && refusal != nullptr && Sets(*batch)) {
    decider_.Undo();
    status = *refusal;
  }
  BatchSize size;
  if (!status.ok()) {
    batch->set_status(std::move(status));
    return size;
  }
  for (const Operation& operation : batch->operations()) {
    if (operation.is_written) size += SizeOf(operation);
  }
  return size;
}

// To reserve pays where each round is synced.
Status Commit::Append() try {
  return options_.sync_each_round && !reserve_->released()
             ? active_->AppendAndReserve(round_.pieces(), round_.size_bytes())
             : active_->Append(round_.pieces(), round_.size_bytes());
} catch (const std::bad_alloc&) {
  // Perhaps for an error's text: a part of it may be in the file.
  const bool cut = active_->CutTo(active_->size()).ok();
  return Status::OutOfMemory(cut ? Code::kSystem : Code::kReadOnly);
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

// Where memory runs out, nothing has changed, or all of it.
Status Commit::Rotate(uint64_t size_bytes) {
  if (Status status = active_->CutReserve(); !status.ok()) return status;
  if (Status status = SyncFile(active_, active_->writer()); !status.ok()) return status;
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
Status Commit::Install(Segment& segment) try {
  // That is not the disk's room, so there is no way out of it in the reserve.
  Status room = segments_->CheckRoom(segment.number());
  if (!room.ok()) return room.As(Code::kSystem);
  if (Status status = segment.Finish(); !status.ok()) return status;
  if (Status status = directory_->Sync(); !status.ok()) return BecomeReadOnly(status);
  return directory_->CommitAppended(segment.number());
} catch (const std::bad_alloc&) {
  return OutOfMemory();
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

Status Commit::Publish() try {
  for (const Round::Placed& placed : round_.placed()) PublishOne(placed);
  return Status::Ok();
} catch (const std::bad_alloc&) {
  // The log has what the index has not.
  return BecomeReadOnlyForGood(Status::OutOfMemory());
}

void Commit::PublishOne(const Round::Placed& placed) {
  const Operation& operation = *placed.operation;
  Status status = operation.deletes
                      ? index_->Erase(operation.key)
                      : index_->Put(operation.key, {active_->number(), placed.offset},
                                    placed.size_bytes, operation.attributes.expires_at_ms);
  // A key deleted twice in one round is gone by now.
  if (!status.ok() && status.code() != Code::kNotFound) {
    log_->Write(Priority::kCritical, "%s", status.message().c_str());
  }
  if (log_->Enabled(Priority::kDebug)) {
    log_->Write(Priority::kDebug, "appended '%s' to %s at offset %llu, %u bytes",
                Escape(operation.key).c_str(), active_->name().c_str(),
                static_cast<unsigned long long>(placed.offset), placed.size_bytes);
  }
}

Commit::Stats Commit::GetStats() const {
  return {.fsyncs = fsyncs_.load(std::memory_order_relaxed),
          .fsync_last_us = fsync_last_us_.load(std::memory_order_relaxed),
          .write_errors = write_errors_.load(std::memory_order_relaxed),
          .read_only = read_only()};
}

}  // namespace keystone
