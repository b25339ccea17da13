#include "store/expiry_ledger.h"

#include <algorithm>

namespace keystone {

namespace {

constexpr uint64_t kMsPerSecond = 1000;
constexpr uint64_t kNodeBytes = 64;  // of the map

// The first full second at which it has expired.
uint64_t SecondOf(uint64_t expires_at_ms) { return (expires_at_ms - 1) / kMsPerSecond + 1; }

}  // namespace

void ExpiryLedger::AddToSecond(uint64_t second, const Bucket& bucket) {
  const bool passed = second <= passed_second_;
  Bucket& sum = passed ? passed_ : seconds_[second];
  sum.records += bucket.records;
  sum.bytes += bucket.bytes;
  (passed ? ever_expired_ : expiring_) += bucket.records;
}

void ExpiryLedger::Add(const Expiring& record) {
  const std::lock_guard lock(mutex_);
  AddToSecond(SecondOf(record.expires_at_ms), {1, record.size_bytes});
}

void ExpiryLedger::AddAll(std::span<Expiring> records) {
  std::sort(records.begin(), records.end(),
            [](const Expiring& a, const Expiring& b) { return a.expires_at_ms < b.expires_at_ms; });
  const std::lock_guard lock(mutex_);
  for (size_t i = 0; i < records.size();) {
    const uint64_t second = SecondOf(records[i].expires_at_ms);
    Bucket bucket;
    for (; i < records.size() && SecondOf(records[i].expires_at_ms) == second; i++) {
      bucket.records++;
      bucket.bytes += records[i].size_bytes;
    }
    AddToSecond(second, bucket);
  }
}

void ExpiryLedger::Remove(const Expiring& record, uint64_t now_ms) {
  const uint64_t second = SecondOf(record.expires_at_ms);
  const std::lock_guard lock(mutex_);
  const auto found = second <= passed_second_ ? seconds_.end() : seconds_.find(second);
  if (second > passed_second_ && found == seconds_.end()) return;
  Bucket& sum = found == seconds_.end() ? passed_ : found->second;
  if (sum.records == 0) return;
  sum.records--;
  sum.bytes -= std::min(sum.bytes, record.size_bytes);
  if (found == seconds_.end()) return;
  expiring_--;
  if (record.expires_at_ms <= now_ms) ever_expired_++;
  if (sum.records == 0) seconds_.erase(found);
}

ExpiryLedger::Sums ExpiryLedger::At(uint64_t now_ms) {
  const std::lock_guard lock(mutex_);
  passed_second_ = std::max(passed_second_, now_ms / kMsPerSecond);
  while (!seconds_.empty() && seconds_.begin()->first <= passed_second_) {
    const Bucket& bucket = seconds_.begin()->second;
    passed_.records += bucket.records;
    passed_.bytes += bucket.bytes;
    expiring_ -= bucket.records;
    ever_expired_ += bucket.records;
    seconds_.erase(seconds_.begin());
  }
  return {.expired_records = passed_.records,
          .expired_bytes = passed_.bytes,
          .expiring_records = expiring_,
          .ever_expired = ever_expired_};
}

void ExpiryLedger::Clear() {
  const std::lock_guard lock(mutex_);
  seconds_.clear();
  passed_ = {};
  expiring_ = 0;
}

uint64_t ExpiryLedger::memory_bytes() const {
  const std::lock_guard lock(mutex_);
  return seconds_.size() * kNodeBytes;
}

}  // namespace keystone
