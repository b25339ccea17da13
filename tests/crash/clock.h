// The time of day that the store is told, in place of base/clock.h's at link time: here it goes
// back, too, for what is a restart in one process.
//
// Thread-safe.
#ifndef KEYSTONE_TESTS_CRASH_CLOCK_H_
#define KEYSTONE_TESTS_CRASH_CLOCK_H_

#include <cstdint>

namespace crash {

// Stands still from now on. 0: goes by the machine's again.
void SetTime(uint64_t unix_time_ms);

}  // namespace crash

#endif  // KEYSTONE_TESTS_CRASH_CLOCK_H_
