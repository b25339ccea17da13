// How often each duration was seen, in little memory whatever the durations are.
//
// Log-linear, as HdrHistogram's: 128 steps for each power of two, so a percentile is at most 1/128
// (0.8 %) above the duration that it stands for, and durations below 256 are exact. The maximum is
// always exact. Not thread-safe; adding allocates nothing.
#ifndef KEYSTONE_BENCH_HISTOGRAM_H_
#define KEYSTONE_BENCH_HISTOGRAM_H_

#include <array>
#include <cstddef>
#include <cstdint>

namespace keystone {

class Histogram {
 public:
  // Longer ones than 2^40 ns (18 minutes) are counted with those of that length.
  void Add(uint64_t ns);
  void Merge(const Histogram& other);

  uint64_t count() const { return count_; }
  uint64_t max_ns() const { return max_ns_; }

  // A duration that `share` (0 to 1) of those added don't exceed; 0 where there are none.
  uint64_t Percentile(double share) const;

 private:
  static constexpr unsigned kStepBits = 7;
  static constexpr uint64_t kSteps = uint64_t{1} << kStepBits;
  static constexpr unsigned kLargestBits = 40;

  static size_t BucketOf(uint64_t ns);
  static uint64_t Top(size_t bucket);  // the longest duration that is counted in it

  std::array<uint64_t, (kLargestBits - kStepBits + 1) * kSteps> buckets_{};
  uint64_t count_ = 0;
  uint64_t max_ns_ = 0;
};

}  // namespace keystone

#endif  // KEYSTONE_BENCH_HISTOGRAM_H_
