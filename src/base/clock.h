// The time of day, for what is to expire.
//
// Unix time that never goes back while the process lives: what has expired once stays so, whatever
// is done to the system's clock. A clock that is set ahead is followed; one that is set back is
// not, and time goes on from where it was.
//
// Thread-safe.
#ifndef KEYSTONE_BASE_CLOCK_H_
#define KEYSTONE_BASE_CLOCK_H_

#include <cstdint>

namespace keystone {

// Milliseconds since 1970, UTC.
uint64_t UnixTimeMs();

}  // namespace keystone

#endif  // KEYSTONE_BASE_CLOCK_H_
