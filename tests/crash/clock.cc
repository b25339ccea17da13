#include "clock.h"

#include <atomic>

// Of keystone::UnixTimeMs().
extern "C" uint64_t __real__ZN8keystone10UnixTimeMsEv();
extern "C" uint64_t __wrap__ZN8keystone10UnixTimeMsEv();

namespace {

std::atomic<uint64_t> time_ms{0};

}  // namespace

uint64_t __wrap__ZN8keystone10UnixTimeMsEv() {
  const uint64_t set_ms = time_ms;
  return set_ms != 0 ? set_ms : __real__ZN8keystone10UnixTimeMsEv();
}

void crash::SetTime(uint64_t unix_time_ms) { time_ms = unix_time_ms; }
