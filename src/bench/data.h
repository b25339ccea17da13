// Keys and values of a benchmark: pure functions of a number, so that a value can be checked
// without knowing what was stored when.
#ifndef KEYSTONE_BENCH_DATA_H_
#define KEYSTONE_BENCH_DATA_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace keystone {

inline constexpr size_t kBenchKeySize = 16;
inline constexpr uint64_t kMostBenchKeys = 999'999'999'999;

// "key:" and the 12 digits of `number`, which is at most kMostBenchKeys. Immutable.
class BenchKey {
 public:
  explicit BenchKey(uint64_t number);
  std::string_view text() const { return {text_.data(), text_.size()}; }

 private:
  std::array<char, kBenchKeySize> text_;
};

// Values of one size. Printable, so that every protocol carries them as they are; a compressor like
// LevelDB's halves them, as it does db_bench's: the second half repeats the first. Values of 16
// bytes and more differ from key to key. Immutable: any number of threads may use it.
class BenchValues {
 public:
  explicit BenchValues(size_t size_bytes);

  size_t size_bytes() const { return size_bytes_; }

  void Append(uint64_t key_number, std::string* out) const;
  bool Matches(uint64_t key_number, std::string_view value) const;

 private:
  static constexpr size_t kPoolSize = 65536;

  const size_t size_bytes_;
  std::string pool_;  // what values are slices of
};

// Numbers that follow no pattern, the same in each run. Not thread-safe.
class BenchRandom {
 public:
  explicit BenchRandom(uint64_t seed);
  uint64_t Below(uint64_t limit);  // 0 to limit - 1

 private:
  uint64_t state_;
};

// The numbers 0 to size - 1 in an order that follows no pattern, each once. Immutable and without
// memory.
class BenchPermutation {
 public:
  explicit BenchPermutation(uint64_t size);
  uint64_t At(uint64_t position) const;

 private:
  const uint64_t size_;
  unsigned half_bits_ = 1;
};

}  // namespace keystone

#endif  // KEYSTONE_BENCH_DATA_H_
