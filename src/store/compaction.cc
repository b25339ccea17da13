#include "store/compaction.h"

#include <algorithm>
#include <chrono>
#include <utility>

#include "base/clock.h"
#include "store/compactor.h"
#include "store/mover.h"
#include "store/workers.h"

namespace keystone {

namespace {

using Clock = std::chrono::steady_clock;

// Of one processor, when it runs beside clients.
constexpr unsigned kOnlineSharePercent = 20;

uint64_t MicrosecondsSince(Clock::time_point start) {
  const auto spent = Clock::now() - start;
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(spent).count());
}

uint64_t SizeOf(const SegmentSet::List& segments) {
  uint64_t bytes = 0;
  for (const auto& segment : segments) bytes += segment->size();
  return bytes;
}

double Seconds(uint64_t us) { return static_cast<double>(us) / 1e6; }

}  // namespace

void Compaction::Cancel() {
  const std::lock_guard lock(turn_mutex_);
  closing_ = cancelled_ = true;
}

bool Compaction::BeginCompaction() {
  const std::lock_guard lock(turn_mutex_);
  if (running_ || clearers_ > 0) return false;
  running_ = true;
  return true;
}

Status Compaction::BeginClear() {
  std::unique_lock lock(turn_mutex_);
  clearers_++;
  cancelled_ = true;
  ended_.wait(lock, [this] { return !running_; });
  clearers_--;
  cancelled_ = closing_ || clearers_ > 0;
  if (closing_) return {Code::kCancelled, "the store is closing"};
  running_ = true;
  return Status::Ok();
}

void Compaction::End() {
  const std::lock_guard lock(turn_mutex_);
  running_ = false;
  ended_.notify_all();
}

Status Compaction::Run(CompactionMode mode) {
  if (!BeginCompaction()) return {Code::kBusy, "compaction already running"};
  const auto start = Clock::now();
  if (Status status = UnlessOutOfMemory([this] { return commit_->CheckCurable(); }); !status.ok()) {
    End();
    return status;
  }
  if (commit_->read_only()) mode = CompactionMode::kStopTheWorld;
  log_->Write(Priority::kInfo, "%s compaction: begun, %llu bytes in %zu segments",
              mode == CompactionMode::kOnline ? "online" : "stop-the-world",
              static_cast<unsigned long long>(segments_->Bytes()), segments_->Count());
  Outcome outcome;
  Status status = UnlessOutOfMemory([&] {
    hints_->Hold();
    return RunWithReserve(mode, &outcome);
  });
  hints_->Release();
  Report(status, outcome, MicrosecondsSince(start));
  End();
  return status;
}

// All new files are there before an old one goes. After a failure they are gone, and the reserve
// can be taken back. It is let go only where that helps: until the second try ends, no set is let
// in.
Status Compaction::RunWithReserve(CompactionMode mode, Outcome* outcome) {
  Status status = RunOne(mode, outcome);
  if (status.code() == Code::kNoSpace && reserve_->MakesRoomFor(NeededBytes()) &&
      reserve_->Release(status)) {
    status = RunOne(mode, outcome);
  }
  reserve_->RetakeNow();
  if (status.code() != Code::kNoSpace) return status;
  return {Code::kNoSpace, status.message() + "; a compaction now needs room for " +
                              std::to_string(index_->LiveAt(UnixTimeMs()).bytes) + " bytes"};
}

// Of new files: what is live, and what each file costs beside that.
uint64_t Compaction::NeededBytes() const {
  constexpr uint64_t kBlock = 4096;
  const uint64_t live_bytes = index_->LiveAt(UnixTimeMs()).bytes;
  return live_bytes + (live_bytes / segment_size_bytes_ + WorkerCount() + 1) * kBlock;
}

Status Compaction::RunOne(CompactionMode mode, Outcome* outcome) {
  return UnlessOutOfMemory([&] {
    // Most of what is not on disk yet gets there before anybody has to wait for it.
    if (Status status = SyncUnlessReadOnly(); !status.ok()) return status;
    if (mode == CompactionMode::kOnline) return Online(outcome);
    return BehindGate([&] { return StopTheWorld(outcome); }, outcome);
  });
}

// While nobody else is inside.
template <class Work>
Status Compaction::BehindGate(const Work& work, Outcome* outcome) {
  const SegmentSet::List old = segments_->All();  // unmapped once the world turns again
  const auto closed = Clock::now();
  gate_->Close();
  Status status = UnlessOutOfMemory(work);
  gate_->Open();
  outcome->pause_us = MicrosecondsSince(closed);
  return status;
}

// The steps of keystone-log(5), behind the closed gate.
Status Compaction::StopTheWorld(Outcome* outcome) {
  // A round may have made it so since Run asked; none can now.
  if (Status status = commit_->CheckCurable(); !status.ok()) return status;
  if (Status status = SyncUnlessReadOnly(); !status.ok()) return status;
  const SegmentSet::List old = segments_->All();
  Mover mover(directory_, index_, segment_size_bytes_, UnixTimeMs(), &cancelled_);
  NewSegments active(directory_, segment_size_bytes_);
  if (Status status = mover.Copy(old); !status.ok()) return status;
  if (Status status = MakeActive(&active); !status.ok()) return status;
  const SegmentSet::List outputs = mover.outputs();
  SegmentSet::List now = outputs;
  now.push_back(active.all().back());
  bool keep = false;
  Status status = SwitchTo(now, old, &keep);
  if (keep) mover.Keep();
  if (keep) active.Keep();
  if (!status.ok()) return status;
  mover.Relocate();
  commit_->Adopt(now.back());
  Remove(old);
  MakeHints(outputs);
  outcome->reclaimed_bytes = SizeOf(old) - std::min(SizeOf(old), SizeOf(now));
  return Status::Ok();
}

// Inside the gate: who takes a turn may have to commit what others have left in the queue.
Status Compaction::Seal() {
  const Gate::Pass pass(gate_);
  return commit_->Seal();
}

Status Compaction::Online(Outcome* outcome) {
  if (Status status = Seal(); !status.ok()) return status;
  SegmentSet::List old = segments_->All();
  old.pop_back();  // every one but the last is sealed and on stable storage
  Compactor compactor(directory_, index_, gate_, segment_size_bytes_, UnixTimeMs(), &cancelled_,
                      kOnlineSharePercent);
  Status status = compactor.Copy(old);
  const SegmentSet::List& now = compactor.outputs();
  // What was found to be stale is so because of newer records: they may not be lost to a power cut
  // once it is gone.
  if (status.ok()) status = commit_->Sync();
  bool keep = false;
  if (status.ok()) status = SwitchTo(now, old, &keep);
  if (keep) compactor.Keep();
  if (!status.ok()) return status;
  // Where that fails, some keys are still read from the old segments: these stay, and nothing is
  // written any more, nor compacted, until a restart has read the new ones.
  if (status = compactor.Relocate(); !status.ok()) {
    kept_.swap(old);
    return commit_->BecomeReadOnlyForGood(status);
  }
  gate_->Drain();  // nobody finds a place in `old` any more, but may have found one
  Remove(old);
  MakeHints(now);
  outcome->reclaimed_bytes = SizeOf(old) - std::min(SizeOf(old), SizeOf(now));
  return Status::Ok();
}

// An empty one, on stable storage, to be the active one behind what was copied.
Status Compaction::MakeActive(NewSegments* segments) {
  Status status = segments->AddEmpty(commit_->next_sequence());
  // NewSegments::Finish would seal it, too.
  return status.ok() ? segments->all().back()->Finish() : status;
}

// Where nobody knows which MANIFEST a restart will find, `keep` is true, too.
Status Compaction::SwitchTo(const SegmentSet::List& now, const SegmentSet::List& old, bool* keep) {
  Status status = Replace(old, now);
  *keep = status.ok() || status.code() == Code::kReadOnly;
  return status.code() == Code::kReadOnly ? commit_->BecomeReadOnly(status) : status;
}

// Step 4 of keystone-log(5): the MANIFEST, and what can be found: `now` where `old` was, before
// anything newer.
Status Compaction::Replace(const SegmentSet::List& old, const SegmentSet::List& now) {
  if (Status status = directory_->Sync(); !status.ok()) return status;
  const size_t count = now.size() + segments_->Count() - old.size();
  const bool fits = std::all_of(now.begin(), now.end(), [this](const auto& segment) {
    return segments_->HasPlaceFor(segment->number());
  });
  if (!fits || count > SegmentSet::kMaxSegments) {
    return {Code::kSystem, "compaction: too many segments; raise segment-size"};
  }
  // Nothing may fail behind the commit point, so the memory for what follows comes before it.
  constexpr size_t kRotationsMeanwhile = 64;
  SegmentSet::List room;
  room.reserve(now.size() + segments_->Count() + kRotationsMeanwhile);
  Status status = directory_->CommitReplaced(SegmentSet::Numbers(old), SegmentSet::Numbers(now));
  if (status.ok()) segments_->Swap(old, now, std::move(room));
  return status;
}

// Where memory runs out, hints are left for the next start to remove, or to make.
void Compaction::Remove(const SegmentSet::List& old) {
  segments_->Forget(old);
  for (const auto& segment : old) segment->Remove();
  (void)UnlessOutOfMemory([&] {
    hints_->Forget(old);
    return Status::Ok();
  });
}

void Compaction::MakeHints(const SegmentSet::List& outputs) {
  (void)UnlessOutOfMemory([&] {
    for (const auto& output : outputs) hints_->Add(output);
    return Status::Ok();
  });
}

// After a failed sync there is no point in another: the copy into new files is the cure.
Status Compaction::SyncUnlessReadOnly() {
  return commit_->read_only() ? Status::Ok() : commit_->Sync();
}

Status Compaction::Clear() {
  if (Status status = BeginClear(); !status.ok()) return status;
  const auto start = Clock::now();
  const uint64_t before = segments_->Bytes();
  const Status status = ClearWithReserve();
  if (status.ok()) {
    log_->Write(Priority::kNotice, "cleared: %llu bytes of log are gone, took %.3f s",
                static_cast<unsigned long long>(before), Seconds(MicrosecondsSince(start)));
  } else {
    log_->Write(Priority::kError, "the store was not cleared: %s", status.message().c_str());
  }
  End();
  return status;
}

// It takes next to no room, and makes more than any delete.
Status Compaction::ClearWithReserve() {
  Status status = ClearOnce();
  if (status.code() == Code::kNoSpace && reserve_->Release(status)) status = ClearOnce();
  reserve_->RetakeNow();
  return status;
}

Status Compaction::ClearOnce() {
  Outcome outcome;  // of which there is nothing to tell
  return UnlessOutOfMemory(
      [&] { return BehindGate([&] { return ClearAll(segments_->All()); }, &outcome); });
}

// A crash before the MANIFEST is replaced leaves everything, after it nothing.
Status Compaction::ClearAll(const SegmentSet::List& old) {
  if (Status status = commit_->CheckCurable(); !status.ok()) return status;
  NewSegments active(directory_, segment_size_bytes_);
  if (Status status = MakeActive(&active); !status.ok()) return status;
  bool keep = false;
  Status status = SwitchTo(active.all(), old, &keep);
  if (keep) active.Keep();
  if (!status.ok()) return status;
  index_->Clear();
  commit_->Adopt(active.all().back());
  Remove(old);
  return Status::Ok();
}

void Compaction::Report(const Status& status, const Outcome& outcome, uint64_t total_us) {
  last_us_ = total_us;
  last_pause_us_ = outcome.pause_us;
  if (status.ok()) {
    count_++;
    reclaimed_bytes_ += outcome.reclaimed_bytes;
    log_->Write(Priority::kNotice,
                "compaction: reclaimed %llu bytes, %llu keys live, took %.3f s, the world stood "
                "still for %.3f s",
                static_cast<unsigned long long>(outcome.reclaimed_bytes),
                static_cast<unsigned long long>(index_->size()), Seconds(total_us),
                Seconds(outcome.pause_us));
  } else {
    log_->Write(status.code() == Code::kCancelled ? Priority::kNotice : Priority::kError,
                "compaction failed: %s", status.message().c_str());
  }
}

Compaction::Stats Compaction::GetStats() const {
  return {.running = running_,
          .count = count_,
          .last_us = last_us_,
          .last_pause_us = last_pause_us_,
          .reclaimed_bytes = reclaimed_bytes_};
}

}  // namespace keystone
