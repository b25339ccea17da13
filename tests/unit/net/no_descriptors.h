// A process that has used up its descriptors, for tests.
#ifndef KEYSTONE_TESTS_UNIT_NET_NO_DESCRIPTORS_H_
#define KEYSTONE_TESTS_UNIT_NET_NO_DESCRIPTORS_H_

#include <fcntl.h>
#include <sys/resource.h>

#include "base/fd.h"

namespace testing {

// While it lives this process gets no descriptor above those that are open.
class NoDescriptors {
 public:
  NoDescriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    // The kernel hands out the lowest that is free: there may be gaps below the highest.
    for (;;) {
      keystone::Fd fd(::open("/dev/null", O_RDONLY | O_CLOEXEC));
      const rlimit none{.rlim_cur = static_cast<rlim_t>(fd.get()), .rlim_max = before_.rlim_max};
      fd.reset();
      ::setrlimit(RLIMIT_NOFILE, &none);
      if (!keystone::Fd(::open("/dev/null", O_RDONLY | O_CLOEXEC)).valid()) return;
      ::setrlimit(RLIMIT_NOFILE, &before_);
    }
  }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;
  ~NoDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }

 private:
  rlimit before_{};
};

}  // namespace testing

#endif  // KEYSTONE_TESTS_UNIT_NET_NO_DESCRIPTORS_H_
