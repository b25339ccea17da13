// Received bytes that wait to be used: added at the end, dropped from the front, on the heap only
// while there are any. One thread at a time.
#ifndef KEYSTONE_NET_BUFFER_H_
#define KEYSTONE_NET_BUFFER_H_

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

namespace keystone {

class Buffer {
 public:
  std::string_view bytes() const { return {data_.get() + start_, size_}; }
  bool empty() const { return size_ == 0; }

  // Room for more bytes behind those that there are; what was put there counts once Added.
  std::span<char> Room() {
    Reserve(kLeastRoom);
    const size_t end = start_ + size_;
    return {data_.get() + end, std::min(capacity_ - end, kMostRoom)};
  }
  void Added(size_t size) { size_ += size; }

  void Append(std::string_view bytes) {
    if (bytes.empty()) return;
    Reserve(bytes.size());
    std::memcpy(data_.get() + start_ + size_, bytes.data(), bytes.size());
    size_ += bytes.size();
  }

  void Drop(size_t size) {
    start_ += size;
    size_ -= size;
    if (size_ == 0) *this = Buffer();
  }

 private:
  static constexpr size_t kLeastRoom = size_t{16} << 10;
  static constexpr size_t kMostRoom = size_t{256} << 10;

  void Reserve(size_t room) {
    if (capacity_ - start_ - size_ >= room) return;
    // So that no byte is moved often, and a big request's memory does not stay for small ones.
    if (capacity_ - size_ >= room && start_ >= size_ && capacity_ / 8 <= size_ + room) {
      std::memcpy(data_.get(), data_.get() + start_, size_);
    } else {
      Grow(size_ + room);
    }
    start_ = 0;
  }

  void Grow(size_t least) {
    const size_t capacity = std::max(least, 2 * size_);
    auto bigger = std::make_unique_for_overwrite<char[]>(capacity);
    if (size_ > 0) std::memcpy(bigger.get(), data_.get() + start_, size_);
    data_ = std::move(bigger);
    capacity_ = capacity;
  }

  std::unique_ptr<char[]> data_;
  size_t capacity_ = 0;
  size_t start_ = 0;  // of the bytes in data_
  size_t size_ = 0;
};

}  // namespace keystone

#endif  // KEYSTONE_NET_BUFFER_H_
