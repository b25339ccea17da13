// Key -> location of its live record. The only big thing in memory, so it holds no keys: a slot is
// a tag of the key's hash and a location, 16 bytes; the key is checked against the record.
//
// 256 shards by the hash's first byte; a shard is a sorted array, see there. So a position in scan
// order is the shard, then the tag.
//
// Threads: Find, Points, Scan and the prefetches from any thread that has passed the gate, without
// a lock. Put and Erase from one thread at a time that has passed it (the commit leader, or
// recovery); Relocate and Drop from any beside it (a compaction). Counts may be read by any thread.
//
// Records that have expired are found and counted like others, but by LiveAt.
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
#include "store/expiry_ledger.h"
#include "store/record.h"
#include "store/segment_set.h"
#include "store/shard.h"

namespace keystone {

class Index {
 public:
  // `segments` must outlive the index; `seed` makes the hash unpredictable to clients.
  Index(const SegmentSet* segments, uint64_t seed) : segments_(segments), seed_(seed) {}

  // The live record of `key`, its body's CRC unchecked. kNotFound; kCorrupt where a record that may
  // be the key's can't be trusted.
  Status Find(std::string_view key, RecordView* record, Location* where = nullptr) const;

  // Start to load what a Find of `key` will read into the processor's caches: its slot, and then,
  // once that is there, its record. Worth it where several keys are about to be looked up.
  void PrefetchSlot(std::string_view key) const;
  void PrefetchRecord(std::string_view key) const;

  // True where a key of that position has its live record at `where`.
  bool Points(uint64_t position, Location where) const;

  // Points `key` at a record of `size_bytes`. An error (kCorrupt, kIo) says that an older record of
  // that position could not be read; the new one is found all the same. If there is one such
  // record, it is taken for the key's own, which is wrong with a chance of 2^-40, and forgotten, so
  // size() stays right. If there are two, both stay, and size() is one too high. If even its header
  // can't be read, its share of live_bytes() and when it was to expire stay counted, and LiveAt is
  // one too low from that time on. A restart counts anew.
  Status Put(std::string_view key, Location where, size_t size_bytes, uint64_t expires_at_ms = 0);

  // Forgets `key`; kNotFound where it was not there.
  Status Erase(std::string_view key);

  // Points the key of that position whose live record is at `old` at `now`; false where there is
  // none. Used when a compaction has moved a record.
  bool Relocate(uint64_t position, Location old, Location now);

  // Forgets the key of that position whose live record, one that expires, is at `where`; false
  // where there is none. Used when a compaction has left a record out.
  bool Drop(uint64_t position, Location where, const Expiring& record);

  // What points at a record: the shard's number, then that of its slot there. For who has the index
  // to itself: any change but SetSlot may move the others. Threads may set different slots at once.
  using Slot = uint64_t;
  static Slot SlotOf(size_t shard, uint32_t number) { return uint64_t{shard} << 32 | number; }
  void ListShard(size_t shard, std::vector<NumberedLocation>* entries) const {
    shards_[shard].List(entries);
  }
  void SetSlot(Slot slot, Location now) {
    shards_[slot >> 32].SetAt(static_cast<uint32_t>(slot), now);
  }
  void PrefetchSlot(Slot slot) const {
    shards_[slot >> 32].PrefetchAt(static_cast<uint32_t>(slot));
  }

  using Loaded = TaggedLocation;

  // Fills an empty shard with `entries`, in the order of their tags, whose records have
  // `live_bytes` together; `expiring`, which it sorts, are those that expire. Recovery only;
  // different shards may be loaded by different threads.
  void LoadShard(size_t shard, std::span<const Loaded> entries, uint64_t live_bytes,
                 std::span<Expiring> expiring = {});

  struct Entry {
    uint64_t position = 0;  // in scan order
    Location where;
  };

  // Appends the entries from `cursor` on, at least `count` of them if there are that many (more
  // where positions collide). Returns the cursor to go on with, 0 at the end.
  uint64_t Scan(uint64_t cursor, size_t count, std::vector<Entry>* entries) const;

  // Where `key` stands in scan order, 40 bits: the shard's number, then a tag. An entry's record
  // has a key of that position, or is damaged.
  static constexpr size_t kShards = 256;
  uint64_t Position(std::string_view key) const { return Position(key, seed_); }
  static uint64_t Position(std::string_view key, uint64_t seed);
  static uint64_t PositionOf(uint64_t shard, uint32_t tag) { return shard << 32 | tag; }
  static size_t ShardAt(uint64_t position) { return position >> 32; }
  static uint32_t TagAt(uint64_t position) { return static_cast<uint32_t>(position); }
  void PrefetchPosition(uint64_t position) const {
    shards_[ShardAt(position)].Prefetch(TagAt(position));
  }

  uint64_t size() const { return size_.load(std::memory_order_relaxed); }
  uint64_t live_bytes() const { return live_bytes_.load(std::memory_order_relaxed); }
  uint64_t memory_bytes() const {
    return memory_bytes_.load(std::memory_order_relaxed) + expiry_.memory_bytes();
  }

  // What has not expired. Two sums, read one after the other while writes go on.
  struct Live {
    uint64_t keys = 0;
    uint64_t bytes = 0;
  };
  Live LiveAt(uint64_t now_ms);
  ExpiryLedger& expiry() { return expiry_; }

  // Forgets all keys. While nobody else is inside the gate, and no compaction runs.
  void Clear();

  // Tables that growth has put out of use, counted in memory_bytes until then. Any thread. They may
  // be destroyed once everybody has left the gate who was inside when this returned.
  Shard::Tables TakeReplaced();

 private:
  static uint64_t Hash(std::string_view key, uint64_t seed);
  uint64_t Hash(std::string_view key) const { return Hash(key, seed_); }
  static uint32_t TagOf(uint64_t hash) { return static_cast<uint32_t>(hash >> 24); }
  Shard& ShardOf(uint64_t hash) { return shards_[hash >> 56]; }
  const Shard& ShardOf(uint64_t hash) const { return shards_[hash >> 56]; }

  // Reads the record at `where` and compares its key. kNotFound: another key's.
  Status Check(std::string_view key, Location where, RecordView* record) const;
  Status FindIn(std::string_view key, uint64_t hash, RecordView* record, Location* where) const;
  void Insert(uint64_t hash, Location where);
  bool ReplaceDamaged(std::string_view key, uint64_t hash, Location now);
  void CountOut(const Expiring& record);
  void Retire(Shard::Tables* replaced);

  const SegmentSet* const segments_;
  const uint64_t seed_;
  std::array<Shard, kShards> shards_;
  std::atomic<uint64_t> size_{0};
  std::atomic<uint64_t> live_bytes_{0};
  std::atomic<uint64_t> memory_bytes_{0};
  ExpiryLedger expiry_;
  std::mutex replaced_mutex_;
  Shard::Tables replaced_;  // guarded by replaced_mutex_
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_INDEX_H_
