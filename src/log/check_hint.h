// Whether a segment's hint says what the segment says.
//
// Reads only. One thread.
#ifndef KEYSTONE_LOG_CHECK_HINT_H_
#define KEYSTONE_LOG_CHECK_HINT_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "store/segment.h"

namespace keystone {

// "104651 keys: whole", or what is wrong with the hint; nothing where the segment has none.
std::optional<std::string> HintVerdict(const std::string& directory,
                                       const std::shared_ptr<Segment>& segment, uint64_t seed);

}  // namespace keystone

#endif  // KEYSTONE_LOG_CHECK_HINT_H_
