// Looks whether the file of the active segment is still the one that the store appends to: another
// program may have removed it, put another in its place, or cut it.
//
// What is appended behind a cut leaves a hole, so the size alone tells too little: the last bytes
// of the look before must still be there, and where there is a hole behind them, it must be in
// somebody's value.
//
// Used by one thread.
#ifndef KEYSTONE_STORE_SEGMENT_WATCH_H_
#define KEYSTONE_STORE_SEGMENT_WATCH_H_

#include <cstdint>
#include <string>

#include "base/status.h"
#include "store/segment.h"

namespace keystone {

class SegmentWatch {
 public:
  struct Verdict {
    Status status;             // kIo: what has happened
    const char* way_out = "";  // for people, where something has
  };

  // `fd` is that of the segment's file, all of whose first `appended_bytes` are whole groups.
  Verdict Look(const Segment& segment, int fd, uint64_t appended_bytes);

 private:
  Status CheckContent(const Segment& segment, int fd, uint64_t appended_bytes);

  // Of the last look.
  uint32_t number_ = 0;
  uint64_t appended_bytes_ = 0;
  std::string last_bytes_;  // the last of them
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_SEGMENT_WATCH_H_
