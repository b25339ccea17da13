#include "bench/histogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace keystone {

// Row 0 holds 0 to 2 * kSteps - 1, one a bucket. Each row after it holds the durations with one
// more significant bit in kSteps buckets, by their first kStepBits + 1 bits.
size_t Histogram::BucketOf(uint64_t ns) {
  ns = std::min(ns, (uint64_t{1} << kLargestBits) - 1);
  const auto bits = static_cast<unsigned>(std::bit_width(ns));
  const unsigned shift = bits > kStepBits + 1 ? bits - kStepBits - 1 : 0;
  return shift * kSteps + (ns >> shift);
}

uint64_t Histogram::Top(size_t bucket) {
  const uint64_t shift = bucket < 2 * kSteps ? 0 : bucket / kSteps - 1;
  return ((bucket - shift * kSteps + 1) << shift) - 1;
}

void Histogram::Add(uint64_t ns) {
  buckets_[BucketOf(ns)]++;
  count_++;
  max_ns_ = std::max(max_ns_, ns);
}

void Histogram::Merge(const Histogram& other) {
  for (size_t i = 0; i < buckets_.size(); i++) buckets_[i] += other.buckets_[i];
  count_ += other.count_;
  max_ns_ = std::max(max_ns_, other.max_ns_);
}

uint64_t Histogram::Percentile(double share) const {
  const auto wanted =
      std::max(uint64_t{1}, static_cast<uint64_t>(std::ceil(static_cast<double>(count_) * share)));
  uint64_t seen = 0;
  for (size_t i = 0; i < buckets_.size(); i++) {
    seen += buckets_[i];
    if (seen >= wanted) return std::min(Top(i), max_ns_);
  }
  return max_ns_;
}

}  // namespace keystone
