// Copies the live records of a set of segments into new ones, beside clients.
//
// Used by one thread; the sources are sealed. The index may change meanwhile: a record that was
// live when it was looked at and is not any more is copied for nothing, and Relocate leaves its key
// alone. What it makes is the caller's to remove where it is not to stay; nothing of the old log is
// touched here. The steps around it (seal, MANIFEST, unlink) are the caller's.
//
// Live is a record that the index points at, and that has not expired: what has, the index forgets
// in the end, where it still points there. Neighbouring live groups are written as they are. A
// group of which only a part lives is written as single records, because being one group would tie
// the rest to whatever comes next. Tombstones and sync marks are left behind: there is no older
// segment left for a tombstone to hide.
//
// The index is asked window by window, some hundred thousand records each, sorted by its shards:
// asked in the order of the log, each answer would be a miss of the processor's caches. Beside a
// window's memory (some 20 MiB) it keeps one bit a record: Relocate walks the sources again, and
// knows by it what was copied.
#ifndef KEYSTONE_STORE_COMPACTOR_H_
#define KEYSTONE_STORE_COMPACTOR_H_

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <vector>

#include "base/status.h"
#include "store/directory.h"
#include "store/gate.h"
#include "store/index.h"
#include "store/new_segments.h"
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

  // To be called between small pieces of work. Rests where enough of them have been done; not any
  // more once cancelled.
  void Step(unsigned pieces = 1);
  bool cancelled() const { return cancelled_->load(std::memory_order_relaxed); }

 private:
  using Clock = std::chrono::steady_clock;

  const std::atomic<bool>* const cancelled_;
  const unsigned share_percent_;
  unsigned pieces_ = 0;
  Clock::time_point worked_since_ = Clock::now();
};

class Compactor {
 public:
  // Borrows everything. `gate` is passed for each look at the index. `now_ms`: what expires later
  // lives.
  Compactor(Directory* directory, Index* index, Gate* gate, uint64_t segment_size_bytes,
            uint64_t now_ms, const std::atomic<bool>* cancelled, unsigned share_percent);

  // To new segments, synced and under their names. kCorrupt where a record's CRC does not match:
  // damage is never copied. kSystem where it takes too many segments. kCancelled, kNoSpace, kIo as
  // it comes.
  Status Copy(const SegmentSet::List& sources);

  // Points the index at the new places of all that it still has at the old ones, and drops from it
  // what has expired. To be called once SegmentSet::Swap has made the outputs findable. kCorrupt: a
  // source reads otherwise than before, and some keys are as they were.
  Status Relocate();

  // The new segments, in replay order. They go with the compactor unless they are kept.
  const SegmentSet::List& outputs() const { return out_.all(); }
  void Keep() { out_.Keep(); }

 private:
  // A record of the window at hand.
  struct Seen {
    uint64_t offset = 0;
    uint32_t size_bytes = 0;
    bool group_goes_on = false;
  };
  struct Question {
    uint32_t tag = 0;
    uint32_t number = 0;  // in the window
    uint64_t offset = 0;
  };
  struct Moved {
    uint32_t tag = 0;
    uint32_t new_segment = 0;
    uint64_t old_offset = 0;
    uint64_t new_offset = 0;
  };
  // A record that was left out, though the index may still point at it.
  struct Expired {
    uint64_t position = 0;
    uint64_t offset = 0;
    Expiring record;
  };

  Status CopyAll();
  Status CopySegment(const Segment& source);
  bool IsExpired(const RecordView& record) const;
  void See(const PlacedRecord& placed);
  Status CopyWindow(const Segment& source);
  void AskIndex(const Segment& source);
  template <class Item, class Work>
  void InShortPasses(std::vector<Item>* items, Work work);
  Status CopyGroup(const Segment& source, size_t first, size_t count);
  Status CopyWhole(const Segment& source, size_t first, size_t count);
  Status CopySingle(const Segment& source, const Seen& seen);

  Status RelocateAll();
  Status RelocateSegment(const Segment& source);
  void Move(const PlacedRecord& placed);
  void Leave(const PlacedRecord& placed);
  void RelocateWindow(const Segment& source);
  Location NextPlace(uint64_t size_bytes);

  Index* const index_;
  Gate* const gate_;
  const uint64_t now_ms_;
  Pace pace_;

  SegmentSet::List sources_;
  NewSegments out_;
  std::vector<bool> copied_;  // of each record of the sources

  std::vector<Seen> window_;  // whole groups
  std::vector<bool> live_;    // of each record of the window
  std::array<std::vector<Question>, Index::kShards> questions_;

  // Relocate's: how far it has come.
  size_t records_walked_ = 0;
  size_t output_ = 0;
  uint64_t output_offset_ = kSegmentHeaderSize;
  size_t moves_count_ = 0;
  std::array<std::vector<Moved>, Index::kShards> moves_;
  std::vector<Expired> expired_;
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_COMPACTOR_H_
