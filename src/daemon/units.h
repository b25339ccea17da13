// Sizes and times as people write them in options. Pure.
#ifndef KEYSTONE_DAEMON_UNITS_H_
#define KEYSTONE_DAEMON_UNITS_H_

#include <cstdint>
#include <string_view>

#include "base/status.h"

namespace keystone {

// "4096", "64k", "256m", "1g": bytes, in powers of 1024. kInvalid quotes the text; so does a size
// that no file can have.
Result<uint64_t> ParseSize(std::string_view text);

// "250ms", "30s", "5m", "1h": milliseconds; a bare number is seconds. kInvalid quotes the text.
Result<uint64_t> ParseDuration(std::string_view text);

}  // namespace keystone

#endif  // KEYSTONE_DAEMON_UNITS_H_
