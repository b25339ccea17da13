// Records that are copied to a segment, until one write appends them all: long runs are held by
// reference; short ones are put together, as to write many small pieces costs more than the copy.
//
// One thread. What was added must stay where it is until Flush.
#ifndef KEYSTONE_STORE_GATHER_H_
#define KEYSTONE_STORE_GATHER_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "store/record.h"
#include "store/segment.h"

namespace keystone {

class Gather {
 public:
  // Records as they are, in one piece.
  void Add(std::string_view bytes);

  // One record, without the group that it was part of.
  void AddSingle(const RecordView& record);

  // Flush comes before more is added.
  bool full() const;

  uint64_t bytes() const { return bytes_; }

  // Appends all to `segment`. After an error they are gone, too.
  Status Flush(Segment* segment);

 private:
  void EndRun();

  std::string_view run_;  // not among the pieces yet
  std::vector<iovec> pieces_;
  std::unique_ptr<char[]> copies_;  // that pieces_ point at; made when the first is needed
  size_t copied_bytes_ = 0;
  uint64_t bytes_ = 0;
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_GATHER_H_
