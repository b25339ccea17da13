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
using testing::EncodeSet;
using testing::EncodeTombstone;
using testing::SegmentBytes;
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
  CheckOk(DecodeSegmentHeader(SegmentBytes(1, {}, kMaxSequence)).status());
  const Status refused = DecodeSegmentHeader(SegmentBytes(1, {}, kMaxSequence + 1)).status();
  CHECK_EQUAL(Code::kCorrupt, refused.code());
  CheckSays("sequence number that no store reaches", refused);
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
