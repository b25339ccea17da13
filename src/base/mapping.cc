#include "base/mapping.h"

#include <sys/mman.h>

#include <cerrno>

namespace keystone {

Result<Mapping> Mapping::Map(int fd, size_t size_bytes, std::string_view path) {
  void* data = ::mmap(nullptr, size_bytes, PROT_READ, MAP_SHARED, fd, 0);
  if (data == MAP_FAILED) return Status::FromErrno("map", path, errno);
  Mapping mapping(static_cast<const char*>(data), size_bytes);
  mapping.region_ = BusGuard::Add(data, size_bytes);
  return mapping;
}

Mapping::~Mapping() {
  if (region_ != nullptr) BusGuard::Remove(region_);
  if (data_ != nullptr) ::munmap(const_cast<char*>(data_), size_);
}

}  // namespace keystone
