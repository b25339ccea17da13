#include "base/memory.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

#ifdef __GLIBC__
#include <malloc.h>
#endif

namespace keystone {

void ReturnFreeMemory() {
#ifdef __GLIBC__
  (void)::malloc_trim(0);
#endif
}

void GiveBackPages(char* data, size_t size_bytes) {
  static const auto page_size = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  const uintptr_t before = (page_size - reinterpret_cast<uintptr_t>(data) % page_size) % page_size;
  if (before >= size_bytes) return;
  const size_t whole = (size_bytes - before) / page_size * page_size;
  if (whole > 0) (void)::madvise(data + before, whole, MADV_DONTNEED);
}

}  // namespace keystone
