#include "base/pages.h"

#include <sys/mman.h>
#include <unistd.h>

#include <new>

namespace keystone {

namespace {

size_t WholePages(size_t size_bytes) {
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  return (size_bytes + page - 1) / page * page;
}

}  // namespace

Pages::Pages(size_t size_bytes) : data_(nullptr), size_(WholePages(size_bytes)) {
  void* data = ::mmap(nullptr, size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (data == MAP_FAILED) throw std::bad_alloc();
  data_ = static_cast<char*>(data);
}

Pages::~Pages() { ::munmap(data_, size_); }

}  // namespace keystone
