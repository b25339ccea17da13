#include "net/maintenance.h"

#include <string>
#include <system_error>
#include <utility>

#include "base/thread.h"

namespace keystone {

namespace {

constexpr std::chrono::seconds kCheckInterval{1};
// After an automatic compaction that failed, or that left as much stale as there was.
constexpr std::chrono::seconds kRetryAfter{60};

}  // namespace

bool CompactionPays(const StoreStats& stats, const CompactionThreshold& threshold) {
  if (threshold.stale_percent == 0 || stats.stale_bytes == 0) return false;
  if (stats.log_bytes < threshold.min_size_bytes) return false;
  return stats.stale_bytes * 100 >= stats.log_bytes * threshold.stale_percent;
}

Maintenance::Maintenance(Store* store, CompactionThreshold threshold, std::function<void()> on_idle)
    : store_(store), threshold_(threshold), on_idle_(std::move(on_idle)) {}

Maintenance::~Maintenance() {
  RequestStop();
  if (thread_.joinable()) thread_.join();
}

Status Maintenance::Start() {
  const std::lock_guard lock(mutex_);
  try {
    thread_ = std::thread(&Maintenance::Run, this);
    ended_ = false;
  } catch (const std::system_error& error) {
    return {Code::kSystem, std::string("start the maintenance thread: ") + error.what()};
  }
  return Status::Ok();
}

bool Maintenance::RequestCompaction(CompactionMode mode) {
  const std::lock_guard lock(mutex_);
  if (requested_.has_value() || running_ || stopping_) return false;
  requested_ = mode;
  changed_.notify_one();
  return true;
}

void Maintenance::RequestClear() {
  const std::lock_guard lock(mutex_);
  clear_ = true;
  changed_.notify_one();
}

void Maintenance::RequestStop() {
  const std::lock_guard lock(mutex_);
  stopping_ = true;
  changed_.notify_one();
}

bool Maintenance::busy() const {
  const std::lock_guard lock(mutex_);
  return requested_.has_value() || running_;
}

bool Maintenance::ended() const {
  const std::lock_guard lock(mutex_);
  return ended_;
}

void Maintenance::Run() {
  BlockSignals();
  for (;;) {
    const Work work = WaitForWork();
    if (work == Work::kStop) break;
    if (work == Work::kClear) {
      (void)store_->Clear();  // what came of it is in the log
      continue;
    }
    if (work == Work::kCheck && !AutomaticIsDue()) continue;
    Compact(work, Begin());
    Finish();
  }
  const std::lock_guard lock(mutex_);
  requested_.reset();
  ended_ = true;
  on_idle_();
}

Maintenance::Work Maintenance::WaitForWork() {
  const auto something = [this] { return stopping_ || clear_ || requested_.has_value(); };
  std::unique_lock lock(mutex_);
  if (threshold_.stale_percent == 0) {
    changed_.wait(lock, something);
  } else if (!changed_.wait_for(lock, kCheckInterval, something)) {
    return Work::kCheck;
  }
  if (stopping_) return Work::kStop;
  return std::exchange(clear_, false) ? Work::kClear : Work::kAsked;
}

bool Maintenance::AutomaticIsDue() const {
  return Clock::now() >= automatic_after_ && CompactionPays(store_->Stats(), threshold_);
}

CompactionMode Maintenance::Begin() {
  const std::lock_guard lock(mutex_);
  running_ = true;
  // A request that came meanwhile is served by this one.
  return std::exchange(requested_, std::nullopt).value_or(CompactionMode::kOnline);
}

void Maintenance::Finish() {
  const std::lock_guard lock(mutex_);
  running_ = false;
  on_idle_();
}

void Maintenance::Compact(Work work, CompactionMode mode) {
  const uint64_t reclaimed_before = store_->Stats().compaction_reclaimed_bytes;
  const Status status = store_->Compact(mode);
  // What came of it is in the log.
  const bool brought_nothing = store_->Stats().compaction_reclaimed_bytes == reclaimed_before;
  if (work == Work::kCheck && (!status.ok() || brought_nothing)) {
    automatic_after_ = Clock::now() + kRetryAfter;
  }
}

}  // namespace keystone
