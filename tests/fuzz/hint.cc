// A hint beside good segments: the store opens whatever the hint says. One that is not good is as
// none; even one that lies under right checksums never makes the store serve what no record says.
//
//   0  1  choices, below
//   1     the hint's file, or what makes one: kBuild
#include "store/hint.h"

#include <algorithm>
#include <array>
#include <boost/endian/conversion.hpp>
#include <cstring>
#include <set>

#include "base/crc32.h"
#include "store/record.h"
#include "store/segment.h"
#include "store_files.h"

using namespace fuzz;
using namespace keystone;
using boost::endian::load_little_u64;
using boost::endian::store_little_u32;

namespace {

enum Choice : uint8_t {
  kMend = 1,   // so that checksums don't keep the bytes from what is behind them
  kBuild = 2,  // the input is: shard 1, entry 20, key; again and again
  kBind = 4,   // with kBuild: the header is the one that the segment has to have
  kCompact = 8,
};

constexpr size_t kMostBytes = 64 << 10;
constexpr size_t kDirectory = 96;  // hint.h has the format
constexpr size_t kDirectoryEntrySize = 16;
constexpr unsigned char kAttributesFlag = 2;
constexpr size_t kHeaderCrc = kDirectory + kHintShards * kDirectoryEntrySize;

// Segment 1: keys that are set once and twice, deleted, in a group.
std::string FirstSegment() {
  return SegmentBytes(1, 1,
                      Record(1, "a", "old") + Record(2, "b", "1") + Record(3, "c", "2") +
                          Record(4, "a", "new") + Record(5, "b", nullptr) +
                          Record(6, "d", "3", kGroupGoesOn) + Record(7, "e", "") +
                          Record(8, "f", "last"));
}

std::string SecondSegment() { return SegmentBytes(2, 9, Record(9, "c", nullptr)); }

constexpr uint64_t kRecords = 8;

uint64_t LastOffset() { return FirstSegment().size() - Record(8, "f", "last").size(); }

const Contents& Expected() {
  static const Contents expected{{"a", "new"}, {"d", "3"}, {"e", ""}, {"f", "last"}};
  return expected;
}

// All that a lying hint can bring back.
bool IsRecorded(const std::string& key, const std::string& value) {
  static const std::set<std::pair<std::string, std::string>> recorded{
      {"a", "old"}, {"a", "new"}, {"b", "1"}, {"c", "2"}, {"d", "3"}, {"e", ""}, {"f", "last"}};
  return recorded.contains({key, value});
}

HintHeader BoundHeader(std::string_view segment) {
  HintHeader header;
  header.number = 1;
  header.store_id = SomeId();
  header.seed = kSeed;
  header.covered_bytes = segment.size();
  header.records = kRecords;
  header.last_sequence = kRecords;
  header.last_offset = LastOffset();
  const auto* bytes = reinterpret_cast<const unsigned char*>(segment.data());
  header.last_bytes = load_little_u64(bytes + LastOffset());
  header.segment_crc = boost::endian::load_little_u32(bytes + 60);
  return header;
}

std::string Build(Input input, bool bind) {
  HintHeader header = BoundHeader(FirstSegment());
  if (!bind) {
    header.covered_bytes = input.Number(8);
    header.records = input.Number(8);
    header.last_sequence = input.Number(8);
    header.last_offset = input.Number(8);
  }
  std::array<std::string, kHintShards> blocks;
  while (!input.empty()) {
    const size_t shard = input.Byte();
    std::string_view entry = input.Bytes(kHintEntrySize);
    blocks[shard].append(entry);
    if (entry.size() < kHintEntrySize) break;
    const auto* p = reinterpret_cast<const unsigned char*>(entry.data());
    if ((p[18] & kAttributesFlag) != 0) blocks[shard].append(input.Bytes(kHintExpirySize));
    blocks[shard].append(input.Bytes(boost::endian::load_little_u16(p + 16)));
    header.blocks[shard].entries++;
  }
  for (size_t shard = 0; shard < kHintShards; shard++) {
    header.blocks[shard].size_bytes = blocks[shard].size();
    header.blocks[shard].crc = Crc32(blocks[shard]);
  }
  std::string hint = EncodeHintHeader(header);
  for (const std::string& block : blocks) hint += block;
  return hint;
}

void Mend(std::string* hint) {
  if (hint->size() < kHintHeaderSize) return;
  auto* p = reinterpret_cast<unsigned char*>(hint->data());
  std::memcpy(p, "KEYSHINT\2\0\0\0\0\0\0\0", 16);
  uint64_t offset = kHintHeaderSize;
  for (size_t shard = 0; shard < kHintShards; shard++) {
    unsigned char* block = p + kDirectory + shard * kDirectoryEntrySize;
    const uint64_t size_bytes = load_little_u64(block);
    if (size_bytes > hint->size() - offset) break;
    store_little_u32(block + 12, Crc32({hint->data() + offset, size_bytes}));
    offset += size_bytes;
  }
  store_little_u32(p + kHeaderCrc, Crc32({hint->data(), kHeaderCrc}));
}

// Some keys may be gone, and others back; what is there was there once.
void CheckServed(Store& store) {
  ScanResult result;
  do {
    // A hint may say that there are records where there are none.
    if (!store.Scan(result.next_cursor, 100, {}, &result).ok()) break;
  } while (result.next_cursor != 0);
  for (const char* key : {"a", "b", "c", "d", "e", "f"}) {
    FoundValue found;
    if (!store.Get(key, &found).ok()) continue;
    Require(IsRecorded(key, std::string(found.value())), "a value is one that its key had");
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > kMostBytes) return 0;
  Input input(data, size);
  const uint8_t choice = input.Byte();
  const bool build = (choice & kBuild) != 0;
  const bool may_lie = build || (choice & kMend) != 0;
  std::string hint = build ? Build(input, (choice & kBind) != 0) : std::string(input.Rest());
  if (!build && may_lie) Mend(&hint);

  const Scratch scratch;
  scratch.Write(kManifestName, ManifestText(2));
  scratch.Write(SegmentName(1), FirstSegment());
  scratch.Write(SegmentName(2), SecondSegment());
  scratch.Write(HintName(1), hint);
  auto store = MustOpen(scratch);
  if (may_lie) {
    CheckServed(*store);
  } else {
    Require(ContentsOf(*store) == Expected(), "the hint changes nothing");
  }
  if ((choice & kCompact) != 0) {
    const Status compacted = store->Compact(CompactionMode::kStopTheWorld);
    Require(may_lie || compacted.ok(), "the store can be compacted: " + compacted.message());
  }
  if (may_lie) return 0;
  Require(store->Close().ok(), "the store can be closed");
  store.reset();
  Require(ContentsOf(*MustOpen(scratch)) == Expected(), "the second open finds the same");
  return 0;
}
