// What no store writes, under checksums that hold: it is refused or an error, and never served.
#include <string>

#include "scratch.h"
#include "store/index.h"
#include "store/segment_set.h"
#include "store/testing.h"

using keystone::Code;
using keystone::DecodeSegmentHeader;
using keystone::Index;
using keystone::kMaxSequence;
using keystone::RecordView;
using keystone::ScanEnd;
using keystone::ScanGroups;
using keystone::Segment;
using keystone::SegmentSet;
using keystone::Status;
using testing::CheckOk;
using testing::CheckSays;
using testing::CheckValue;
using testing::EncodeSet;
using testing::EncodeTombstone;
using testing::SegmentBytes;
using testing::Set;
using testing::SomeId;

namespace {

ScanEnd Scan(const std::string& bytes) {
  return ScanGroups(bytes, 1, true, [](auto) { return true; });
}

}  // namespace

TEST_GROUP(Forged) {
  Scratch scratch;

  std::shared_ptr<Segment> OpenSegment(const std::string& bytes) {
    scratch.Write("000000000001.log", bytes);
    auto segment = Segment::Open(scratch.path(), 1, SomeId(), Segment::Access::kReadOnly, 0);
    CheckOk(segment.status());
    return segment.value();
  }
};

// One more record behind the last sequence of all would have none.
TEST(Forged, ASequenceThatNoStoreReachesIsDamage) {
  CHECK_EQUAL(ScanEnd::Kind::kEnd, Scan(SegmentBytes(1, EncodeSet(kMaxSequence, "a", "1"))).kind);
  for (const uint64_t sequence : {kMaxSequence + 1, UINT64_MAX}) {
    const ScanEnd end = Scan(SegmentBytes(1, EncodeSet(sequence, "a", "1")));
    CHECK_EQUAL(ScanEnd::Kind::kDamage, end.kind);
    STRCMP_EQUAL("sequence number that no store reaches", end.reason.c_str());
  }
}

TEST(Forged, ASegmentThatBeginsWithSuchASequenceIsRefused) {
  CheckOk(DecodeSegmentHeader(SegmentBytes(1, {}, kMaxSequence + 1)).status());
  const Status refused = DecodeSegmentHeader(SegmentBytes(1, {}, kMaxSequence + 2)).status();
  CHECK_EQUAL(Code::kCorrupt, refused.code());
  CheckSays("sequence number that no store reaches", refused);
}

// A write that would be damage at the next start is not acknowledged. A sync mark takes one, too.
TEST(Forged, ASegmentThatEndsWithTheLastSequenceIsWrittenNoMore) {
  scratch.Write("000000000001.log",
                SegmentBytes(1, EncodeSet(kMaxSequence - 2, "a", "1"), kMaxSequence - 2));
  scratch.Write("MANIFEST", keystone::EncodeManifest({SomeId(), 1, {1}}));
  auto store = testing::OpenStore(scratch.path());
  CheckOk(Set(*store, "b", "2"));
  for (const char* key : {"b", "c"}) {
    const Status refused = Set(*store, key, "3");
    CHECK_EQUAL(Code::kSystem, refused.code());
    CheckSays(scratch.path() + ": sequence numbers are used up", refused);
  }
  CheckOk(store->Compact(keystone::CompactionMode::kStopTheWorld));
  store.reset();
  store = testing::OpenStore(scratch.path());
  LONGS_EQUAL(0, store->Stats().recovered_truncated_bytes);
  CheckValue(*store, "a", "1");
  CheckValue(*store, "b", "2");
  LONGS_EQUAL(2, store->Count());
}

TEST(Forged, AHintThatEndsWithSuchASequenceIsNotUsed) {
  for (const uint64_t sequence : {kMaxSequence, kMaxSequence + 1}) {
    const auto segment = OpenSegment(SegmentBytes(1, EncodeSet(sequence, "a", "1")));
    keystone::HintHeader header;
    header.covered_bytes = segment->size();
    header.records = 1;
    header.last_sequence = sequence;
    header.last_offset = keystone::kSegmentHeaderSize;
    BindHint(*segment, &header);
    CHECK_EQUAL(sequence == kMaxSequence, CheckHint(header, *segment, 0).ok());
  }
}

// As a hint does that takes a tombstone for a value.
TEST(Forged, AnIndexThatPointsAtATombstoneServesNothing) {
  const auto segment = OpenSegment(SegmentBytes(1, EncodeTombstone(1, "a")));
  SegmentSet segments;
  segments.Add(segment);
  Index index(&segments, 0);
  CheckOk(index.Put("a", {1, keystone::kSegmentHeaderSize}, segment->size() - 64));
  RecordView record;
  const Status found = index.Find("a", &record);
  CHECK_EQUAL(Code::kCorrupt, found.code());
  CheckSays("000000000001.log at offset 64: a tombstone where a value should be", found);
}
