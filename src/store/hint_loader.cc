#include "store/hint_loader.h"

#include <algorithm>
#include <utility>

namespace keystone {

namespace {

bool IsOlder(const HintedKey& a, const HintedKey& b) { return a.entry < b.entry; }

}  // namespace

Status HintLoader::Load(size_t shard, size_t* bad) {
  keys_.clear();
  ends_.assign(1, 0);
  if (Status status = ReadFiles(shard, bad); !status.ok()) return status;
  CollectTables(shard);
  MergeRuns();
  DropOld();
  TakeLive();
  ReleaseTables(shard);
  index_->LoadShard(shard, loaded_, live_bytes_, expiring_);
  return Status::Ok();
}

void HintLoader::Condense(size_t shard) {
  keys_.clear();
  ends_.assign(1, 0);
  CollectTables(shard);
  MergeRuns();
  DropOld();
  ReleaseTables(shard);
  std::vector<HintEntry> entries;
  entries.reserve(keys_.size());
  for (const HintedKey& key : keys_) entries.push_back(key.entry);
  hints_->tables.back()->Assign(shard, std::move(entries));
}

void HintLoader::CollectTables(size_t shard) {
  for (const auto& table : hints_->tables) {
    if (table == nullptr) continue;
    table->Sort(shard);
    table->Collect(shard, &keys_);
    EndRun();
  }
}

void HintLoader::ReleaseTables(size_t shard) {
  for (const auto& table : hints_->tables) {
    if (table != nullptr) table->Release(shard);
  }
}

Status HintLoader::ReadFiles(size_t shard, size_t* bad) {
  uint64_t size_bytes = 0;
  for (const auto& file : hints_->files) {
    if (file) size_bytes += file->header().blocks[shard].size_bytes;
  }
  if (buffer_.size() < size_bytes) buffer_.resize(size_bytes);
  char* place = buffer_.data();
  for (size_t i = 0; i < hints_->files.size(); i++) {
    const auto& file = hints_->files[i];
    if (!file) continue;
    Status status = file->ReadShard(shard, static_cast<uint32_t>(i), place, &keys_);
    if (!status.ok()) {
      *bad = i;
      return status;
    }
    place += file->header().blocks[shard].size_bytes;
    EndRun();
  }
  return Status::Ok();
}

void HintLoader::EndRun() {
  if (keys_.size() > ends_.back()) ends_.push_back(keys_.size());
}

// Pairs of neighbouring runs become one, until there is one.
void HintLoader::MergeRuns() {
  while (ends_.size() > 2) {
    merged_.resize(keys_.size());
    std::vector<size_t> ends{0};
    for (size_t i = 1; i < ends_.size(); i += 2) {
      const auto at = [&](size_t run) {
        return keys_.begin() + static_cast<ptrdiff_t>(ends_[std::min(run, ends_.size() - 1)]);
      };
      std::merge(at(i - 1), at(i), at(i), at(i + 1),
                 merged_.begin() + static_cast<ptrdiff_t>(ends_[i - 1]), IsOlder);
      ends.push_back(ends_[std::min(i + 1, ends_.size() - 1)]);
    }
    keys_.swap(merged_);
    ends_.swap(ends);
  }
}

// Leaves the last operation of each key, in order.
void HintLoader::DropOld() {
  size_t kept = 0;
  for (size_t i = 0; i < keys_.size();) {
    size_t end = i + 1;
    while (end < keys_.size() && keys_[end].entry.tag == keys_[i].entry.tag) end++;
    const size_t count = end - i == 1 ? 1 : DropOverwritten(&keys_[i], end - i);
    for (size_t k = 0; k < count; k++) keys_[kept + k] = keys_[i + k];
    kept += count;
    i = end;
  }
  keys_.resize(kept);
}

void HintLoader::TakeLive() {
  loaded_.clear();
  expiring_.clear();
  live_bytes_ = 0;
  for (const HintedKey& key : keys_) {
    const HintEntry& entry = key.entry;
    if (entry.tombstone) continue;
    loaded_.push_back({entry.tag, {(*segments_)[entry.ordinal]->number(), entry.offset}});
    live_bytes_ += entry.size_bytes;
    if (!entry.has_attributes) continue;
    const uint64_t expires_at_ms = key.expires_at_ms();
    if (expires_at_ms != 0) expiring_.push_back({expires_at_ms, entry.size_bytes});
  }
}

}  // namespace keystone
