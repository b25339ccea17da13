// The last operation of each key in stretches of segments, as a scan finds it: a hint in memory.
//
// 24 bytes an operation; keys stay in the segments. Filled by one thread. Then each shard belongs
// to one thread at a time.
#ifndef KEYSTONE_STORE_HINT_TABLE_H_
#define KEYSTONE_STORE_HINT_TABLE_H_

#include <array>
#include <cstdint>
#include <functional>
#include <span>
#include <utility>
#include <vector>

#include "store/hint.h"
#include "store/scanner.h"
#include "store/segment_set.h"

namespace keystone {

class HintTable {
 public:
  // `segments`, in replay order, must outlive the table; `seed` is that of the index's hash.
  HintTable(const SegmentSet::List* segments, uint64_t seed) : segments_(segments), seed_(seed) {}

  // What was read since the last call; false stops the scan.
  using Watcher = std::function<bool(uint64_t bytes, uint64_t records)>;

  // Takes in all whole groups of a segment between two offsets, the first the end of a group, with
  // every check; sequences must rise from `first_sequence`. Calls `watch` about every 256 KiB and
  // at the end.
  ScanEnd Fill(uint32_t ordinal, uint64_t from, uint64_t to, uint64_t first_sequence,
               const Watcher& watch);

  // Puts a shard in order and drops what was overwritten.
  void Sort(size_t shard);

  // Appends a shard's entries and their keys.
  void Collect(size_t shard, std::vector<HintedKey>* keys) const;

  // Puts `entries` in place of a shard's own.
  void Assign(size_t shard, std::vector<HintEntry> entries) { shards_[shard] = std::move(entries); }
  void Release(size_t shard) { shards_[shard] = {}; }

  uint64_t Count() const;  // of all entries; not while a shard is another thread's

  // Of the last record taken in; 0: there was none.
  uint64_t last_offset() const { return last_offset_; }

 private:
  void Add(uint32_t ordinal, const PlacedRecord& placed);
  void Reserve(uint64_t bytes_read, uint64_t bytes_to_read);
  HintedKey WithKey(const HintEntry& entry) const;
  void FetchKey(std::span<const HintEntry> entries, size_t i) const;

  const SegmentSet::List* segments_;
  uint64_t seed_;
  std::array<std::vector<HintEntry>, kHintShards> shards_;
  uint64_t entries_ = 0;
  uint64_t last_offset_ = 0;
};

// Of a run of entries with the same tag, in the order of age: leaves the last one of each key, in
// front and in that order, and returns how many they are.
size_t DropOverwritten(HintedKey* run, size_t count);

}  // namespace keystone

#endif  // KEYSTONE_STORE_HINT_TABLE_H_
