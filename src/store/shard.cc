#include "store/shard.h"

#include <algorithm>
#include <memory>
#include <span>
#include <thread>
#include <utility>

#include "base/pages.h"

namespace keystone {

namespace {

constexpr size_t kFirstBuckets = 16;
constexpr size_t kSmallBuckets = 4096;  // below it a table grows by half, above by a quarter
constexpr size_t kRoom = 64;            // slots behind the last bucket, for its cluster

// May be read while it is written: whoever has read a part of a change (acquire) will find the
// shard's version changed (release) as well.
class Slot {
 public:
  bool empty() const { return segment() == 0; }
  uint32_t tag() const {
    return static_cast<uint32_t>(head_.load(std::memory_order_acquire) >> 32);
  }
  Location where() const { return {segment(), offset_.load(std::memory_order_acquire)}; }

  void Set(uint32_t tag, Location where) {
    head_.store(uint64_t{tag} << 32 | where.segment, std::memory_order_release);
    offset_.store(where.offset, std::memory_order_release);
  }
  void Set(const Slot& other) { Set(other.tag(), other.where()); }
  void Clear() { Set(0, {}); }

 private:
  uint32_t segment() const { return static_cast<uint32_t>(head_.load(std::memory_order_acquire)); }

  std::atomic<uint64_t> head_{0};  // tag, then segment; segment 0: the slot is empty
  std::atomic<uint64_t> offset_{0};
};

}  // namespace

// The last slot always stays empty, so that every walk ends, even one that sees half a change.
class Shard::Table {
 public:
  explicit Table(size_t buckets)
      : buckets_(buckets),
        size_(buckets + kRoom),
        pages_(size_ * sizeof(Slot)),
        slots_(reinterpret_cast<Slot*>(pages_.data())) {
    std::uninitialized_default_construct_n(slots_, size_);
  }

  size_t buckets() const { return buckets_; }
  size_t size() const { return size_; }
  size_t memory_bytes() const { return pages_.size(); }
  size_t Home(uint32_t tag) const { return (uint64_t{tag} * buckets_) >> 32; }
  Slot& operator[](size_t i) { return slots_[i]; }
  const Slot& operator[](size_t i) const { return slots_[i]; }

  // The first slot at or behind the tag's home that is empty or has no smaller tag.
  size_t FirstOf(uint32_t tag) const {
    size_t i = Home(tag);
    while (!slots_[i].empty() && slots_[i].tag() < tag) i++;
    return i;
  }
  bool Has(size_t i, uint32_t tag) const { return !slots_[i].empty() && slots_[i].tag() == tag; }

  // The slot of `tag` that says `where`; null where there is none.
  Slot* Find(uint32_t tag, Location where) {
    for (size_t i = FirstOf(tag); Has(i, tag); i++) {
      if (slots_[i].where() == where) return &slots_[i];
    }
    return nullptr;
  }

  bool CopyFrom(const Table& smaller);
  bool Load(std::span<const TaggedLocation> entries);

 private:
  const size_t buckets_;
  const size_t size_;
  const Pages pages_;
  Slot* const slots_;  // in pages_
};

// Into an empty table. The slots come in order, so each goes to its home or right behind the last.
// False where the last cluster has no room.
bool Shard::Table::CopyFrom(const Table& smaller) {
  size_t next = 0;
  for (const Slot& slot : std::span(smaller.slots_, smaller.size_)) {
    if (slot.empty()) continue;
    next = std::max(next, Home(slot.tag()));
    if (next + 1 >= size_) return false;
    slots_[next++].Set(slot);
  }
  return next + 1 < size_;
}

// As CopyFrom.
bool Shard::Table::Load(std::span<const TaggedLocation> entries) {
  size_t next = 0;
  for (const TaggedLocation& entry : entries) {
    next = std::max(next, Home(entry.tag));
    if (next + 1 >= size_) return false;
    slots_[next++].Set(entry.tag, entry.where);
  }
  return true;
}

// A writer's turn with the slots, by one that holds the mutex.
class Shard::Change {
 public:
  explicit Change(Shard* shard)
      : version_(shard->version_), begun_(version_.load(std::memory_order_relaxed) + 1) {
    version_.store(begun_, std::memory_order_relaxed);
  }
  ~Change() { version_.store(begun_ + 1, std::memory_order_release); }
  Change(const Change&) = delete;
  Change& operator=(const Change&) = delete;

 private:
  std::atomic<uint32_t>& version_;
  const uint32_t begun_;
};

// Calls `walk` with the table, again and again until no writer was there meanwhile. Not called
// where there is no table.
template <class Walk>
void Shard::Read(Walk walk) const {
  constexpr int kLooksATurn = 64;  // a change is short, unless its thread was interrupted
  for (int looks = 1;; looks++) {
    const uint32_t version = version_.load(std::memory_order_acquire);
    if (version % 2 == 0) {
      const Table* const table = this->table();
      if (table == nullptr) return;
      walk(*table);
      if (version_.load(std::memory_order_relaxed) == version) return;
    }
    if (looks % kLooksATurn == 0) std::this_thread::yield();
  }
}

bool Shard::First(uint32_t tag, Location* found) const {
  bool more = false;
  Read([&](const Table& table) {
    const size_t i = table.FirstOf(tag);
    const bool has = table.Has(i, tag);
    *found = has ? table[i].where() : Location{};
    more = has && table.Has(i + 1, tag);
  });
  return more;
}

void Shard::Collect(uint32_t tag, std::vector<Location>* found) const {
  const size_t before = found->size();
  Read([&](const Table& table) {
    found->resize(before);
    for (size_t i = table.FirstOf(tag); table.Has(i, tag); i++) found->push_back(table[i].where());
  });
}

void Shard::Prefetch(uint32_t tag) const {
  const Table* const table = this->table();
  if (table != nullptr) __builtin_prefetch(&(*table)[table->Home(tag)]);
}

bool Shard::Scan(uint32_t from_tag, size_t count, std::vector<TaggedLocation>* entries,
                 uint32_t* next_tag) const {
  const size_t before = entries->size();
  bool more = false;
  Read([&](const Table& table) {
    entries->resize(before);
    more = false;
    for (size_t i = table.Home(from_tag); i < table.size() && !more; i++) {
      const Slot& slot = table[i];
      const uint32_t tag = slot.tag();
      if (slot.empty() || tag < from_tag) continue;
      more = entries->size() - before >= count && tag != entries->back().tag;
      if (more) {
        *next_tag = tag;
      } else {
        entries->push_back({tag, slot.where()});
      }
    }
  });
  return more;
}

void Shard::List(std::vector<NumberedLocation>* entries) const {
  const Table* const table = this->table();
  for (size_t i = 0; table != nullptr && i < table->size(); i++) {
    const Slot& slot = (*table)[i];
    if (!slot.empty()) entries->push_back({static_cast<uint32_t>(i), slot.where()});
  }
}

void Shard::SetAt(uint32_t number, Location now) {
  Slot& slot = (*table())[number];
  slot.Set(slot.tag(), now);
}

void Shard::PrefetchAt(uint32_t number) const { __builtin_prefetch(&(*table())[number]); }

// 80 % full, so that the first keys to come do not make every shard grow at once.
void Shard::Load(std::span<const TaggedLocation> entries) {
  if (entries.empty()) return;
  const std::lock_guard lock(mutex_);
  size_t buckets = std::max(kFirstBuckets, entries.size() + entries.size() / 4);
  auto loaded = std::make_shared<Table>(buckets);
  while (!loaded->Load(entries)) {
    buckets += buckets / 4;
    loaded = std::make_shared<Table>(buckets);
  }
  used_ = entries.size();
  table_.store(loaded.get(), std::memory_order_release);
  owner_ = std::move(loaded);
}

void Shard::Clear() {
  const std::lock_guard lock(mutex_);
  table_.store(nullptr, std::memory_order_release);
  owner_.reset();
  used_ = 0;
}

void Shard::Insert(uint32_t tag, Location where, Tables* replaced) {
  const std::lock_guard lock(mutex_);
  // At most 85 % full.
  if (table() == nullptr || (used_ + 1) * 20 > table()->buckets() * 17) Grow(replaced);
  for (;; Grow(replaced)) {
    Table& slots = *table();
    size_t place = slots.Home(tag);
    while (!slots[place].empty() && slots[place].tag() <= tag) place++;
    size_t end = place;
    while (!slots[end].empty()) end++;
    if (end + 1 >= slots.size()) continue;  // the last cluster has no room left
    const Change change(this);
    for (; end > place; end--) slots[end].Set(slots[end - 1]);
    slots[place].Set(tag, where);
    break;
  }
  used_++;
}

// Where memory runs out everything stays as it was.
void Shard::Grow(Tables* replaced) {
  const size_t old_buckets = owner_ == nullptr ? 0 : owner_->buckets();
  const size_t more = old_buckets < kSmallBuckets ? old_buckets / 2 : old_buckets / 4;
  size_t buckets = std::max(kFirstBuckets, old_buckets + more);
  auto grown = std::make_shared<Table>(buckets);
  while (owner_ != nullptr && !grown->CopyFrom(*owner_)) {
    buckets += buckets / 4;
    grown = std::make_shared<Table>(buckets);
  }
  if (owner_ != nullptr) replaced->push_back(owner_);
  table_.store(grown.get(), std::memory_order_release);
  owner_ = std::move(grown);
}

bool Shard::Replace(uint32_t tag, Location old, Location now) {
  const std::lock_guard lock(mutex_);
  Slot* const slot = table() == nullptr ? nullptr : table()->Find(tag, old);
  if (slot == nullptr) return false;
  const Change change(this);
  slot->Set(tag, now);
  return true;
}

bool Shard::Remove(uint32_t tag, Location old) {
  const std::lock_guard lock(mutex_);
  if (table() == nullptr) return false;
  Table& slots = *table();
  const Slot* const slot = slots.Find(tag, old);
  if (slot == nullptr) return false;
  const Change change(this);
  auto hole = static_cast<size_t>(slot - &slots[0]);
  // Slots behind the hole that are not at home move up, so that no probe ends too early.
  while (!slots[hole + 1].empty() && slots.Home(slots[hole + 1].tag()) <= hole) {
    slots[hole].Set(slots[hole + 1]);
    hole++;
  }
  slots[hole].Clear();
  used_--;
  return true;
}

size_t MemoryBytes(const Shard::Table& table) { return table.memory_bytes(); }

size_t Shard::memory_bytes() const {
  const Table* const current = table();
  return current == nullptr ? 0 : MemoryBytes(*current);
}

}  // namespace keystone
