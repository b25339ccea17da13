#include "store/compaction.h"

#include <algorithm>
#include <chrono>
#include <functional>
#include <new>
#include <system_error>
#include <thread>
#include <utility>

namespace keystone {

namespace {

using Clock = std::chrono::steady_clock;

// Of one processor, when it runs beside clients.
constexpr unsigned kOnlineSharePercent = 20;

// Who waits for a stop-the-world compaction leaves the processors to it.
constexpr size_t kMostWorkers = 4;

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

// Calls work(0) ... work(count - 1) at the same time, or one after the other where there are no
// threads to be had.
void AllAtOnce(size_t count, const std::function<void(size_t)>& work) {
  std::vector<std::thread> threads;
  for (size_t i = 1; i < count; i++) {
    try {
      threads.emplace_back(work, i);
    } catch (const std::system_error&) {
      work(i);
    }
  }
  work(0);
  for (std::thread& thread : threads) thread.join();
}

// `segments` in `count` successive parts of about the same size; some may be empty.
std::vector<SegmentSet::List> Divide(const SegmentSet::List& segments, size_t count) {
  std::vector<SegmentSet::List> parts(count);
  const uint64_t total = SizeOf(segments) + 1;
  uint64_t before = 0;
  for (const auto& segment : segments) {
    parts[(before + segment->size() / 2) * count / total].push_back(segment);
    before += segment->size();
  }
  return parts;
}

double Seconds(uint64_t us) { return static_cast<double>(us) / 1e6; }

}  // namespace

Status Compaction::Run(CompactionMode mode) {
  if (running_.exchange(true)) return {Code::kBusy, "compaction already running"};
  const auto start = Clock::now();
  if (commit_->read_only()) mode = CompactionMode::kStopTheWorld;
  log_->Write(Priority::kInfo, "%s compaction: begun, %llu bytes in %zu segments",
              mode == CompactionMode::kOnline ? "online" : "stop-the-world",
              static_cast<unsigned long long>(segments_->Bytes()), segments_->Count());
  Outcome outcome;
  Status status = RunOne(mode, &outcome);
  Report(status, outcome, MicrosecondsSince(start));
  running_ = false;
  return status;
}

Status Compaction::RunOne(CompactionMode mode, Outcome* outcome) {
  try {
    // Most of what is not on disk yet gets there before anybody has to wait for it.
    if (Status status = SyncUnlessReadOnly(); !status.ok()) return status;
    if (mode == CompactionMode::kOnline) return Online(outcome);
    const SegmentSet::List old = segments_->All();  // unmapped once the world turns again
    const auto closed = Clock::now();
    gate_->Close();
    Status status;
    try {
      status = StopTheWorld(outcome);
    } catch (const std::bad_alloc&) {
      status = {Code::kSystem, "compact: out of memory"};
    }
    gate_->Open();
    outcome->pause_us = MicrosecondsSince(closed);
    return status;
  } catch (const std::bad_alloc&) {
    return {Code::kSystem, "compact: out of memory"};
  }
}

// The steps of keystone-log(5), behind the closed gate.
Status Compaction::StopTheWorld(Outcome* outcome) {
  if (Status status = SyncUnlessReadOnly(); !status.ok()) return status;
  const SegmentSet::List old = segments_->All();
  Team team =
      MakeTeam(std::min<size_t>(kMostWorkers, std::thread::hardware_concurrency()), Pace::kAllOfIt);
  SegmentSet::List now;
  if (Status status = Copy(&team, old, &now); !status.ok()) return status;
  auto active = directory_->CreateSegment(commit_->next_sequence(), segment_size_bytes_);
  Status status = active.ok() ? active.value()->Finish() : active.status();
  if (active.ok()) now.push_back(active.value());
  if (status.ok()) status = Replace(old, now);
  if (!status.ok()) {
    if (status.code() == Code::kReadOnly) return commit_->BecomeReadOnly(status);
    Discard(now);
    return status;
  }
  AllAtOnce(team.size(), [&](size_t i) { team[i]->Relocate(); });
  commit_->Adopt(active.value());
  segments_->Forget(old);
  for (const auto& segment : old) segment->Remove();
  outcome->reclaimed_bytes = SizeOf(old) - std::min(SizeOf(old), SizeOf(now));
  return Status::Ok();
}

Status Compaction::Online(Outcome* outcome) {
  if (Status status = commit_->Seal(); !status.ok()) return status;
  SegmentSet::List old = segments_->All();
  old.pop_back();  // every one but the last is sealed and on stable storage
  Team team = MakeTeam(1, kOnlineSharePercent);
  SegmentSet::List now;
  if (Status status = Copy(&team, old, &now); !status.ok()) return status;
  if (Status status = Replace(old, now); !status.ok()) {
    if (status.code() == Code::kReadOnly) return commit_->BecomeReadOnly(status);
    Discard(now);
    return status;
  }
  team.front()->Relocate();
  Retire(old);
  outcome->reclaimed_bytes = SizeOf(old) - std::min(SizeOf(old), SizeOf(now));
  return Status::Ok();
}

Compaction::Team Compaction::MakeTeam(size_t workers, unsigned share_percent) {
  Team team(std::max<size_t>(workers, 1));
  for (auto& compactor : team) {
    compactor = std::make_unique<Compactor>(directory_, index_, segment_size_bytes_, &cancelled_,
                                            share_percent);
  }
  return team;
}

// Live records to new segments, which are on stable storage under their names then.
Status Compaction::Copy(Team* team, const SegmentSet::List& old, SegmentSet::List* now) {
  if (cancelled_) return {Code::kCancelled, "the store is closing"};
  const std::vector<SegmentSet::List> parts = Divide(old, team->size());
  std::vector<Status> statuses(team->size());
  AllAtOnce(team->size(), [&](size_t i) {
    Compactor& compactor = *(*team)[i];
    statuses[i] = compactor.Copy(parts[i]);
    if (statuses[i].ok()) statuses[i] = compactor.Finish();
  });
  for (const auto& compactor : *team) {
    now->insert(now->end(), compactor->outputs().begin(), compactor->outputs().end());
  }
  const auto failed = std::find_if(statuses.begin(), statuses.end(),
                                   [](const Status& status) { return !status.ok(); });
  if (failed == statuses.end()) return Status::Ok();
  Discard(*now);
  return *failed;
}

// 4. The MANIFEST, and what can be found: `now` where `old` was, before anything newer.
Status Compaction::Replace(const SegmentSet::List& old, const SegmentSet::List& now) {
  if (Status status = directory_->Sync(); !status.ok()) return status;
  for (const auto& segment : now) {
    if (Status status = segments_->CheckRoom(segment->number()); !status.ok()) return status;
  }
  Status status = directory_->CommitReplaced(SegmentSet::Numbers(old), SegmentSet::Numbers(now));
  if (status.ok()) segments_->Swap(old, now);
  return status;
}

void Compaction::Discard(const SegmentSet::List& unnamed) {
  for (const auto& segment : unnamed) segment->Remove();
}

// Nobody finds a place in `old` any more; who has found one may still be reading.
void Compaction::Retire(const SegmentSet::List& old) {
  gate_->Drain();
  segments_->Forget(old);
  for (const auto& segment : old) segment->Remove();
}

// After a failed sync there is no point in another: the copy into new files is the cure.
Status Compaction::SyncUnlessReadOnly() {
  return commit_->read_only() ? Status::Ok() : commit_->Sync();
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
                "compaction failed, the log is as it was: %s", status.message().c_str());
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
