#include "store/index.h"

#include <xxhash.h>

#include <algorithm>
#include <new>

#include "base/clock.h"

namespace keystone {

namespace {

Status Damaged(const Segment* segment, Location where, std::string_view why) {
  const Status readable = segment != nullptr ? segment->CheckReadable() : Status::Ok();
  if (!readable.ok()) return readable;
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
  return PositionOf(hash >> 56, TagOf(hash));
}

Status Index::Check(std::string_view key, Location where, RecordView* record) const {
  const Segment* segment = segments_->Find(where.segment);
  if (segment == nullptr) return Damaged(segment, where, "no such segment");
  const RecordState state = segment->Read(where.offset, record);
  if (state != RecordState::kValid) return Damaged(segment, where, Describe(state));
  if (record->key == key) {
    // What a wrong hint said of it; a deleted key has no value to serve.
    if (record->tombstone) return Damaged(segment, where, "a tombstone where a value should be");
    return Status::Ok();
  }
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

Status Index::Find(std::string_view key, RecordView* record, Location* where) const {
  Location unused;
  return FindIn(key, Hash(key), record, where != nullptr ? where : &unused);
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

bool Index::Points(uint64_t position, Location where) const {
  const Shard& shard = shards_[ShardAt(position)];
  Location first;
  const bool more = shard.First(TagAt(position), &first);
  if (first == where || !more) return first == where;
  std::vector<Location> candidates;
  shard.Collect(TagAt(position), &candidates);
  return std::find(candidates.begin(), candidates.end(), where) != candidates.end();
}

// Where a compaction has just moved the old record, it is looked for again.
Status Index::Put(std::string_view key, Location where, size_t size_bytes, uint64_t expires_at_ms) {
  const uint64_t hash = Hash(key);
  RecordView old;
  Location old_where;
  Status found;
  do {
    found = FindIn(key, hash, &old, &old_where);
  } while (found.ok() && !ShardOf(hash).Replace(TagOf(hash), old_where, where));
  live_bytes_.fetch_add(size_bytes, std::memory_order_relaxed);
  if (expires_at_ms != 0) expiry_.Add({expires_at_ms, size_bytes});
  if (found.ok()) {
    CountOut({old.expires_at_ms, old.size_bytes()});
    return found;
  }
  if (found.code() != Code::kNotFound && ReplaceDamaged(key, hash, where)) return found;
  Insert(hash, where);
  size_.fetch_add(1, std::memory_order_relaxed);
  return found.code() == Code::kNotFound ? Status::Ok() : found;
}

// Where it is one record only that can't be told from the key's, it is taken for it. Its size is
// known where its header can be read.
bool Index::ReplaceDamaged(std::string_view key, uint64_t hash, Location now) {
  std::vector<Location> candidates;
  ShardOf(hash).Collect(TagOf(hash), &candidates);
  RecordView old;
  std::erase_if(candidates, [&](const Location& candidate) {
    return Check(key, candidate, &old).code() == Code::kNotFound;
  });
  if (candidates.size() != 1 || !ShardOf(hash).Replace(TagOf(hash), candidates[0], now)) {
    return false;
  }
  const Segment* segment = segments_->Find(candidates[0].segment);
  if (segment != nullptr && segment->Read(candidates[0].offset, &old) == RecordState::kValid) {
    CountOut({old.expires_at_ms, old.size_bytes()});
  }
  return true;
}

void Index::CountOut(const Expiring& record) {
  live_bytes_.fetch_sub(record.size_bytes, std::memory_order_relaxed);
  if (record.expires_at_ms != 0) expiry_.Remove(record, UnixTimeMs());
}

// Readers may be using what growth has replaced, even where it has thrown in the end.
void Index::Insert(uint64_t hash, Location where) {
  Shard& shard = ShardOf(hash);
  Shard::Tables replaced;
  const size_t before = shard.memory_bytes();
  try {
    shard.Insert(TagOf(hash), where, &replaced);
  } catch (const std::bad_alloc&) {
    Retire(&replaced);
    throw;
  }
  if (before != 0 && replaced.empty()) return;
  memory_bytes_.fetch_add(shard.memory_bytes(), std::memory_order_relaxed);
  for (const auto& table : replaced) {
    memory_bytes_.fetch_add(MemoryBytes(*table), std::memory_order_relaxed);
  }
  memory_bytes_.fetch_sub(before, std::memory_order_relaxed);  // the first of them, counted already
  Retire(&replaced);
}

void Index::Retire(Shard::Tables* replaced) {
  if (replaced->empty()) return;
  const std::lock_guard lock(replaced_mutex_);
  replaced_.splice(replaced_.end(), *replaced);
}

void Index::Clear() {
  for (Shard& shard : shards_) {
    memory_bytes_.fetch_sub(shard.memory_bytes(), std::memory_order_relaxed);
    shard.Clear();
  }
  expiry_.Clear();
  size_.store(0, std::memory_order_relaxed);
  live_bytes_.store(0, std::memory_order_relaxed);
}

Shard::Tables Index::TakeReplaced() {
  Shard::Tables taken;
  const std::lock_guard lock(replaced_mutex_);
  taken.swap(replaced_);
  for (const auto& table : taken) {
    memory_bytes_.fetch_sub(MemoryBytes(*table), std::memory_order_relaxed);
  }
  return taken;
}

Status Index::Erase(std::string_view key) {
  const uint64_t hash = Hash(key);
  RecordView old;
  Location old_where;
  Status found;
  do {
    found = FindIn(key, hash, &old, &old_where);
  } while (found.ok() && !ShardOf(hash).Remove(TagOf(hash), old_where));
  if (!found.ok()) return found;
  CountOut({old.expires_at_ms, old.size_bytes()});
  size_.fetch_sub(1, std::memory_order_relaxed);
  return found;
}

bool Index::Drop(uint64_t position, Location where, const Expiring& record) {
  if (!shards_[ShardAt(position)].Remove(TagAt(position), where)) return false;
  CountOut(record);
  size_.fetch_sub(1, std::memory_order_relaxed);
  return true;
}

bool Index::Relocate(uint64_t position, Location old, Location now) {
  return shards_[ShardAt(position)].Replace(TagAt(position), old, now);
}

Index::Live Index::LiveAt(uint64_t now_ms) {
  const ExpiryLedger::Sums sums = expiry_.At(now_ms);
  const uint64_t keys = size();
  const uint64_t bytes = live_bytes();
  return {.keys = keys - std::min(keys, sums.expired_records),
          .bytes = bytes - std::min(bytes, sums.expired_bytes)};
}

void Index::LoadShard(size_t shard, std::span<const Loaded> entries, uint64_t live_bytes,
                      std::span<Expiring> expiring) {
  shards_[shard].Load(entries);
  memory_bytes_.fetch_add(shards_[shard].memory_bytes(), std::memory_order_relaxed);
  size_.fetch_add(entries.size(), std::memory_order_relaxed);
  live_bytes_.fetch_add(live_bytes, std::memory_order_relaxed);
  if (!expiring.empty()) expiry_.AddAll(expiring);
}

uint64_t Index::Scan(uint64_t cursor, size_t count, std::vector<Entry>* entries) const {
  std::vector<TaggedLocation> found;
  auto from_tag = static_cast<uint32_t>(cursor);
  for (uint64_t shard = cursor >> 32; shard < kShards; shard++, from_tag = 0) {
    if (count == 0) return shard << 32;
    found.clear();
    uint32_t next_tag = 0;
    const bool more = shards_[shard].Scan(from_tag, count, &found, &next_tag);
    for (const auto& [tag, where] : found) entries->push_back({shard << 32 | tag, where});
    if (more) return shard << 32 | next_tag;
    count -= std::min(count, found.size());
  }
  return 0;
}

}  // namespace keystone
