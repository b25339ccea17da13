// Memory straight from the kernel, zeroed, for big things that grow: once freed it is the kernel's
// again, whatever the allocator's arenas look like.
//
// Immutable after it is made, but for the bytes.
#ifndef KEYSTONE_BASE_PAGES_H_
#define KEYSTONE_BASE_PAGES_H_

#include <cstddef>

namespace keystone {

class Pages {
 public:
  // At least `size_bytes`, not 0, aligned to a page. Throws std::bad_alloc, as new does.
  explicit Pages(size_t size_bytes);
  ~Pages();
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

  char* data() const { return data_; }
  size_t size() const { return size_; }  // bytes, whole pages

 private:
  char* data_;
  size_t size_;
};

}  // namespace keystone

#endif  // KEYSTONE_BASE_PAGES_H_
