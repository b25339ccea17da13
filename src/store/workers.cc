#include "store/workers.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

namespace keystone {

namespace {

constexpr size_t kMostWorkers = 4;
constexpr std::chrono::milliseconds kIdleInterval{100};

class Pool {
 public:
  Pool(size_t count, const std::function<Status(size_t, size_t)>& task)
      : count_(count), failed_(count), task_(task) {}

  Status Run(size_t workers, const std::function<void()>& idle) {
    Start(std::min(workers, count_));
    Work(0);
    std::unique_lock lock(mutex_);
    while (!done_.wait_for(lock, kIdleInterval, [this] { return working_ == 0; })) {
      lock.unlock();
      idle();
      lock.lock();
    }
    lock.unlock();
    for (std::thread& thread : threads_) thread.join();
    return status_;
  }

 private:
  void Start(size_t workers) {
    for (size_t worker = 1; worker < workers; worker++) {
      try {
        threads_.emplace_back([this, worker] {
          Work(worker);
          const std::lock_guard lock(mutex_);
          working_--;
          done_.notify_one();
        });
      } catch (const std::system_error&) {
        return;
      } catch (const std::bad_alloc&) {
        return;
      }
      const std::lock_guard lock(mutex_);
      working_++;
    }
  }

  void Work(size_t worker) {
    for (;;) {
      size_t number = 0;
      {
        const std::lock_guard lock(mutex_);
        if (next_ >= failed_) return;
        number = next_++;
      }
      Status status = UnlessOutOfMemory([&] { return task_(worker, number); });
      if (status.ok()) continue;
      const std::lock_guard lock(mutex_);
      if (number >= failed_) continue;
      failed_ = number;
      status_ = std::move(status);
    }
  }

  const size_t count_;
  std::mutex mutex_;
  std::condition_variable done_;
  std::ptrdiff_t working_ = 0;  // guarded by mutex_; threads but this one
  size_t next_ = 0;             // guarded by mutex_
  size_t failed_;               // guarded by mutex_; the first task that failed, or all of them
  Status status_;               // guarded by mutex_; of that task
  const std::function<Status(size_t, size_t)>& task_;
  std::vector<std::thread> threads_;
};

}  // namespace

size_t WorkerCount() {
  return std::clamp<size_t>(std::thread::hardware_concurrency(), 1, kMostWorkers);
}

Status RunTasks(size_t count, size_t workers, const std::function<Status(size_t, size_t)>& task,
                const std::function<void()>& idle) {
  return Pool(count, task).Run(workers, idle);
}

}  // namespace keystone
