// Whether a segment's hint says what the segment says.
//
// Reads only. One thread.
#ifndef KEYSTONE_LOG_CHECK_HINT_H_
#define KEYSTONE_LOG_CHECK_HINT_H_

#include <cstdint>
#include <memory>
#include <string>

#include "store/segment.h"

namespace keystone {

// Both are empty where the segment has no hint, or is damaged, so that there is nothing to compare.
struct HintReport {
  std::string keys;     // of one that is whole: "104651 keys", "5 keys in the first 300 bytes"
  std::string problem;  // what is not good about it
};

HintReport CheckHintOf(const std::string& directory, const std::shared_ptr<Segment>& segment,
                       uint64_t seed);

}  // namespace keystone

#endif  // KEYSTONE_LOG_CHECK_HINT_H_
