// Puts a thread to sleep until another wakes it.
//
// POSIX's. Those of the standard library, and its waits for an atomic, yield the processor some
// times before they sleep; where many threads run, each of these is a switch for nothing.
//
// Thread-safe. May be destroyed as soon as Wait has returned for the last Post.
#ifndef KEYSTONE_BASE_SEMAPHORE_H_
#define KEYSTONE_BASE_SEMAPHORE_H_

#include <semaphore.h>

namespace keystone {

class Semaphore {
 public:
  Semaphore() { ::sem_init(&semaphore_, 0, 0); }
  Semaphore(const Semaphore&) = delete;
  Semaphore& operator=(const Semaphore&) = delete;
  ~Semaphore() { ::sem_destroy(&semaphore_); }

  void Post() { ::sem_post(&semaphore_); }

  void Wait() {
    while (::sem_wait(&semaphore_) != 0) continue;
  }

 private:
  sem_t semaphore_{};
};

}  // namespace keystone

#endif  // KEYSTONE_BASE_SEMAPHORE_H_
