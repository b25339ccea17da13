// Key -> location of its live record. The only big thing in memory, so it holds no keys: a slot is
// a tag of the key's hash and a location, 16 bytes; the key is checked against the record.
//
// 256 shards by the hash's first byte. A shard is one array with linear probing, kept in the order
// of the tags (O. Amble, D. E. Knuth, "Ordered hash tables", 1974): a tag's home bucket is
// tag * buckets / 2^32, which rises with the tag, so the whole array is sorted. That makes a miss
// as short as a hit, growth a sequential copy by any factor (1.25, so at least 2/3 of a grown array
// is used), and a scan cursor a position in hash order that no growth moves.
//
// Threads: Find, Points and Scan from any thread that has passed the gate; Put, Erase and Relocate
// from one thread at a time (the commit leader, recovery, or a compaction with the gate closed).
// Counts may be read by any thread. A shard's mutex is held for the touch of its array only, never
// while a record is read.
#ifndef KEYSTONE_STORE_INDEX_H_
#define KEYSTONE_STORE_INDEX_H_

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <span>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "store/record.h"
#include "store/segment_set.h"

namespace keystone {

struct Location {
  uint32_t segment = 0;  // number; 0: nowhere
  uint64_t offset = 0;

  bool operator==(const Location&) const = default;
};

class Index {
 public:
  // `segments` must outlive the index; `seed` makes the hash unpredictable to clients.
  Index(const SegmentSet* segments, uint64_t seed) : segments_(segments), seed_(seed) {}

  // The live record of `key`, its body's CRC unchecked. kNotFound; kCorrupt where a record that may
  // be the key's can't be trusted.
  Status Find(std::string_view key, RecordView* record) const;

  // Start to load what a Find of `key` will read into the processor's caches: its slot, and then,
  // once that is there, its record. Worth it where several keys are about to be looked up.
  void PrefetchSlot(std::string_view key) const;
  void PrefetchRecord(std::string_view key) const;

  // True where the live record of `key` is the one at `where`.
  bool Points(std::string_view key, Location where) const;

  // Points `key` at a record of `size_bytes`. An error (kCorrupt) says that an older record of the
  // key could not be read; the new one is found all the same.
  Status Put(std::string_view key, Location where, size_t size_bytes);

  // Forgets `key`; kNotFound where it was not there.
  Status Erase(std::string_view key);

  // Points `key` at `now` where it is at `old`. Used when a compaction has moved a record.
  bool Relocate(std::string_view key, Location old, Location now);

  struct Loaded {
    uint32_t tag = 0;  // the low half of its key's position
    Location where;
  };

  // Fills an empty shard with `entries`, in the order of their tags, whose records have
  // `live_bytes` together. Recovery only; different shards may be loaded by different threads.
  void LoadShard(size_t shard, std::span<const Loaded> entries, uint64_t live_bytes);

  struct Entry {
    uint64_t position = 0;  // in scan order
    Location where;
  };

  // Appends the entries from `cursor` on, at least `count` of them if there are that many (more
  // where positions collide). Returns the cursor to go on with, 0 at the end.
  uint64_t Scan(uint64_t cursor, size_t count, std::vector<Entry>* entries) const;

  // Where a key stands in scan order, 40 bits: the shard, then the tag; an entry's record has a key
  // of that position, or is damaged.
  uint64_t Position(std::string_view key) const { return Position(key, seed_); }
  static uint64_t Position(std::string_view key, uint64_t seed);

  uint64_t size() const { return size_.load(std::memory_order_relaxed); }
  uint64_t live_bytes() const { return live_bytes_.load(std::memory_order_relaxed); }
  uint64_t memory_bytes() const { return memory_bytes_.load(std::memory_order_relaxed); }

 private:
  struct Slot {
    uint32_t tag = 0;
    uint32_t segment = 0;  // 0: the slot is empty
    uint64_t offset = 0;

    bool empty() const { return segment == 0; }
    Location where() const { return {segment, offset}; }
  };

  class Shard {
   public:
    // Copies the locations of all slots with `tag` behind `found`.
    void Collect(uint32_t tag, std::vector<Location>* found) const;
    // The first of them only; true where there are more.
    bool First(uint32_t tag, Location* found) const;
    void Prefetch(uint32_t tag) const;
    // Returns by how many bytes the shard's array has grown.
    size_t Insert(uint32_t tag, Location where);
    // As Insert of all, into an empty shard.
    size_t Load(std::span<const Loaded> entries);
    bool Replace(uint32_t tag, Location old, Location now);
    bool Remove(uint32_t tag, Location old);
    // As Index::Scan within the shard; true, and the tag to go on with, where there is more.
    bool Scan(uint32_t from_tag, size_t count, uint64_t base, std::vector<Entry>* entries,
              uint32_t* next_tag) const;

   private:
    size_t Home(uint32_t tag) const { return (uint64_t{tag} * buckets_) >> 32; }
    size_t FirstOf(uint32_t tag) const;
    Slot* FindSlot(uint32_t tag, Location where);
    bool InsertInOrder(const Slot& slot);
    void Grow();
    bool Fill(std::span<const Loaded> entries);

    mutable std::mutex mutex_;
    std::vector<Slot> slots_;  // guarded by mutex_; buckets, then room for the last cluster
    size_t buckets_ = 0;       // guarded by mutex_
    size_t used_ = 0;          // guarded by mutex_
  };

  static constexpr size_t kShards = 256;

  static uint64_t Hash(std::string_view key, uint64_t seed);
  uint64_t Hash(std::string_view key) const { return Hash(key, seed_); }
  static uint32_t TagOf(uint64_t hash) { return static_cast<uint32_t>(hash >> 24); }
  Shard& ShardOf(uint64_t hash) { return shards_[hash >> 56]; }
  const Shard& ShardOf(uint64_t hash) const { return shards_[hash >> 56]; }

  // Reads the record at `where` and compares its key. kNotFound: another key's.
  Status Check(std::string_view key, Location where, RecordView* record) const;
  Status FindIn(std::string_view key, uint64_t hash, RecordView* record, Location* where) const;

  const SegmentSet* const segments_;
  const uint64_t seed_;
  std::array<Shard, kShards> shards_;
  std::atomic<uint64_t> size_{0};
  std::atomic<uint64_t> live_bytes_{0};
  std::atomic<uint64_t> memory_bytes_{0};
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_INDEX_H_
