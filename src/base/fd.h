// An owned file descriptor: closed when its owner goes, moved but never copied.
//
// Not thread-safe. The error of close(2) is not reported: whoever needs a write to be on disk syncs
// before.
#ifndef KEYSTONE_BASE_FD_H_
#define KEYSTONE_BASE_FD_H_

#include <unistd.h>

#include <utility>

namespace keystone {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) reset(other.release());
    return *this;
  }
  Fd(const Fd&) = delete;
  Fd& operator=(const Fd&) = delete;
  ~Fd() { reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  int release() { return std::exchange(fd_, -1); }
  void reset(int fd = -1) {
    const int old = std::exchange(fd_, fd);
    if (old >= 0) ::close(old);
  }

 private:
  int fd_ = -1;
};

}  // namespace keystone

#endif  // KEYSTONE_BASE_FD_H_
