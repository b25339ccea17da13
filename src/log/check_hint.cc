#include "log/check_hint.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "store/hint.h"
#include "store/hint_table.h"

namespace keystone {

namespace {

bool IsOlder(const HintedKey& a, const HintedKey& b) { return a.entry < b.entry; }

bool IsSame(const HintedKey& a, const HintedKey& b) {
  return a.entry == b.entry && a.expiry() == b.expiry() && a.key() == b.key();
}

// Ok where the shards of the hint are those of the table.
Status Compare(const HintFile& file, HintTable* table) {
  std::vector<char> buffer;
  for (size_t shard = 0; shard < kHintShards; shard++) {
    buffer.resize(file.header().blocks[shard].size_bytes);
    std::vector<HintedKey> hinted;
    std::vector<HintedKey> found;
    Status status = file.ReadShard(shard, 0, buffer.data(), &hinted);
    if (!status.ok()) return status;
    table->Sort(shard);
    table->Collect(shard, &found);
    std::sort(hinted.begin(), hinted.end(), IsOlder);
    std::sort(found.begin(), found.end(), IsOlder);
    if (!std::equal(hinted.begin(), hinted.end(), found.begin(), found.end(), IsSame)) {
      return {Code::kCorrupt, "contradicts its segment"};
    }
  }
  return Status::Ok();
}

}  // namespace

HintReport CheckHintOf(const std::string& directory, const std::shared_ptr<Segment>& segment,
                       uint64_t seed) {
  const auto file = HintFile::Open(directory, *segment, seed);
  if (file.status().code() == Code::kNotFound) return {};
  if (!file.ok()) return {.keys = {}, .problem = file.status().message()};
  const HintHeader& header = file.value().header();
  const SegmentSet::List segments{segment};
  HintTable table(&segments, seed);
  const ScanEnd end =
      table.Fill(0, kSegmentHeaderSize, header.covered_bytes, segment->header().first_sequence,
                 [](uint64_t, uint64_t) { return true; });
  if (end.kind != ScanEnd::Kind::kEnd) return {};
  Status status = Compare(file.value(), &table);
  if (status.ok() && (header.records != end.records || header.last_sequence != end.last_sequence)) {
    status = {Code::kCorrupt, "contradicts its segment"};
  }
  if (!status.ok()) return {.keys = {}, .problem = status.message()};
  std::string keys = std::to_string(header.entries()) + " keys";
  if (header.covered_bytes < segment->size()) {
    keys += " in the first " + std::to_string(header.covered_bytes) + " bytes";
  }
  return {.keys = std::move(keys), .problem = {}};
}

}  // namespace keystone
