// Loads the index from hints, files and tables, shard by shard.
//
// For each position the entries of all segments come together in replay order; the last one of a
// key wins, and a tombstone erases it. What is loaded depends on the hints alone, not on who loads
// which shard when.
//
// A loader is one thread's; several may load different shards at once.
#ifndef KEYSTONE_STORE_HINT_LOADER_H_
#define KEYSTONE_STORE_HINT_LOADER_H_

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "base/status.h"
#include "store/hint.h"
#include "store/hint_table.h"
#include "store/index.h"
#include "store/segment_set.h"

namespace keystone {

// What recovery knows of all segments, in replay order.
struct Hints {
  std::vector<std::optional<HintFile>> files;
  // Null: nothing of the segment was scanned. One more behind the segments' is for Condense.
  std::vector<std::unique_ptr<HintTable>> tables;
};

class HintLoader {
 public:
  // Borrows everything.
  HintLoader(const SegmentSet::List* segments, Hints* hints, Index* index)
      : segments_(segments), hints_(hints), index_(index) {}

  // Loads a shard that the index has not loaded yet, and releases it in the tables. An error says
  // that the file of the segment `*bad` can't be used; nothing was loaded.
  Status Load(size_t shard, size_t* bad);

  // Moves a shard's entries of all tables into the last one, without what was overwritten.
  void Condense(size_t shard);

 private:
  Status ReadFiles(size_t shard, size_t* bad);
  void CollectTables(size_t shard);
  void ReleaseTables(size_t shard);
  void EndRun();
  void MergeRuns();
  void DropOld();
  void TakeLive();

  const SegmentSet::List* const segments_;
  Hints* const hints_;
  Index* const index_;

  std::vector<char> buffer_;       // blocks of files
  std::vector<HintedKey> keys_;    // run behind run, each in order
  std::vector<HintedKey> merged_;  // room for a merge
  std::vector<size_t> ends_;       // of the runs in keys_
  std::vector<Index::Loaded> loaded_;
  std::vector<Expiring> expiring_;
  uint64_t live_bytes_ = 0;
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_HINT_LOADER_H_
