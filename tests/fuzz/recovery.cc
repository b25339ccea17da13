// Recovery of a segment's bytes, the active or a sealed one. The store refuses them and leaves them
// alone, or serves what their whole groups say, and does so ever after.
//
//   0  1  choices, below
//   1  1  the record whose checksums are not mended
//   2     the segment's file
#include <algorithm>
#include <boost/endian/conversion.hpp>
#include <cstring>

#include "base/clock.h"
#include "base/crc32.h"
#include "store/record.h"
#include "store/scanner.h"
#include "store/segment.h"
#include "store_files.h"

using namespace fuzz;
using namespace keystone;
using boost::endian::load_little_u16;
using boost::endian::load_little_u32;
using boost::endian::store_little_u32;
using boost::endian::store_little_u64;

namespace {

enum Choice : uint8_t {
  kMend = 1,     // so that checksums don't keep the bytes from what is behind them
  kSealed = 2,   // a second segment follows
  kCompact = 4,  // before the store is closed
  kStopTheWorld = 8,
};

constexpr size_t kMostBytes = 64 << 10;
constexpr uint64_t kMostRecords = 16;  // that are written here, marks included

unsigned char* At(std::string* bytes, size_t offset) {
  return reinterpret_cast<unsigned char*>(bytes->data()) + offset;
}

void MendHeader(std::string* segment) {
  if (segment->size() < kSegmentHeaderSize) return;
  std::memcpy(At(segment, 0), "KEYSTONE\1\0\0\0\0\0\0\0", 16);
  store_little_u64(At(segment, 16), 1);
  std::memcpy(At(segment, 24), SomeId().data(), sizeof(StoreId));
  std::memset(At(segment, 56), 0, 4);
  store_little_u32(At(segment, 60), Crc32({segment->data(), 60}));
}

// What the header at `offset` says that follows it.
size_t BodySize(std::string* segment, size_t offset) {
  const uint32_t value_size = load_little_u32(At(segment, offset + 16));
  const size_t attributes =
      (load_little_u16(At(segment, offset + 22)) & kHasAttributes) != 0 ? kAttributesSize : 0;
  return attributes + load_little_u16(At(segment, offset + 20)) +
         (value_size == kTombstone ? 0 : value_size);
}

void MendRecords(std::string* segment, size_t spared) {
  size_t offset = kSegmentHeaderSize;
  for (size_t n = 0; offset + kRecordHeaderSize <= segment->size(); n++) {
    if (segment->find_first_not_of('\0', offset) == segment->npos) return;
    const size_t body_start = offset + kRecordHeaderSize;
    const size_t body = BodySize(segment, offset);
    const bool is_whole = body <= segment->size() - body_start;
    if (n != spared) {
      const size_t there = is_whole ? body : 0;
      store_little_u32(At(segment, offset + 4), Crc32({segment->data() + body_start, there}));
      store_little_u32(At(segment, offset),
                       Crc32({segment->data() + offset + 4, kRecordHeaderSize - 4}));
    }
    if (!is_whole) return;
    offset = body_start + body;
  }
}

// What the whole groups of the segment say, and where they end. What has expired is as deleted.
ScanEnd Replay(std::string_view segment, Contents* contents) {
  const auto header = DecodeSegmentHeader(segment);
  Require(header.ok(), "what was recovered has a header");
  return ScanGroups(segment, header.value().first_sequence, true, [&](auto group) {
    for (const PlacedRecord& placed : group) {
      const RecordView& record = placed.record;
      if (record.is_sync_mark()) continue;
      if (record.tombstone || record.attributes().ExpiredBy(UnixTimeMs())) {
        contents->erase(std::string(record.key));
      } else {
        (*contents)[std::string(record.key)] = record.value;
      }
    }
    return true;
  });
}

// What is written behind it is not refused for want of sequence numbers.
bool HasSequencesLeft(std::string_view segment) {
  const auto header = DecodeSegmentHeader(segment);
  if (!header.ok()) return true;
  Contents unused;
  const uint64_t last = Replay(segment, &unused).last_sequence;
  return std::max(header.value().first_sequence, last) <= kMaxSequence - kMostRecords;
}

// One that goes on where `segment` ends.
std::string NextSegment(std::string_view segment) {
  Contents unused;
  const bool has_header = DecodeSegmentHeader(segment).ok();
  const uint64_t sequence = (has_header ? Replay(segment, &unused).last_sequence : 0) + 1;
  return SegmentBytes(2, sequence, Record(sequence, "sealed", "yes"));
}

// What is cut off is kept beside the segment.
void CheckCut(const Scratch& scratch, std::string_view segment, const ScanEnd& end) {
  const std::string cut = SegmentName(1) + ".cut-" + std::to_string(end.offset);
  if (end.kind == ScanEnd::Kind::kDamage) {
    Require(scratch.Read(cut) == segment.substr(end.offset), "the bytes that were cut are kept");
  } else {
    Require(!scratch.Has(cut), "nothing was cut");
  }
  Require(scratch.Read(SegmentName(1)) == segment.substr(0, end.offset), "no other byte changed");
}

void Close(std::unique_ptr<Store> store) {
  const Status status = store->Close();
  Require(status.ok(), "the store can be closed: " + status.message());
}

// Opens the store with the hints of its last life, and without; the contents are the same.
void CheckReopened(const Scratch& scratch, const Contents& expected) {
  for (int i = 0; i < 2; i++) {
    auto store = MustOpen(scratch);
    Require(store->Stats().recovered_truncated_bytes == 0, "nothing is cut the second time");
    Require(ContentsOf(*store) == expected, "the second open finds the same");
    Close(std::move(store));
    scratch.RemoveAll(".hint");
  }
}

void Use(Store& store, uint8_t choice, Contents* expected) {
  Set(store, "new key", "new value");
  (*expected)["new key"] = "new value";
  const std::string first = expected->begin()->first;
  Delete(store, first);
  expected->erase(first);
  if ((choice & kCompact) != 0) {
    const bool stops = (choice & kStopTheWorld) != 0;
    const Status status =
        store.Compact(stops ? CompactionMode::kStopTheWorld : CompactionMode::kOnline);
    Require(status.ok(), "what was recovered can be compacted: " + status.message());
  }
  Require(ContentsOf(store) == *expected, "writes take effect");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > kMostBytes) return 0;
  Input input(data, size);
  const uint8_t choice = input.Byte();
  const uint8_t spared = input.Byte();
  std::string segment(input.Rest());
  if ((choice & kMend) != 0) {
    MendHeader(&segment);
    MendRecords(&segment, spared);
  }
  const bool goes_on = HasSequencesLeft(segment);
  const bool sealed = goes_on && (choice & kSealed) != 0;
  const Scratch scratch;
  scratch.Write(kManifestName, ManifestText(sealed ? 2 : 1));
  scratch.Write(SegmentName(1), segment);
  if (sealed) scratch.Write(SegmentName(2), NextSegment(segment));

  auto store = Open(scratch);
  if (!store.ok()) {
    Require(store.status().code() == Code::kCorrupt, "a refusal says: corrupt");
    Require(scratch.Read(SegmentName(1)) == segment, "what is refused is left alone");
    return 0;
  }
  Contents expected;
  const ScanEnd end = Replay(segment, &expected);
  Require(!sealed || end.kind == ScanEnd::Kind::kEnd, "a sealed segment is whole");
  CheckCut(scratch, segment, end);
  if (sealed) expected["sealed"] = "yes";
  Require(ContentsOf(*store.value()) == expected, "the store holds what its log says");
  if (goes_on) Use(*store.value(), choice, &expected);
  Close(std::move(store.value()));
  CheckReopened(scratch, expected);
  return 0;
}
