#include "store/store.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>

#include "base/escape.h"
#include "store/commit.h"
#include "store/compactor.h"
#include "store/directory.h"
#include "store/index.h"
#include "store/recovery.h"
#include "store/segment_set.h"

namespace keystone {

namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kSyncInterval{1};
constexpr uint64_t kSmallestSegment = 4096;

uint64_t MicrosecondsSince(Clock::time_point start) {
  const auto spent = Clock::now() - start;
  return static_cast<uint64_t>(
      std::chrono::duration_cast<std::chrono::microseconds>(spent).count());
}

Status CheckOptions(const StoreOptions& options) {
  if (options.segment_size_bytes >= kSmallestSegment) return Status::Ok();
  return {Code::kInvalid, "segment size " + std::to_string(options.segment_size_bytes) +
                              " is below the limit of " + std::to_string(kSmallestSegment)};
}

bool FitsARecord(const Operation& operation) {
  return !operation.key.empty() && operation.key.size() <= kMaxKeySize &&
         operation.value.size() <= kMaxValueSize;
}

Status CheckLimits(const Batch& batch) {
  if (std::all_of(batch.operations().begin(), batch.operations().end(), FitsARecord)) {
    return Status::Ok();
  }
  return {Code::kInvalid, "a key or value is over the log's limits"};
}

Status Damaged(const RecordView& record, std::string_view key) {
  return {Code::kCorrupt, "the value of '" + Escape(key) + "', sequence " +
                              std::to_string(record.sequence) +
                              ", is damaged on disk: stop the daemon and run keystone-log check"};
}

}  // namespace

struct Store::Parts {
  Parts(const StoreOptions& store_options, const Log& store_log)
      : options(store_options), log(store_log) {}

  Status Recover(const RecoveryCallback& progress);
  Status StartSyncer();
  void StopSyncer();
  void RunSyncer();
  Status Locate(std::string_view key, RecordView* record);
  Status SyncUnlessReadOnly();
  Status CompactBehindGate(SegmentSet::List* old, uint64_t* reclaimed_bytes);
  Status Switch(const Compactor& compactor, std::shared_ptr<Segment> active);
  void Relocate(std::span<const Compactor::Move> moves);

  const StoreOptions options;
  const Log log;
  Gate gate;
  std::unique_ptr<Directory> directory;
  SegmentSet segments;
  std::unique_ptr<Index> index;
  std::unique_ptr<Commit> commit;
  Recovered recovered;

  std::atomic<bool> cancelled{false};
  std::atomic<bool> compacting{false};
  std::atomic<uint64_t> compactions{0};
  std::atomic<uint64_t> compaction_last_us{0};
  std::atomic<uint64_t> compaction_last_pause_us{0};
  std::atomic<uint64_t> compaction_reclaimed_bytes{0};

  std::mutex syncer_mutex;
  std::condition_variable syncer_wake;
  bool syncer_stops = false;  // guarded by syncer_mutex
  std::thread syncer;         // under fsync=everysec only
};

Store::Store(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Store::~Store() {
  if (parts_->commit != nullptr) (void)Close();
}

Result<std::unique_ptr<Store>> Store::Open(const StoreOptions& options, const Log& log,
                                           const RecoveryCallback& progress) {
  if (Status status = CheckOptions(options); !status.ok()) return status;
  std::unique_ptr<Store> store(new Store(std::make_unique<Parts>(options, log)));
  if (Status status = store->parts_->Recover(progress); !status.ok()) return status;
  if (Status status = store->parts_->StartSyncer(); !status.ok()) return status;
  return store;
}

Status Store::Parts::Recover(const RecoveryCallback& progress) {
  auto opened = Directory::OpenOrCreate(options.directory);
  if (!opened.ok()) return opened.status();
  directory = std::move(opened.value());
  Recovery recovery(directory.get(), options.segment_size_bytes, &segments, &log, &progress);
  if (Status status = recovery.OpenDirectory(); !status.ok()) return status;
  index = std::make_unique<Index>(&segments, directory->manifest().seed);
  if (Status status = recovery.Replay(index.get(), &recovered); !status.ok()) return status;
  commit = std::make_unique<Commit>(
      Commit::Options{.sync_each_round = options.fsync == FsyncPolicy::kAlways,
                      .segment_size_bytes = options.segment_size_bytes},
      directory.get(), &segments, index.get(), &log, recovered.next_sequence);
  return Status::Ok();
}

Status Store::Close() {
  CancelCompaction();
  parts_->StopSyncer();
  const Gate::Pass pass(&parts_->gate);
  Status status = parts_->SyncUnlessReadOnly();
  parts_->commit.reset();
  return status;
}

// ---- reads

Status Store::Parts::Locate(std::string_view key, RecordView* record) {
  Status status = index->Find(key, record);
  if (status.code() == Code::kCorrupt) {
    log.Write(Priority::kCritical, "%s", status.message().c_str());
  }
  return status;
}

Status Store::Get(std::string_view key, FoundValue* found) {
  found->pass_ = Gate::Pass(&parts_->gate);
  RecordView record;
  Status status = parts_->Locate(key, &record);
  if (status.ok() && !BodyIsIntact(record)) {
    status = Damaged(record, key);
    parts_->log.Write(Priority::kCritical, "%s", status.message().c_str());
  }
  if (status.ok()) {
    found->value_ = record.value;
  } else {
    found->pass_ = Gate::Pass();
  }
  return status;
}

Status Store::Exists(std::string_view key) {
  const Gate::Pass pass(&parts_->gate);
  RecordView record;
  return parts_->Locate(key, &record);
}

void Store::Prefetch(std::span<const std::string_view> keys) {
  const Gate::Pass pass(&parts_->gate);
  for (const std::string_view key : keys) parts_->index->PrefetchSlot(key);
  for (const std::string_view key : keys) parts_->index->PrefetchRecord(key);
}

uint64_t Store::Count() const { return parts_->index->size(); }

Status Store::Scan(uint64_t cursor, size_t count, std::string_view prefix, ScanResult* result) {
  const Gate::Pass pass(&parts_->gate);
  std::vector<Index::Entry> entries;
  result->next_cursor = parts_->index->Scan(cursor, count, &entries);
  result->keys.clear();
  for (const Index::Entry& entry : entries) {
    const Segment* segment = parts_->segments.Find(entry.where.segment);
    RecordView record;
    // A key that does not hash to where it was found has a damaged byte; its value's CRC need not
    // be computed to know that.
    if (segment == nullptr || segment->Read(entry.where.offset, &record) != RecordState::kValid ||
        parts_->index->Position(record.key) != entry.position) {
      return {Code::kCorrupt, SegmentName(entry.where.segment) + ": offset " +
                                  std::to_string(entry.where.offset) +
                                  ": damaged on disk: stop the daemon and run keystone-log check"};
    }
    if (record.key.starts_with(prefix)) result->keys.emplace_back(record.key);
  }
  return Status::Ok();
}

// ---- writes

Status Store::Apply(Batch* batch) {
  if (batch->empty()) return Status::Ok();
  Apply(std::span<Batch* const>(&batch, 1));
  return batch->status();
}

void Store::Apply(std::span<Batch* const> batches) {
  for (Batch* batch : batches) batch->set_status(CheckLimits(*batch));
  const Gate::Pass pass(&parts_->gate);
  parts_->commit->Submit(batches);
}

Status Store::Sync() {
  const Gate::Pass pass(&parts_->gate);
  return parts_->commit->Sync();
}

Status Store::Parts::StartSyncer() {
  if (options.fsync != FsyncPolicy::kEverySecond) return Status::Ok();
  try {
    syncer = std::thread([this] { RunSyncer(); });
  } catch (const std::system_error& error) {
    return {Code::kSystem, std::string("start the syncer thread: ") + error.what()};
  }
  return Status::Ok();
}

void Store::Parts::StopSyncer() {
  {
    const std::lock_guard lock(syncer_mutex);
    syncer_stops = true;
  }
  syncer_wake.notify_one();
  if (syncer.joinable()) syncer.join();
}

void Store::Parts::RunSyncer() {
  std::unique_lock lock(syncer_mutex);
  while (!syncer_wake.wait_for(lock, kSyncInterval, [this] { return syncer_stops; })) {
    lock.unlock();
    // A failure has turned the store read-only and is in the log.
    (void)commit->SyncDirty();
    lock.lock();
  }
}

// ---- compaction

void Store::CancelCompaction() { parts_->cancelled = true; }

Status Store::Compact() {
  if (parts_->compacting.exchange(true)) {
    return {Code::kBusy, "compaction already running"};
  }
  const auto start = Clock::now();
  parts_->log.Write(Priority::kInfo, "compaction: begun, %llu bytes in %zu segments",
                    static_cast<unsigned long long>(parts_->segments.Bytes()),
                    parts_->segments.Count());
  // Most of what is not on disk yet gets there while the world still turns.
  Status status = parts_->SyncUnlessReadOnly();
  const auto closed = Clock::now();
  uint64_t reclaimed_bytes = 0;
  SegmentSet::List old;  // what they hold is given back once the world turns again
  if (status.ok()) {
    parts_->gate.Close();
    try {
      status = parts_->CompactBehindGate(&old, &reclaimed_bytes);
    } catch (const std::bad_alloc&) {
      status = {Code::kSystem, "compact: out of memory"};
    }
    parts_->gate.Open();
  }
  const uint64_t pause_us = MicrosecondsSince(closed);
  const uint64_t total_us = MicrosecondsSince(start);
  parts_->compaction_last_us = total_us;
  parts_->compaction_last_pause_us = pause_us;
  if (status.ok()) {
    parts_->compactions++;
    parts_->compaction_reclaimed_bytes += reclaimed_bytes;
    parts_->log.Write(Priority::kNotice,
                      "compaction: reclaimed %llu bytes, %llu keys live, took %.3f s, the world "
                      "stood still for %.3f s",
                      static_cast<unsigned long long>(reclaimed_bytes),
                      static_cast<unsigned long long>(Count()), static_cast<double>(total_us) / 1e6,
                      static_cast<double>(pause_us) / 1e6);
  } else {
    parts_->log.Write(status.code() == Code::kCancelled ? Priority::kNotice : Priority::kError,
                      "compaction failed, the log is as it was: %s", status.message().c_str());
  }
  parts_->compacting = false;
  return status;
}

// After a failed sync there is no point in another: the copy into new files is the cure.
Status Store::Parts::SyncUnlessReadOnly() {
  return commit->read_only() ? Status::Ok() : commit->Sync();
}

// The steps of keystone-log(5), in their order.
Status Store::Parts::CompactBehindGate(SegmentSet::List* old, uint64_t* reclaimed_bytes) {
  if (cancelled) return {Code::kCancelled, "the store is closing"};
  // 2. The active segment takes no more records.
  if (Status status = SyncUnlessReadOnly(); !status.ok()) return status;
  *old = segments.All();
  const uint64_t old_bytes = segments.Bytes();

  // 3. Live records to new segments.
  Compactor compactor(directory.get(), index.get(), options.segment_size_bytes, &cancelled);
  if (Status status = compactor.Copy(*old); !status.ok()) return status;
  if (Status status = compactor.Finish(); !status.ok()) {
    for (const auto& output : compactor.outputs()) output->Remove();
    return status;
  }

  // 4, 5. MANIFEST and index; from here on the old segments are history.
  auto active = directory->CreateSegment(commit->next_sequence(), options.segment_size_bytes);
  Status status = active.ok() ? Switch(compactor, active.value()) : active.status();
  if (!status.ok()) {
    if (status.code() == Code::kReadOnly) return commit->BecomeReadOnly(status);
    for (const auto& output : compactor.outputs()) output->Remove();
    if (active.ok()) active.value()->Remove();
    return status;
  }
  for (const auto& segment : *old) segment->Remove();
  const uint64_t new_bytes = segments.Bytes();
  *reclaimed_bytes = old_bytes > new_bytes ? old_bytes - new_bytes : 0;
  return Status::Ok();
}

Status Store::Parts::Switch(const Compactor& compactor, std::shared_ptr<Segment> active) {
  if (Status status = active->Finish(); !status.ok()) return status;
  if (Status status = directory->Sync(); !status.ok()) return status;
  SegmentSet::List next = compactor.outputs();
  next.push_back(active);
  std::vector<uint64_t> numbers;
  for (const auto& segment : next) numbers.push_back(segment->number());
  if (Status status = directory->Commit(std::move(numbers)); !status.ok()) return status;

  for (const auto& output : compactor.outputs()) output->Seal();
  segments.Replace(std::move(next));
  Relocate(compactor.moves());
  commit->Adopt(std::move(active));
  return Status::Ok();
}

void Store::Parts::Relocate(std::span<const Compactor::Move> moves) {
  constexpr size_t kAhead = 32;
  for (size_t i = 0; i < moves.size(); i++) {
    if (i + kAhead < moves.size()) index->PrefetchSlot(moves[i + kAhead].key);
    index->Relocate(moves[i].key, moves[i].old, moves[i].now);
  }
}

// ---- numbers

StoreStats Store::Stats() const {
  const Commit::Stats commit = parts_->commit->GetStats();
  StoreStats stats;
  stats.keys = parts_->index->size();
  stats.segments = parts_->segments.Count();
  stats.log_bytes = parts_->segments.Bytes();
  stats.live_bytes = parts_->index->live_bytes();
  // The sums are read one after the other while writes go on.
  const uint64_t used_bytes = stats.live_bytes + stats.segments * kSegmentHeaderSize;
  stats.stale_bytes = stats.log_bytes - std::min(stats.log_bytes, used_bytes);
  stats.index_bytes = parts_->index->memory_bytes();
  stats.fsync_policy = parts_->options.fsync;
  stats.fsyncs = commit.fsyncs;
  stats.fsync_last_us = commit.fsync_last_us;
  stats.write_errors = commit.write_errors;
  stats.read_only = commit.read_only;
  stats.compactions = parts_->compactions;
  stats.compaction_running = parts_->compacting;
  stats.compaction_last_us = parts_->compaction_last_us;
  stats.compaction_last_pause_us = parts_->compaction_last_pause_us;
  stats.compaction_reclaimed_bytes = parts_->compaction_reclaimed_bytes;
  stats.recovery_us = parts_->recovered.duration_us;
  stats.recovered_records = parts_->recovered.records;
  stats.recovered_truncated_bytes = parts_->recovered.truncated_bytes;
  return stats;
}

}  // namespace keystone
