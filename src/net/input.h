// What has been received of a client and not been used yet: in an array, which lives on the stack
// of the client's thread, while that suffices, on the heap while a big request is unfinished. One
// thread at a time.
#ifndef KEYSTONE_NET_INPUT_H_
#define KEYSTONE_NET_INPUT_H_

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "base/memory.h"

namespace keystone {

class Input {
 public:
  static constexpr size_t kSmall = size_t{16} << 10;

  // Room for the next recv.
  std::span<char> Room() {
    if (capacity_ - size_ < capacity_ / 4) Grow();
    return {data() + size_, std::min(capacity_ - size_, kMostPerRecv)};
  }
  void Added(size_t bytes) { size_ += bytes; }

  std::string_view bytes() const { return {big_ ? big_.get() : small_.data(), size_}; }

  // What it holds nothing in is the system's again, until it is used.
  void GiveBack() {
    if (size_ == 0) GiveBackPages(small_.data(), small_.size());
  }

  // Keeps only the last `rest` bytes.
  void Keep(size_t rest) {
    const char* const from = data() + size_ - rest;
    size_ = rest;
    if (big_ && rest <= small_.size() / 2) {
      std::memcpy(small_.data(), from, rest);
      big_.reset();
      capacity_ = small_.size();
    } else if (from != data()) {
      std::memmove(data(), from, rest);
    }
  }

 private:
  static constexpr size_t kFirstBig = size_t{64} << 10;
  static constexpr size_t kMostPerRecv = size_t{256} << 10;

  char* data() { return big_ ? big_.get() : small_.data(); }

  void Grow() {
    const size_t capacity = std::max(2 * capacity_, kFirstBig);
    auto bigger = std::make_unique_for_overwrite<char[]>(capacity);
    std::memcpy(bigger.get(), data(), size_);
    big_ = std::move(bigger);
    capacity_ = capacity;
  }

  size_t size_ = 0;
  size_t capacity_ = kSmall;
  std::unique_ptr<char[]> big_;
  std::array<char, kSmall> small_;  // not initialised: pages never touched cost nothing
};

}  // namespace keystone

#endif  // KEYSTONE_NET_INPUT_H_
