// How a Commit puts the active segment on stable storage, and looks after its file.
#include <algorithm>
#include <chrono>

#include "base/file.h"
#include "store/commit.h"

namespace keystone {

Status Commit::SyncRound(uint64_t round_start) {
  const uint64_t appended = active_->size();
  Status status;
  if (options_.sync_each_round) status = SyncFile(active_, active_->writer());
  // What is refused shall not come back with a restart; if this fails, too, that is allowed.
  if (!status.ok()) (void)active_->CutTo(round_start);
  const std::lock_guard lock(mutex_);
  appended_offset_ = active_->size();
  if (status.ok() && options_.sync_each_round) synced_offset_ = appended;
  return status;
}

Status Commit::Sync() {
  if (Status status = ReadOnlyError(); !status.ok()) return status;
  std::unique_lock lock(mutex_);
  const std::shared_ptr<Segment> segment = active_;
  const std::shared_ptr<const Fd> fd = segment->writer();
  const uint64_t appended = appended_offset_;
  lock.unlock();
  if (Status status = SyncFile(segment, fd); !status.ok()) return status;
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
// would take that for success. For the same reason what a failure means is decided before the next.
Status Commit::SyncFile(const std::shared_ptr<Segment>& segment,
                        const std::shared_ptr<const Fd>& fd) {
  const std::lock_guard sync_lock(sync_mutex_);
  if (Status status = ReadOnlyError(); !status.ok()) return status;
  const auto start = std::chrono::steady_clock::now();
  Status status = SyncData(fd->get(), segment->path());
  const auto spent = std::chrono::steady_clock::now() - start;
  fsyncs_.fetch_add(1, std::memory_order_relaxed);
  fsync_last_us_.store(
      static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(spent).count()),
      std::memory_order_relaxed);
  if (status.ok()) return status;
  // A segment whose place another has taken is no longer needed (after a compaction, or when all
  // keys were taken away), or who sealed it has synced all there was in it.
  const std::lock_guard lock(mutex_);
  if (active_ != segment) return Status::Ok();
  // The kernel may have dropped what it could not write, so trying again would prove nothing.
  return BecomeReadOnly(status);
}

}  // namespace keystone
