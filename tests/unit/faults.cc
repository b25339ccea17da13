#include "faults.h"

#include <limits.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <mutex>
#include <optional>
#include <string_view>
#include <utility>

extern "C" {
int __real_fdatasync(int fd);
int __real_fsync(int fd);
ssize_t __real_pwritev(int fd, const struct iovec* pieces, int count, off_t offset);
ssize_t __wrap_pwritev(int fd, const struct iovec* pieces, int count, off_t offset);
int __real_rename(const char* from, const char* to);
int __real_ftruncate(int fd, off_t size);
int __real_posix_fallocate(int fd, off_t offset, off_t size);
int __real_statvfs(const char* path, struct statvfs* info);
int __real_clock_gettime(clockid_t clock, struct timespec* now);
}

namespace faults {

namespace {

struct Plan {
  size_t calls = 0;
  size_t skip = 0;
  bool once = false;
  std::optional<int> error;
  bool tear = false;
};

using Plans = std::array<Plan, static_cast<size_t>(Call::kCount)>;

std::mutex mutex;
Plans plans;                         // guarded by mutex
Plans hints_plans;                   // guarded by mutex
std::optional<uint64_t> free_bytes;  // guarded by mutex
std::atomic<int64_t> clock_shift_ms{0};
constexpr int kNotHeld = -1;
std::atomic<int> held_sync_error{kNotHeld};
std::atomic<bool> sync_is_held{false};

Plan& PlanOf(Call call, bool hints = false) {
  return (hints ? hints_plans : plans)[static_cast<size_t>(call)];
}

bool IsHint(std::string_view path) { return path.ends_with(".hint.tmp"); }

// Takes no memory: tests make that fail, too.
bool IsHint(int fd) {
  char path[PATH_MAX];
  char link[32];
  std::snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  const ssize_t size = ::readlink(link, path, sizeof path);
  return size > 0 && IsHint({path, static_cast<size_t>(size)});
}

void Set(Call call, int error, size_t skip, bool once, bool hints = false) {
  const std::lock_guard lock(mutex);
  Plan& plan = PlanOf(call, hints);
  plan.error = error;
  plan.skip = skip;
  plan.once = once;
}

// Counts a call; true where it shall fail, with errno set.
bool Fails(Call call, bool hints) {
  const std::lock_guard lock(mutex);
  Plan& plan = PlanOf(call, hints);
  plan.calls++;
  if (!plan.error) return false;
  if (plan.skip > 0) {
    plan.skip--;
    return false;
  }
  errno = *plan.error;
  if (plan.once) plan.error.reset();
  return true;
}

bool TakeTear() {
  const std::lock_guard lock(mutex);
  return std::exchange(PlanOf(Call::kPwritev).tear, false);
}

}  // namespace

void Fail(Call call, int error, size_t skip) { Set(call, error, skip, false); }

void FailOnce(Call call, int error, size_t skip) { Set(call, error, skip, true); }

void FailForHints(Call call, int error, size_t skip) { Set(call, error, skip, false, true); }

void TearNextWrite(int error) {
  Set(Call::kPwritev, error, 1, true);
  const std::lock_guard lock(mutex);
  PlanOf(Call::kPwritev).tear = true;
}

void HoldNextSync(int error) { held_sync_error = error; }

bool SyncIsHeld() { return sync_is_held; }

void LetSyncGo() {
  held_sync_error = kNotHeld;
  sync_is_held = false;
  sync_is_held.notify_all();
}

void SetFreeBytes(uint64_t bytes) {
  const std::lock_guard lock(mutex);
  free_bytes = bytes;
}

void ShiftClock(int64_t ms) { clock_shift_ms = ms; }

size_t Count(Call call) {
  const std::lock_guard lock(mutex);
  return PlanOf(call).calls;
}

void Clear() {
  const std::lock_guard lock(mutex);
  plans = {};
  hints_plans = {};
  free_bytes.reset();
  clock_shift_ms = 0;
}

}  // namespace faults

extern "C" {

int __wrap_fdatasync(int fd) {
  const int error =
      faults::IsHint(fd) ? faults::kNotHeld : faults::held_sync_error.exchange(faults::kNotHeld);
  if (error != faults::kNotHeld) {
    faults::sync_is_held = true;
    faults::sync_is_held.wait(true);
  }
  if (error > 0) {
    errno = error;
    return -1;
  }
  return faults::Fails(faults::Call::kFdatasync, faults::IsHint(fd)) ? -1 : __real_fdatasync(fd);
}

int __wrap_fsync(int fd) {
  return faults::Fails(faults::Call::kFsync, faults::IsHint(fd)) ? -1 : __real_fsync(fd);
}

ssize_t __wrap_pwrite(int fd, const void* data, size_t size, off_t offset) {
  const iovec piece{const_cast<void*>(data), size};
  return __wrap_pwritev(fd, &piece, 1, offset);
}

ssize_t __wrap_pwritev(int fd, const struct iovec* pieces, int count, off_t offset) {
  if (faults::Fails(faults::Call::kPwritev, faults::IsHint(fd))) return -1;
  if (faults::IsHint(fd) || !faults::TakeTear()) return __real_pwritev(fd, pieces, count, offset);
  iovec half = pieces[0];
  half.iov_len = (half.iov_len + 1) / 2;
  return __real_pwritev(fd, &half, 1, offset);
}

int __wrap_rename(const char* from, const char* to) {
  return faults::Fails(faults::Call::kRename, faults::IsHint(from)) ? -1 : __real_rename(from, to);
}

int __wrap_ftruncate(int fd, off_t size) {
  return faults::Fails(faults::Call::kFtruncate, faults::IsHint(fd)) ? -1
                                                                     : __real_ftruncate(fd, size);
}

// It returns the error.
int __wrap_posix_fallocate(int fd, off_t offset, off_t size) {
  return faults::Fails(faults::Call::kFallocate, false) ? errno
                                                        : __real_posix_fallocate(fd, offset, size);
}

int __wrap_statvfs(const char* path, struct statvfs* info) {
  const int result = __real_statvfs(path, info);
  const std::lock_guard lock(faults::mutex);
  if (result == 0 && faults::free_bytes) {
    info->f_bfree = info->f_bavail = *faults::free_bytes / info->f_frsize;
  }
  return result;
}

int __wrap_clock_gettime(clockid_t clock, struct timespec* now) {
  const int result = __real_clock_gettime(clock, now);
  if (clock != CLOCK_REALTIME) return result;
  const int64_t ms = faults::clock_shift_ms + now->tv_nsec / 1'000'000;
  const int64_t of_second = (ms % 1000 + 1000) % 1000;
  now->tv_sec += (ms - of_second) / 1000;
  now->tv_nsec = of_second * 1'000'000 + now->tv_nsec % 1'000'000;
  return result;
}

}  // extern "C"
