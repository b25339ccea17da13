// From segments to the index: from a segment's hint where it has a good one, from a scan where it
// has none or has grown since.
//
// Of the active segment all records are checked, hint or not: damage in it has to be found before
// anything is written behind it. Damage in a sealed one that has a hint is found by who reads it.
//
// Reads only. Segments are scanned, and shards of the index loaded, by several threads; what comes
// out, errors included, does not depend on timing. A hint that turns out to be bad is dropped with
// a warning, and its segment scanned.
//
// Used once, by the thread that opens the store.
#ifndef KEYSTONE_STORE_REPLAY_H_
#define KEYSTONE_STORE_REPLAY_H_

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/log.h"
#include "base/status.h"
#include "store/hint_loader.h"
#include "store/index.h"
#include "store/recovery_meter.h"
#include "store/scanner.h"
#include "store/segment_set.h"

namespace keystone {

// For people, of a directory that is damaged: "run keystone-log check ...".
std::string HowToRepair(const std::string& directory);

class Replay {
 public:
  // `segments` are those of the MANIFEST, in its order, the active one last. Borrows everything.
  Replay(const std::string& directory, const SegmentSet::List* segments, uint64_t seed,
         const Log* log, RecoveryMeter* meter);

  // kCorrupt: damage that no crash explains. kCancelled: the meter's callback said so.
  Status Run(Index* index);

  // How the active segment ends.
  const ScanEnd& active_end() const { return ends_.back(); }
  // Segments whose hints can't be used.
  SegmentSet::List WithBadHint() const;
  // Sealed segments without a good hint of all that they hold.
  SegmentSet::List WithoutHint() const;

  uint64_t records() const;
  uint64_t next_sequence() const;
  size_t hints_used() const;

 private:
  void OpenHints();
  Status ScanAll(std::span<const size_t> ordinals);
  Status CondenseTables();
  uint64_t Held() const;
  Status Scan(size_t ordinal);
  Status LoadAll(Index* index);
  Status LoadShards(std::span<const size_t> shards, Index* index, std::vector<Status>* errors,
                    std::vector<size_t>* bad);
  Result<bool> HidesDamage(size_t ordinal) const;  // kCancelled
  void DropHint(size_t ordinal, const Status& why);
  Status Judge() const;
  Status JudgeEnd(size_t ordinal) const;
  uint64_t LastSequence(size_t ordinal) const;
  Status Refuse(const std::string& what) const;

  const std::string& directory_;
  const SegmentSet::List& segments_;
  const uint64_t seed_;
  const Log* const log_;
  RecoveryMeter* const meter_;

  // By ordinal.
  Hints hints_;
  std::vector<bool> bad_;  // had a hint that can't be used
  std::vector<ScanEnd> ends_;

  uint64_t condense_at_;  // entries in tables
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_REPLAY_H_
