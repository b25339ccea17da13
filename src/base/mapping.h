// A file's bytes, read-only and shared with the page cache, for as long as the owner lives.
//
// Immutable after Map; any thread may read. The mapping may reach past the end of the file, so that
// a growing file needs no new one; bytes past the end must not be touched (SIGBUS). What can't be
// read below it is SIGBUS, too, unless the BusGuard is installed: then it is zeros.
#ifndef KEYSTONE_BASE_MAPPING_H_
#define KEYSTONE_BASE_MAPPING_H_

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "base/bus_guard.h"
#include "base/status.h"

namespace keystone {

class Mapping {
 public:
  static Result<Mapping> Map(int fd, size_t size_bytes, std::string_view path);

  Mapping() = default;
  Mapping(Mapping&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)),
        size_(std::exchange(other.size_, 0)),
        region_(std::exchange(other.region_, nullptr)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(region_, other.region_);
    return *this;
  }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping();

  const char* data() const { return data_; }
  size_t size() const { return size_; }

  // How many pages could not be read so far: they are zeros.
  uint64_t faults() const { return region_ == nullptr ? 0 : region_->faults.load(); }

 private:
  Mapping(const char* data, size_t size) : data_(data), size_(size) {}

  const char* data_ = nullptr;
  size_t size_ = 0;
  BusGuard::Region* region_ = nullptr;
};

}  // namespace keystone

#endif  // KEYSTONE_BASE_MAPPING_H_
