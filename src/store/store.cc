#include "store/store.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <new>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "base/bus_guard.h"
#include "base/clock.h"
#include "base/crc32.h"
#include "base/memory.h"
#include "store/commit.h"
#include "store/compaction.h"
#include "store/directory.h"
#include "store/hint_writer.h"
#include "store/index.h"
#include "store/key_walk.h"
#include "store/range.h"
#include "store/reaper.h"
#include "store/recovery.h"
#include "store/reserve.h"
#include "store/segment_set.h"
#include "store/segment_watch.h"
#include "store/verify.h"

namespace keystone {

namespace {

constexpr std::chrono::seconds kKeeperInterval{1};
constexpr std::chrono::milliseconds kReclaimPatience{20};
constexpr uint64_t kSmallestSegment = 4096;
constexpr size_t kKeysAPass = 256;  // of a walk over all keys, through the gate

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

}  // namespace

struct Store::Parts {
  Parts(const StoreOptions& store_options, const Log& store_log)
      : options(store_options), log(store_log) {}

  Status Recover(const RecoveryCallback& progress);
  Status StartKeeper();
  void StopKeeper();
  void RunKeeper();
  void KeepOnce(SegmentWatch* watch);
  void StartHints();
  Status Locate(std::string_view key, RecordView* record, Location* where);
  Status MissIfExpired(const RecordView& record, Location where);
  KeyWalk Walk(uint64_t cursor) { return {index.get(), &segments, &reaper, &log, cursor}; }
  uint64_t RandomPosition();
  void SyncEverySecond();
  void Reap();
  void ReclaimIndex();

  const StoreOptions options;
  const Log log;
  Gate gate;
  std::unique_ptr<Directory> directory;
  std::unique_ptr<Reserve> reserve;
  SegmentSet segments;
  std::unique_ptr<Index> index;
  std::unique_ptr<Commit> commit;
  std::unique_ptr<Compaction> compaction;
  std::unique_ptr<HintWriter> hints;
  Recovered recovered;
  Reaper reaper;
  Shard::Tables replaced;          // the keeper's: of the index, perhaps still read
  std::atomic<uint64_t> draws{0};  // of random keys

  std::mutex keeper_mutex;
  std::condition_variable keeper_wake;
  bool keeper_stops = false;                        // guarded by keeper_mutex
  std::thread keeper;                               // what is to be done once a second
  std::chrono::steady_clock::time_point synced_at;  // by the keeper, which only uses it
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
  if (Status status = store->parts_->StartKeeper(); !status.ok()) return status;
  return store;
}

Status Store::Parts::Recover(const RecoveryCallback& progress) {
  auto opened = Directory::OpenOrCreate(options.directory);
  if (!opened.ok()) return opened.status();
  directory = std::move(opened.value());
  reserve = std::make_unique<Reserve>(options.directory, &log);
  Recovery recovery(directory.get(), reserve.get(), options.segment_size_bytes, &segments, &log,
                    &progress);
  if (Status status = recovery.OpenDirectory(); !status.ok()) return status;
  index = std::make_unique<Index>(&segments, directory->manifest().seed);
  if (Status status = recovery.Replay(index.get(), &recovered); !status.ok()) return status;
  ReturnFreeMemory();
  reserve->Open();
  StartHints();
  commit = std::make_unique<Commit>(
      Commit::Options{.sync_each_round = options.fsync == FsyncPolicy::kAlways,
                      .segment_size_bytes = options.segment_size_bytes,
                      .on_seal = [this](auto segment) { hints->Add(std::move(segment)); },
                      .on_expired = [this](auto key) { reaper.Note(key); }},
      directory.get(), reserve.get(), &segments, index.get(), &log, recovered.next_sequence);
  compaction =
      std::make_unique<Compaction>(options.segment_size_bytes, directory.get(), reserve.get(),
                                   &segments, index.get(), commit.get(), &gate, hints.get(), &log);
  index->TakeReplaced();  // nobody reads yet
  return Status::Ok();
}

void Store::Parts::StartHints() {
  hints = std::make_unique<HintWriter>(options.directory, directory->manifest().seed, reserve.get(),
                                       &log);
  hints->Start();
  for (auto& segment : std::exchange(recovered.without_hint, {})) hints->Add(std::move(segment));
}

Status Store::Close() {
  CancelCompaction();
  parts_->StopKeeper();
  parts_->Reap();
  const Gate::Pass pass(&parts_->gate);
  // After a failed sync there is no point in another.
  const bool writable = !parts_->commit->read_only();
  Status status = writable ? parts_->segments.active()->CutReserve() : Status::Ok();
  if (writable && status.ok()) status = parts_->commit->Sync();
  const bool synced = writable && status.ok();
  parts_->hints->Finish(synced ? parts_->segments.active() : nullptr);
  parts_->commit.reset();
  return status;
}

// ---- reads

Status Store::Parts::Locate(std::string_view key, RecordView* record, Location* where) {
  Status status = index->Find(key, record, where);
  if (status.ok() && record->expires_at_ms != 0) status = MissIfExpired(*record, *where);
  if (!status.ok() && status.code() != Code::kNotFound) {
    log.Write(Priority::kCritical, "%s", status.message().c_str());
  }
  return status;
}

// Damage must not look like an absent key.
Status Store::Parts::MissIfExpired(const RecordView& record, Location where) {
  if (!record.attributes().ExpiredBy(UnixTimeMs())) return Status::Ok();
  if (Status status = VerifyBody(segments, record, where); !status.ok()) return status;
  reaper.Note(record.key);
  return Status::NotFound();
}

Status Store::Get(std::string_view key, FoundValue* found) {
  found->pass_ = Gate::Pass(&parts_->gate);
  found->faults_before_ = BusGuard::faults();
  RecordView record;
  Location where;
  Status status = parts_->Locate(key, &record, &where);
  if (status.ok()) {
    status = VerifyBody(parts_->segments, record, where);
    if (!status.ok()) parts_->log.Write(Priority::kCritical, "%s", status.message().c_str());
  }
  if (status.ok()) {
    found->segment_ = where.segment;
    found->value_ = record.value;
    found->attributes_ = record.attributes();
    found->sequence_ = record.sequence;
    found->body_ = record.body;
    found->body_crc_ = record.body_crc;
  } else {
    found->pass_ = Gate::Pass();
  }
  return status;
}

// A page that can't be read never comes back, so what is good now was so before.
bool FoundValue::spoilt() const {
  return BusGuard::faults() != faults_before_ && Crc32(body_) != body_crc_;
}

bool PinnedValue::spoilt() const {
  return BusGuard::faults() != faults_before_ && Crc32(body_) != body_crc_;
}

PinnedValue Store::Pin(FoundValue found) {
  PinnedValue pinned;
  // A compaction may have taken it out of the log meanwhile: it is found as long as the gate is
  // held.
  pinned.segment_ = parts_->segments.Find(found.segment_)->shared_from_this();
  pinned.value_ = found.value_;
  pinned.body_ = found.body_;
  pinned.body_crc_ = found.body_crc_;
  pinned.faults_before_ = found.faults_before_;
  return pinned;
}

Status Store::Exists(std::string_view key) {
  const Gate::Pass pass(&parts_->gate);
  RecordView record;
  Location where;
  return parts_->Locate(key, &record, &where);
}

void Store::Prefetch(std::span<const std::string_view> keys) {
  const Gate::Pass pass(&parts_->gate);
  for (const std::string_view key : keys) parts_->index->PrefetchSlot(key);
  for (const std::string_view key : keys) parts_->index->PrefetchRecord(key);
}

uint64_t Store::Count() const { return parts_->index->LiveAt(UnixTimeMs()).keys; }

Status Store::Scan(uint64_t cursor, size_t count, std::string_view prefix, ScanResult* result) {
  KeyWalk walk = parts_->Walk(cursor);
  result->keys.clear();
  Status status;
  do {
    const Gate::Pass pass(&parts_->gate);
    const size_t step = std::min(count, kKeysAPass);
    count -= step;
    status = walk.Step(step, [&](std::string_view key) {
      if (key.starts_with(prefix)) result->keys.emplace_back(key);
    });
  } while (status.ok() && walk.cursor() != 0 && count > 0);
  result->next_cursor = walk.cursor();
  return status;
}

Status Store::Range(const KeyRange& range, std::vector<std::string>* keys) try {
  RangeCollector found(range);
  KeyWalk walk = parts_->Walk(0);
  do {
    const Gate::Pass pass(&parts_->gate);
    Status status = walk.Step(kKeysAPass, [&](std::string_view key) { found.Offer(key); });
    if (!status.ok()) return status;
  } while (walk.cursor() != 0);
  *keys = found.Take();
  return Status::Ok();
} catch (const std::bad_alloc&) {
  return Status::OutOfMemory();
}

// The index's hash has a secret seed.
uint64_t Store::Parts::RandomPosition() {
  return index->Position(std::to_string(draws.fetch_add(1, std::memory_order_relaxed)) + "/" +
                         std::to_string(UnixTimeMs()));
}

// From a random place to the end, and then, where nothing is left there, from the beginning.
Status Store::RandomKey(std::string* key) {
  for (const uint64_t from : {parts_->RandomPosition(), uint64_t{0}}) {
    KeyWalk walk = parts_->Walk(from);
    size_t keys_a_pass = 1;
    do {
      const Gate::Pass pass(&parts_->gate);
      bool found = false;
      Status status = walk.Step(keys_a_pass, [&](std::string_view visited) {
        if (!std::exchange(found, true)) *key = visited;
      });
      if (!status.ok() || found) return status;
      keys_a_pass = kKeysAPass;
    } while (walk.cursor() != 0);
  }
  return Status::NotFound();
}

// ---- writes

Status Store::Apply(Batch* batch) {
  if (batch->empty()) {
    batch->set_status(Status::Ok());
    return Status::Ok();
  }
  Apply(std::span<Batch* const>(&batch, 1));
  return batch->status();
}

void Store::Apply(std::span<Batch* const> batches) {
  for (Batch* batch : batches) batch->set_status(CheckLimits(*batch));
  const Gate::Pass pass(&parts_->gate);
  parts_->commit->Submit(batches);
}

bool Store::ApplyOrDefer(Batch* batch, Deferral* deferral) {
  batch->set_status(CheckLimits(*batch));
  deferral->batch_ = batch;
  const Gate::Pass pass(&parts_->gate);
  return parts_->commit->SubmitOrDefer(&deferral->batch_, deferral->waiter_.get());
}

Status Store::Sync() {
  const Gate::Pass pass(&parts_->gate);
  return parts_->commit->Sync();
}

Status Store::Parts::StartKeeper() {
  try {
    keeper = std::thread([this] { RunKeeper(); });
  } catch (const std::system_error& error) {
    return {Code::kSystem, std::string("start the store's thread: ") + error.what()};
  }
  return Status::Ok();
}

void Store::Parts::StopKeeper() {
  {
    const std::lock_guard lock(keeper_mutex);
    keeper_stops = true;
  }
  keeper_wake.notify_one();
  if (keeper.joinable()) keeper.join();
}

void Store::Parts::RunKeeper() {
  SegmentWatch watch;
  std::unique_lock lock(keeper_mutex);
  while (!keeper_wake.wait_for(lock, kKeeperInterval, [this] { return keeper_stops; })) {
    lock.unlock();
    try {
      KeepOnce(&watch);
    } catch (const std::bad_alloc&) {
      // There may be memory again in a second.
    }
    lock.lock();
  }
}

void Store::Parts::KeepOnce(SegmentWatch* watch) {
  SyncEverySecond();
  commit->WatchActive(watch);
  ReclaimIndex();
  reserve->Retake(compaction->running() ? compaction->NeededBytes() : 0);
  Reap();  // which may take longer than the others can wait
}

void Store::Parts::SyncEverySecond() {
  if (options.fsync != FsyncPolicy::kEverySecond) return;
  synced_at = std::chrono::steady_clock::now();
  (void)commit->SyncDirty();  // a failure has turned the store read-only and is in the log
}

// What room is left on a full disk is not for this.
void Store::Parts::Reap() {
  if (commit->read_only() || reserve->released()) return;
  reaper.Reap([this](std::span<Batch* const> batches) {
    {
      const Gate::Pass pass(&gate);
      commit->Submit(batches);
    }
    if (std::chrono::steady_clock::now() - synced_at >= kKeeperInterval) SyncEverySecond();
  });
}

void Store::Parts::ReclaimIndex() {
  replaced.splice(replaced.end(), index->TakeReplaced());
  if (!replaced.empty() && gate.DrainWithin(kReclaimPatience)) replaced.clear();
}

// ---- compaction

void Store::CancelCompaction() { parts_->compaction->Cancel(); }

Status Store::Compact(CompactionMode mode) { return parts_->compaction->Run(mode); }

bool Store::compacting() const { return parts_->compaction->running(); }

Status Store::Clear() { return parts_->compaction->Clear(); }

// ---- numbers

StoreStats Store::Stats() const {
  const Commit::Stats commit = parts_->commit->GetStats();
  const Compaction::Stats compaction = parts_->compaction->GetStats();
  const uint64_t now_ms = UnixTimeMs();
  const ExpiryLedger::Sums expiry = parts_->index->expiry().At(now_ms);
  const Index::Live live = parts_->index->LiveAt(now_ms);
  StoreStats stats;
  stats.keys = live.keys;
  stats.keys_expiring = expiry.expiring_records;
  stats.expired = expiry.ever_expired;
  stats.segments = parts_->segments.Count();
  stats.log_bytes = parts_->segments.Bytes();
  stats.live_bytes = live.bytes;
  // The sums are read one after the other while writes go on.
  const uint64_t used_bytes = stats.live_bytes + stats.segments * kSegmentHeaderSize;
  stats.stale_bytes = stats.log_bytes - std::min(stats.log_bytes, used_bytes);
  stats.index_bytes = parts_->index->memory_bytes();
  stats.fsync_policy = parts_->options.fsync;
  stats.fsyncs = commit.fsyncs;
  stats.fsync_last_us = commit.fsync_last_us;
  stats.write_errors = commit.write_errors;
  stats.read_only = commit.read_only;
  stats.compactions = compaction.count;
  stats.compaction_running = compaction.running;
  stats.compaction_last_us = compaction.last_us;
  stats.compaction_last_pause_us = compaction.last_pause_us;
  stats.compaction_reclaimed_bytes = compaction.reclaimed_bytes;
  stats.recovery_us = parts_->recovered.duration_us;
  stats.recovered_records = parts_->recovered.records;
  stats.recovered_truncated_bytes = parts_->recovered.truncated_bytes;
  return stats;
}

}  // namespace keystone
