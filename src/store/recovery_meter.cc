#include "store/recovery_meter.h"

#include <chrono>

namespace keystone {

namespace {

constexpr uint64_t kIntervalUs = 1'000'000;

uint64_t NowUs() {
  using std::chrono::steady_clock;
  const auto now = steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

}  // namespace

RecoveryMeter::RecoveryMeter(uint64_t bytes_total, const Log* log, const RecoveryCallback* callback)
    : bytes_total_(bytes_total),
      log_(log),
      callback_(callback),
      teller_(std::this_thread::get_id()),
      start_us_(NowUs()),
      next_us_(start_us_ + kIntervalUs) {}

Status RecoveryMeter::Advance(uint64_t bytes, uint64_t records) {
  bytes_.fetch_add(bytes, std::memory_order_relaxed);
  records_.fetch_add(records, std::memory_order_relaxed);
  if (std::this_thread::get_id() == teller_) Tell();
  if (!stopped_.load(std::memory_order_relaxed)) return Status::Ok();
  return {Code::kCancelled, "recovery stopped on request"};
}

uint64_t RecoveryMeter::duration_us() const { return NowUs() - start_us_; }

void RecoveryMeter::Tell() {
  const uint64_t now_us = NowUs();
  if (now_us < next_us_ || stopped_) return;
  next_us_ = now_us + kIntervalUs;
  const RecoveryProgress progress{
      .bytes_done = bytes_, .bytes_total = bytes_total_, .records = records_};
  log_->Write(Priority::kInfo, "recovering: %llu of %llu bytes, %llu records",
              static_cast<unsigned long long>(progress.bytes_done),
              static_cast<unsigned long long>(progress.bytes_total),
              static_cast<unsigned long long>(progress.records));
  if (*callback_ && !(*callback_)(progress)) stopped_ = true;
}

}  // namespace keystone
