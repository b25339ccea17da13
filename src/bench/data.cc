#include "bench/data.h"

#include <algorithm>

namespace keystone {

namespace {

constexpr size_t kHeadSize = 16;  // the digits that make a value its key's own

// splitmix64's finaliser, a bijection.
uint64_t Mix(uint64_t x) {
  x += 0x9e3779b97f4a7c15U;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9U;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebU;
  return x ^ (x >> 31);
}

std::array<char, kHeadSize> Head(uint64_t mixed) {
  std::array<char, kHeadSize> head;
  for (char& digit : head) {
    digit = "0123456789abcdef"[mixed & 15];
    mixed >>= 4;
  }
  return head;
}

}  // namespace

BenchKey::BenchKey(uint64_t number) : text_{'k', 'e', 'y', ':'} {
  for (size_t i = text_.size(); i > 4; i--) {
    text_[i - 1] = static_cast<char>('0' + number % 10);
    number /= 10;
  }
}

BenchValues::BenchValues(size_t size_bytes) : size_bytes_(size_bytes) {
  static constexpr std::string_view kAlphabet =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  pool_.resize(kPoolSize + size_bytes);
  for (size_t i = 0; i < pool_.size(); i++) pool_[i] = kAlphabet[Mix(i) % kAlphabet.size()];
}

void BenchValues::Append(uint64_t key_number, std::string* out) const {
  const uint64_t mixed = Mix(key_number);
  const std::array<char, kHeadSize> head = Head(mixed);
  const size_t half = (size_bytes_ + 1) / 2;
  const size_t head_size = std::min(size_bytes_, kHeadSize);
  const size_t start = out->size();
  out->append(head.data(), head_size);
  if (half > head_size) out->append(pool_, (mixed >> 20) % kPoolSize, half - head_size);
  while (out->size() < start + size_bytes_) {
    const size_t have = out->size() - start;
    out->append(*out, start, std::min(have, size_bytes_ - have));
  }
}

bool BenchValues::Matches(uint64_t key_number, std::string_view value) const {
  if (value.size() != size_bytes_) return false;
  const uint64_t mixed = Mix(key_number);
  const std::array<char, kHeadSize> head = Head(mixed);
  const size_t half = (size_bytes_ + 1) / 2;
  const size_t head_size = std::min(size_bytes_, kHeadSize);
  if (!value.starts_with(std::string_view(head.data(), head_size))) return false;
  const size_t tail_size = half > head_size ? half - head_size : 0;
  const std::string_view tail(pool_.data() + (mixed >> 20) % kPoolSize, tail_size);
  if (!value.substr(head_size).starts_with(tail)) return false;
  const size_t period = head_size + tail_size;
  return value.substr(period) == value.substr(0, size_bytes_ - period);
}

BenchRandom::BenchRandom(uint64_t seed) : state_(Mix(seed) | 1) {}

uint64_t BenchRandom::Below(uint64_t limit) {  // xorshift64*, scaled by its high bits
  state_ ^= state_ >> 12;
  state_ ^= state_ << 25;
  state_ ^= state_ >> 27;
  __extension__ using Wide = unsigned __int128;
  return static_cast<uint64_t>((static_cast<Wide>(state_ * 0x2545f4914f6cdd1dU) * limit) >> 64);
}

BenchPermutation::BenchPermutation(uint64_t size) : size_(size) {
  while ((uint64_t{1} << (2 * half_bits_)) < size) half_bits_++;
}

// A Feistel network permutes a power of four that is not much larger; what falls outside goes
// through it again.
uint64_t BenchPermutation::At(uint64_t position) const {
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  do {
    uint64_t left = position >> half_bits_;
    uint64_t right = position & mask;
    for (uint64_t round = 0; round < 4; round++) {
      const uint64_t next = left ^ (Mix(right + (round << 32)) & mask);
      left = right;
      right = next;
    }
    position = left << half_bits_ | right;
  } while (position >= size_);
  return position;
}

}  // namespace keystone
