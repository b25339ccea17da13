// One of the index's arrays: hash tags and where their records are, in the order of the tags.
//
// Linear probing, kept sorted (O. Amble, D. E. Knuth, "Ordered hash tables", 1974): a tag's home
// bucket is tag * buckets / 2^32, which rises with the tag, so the whole array is in order. That
// makes a miss as short as a hit, growth a sequential copy by any factor (1.25 once it is big, so
// at least 2/3 of a grown array is used), and a scan cursor a position in hash order that no growth
// moves.
//
// Threads: any thread may read, any may write; writers take turns by a mutex. Readers take no lock:
// a version, odd while a writer is at work, tells them to look again (a sequence lock). Growth
// makes a new table beside the old one, which readers may still be using: it is handed out, and is
// to be destroyed once all of them have gone.
#ifndef KEYSTONE_STORE_SHARD_H_
#define KEYSTONE_STORE_SHARD_H_

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

namespace keystone {

struct Location {
  uint32_t segment = 0;  // number; 0: nowhere
  uint64_t offset = 0;

  bool operator==(const Location&) const = default;
};

struct TaggedLocation {
  uint32_t tag = 0;
  Location where;
};

struct NumberedLocation {
  uint32_t number = 0;  // of the slot, in its shard
  Location where;
};

class Shard {
 public:
  class Table;
  using Tables = std::list<std::shared_ptr<const Table>>;

  Shard() = default;
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

  // The first location with `tag`, its segment 0 where there is none. True where there are more.
  bool First(uint32_t tag, Location* found) const;
  // All of them, behind `found`.
  void Collect(uint32_t tag, std::vector<Location>* found) const;
  // Starts to load where `tag` would be into the processor's caches.
  void Prefetch(uint32_t tag) const;
  // Appends the entries from `from_tag` on, at least `count` if there are that many (more where
  // tags are equal). True, and the tag to go on with, where there is more.
  bool Scan(uint32_t from_tag, size_t count, std::vector<TaggedLocation>* entries,
            uint32_t* next_tag) const;

  // For who has the shard to itself: appends all entries, with the numbers of their slots, which
  // are good until the next change by others than SetAt.
  void List(std::vector<NumberedLocation>* entries) const;
  void SetAt(uint32_t number, Location now);
  void PrefetchAt(uint32_t number) const;

  // Fills an empty shard that nobody reads yet with entries in the order of their tags.
  void Load(std::span<const TaggedLocation> entries);

  // Empties a shard that nobody reads.
  void Clear();

  // What growth puts out of use goes to `replaced`.
  void Insert(uint32_t tag, Location where, Tables* replaced);
  // False where `tag` is not at `old`.
  bool Replace(uint32_t tag, Location old, Location now);
  bool Remove(uint32_t tag, Location old);

  size_t memory_bytes() const;  // of the table in use

 private:
  class Change;

  template <class Walk>
  void Read(Walk walk) const;
  Table* table() const { return table_.load(std::memory_order_acquire); }
  void Grow(Tables* replaced);

  std::atomic<uint32_t> version_{0};    // odd while slots change; written with mutex_ held
  std::atomic<Table*> table_{nullptr};  // of owner_; written with mutex_ held; null: no entry yet
  std::mutex mutex_;
  std::shared_ptr<Table> owner_;  // guarded by mutex_
  size_t used_ = 0;               // guarded by mutex_
};

size_t MemoryBytes(const Shard::Table& table);

}  // namespace keystone

#endif  // KEYSTONE_STORE_SHARD_H_
