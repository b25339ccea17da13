// Copies the live records of a set of segments into new ones.
//
// Used by one thread; the sources are sealed, or nobody writes to them. The index may change
// meanwhile: a record that was live when it was looked at and is not any more is copied for
// nothing, and Relocate leaves its key alone. What it makes has temporary names until Finish, and
// goes with the object unless the caller takes it: nothing of the old log is touched here. The
// steps around it - seal, MANIFEST, unlink - are the caller's.
//
// In memory it keeps one bit a record: Relocate walks the sources again, and knows by it what was
// copied.
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
#include <chrono>
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

// How much of a processor a compaction takes.
class Pace {
 public:
  static constexpr unsigned kAllOfIt = 100;

  // `cancelled` is looked at often.
  Pace(const std::atomic<bool>* cancelled, unsigned share_percent)
      : cancelled_(cancelled), share_percent_(share_percent) {}

  // To be called between small pieces of work. Rests where enough of them have been done.
  void Step();
  bool cancelled() const { return cancelled_->load(std::memory_order_relaxed); }

 private:
  using Clock = std::chrono::steady_clock;

  const std::atomic<bool>* const cancelled_;
  const unsigned share_percent_;
  Clock::time_point worked_since_ = Clock::now();
};

class Compactor {
 public:
  // Borrows everything.
  Compactor(Directory* directory, Index* index, uint64_t segment_size_bytes, Pace* pace);

  // kCorrupt where a record's CRC does not match: damage is never copied. kCancelled, kNoSpace, kIo
  // as it comes.
  Status Copy(const SegmentSet::List& sources);

  // Syncs the new segments and gives them their names.
  Status Finish();

  // Points the index at the new places of all that it still has at the old ones. The outputs can be
  // found by then.
  void Relocate();

  const SegmentSet::List& outputs() const { return outputs_; }

 private:
  using Header = std::array<char, kRecordHeaderSize>;

  struct Move {
    std::string_view key;  // in the old segment
    Location old;
    Location now;
  };

  Status CopySegment(const Segment& source);
  void LookAhead(std::span<const PlacedRecord> group);
  Status CopyAhead(const Segment& source);
  Status CopyGroup(const Segment& source, std::span<const PlacedRecord> group);
  Status CopyWhole(const Segment& source, std::span<const PlacedRecord> group);
  Status CopySingle(const PlacedRecord& placed);
  Status MakeRoom(uint64_t size_bytes, uint64_t first_sequence);
  void AddPiece(std::string_view bytes);
  Status Flush();
  void RelocateSegment(const Segment& source);
  void RelocateAhead();
  Location NextPlace(uint64_t size_bytes);
  uint64_t end_offset() const { return outputs_.back()->size() + pending_bytes_; }

  Directory* const directory_;
  Index* const index_;
  const uint64_t segment_size_bytes_;
  Pace* const pace_;

  SegmentSet::List sources_;
  SegmentSet::List outputs_;
  std::vector<bool> copied_;      // of each record of the sources
  std::vector<iovec> pieces_;     // not yet written to the last output
  std::deque<Header> rewritten_;  // headers that pieces_ point at
  uint64_t pending_bytes_ = 0;
  std::vector<PlacedRecord> ahead_;  // whole groups of the source, not yet looked up
  std::vector<bool> live_;           // of the group at hand

  // Relocate's: how far it has come.
  size_t records_walked_ = 0;
  size_t output_ = 0;
  uint64_t output_offset_ = kSegmentHeaderSize;
  std::vector<Move> moves_;
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_COMPACTOR_H_
