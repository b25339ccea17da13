#include "store/hint_table.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <utility>

#include "store/index.h"

namespace keystone {

namespace {

constexpr uint64_t kWatchBytes = 256 * 1024;
constexpr uint64_t kSampleEntries = 4096;  // tell how many there will be
constexpr size_t kKeysAhead = 16;

// A bucket sort by the tags' first bits, where there is something for the buckets.
void SortEntries(std::vector<HintEntry>* entries) {
  constexpr int kBits = 10;
  constexpr size_t kBuckets = size_t{1} << kBits;
  constexpr int kShift = 32 - kBits;
  if (std::is_sorted(entries->begin(), entries->end())) return;
  if (entries->size() < kBuckets) return std::sort(entries->begin(), entries->end());
  std::array<size_t, kBuckets + 1> ends{};
  for (const HintEntry& entry : *entries) ends[(entry.tag >> kShift) + 1]++;
  std::partial_sum(ends.begin(), ends.end(), ends.begin());
  std::vector<HintEntry> sorted(entries->size());
  for (const HintEntry& entry : *entries) sorted[ends[entry.tag >> kShift]++] = entry;
  auto begin = sorted.begin();
  for (size_t i = 0; i < kBuckets; i++) {
    const auto end = sorted.begin() + static_cast<ptrdiff_t>(ends[i]);
    std::sort(begin, end);
    begin = end;
  }
  entries->swap(sorted);
}

}  // namespace

ScanEnd HintTable::Fill(uint32_t ordinal, uint64_t from, uint64_t to, uint64_t first_sequence,
                        const Watcher& watch) {
  const std::string_view bytes = (*segments_)[ordinal]->bytes().substr(0, to);
  const uint64_t reserve_at = entries_ + kSampleEntries;
  bool reserved = false;
  uint64_t watched = from;
  uint64_t records = 0;
  ScanEnd scan_end =
      ScanGroupsFrom(from, bytes, first_sequence, true, [&](std::span<const PlacedRecord> group) {
        for (const PlacedRecord& placed : group) Add(ordinal, placed);
        records += group.size();
        last_offset_ = group.back().offset;
        if (!reserved && entries_ >= reserve_at) {
          Reserve(last_offset_ - from, bytes.size() - last_offset_);
          reserved = true;
        }
        const uint64_t end = last_offset_ + group.back().record.size_bytes();
        if (end - watched < kWatchBytes) return true;
        return watch(end - std::exchange(watched, end), std::exchange(records, 0));
      });
  if (scan_end.kind != ScanEnd::Kind::kStopped && !watch(bytes.size() - watched, records)) {
    scan_end.kind = ScanEnd::Kind::kStopped;
  }
  return scan_end;
}

void HintTable::Add(uint32_t ordinal, const PlacedRecord& placed) {
  const RecordView& record = placed.record;
  if (record.is_sync_mark()) return;
  const uint64_t position = Index::Position(record.key, seed_);
  shards_[position >> 32].push_back({.tag = static_cast<uint32_t>(position),
                                     .ordinal = ordinal,
                                     .offset = placed.offset,
                                     .size_bytes = static_cast<uint32_t>(record.size_bytes()),
                                     .key_size = static_cast<uint16_t>(record.key.size()),
                                     .tombstone = record.tombstone,
                                     .has_attributes = (record.flags & kHasAttributes) != 0});
  entries_++;
}

// Room for all that is to come, if it is like what was read: growth would copy, and leave holes.
void HintTable::Reserve(uint64_t bytes_read, uint64_t bytes_to_read) {
  const double more = static_cast<double>(kSampleEntries) / kHintShards *
                      static_cast<double>(bytes_to_read) / static_cast<double>(bytes_read);
  const auto room = static_cast<size_t>(more + 4 * std::sqrt(more));
  for (auto& shard : shards_) shard.reserve(shard.size() + room);
}

HintedKey HintTable::WithKey(const HintEntry& entry) const {
  const size_t key_at = kRecordHeaderSize + (entry.has_attributes ? kAttributesSize : 0);
  return {entry, (*segments_)[entry.ordinal]->bytes().data() + entry.offset + key_at};
}

// Where a key's operations lie next to each other, the keys will be compared.
void HintTable::FetchKey(std::span<const HintEntry> entries, size_t i) const {
  if (i + 1 >= entries.size()) return;
  const uint32_t tag = entries[i].tag;
  if (tag == entries[i + 1].tag || tag == entries[i - 1].tag) {
    __builtin_prefetch(WithKey(entries[i]).key_bytes);
  }
}

void HintTable::Sort(size_t shard) {
  std::vector<HintEntry>& entries = shards_[shard];
  SortEntries(&entries);
  size_t out = 0;
  std::vector<HintedKey> run;
  for (size_t i = 0; i < entries.size();) {
    size_t end = i + 1;
    FetchKey(entries, i + kKeysAhead);
    while (end < entries.size() && entries[end].tag == entries[i].tag) {
      FetchKey(entries, end++ + kKeysAhead);
    }
    if (end - i == 1) {
      entries[out++] = entries[i++];
      continue;
    }
    run.clear();
    for (; i < end; i++) run.push_back(WithKey(entries[i]));
    const size_t count = DropOverwritten(run.data(), run.size());
    for (size_t kept = 0; kept < count; kept++) entries[out++] = run[kept].entry;
  }
  entries.resize(out);
}

uint64_t HintTable::Count() const {
  uint64_t count = 0;
  for (const auto& shard : shards_) count += shard.size();
  return count;
}

void HintTable::Collect(size_t shard, std::vector<HintedKey>* keys) const {
  for (const HintEntry& entry : shards_[shard]) keys->push_back(WithKey(entry));
}

size_t DropOverwritten(HintedKey* run, size_t count) {
  size_t kept = 0;
  for (size_t i = 0; i < count; i++) {
    const HintedKey newer = run[i];
    const auto same_key = [&](const HintedKey& other) { return other.key() == newer.key(); };
    kept = static_cast<size_t>(std::remove_if(run, run + kept, same_key) - run);
    run[kept++] = newer;
  }
  return kept;
}

}  // namespace keystone
