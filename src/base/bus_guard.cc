#include "base/bus_guard.h"

#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <mutex>
#include <utility>

namespace keystone {

namespace {

// What the handler can reach.
std::atomic<BusGuard::Region*> all_regions{nullptr};
std::atomic<uint64_t> all_faults{0};
std::atomic<uintptr_t> page_size{4096};
struct sigaction previous_action;  // constant once the handler is there
static_assert(std::atomic<uintptr_t>::is_always_lock_free);
static_assert(std::atomic<uint64_t>::is_always_lock_free);

std::mutex regions_mutex;
BusGuard::Region* unused_regions = nullptr;  // guarded by regions_mutex

BusGuard::Region* RegionOf(uintptr_t address) {
  for (auto* region = all_regions.load(std::memory_order_acquire); region != nullptr;
       region = region->next) {
    const size_t size = region->size.load(std::memory_order_acquire);
    const uintptr_t begin = region->begin.load(std::memory_order_acquire);
    if (address >= begin && address - begin < size) return region;
  }
  return nullptr;
}

// The call itself: the thread sanitizer would take mmap for a write that races with readers.
bool MapZeros(char* page, size_t size_bytes) {
#ifdef SYS_mmap2
  constexpr long kMap = SYS_mmap2;
#else
  constexpr long kMap = SYS_mmap;
#endif
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
  return ::syscall(kMap, page, size_bytes, PROT_READ, kFlags, -1, 0) ==
         reinterpret_cast<intptr_t>(page);
}

// False where the address is in no mapping of ours.
bool PutZeros(void* where) {
  const auto address = reinterpret_cast<uintptr_t>(where);
  BusGuard::Region* const region = RegionOf(address);
  if (region == nullptr) return false;
  const uintptr_t page = page_size.load(std::memory_order_relaxed);
  char* const begin = static_cast<char*>(where) - address % page;
  // Counted first: whoever sees the zeros will see the count.
  region->faults++;
  all_faults++;
  return MapZeros(begin, page);
}

extern "C" void OnBusError(int signal, siginfo_t* info, void*) {
  const int saved = errno;
  const bool is_fault = info->si_code > 0;  // not sent by a process
  if (!is_fault || !PutZeros(info->si_addr)) {
    ::sigaction(SIGBUS, &previous_action, nullptr);
    if (!is_fault) ::raise(signal);  // comes once this handler is left, as the fault does
  }
  errno = saved;
}

}  // namespace

Status BusGuard::Install() {
  page_size = static_cast<uintptr_t>(::sysconf(_SC_PAGESIZE));
  struct sigaction action {};
  action.sa_sigaction = OnBusError;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  if (::sigaction(SIGBUS, nullptr, &previous_action) < 0 ||
      ::sigaction(SIGBUS, &action, nullptr) < 0) {
    return Status::FromErrno("sigaction", "SIGBUS", errno);
  }
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGBUS);
  ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
  return Status::Ok();
}

BusGuard::Region* BusGuard::Add(const void* data, size_t size_bytes) {
  const std::lock_guard lock(regions_mutex);
  Region* region = unused_regions;
  if (region == nullptr) {
    region = new Region;
    region->next = all_regions.load(std::memory_order_relaxed);
    all_regions.store(region, std::memory_order_release);
  } else {
    unused_regions = std::exchange(region->next_unused, nullptr);
  }
  region->faults = 0;
  region->begin = reinterpret_cast<uintptr_t>(data);
  region->size.store(size_bytes, std::memory_order_release);
  return region;
}

void BusGuard::Remove(Region* region) {
  const std::lock_guard lock(regions_mutex);
  region->size = 0;
  region->next_unused = std::exchange(unused_regions, region);
}

uint64_t BusGuard::faults() { return all_faults.load(std::memory_order_acquire); }

}  // namespace keystone
