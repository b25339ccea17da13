// Copies the live records of a set of segments into new ones.
//
// Used by one thread while nobody changes the index (the gate is closed). What it makes has
// temporary names until Finish, and goes with the object unless the caller takes it: nothing of the
// old log is touched here. The steps around it - seal, MANIFEST, index, unlink - are the store's.
//
// Live is a record that the index points at. Runs of neighbouring live groups are written straight
// from the old segments' mappings. A group of which only a part lives is written as single records,
// because being one group would tie the rest to whatever comes next. Tombstones and sync marks are
// left behind: there is no older segment left for a tombstone to hide.
#ifndef KEYSTONE_STORE_COMPACTOR_H_
#define KEYSTONE_STORE_COMPACTOR_H_

#include <sys/uio.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "store/directory.h"
#include "store/index.h"
#include "store/scanner.h"
#include "store/segment_set.h"

namespace keystone {

class Compactor {
 public:
  struct Move {
    std::string_view key;  // in the old segment
    Location old;
    Location now;
  };

  // Borrows everything; `cancelled` is looked at often.
  Compactor(Directory* directory, const Index* index, uint64_t segment_size_bytes,
            const std::atomic<bool>* cancelled);

  // kCorrupt where a record's CRC does not match: damage is never copied. kCancelled, kNoSpace, kIo
  // as it comes.
  Status Copy(const SegmentSet::List& sources);

  // Syncs the new segments and gives them their names.
  Status Finish();

  const SegmentSet::List& outputs() const { return outputs_; }
  const std::vector<Move>& moves() const { return moves_; }

 private:
  using Header = std::array<char, kRecordHeaderSize>;

  Status CopySegment(const Segment& source);
  void LookAhead(std::span<const PlacedRecord> group);
  Status CopyAhead(const Segment& source);
  Status CopyGroup(const Segment& source, std::span<const PlacedRecord> group);
  Status CopyWhole(const Segment& source, std::span<const PlacedRecord> group);
  Status CopySingle(const Segment& source, const PlacedRecord& placed);
  void Moved(const Segment& source, const PlacedRecord& placed, uint64_t offset);
  Status MakeRoom(uint64_t size_bytes, uint64_t first_sequence);
  void AddPiece(std::string_view bytes);
  Status Flush();
  uint64_t end_offset() const { return outputs_.back()->size() + pending_bytes_; }

  Directory* const directory_;
  const Index* const index_;
  const uint64_t segment_size_bytes_;
  const std::atomic<bool>* const cancelled_;

  SegmentSet::List outputs_;
  std::vector<Move> moves_;
  std::vector<iovec> pieces_;     // not yet written to the last output
  std::deque<Header> rewritten_;  // headers that pieces_ point at
  uint64_t pending_bytes_ = 0;
  std::vector<PlacedRecord> ahead_;  // whole groups of the source, not yet looked up
  std::vector<bool> live_;           // of the group at hand
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_COMPACTOR_H_
