#include "store/index.h"

#include <xxhash.h>

#include <algorithm>

#include "base/escape.h"

namespace keystone {

namespace {

constexpr size_t kFirstBuckets = 16;
constexpr size_t kRoom = 64;  // slots behind the last bucket

Status Damaged(const Segment* segment, Location where, std::string_view why) {
  const std::string name =
      segment != nullptr ? segment->name() : SegmentName(where.segment) + " (not open)";
  return {Code::kCorrupt, "read " + name + " at offset " + std::to_string(where.offset) + ": " +
                              std::string(why) + "; stop the daemon and run keystone-log check"};
}

}  // namespace

uint64_t Index::Hash(std::string_view key, uint64_t seed) {
  return XXH3_64bits_withSeed(key.data(), key.size(), seed);
}

uint64_t Index::Position(std::string_view key, uint64_t seed) {
  const uint64_t hash = Hash(key, seed);
  return (hash >> 56) << 32 | TagOf(hash);
}

Status Index::Check(std::string_view key, Location where, RecordView* record) const {
  const Segment* segment = segments_->Find(where.segment);
  if (segment == nullptr) return Damaged(segment, where, "no such segment");
  const RecordState state = segment->Read(where.offset, record);
  if (state != RecordState::kValid) return Damaged(segment, where, Describe(state));
  if (record->key == key) return Status::Ok();
  // Another key with the same tag, or this one with a damaged byte: that must not look like an
  // absent key.
  if (!BodyIsIntact(*record)) {
    return Damaged(segment, where, Describe(RecordState::kBadBody));
  }
  return Status::NotFound();
}

Status Index::FindIn(std::string_view key, uint64_t hash, RecordView* record,
                     Location* where) const {
  const Shard& shard = ShardOf(hash);
  const bool more = shard.First(TagOf(hash), where);
  if (where->segment == 0) return Status::NotFound();
  Status status = Check(key, *where, record);
  if (status.ok() || !more) return status;
  std::vector<Location> candidates;  // rare: 40 bits of two hashes are the same
  shard.Collect(TagOf(hash), &candidates);
  for (const Location& candidate : candidates) {
    *where = candidate;
    Status next = Check(key, candidate, record);
    if (next.ok()) return next;
    if (status.code() == Code::kNotFound) status = next;
  }
  return status;
}

Status Index::Find(std::string_view key, RecordView* record) const {
  Location where;
  return FindIn(key, Hash(key), record, &where);
}

void Index::PrefetchSlot(std::string_view key) const {
  const uint64_t hash = Hash(key);
  ShardOf(hash).Prefetch(TagOf(hash));
}

void Index::PrefetchRecord(std::string_view key) const {
  const uint64_t hash = Hash(key);
  Location where;
  ShardOf(hash).First(TagOf(hash), &where);
  const Segment* segment = segments_->Find(where.segment);
  if (segment != nullptr && where.offset < segment->size()) {
    __builtin_prefetch(segment->bytes().data() + where.offset);
  }
}

bool Index::Points(std::string_view key, Location where) const {
  const uint64_t hash = Hash(key);
  Location first;
  const bool more = ShardOf(hash).First(TagOf(hash), &first);
  if (first == where || !more) return first == where;
  std::vector<Location> candidates;
  ShardOf(hash).Collect(TagOf(hash), &candidates);
  return std::find(candidates.begin(), candidates.end(), where) != candidates.end();
}

Status Index::Put(std::string_view key, Location where, size_t size_bytes) {
  const uint64_t hash = Hash(key);
  RecordView old;
  Location old_where;
  const Status found = FindIn(key, hash, &old, &old_where);
  live_bytes_.fetch_add(size_bytes, std::memory_order_relaxed);
  if (found.ok()) {
    live_bytes_.fetch_sub(old.size_bytes(), std::memory_order_relaxed);
    ShardOf(hash).Replace(TagOf(hash), old_where, where);
    return found;
  }
  memory_bytes_.fetch_add(ShardOf(hash).Insert(TagOf(hash), where), std::memory_order_relaxed);
  size_.fetch_add(1, std::memory_order_relaxed);
  return found.code() == Code::kNotFound ? Status::Ok() : found;
}

Status Index::Erase(std::string_view key) {
  const uint64_t hash = Hash(key);
  RecordView old;
  Location old_where;
  Status found = FindIn(key, hash, &old, &old_where);
  if (!found.ok()) return found;
  ShardOf(hash).Remove(TagOf(hash), old_where);
  live_bytes_.fetch_sub(old.size_bytes(), std::memory_order_relaxed);
  size_.fetch_sub(1, std::memory_order_relaxed);
  return found;
}

bool Index::Relocate(std::string_view key, Location old, Location now) {
  const uint64_t hash = Hash(key);
  return ShardOf(hash).Replace(TagOf(hash), old, now);
}

void Index::LoadShard(size_t shard, std::span<const Loaded> entries, uint64_t live_bytes) {
  memory_bytes_.fetch_add(shards_[shard].Load(entries), std::memory_order_relaxed);
  size_.fetch_add(entries.size(), std::memory_order_relaxed);
  live_bytes_.fetch_add(live_bytes, std::memory_order_relaxed);
}

uint64_t Index::Scan(uint64_t cursor, size_t count, std::vector<Entry>* entries) const {
  const size_t wanted = entries->size() + count;
  auto from_tag = static_cast<uint32_t>(cursor);
  for (uint64_t shard = cursor >> 32; shard < kShards; shard++, from_tag = 0) {
    if (entries->size() >= wanted) return shard << 32;
    uint32_t next_tag = 0;
    if (shards_[shard].Scan(from_tag, wanted - entries->size(), shard << 32, entries, &next_tag)) {
      return shard << 32 | next_tag;
    }
  }
  return 0;
}

// The first slot at or behind the tag's home that is empty or has no smaller tag.
size_t Index::Shard::FirstOf(uint32_t tag) const {
  size_t i = Home(tag);
  while (!slots_[i].empty() && slots_[i].tag < tag) i++;
  return i;
}

bool Index::Shard::First(uint32_t tag, Location* found) const {
  const std::lock_guard lock(mutex_);
  if (buckets_ == 0) return false;
  const size_t i = FirstOf(tag);
  if (slots_[i].empty() || slots_[i].tag != tag) return false;
  *found = slots_[i].where();
  return !slots_[i + 1].empty() && slots_[i + 1].tag == tag;
}

void Index::Shard::Prefetch(uint32_t tag) const {
  const std::lock_guard lock(mutex_);
  if (buckets_ != 0) __builtin_prefetch(&slots_[Home(tag)]);
}

void Index::Shard::Collect(uint32_t tag, std::vector<Location>* found) const {
  const std::lock_guard lock(mutex_);
  if (buckets_ == 0) return;
  for (size_t i = FirstOf(tag); !slots_[i].empty() && slots_[i].tag == tag; i++) {
    found->push_back(slots_[i].where());
  }
}

Index::Slot* Index::Shard::FindSlot(uint32_t tag, Location where) {
  if (buckets_ == 0) return nullptr;
  for (size_t i = FirstOf(tag); !slots_[i].empty() && slots_[i].tag == tag; i++) {
    if (slots_[i].where() == where) return &slots_[i];
  }
  return nullptr;
}

size_t Index::Shard::Insert(uint32_t tag, Location where) {
  const std::lock_guard lock(mutex_);
  const size_t before = slots_.capacity();
  if ((used_ + 1) * 20 > buckets_ * 17) Grow();  // at most 85 % full
  while (!InsertInOrder({tag, where.segment, where.offset})) Grow();
  used_++;
  return (slots_.capacity() - before) * sizeof(Slot);
}

// False where the last cluster has no room left. The array's last slot always stays empty, so that
// every walk ends.
bool Index::Shard::InsertInOrder(const Slot& slot) {
  size_t place = Home(slot.tag);
  while (!slots_[place].empty() && slots_[place].tag <= slot.tag) place++;
  size_t end = place;
  while (!slots_[end].empty()) end++;
  if (end + 1 >= slots_.size()) return false;
  std::move_backward(slots_.begin() + static_cast<ptrdiff_t>(place),
                     slots_.begin() + static_cast<ptrdiff_t>(end),
                     slots_.begin() + static_cast<ptrdiff_t>(end) + 1);
  slots_[place] = slot;
  return true;
}

void Index::Shard::Grow() {
  const std::vector<Slot> old = std::move(slots_);
  buckets_ = std::max(kFirstBuckets, buckets_ + buckets_ / 4);
  for (;; buckets_ += buckets_ / 4) {
    slots_ = std::vector<Slot>(buckets_ + kRoom);
    size_t next = 0;  // the slots come in order, so each goes to its home or right behind the last
    for (const Slot& slot : old) {
      if (slot.empty()) continue;
      next = std::max(next, Home(slot.tag));
      if (next + 1 >= slots_.size()) break;
      slots_[next++] = slot;
    }
    if (next + 1 < slots_.size()) return;
  }
}

// 80 % full, so that the first keys to come do not make every shard grow at once.
size_t Index::Shard::Load(std::span<const Loaded> entries) {
  const std::lock_guard lock(mutex_);
  if (entries.empty()) return 0;
  buckets_ = std::max(kFirstBuckets, entries.size() + entries.size() / 4);
  while (!Fill(entries)) buckets_ += buckets_ / 4;
  used_ = entries.size();
  return slots_.capacity() * sizeof(Slot);
}

// False where the last cluster would have no room.
bool Index::Shard::Fill(std::span<const Loaded> entries) {
  slots_ = std::vector<Slot>(buckets_ + kRoom);
  size_t next = 0;
  for (const Loaded& entry : entries) {
    next = std::max(next, Home(entry.tag));
    if (next + 1 >= slots_.size()) return false;
    slots_[next++] = {entry.tag, entry.where.segment, entry.where.offset};
  }
  return true;
}

bool Index::Shard::Replace(uint32_t tag, Location old, Location now) {
  const std::lock_guard lock(mutex_);
  Slot* slot = FindSlot(tag, old);
  if (slot == nullptr) return false;
  slot->segment = now.segment;
  slot->offset = now.offset;
  return true;
}

bool Index::Shard::Remove(uint32_t tag, Location old) {
  const std::lock_guard lock(mutex_);
  const Slot* slot = FindSlot(tag, old);
  if (slot == nullptr) return false;
  auto hole = static_cast<size_t>(slot - slots_.data());
  // Slots behind the hole that are not at home move up, so that no probe ends too early.
  while (!slots_[hole + 1].empty() && Home(slots_[hole + 1].tag) <= hole) {
    slots_[hole] = slots_[hole + 1];
    hole++;
  }
  slots_[hole] = Slot();
  used_--;
  return true;
}

bool Index::Shard::Scan(uint32_t from_tag, size_t count, uint64_t base, std::vector<Entry>* entries,
                        uint32_t* next_tag) const {
  const std::lock_guard lock(mutex_);
  if (buckets_ == 0) return false;
  uint32_t last_tag = 0;
  size_t taken = 0;
  for (size_t i = Home(from_tag); i < slots_.size(); i++) {
    const Slot& slot = slots_[i];
    if (slot.empty() || slot.tag < from_tag) continue;
    if (taken >= count && slot.tag != last_tag) {
      *next_tag = slot.tag;
      return true;
    }
    entries->push_back({base | slot.tag, slot.where()});
    last_tag = slot.tag;
    taken++;
  }
  return false;
}

}  // namespace keystone
