#include "store/scanner.h"

#include <string>
#include <string_view>
#include <vector>

#include "store/testing.h"

using keystone::kGroupGoesOn;
using keystone::kSegmentHeaderSize;
using keystone::PlacedRecord;
using keystone::ScanEnd;
using keystone::SyncMarkClaims;
using testing::EncodeMark;
using testing::EncodeSet;
using testing::EncodeTombstone;
using testing::Flipped;
using testing::SegmentBytes;

namespace {

// What a visitor saw: the keys of each group, "^" for a mark.
std::vector<std::string> groups;

bool Note(std::span<const PlacedRecord> group) {
  std::string keys;
  for (const PlacedRecord& placed : group) {
    keys += placed.record.is_sync_mark() ? "^" : placed.record.key;
  }
  groups.push_back(keys);
  return true;
}

ScanEnd Scan(std::string_view bytes, uint64_t first_sequence = 1, bool check_bodies = true) {
  groups.clear();
  return keystone::ScanGroups(bytes, first_sequence, check_bodies, Note);
}

// One group of three records, 26 bytes each.
std::string GroupOfThree(uint64_t sequence) {
  return EncodeSet(sequence, "x", "1", kGroupGoesOn) +
         EncodeSet(sequence + 1, "y", "2", kGroupGoesOn) + EncodeSet(sequence + 2, "z", "3");
}

void CheckDamage(const std::string& bytes, uint64_t offset, uint64_t damage_offset,
                 const char* reason) {
  const ScanEnd end = Scan(bytes);
  CHECK_EQUAL(ScanEnd::Kind::kDamage, end.kind);
  LONGS_EQUAL(offset, end.offset);
  LONGS_EQUAL(damage_offset, end.damage_offset);
  STRCMP_EQUAL(reason, end.reason.c_str());
  CHECK_FALSE(end.unknown_flag);
}

}  // namespace

TEST_GROUP(Scanner){// Keeps the leak of a global's memory out of other tests.
                    void teardown() override{groups = {};
}
}
;

TEST(Scanner, AnEmptySegmentEndsBehindItsHeader) {
  const ScanEnd end = Scan(SegmentBytes(1, ""));
  CHECK_EQUAL(ScanEnd::Kind::kEnd, end.kind);
  LONGS_EQUAL(kSegmentHeaderSize, end.offset);
  LONGS_EQUAL(0, end.records);
  LONGS_EQUAL(0, end.last_sequence);
}

TEST(Scanner, VisitsRecordsGroupByGroup) {
  const std::string bytes = SegmentBytes(
      1, EncodeSet(1, "a", "1") + GroupOfThree(2) + EncodeMark(5, 64) + EncodeTombstone(6, "b"));
  const ScanEnd end = Scan(bytes);
  CHECK_EQUAL(ScanEnd::Kind::kEnd, end.kind);
  LONGS_EQUAL(bytes.size(), end.offset);
  LONGS_EQUAL(6, end.records);
  LONGS_EQUAL(6, end.last_sequence);
  CHECK_TRUE((groups == std::vector<std::string>{"a", "xyz", "^", "b"}));
}

TEST(Scanner, TellsWhereEachRecordIs) {
  std::vector<uint64_t> offsets;
  keystone::ScanGroups(SegmentBytes(1, EncodeSet(1, "a", "1") + GroupOfThree(2)), 1, true,
                       [&](std::span<const PlacedRecord> group) {
                         for (const PlacedRecord& placed : group) offsets.push_back(placed.offset);
                         return true;
                       });
  CHECK_TRUE((offsets == std::vector<uint64_t>{64, 90, 116, 142}));
}

TEST(Scanner, AVisitorCanStopTheWalk) {
  const ScanEnd end = keystone::ScanGroups(SegmentBytes(1, EncodeSet(1, "a", "1")), 1, true,
                                           [](std::span<const PlacedRecord>) { return false; });
  CHECK_EQUAL(ScanEnd::Kind::kStopped, end.kind);
  LONGS_EQUAL(kSegmentHeaderSize, end.offset);
}

TEST(Scanner, ATailTornAtEveryByteEndsAtTheLastWholeGroup) {
  const std::string first = EncodeSet(1, "a", "1");
  const std::string whole = SegmentBytes(1, first + GroupOfThree(2));
  const size_t start = kSegmentHeaderSize + first.size();
  for (size_t size = start + 1; size < whole.size(); size++) {
    const ScanEnd end = Scan(whole.substr(0, size));
    CHECK_EQUAL(ScanEnd::Kind::kDamage, end.kind);
    LONGS_EQUAL(start, end.offset);
    LONGS_EQUAL(start + (size - start) / 26 * 26, end.damage_offset);
    LONGS_EQUAL(1, end.records);
    LONGS_EQUAL(1, groups.size());
  }
}

TEST(Scanner, ATornRecordAndAnUnfinishedGroupHaveReasonsOfTheirOwn) {
  const std::string whole = SegmentBytes(1, GroupOfThree(1));
  CheckDamage(whole.substr(0, 64 + 52), 64, 64 + 52, "the file ends inside a group of records");
  CheckDamage(whole.substr(0, 64 + 53), 64, 64 + 52, "the file ends inside a record");
}

TEST(Scanner, ZerosToTheEndAreReservedSpace) {
  const std::string bytes = SegmentBytes(1, EncodeSet(1, "a", "1"));
  for (const size_t zeros : {1, 23, 24, 25, 4096}) {
    const ScanEnd end = Scan(bytes + std::string(zeros, '\0'));
    CHECK_EQUAL(ScanEnd::Kind::kZeros, end.kind);
    LONGS_EQUAL(bytes.size(), end.offset);
    LONGS_EQUAL(1, end.records);
  }
}

TEST(Scanner, ZerosWithAnythingBehindThemAreDamage) {
  const std::string bytes = SegmentBytes(1, EncodeSet(1, "a", "1"));
  CheckDamage(bytes + std::string(100, '\0') + "x", bytes.size(), bytes.size(),
              "header checksum does not match");
}

TEST(Scanner, ZerosInsideAGroupAreDamage) {
  const std::string open = EncodeSet(1, "x", "1", kGroupGoesOn);
  CheckDamage(SegmentBytes(1, open + std::string(100, '\0')), 64, 64 + open.size(),
              "header checksum does not match");
}

TEST(Scanner, DamageInAnyByteOfARecordIsFoundWhereTheRecordIs) {
  const std::string first = EncodeSet(1, "a", "1");
  const std::string bytes = SegmentBytes(1, first + EncodeSet(2, "b", "2") + EncodeSet(3, "c", ""));
  const size_t second = kSegmentHeaderSize + first.size();
  for (size_t at = 0; at < 26; at++) {
    CheckDamage(Flipped(bytes, second + at), second, second,
                at < 24 ? "header checksum does not match" : "body checksum does not match");
  }
}

TEST(Scanner, WithoutBodyChecksOnlyHeadersAreLookedAt) {
  const std::string bytes = SegmentBytes(1, EncodeSet(1, "a", "1"));
  CHECK_EQUAL(ScanEnd::Kind::kEnd, Scan(Flipped(bytes, bytes.size() - 1), 1, false).kind);
  CHECK_EQUAL(ScanEnd::Kind::kDamage, Scan(Flipped(bytes, 70), 1, false).kind);
}

TEST(Scanner, ASequenceThatGoesBackwardsIsDamage) {
  const std::string a = EncodeSet(5, "a", "1");
  for (const uint64_t next : {1, 4, 5}) {
    CheckDamage(SegmentBytes(1, a + EncodeSet(next, "b", "2")), 64 + a.size(), 64 + a.size(),
                "sequence number goes backwards");
  }
  CHECK_EQUAL(ScanEnd::Kind::kEnd, Scan(SegmentBytes(1, a + EncodeSet(9, "b", "2"))).kind);
}

TEST(Scanner, ASequenceBelowTheSegmentsFirstIsDamage) {
  CHECK_EQUAL(ScanEnd::Kind::kDamage, Scan(SegmentBytes(1, EncodeSet(9, "a", "1")), 10).kind);
  CHECK_EQUAL(ScanEnd::Kind::kEnd, Scan(SegmentBytes(1, EncodeSet(10, "a", "1")), 10).kind);
}

TEST(Scanner, ASyncMarkInsideAGroupIsDamage) {
  const std::string open = EncodeSet(1, "x", "1", kGroupGoesOn);
  CheckDamage(SegmentBytes(1, open + EncodeMark(2, 64) + EncodeSet(3, "y", "2")), 64,
              64 + open.size(), "sync mark inside a group");
}

TEST(Scanner, AnUnknownFlagIsToldFromDamage) {
  const ScanEnd end = Scan(SegmentBytes(1, EncodeSet(1, "a", "1", 8)));
  CHECK_EQUAL(ScanEnd::Kind::kDamage, end.kind);
  CHECK_TRUE(end.unknown_flag);
  STRCMP_CONTAINS("newer version", end.reason.c_str());
}

TEST_GROUP(SyncMarkClaims) {
  // a (damaged by the tests) at 64, b at 90, and what follows at 116.
  std::string bytes = SegmentBytes(1, EncodeSet(1, "a", "1") + EncodeSet(2, "b", "2"));

  bool Claims(const std::string& file, uint64_t place = 64) {
    return SyncMarkClaims(file, place, place);
  }
};

TEST(SyncMarkClaims, NothingWhereThereIsNoMark) {
  CHECK_FALSE(Claims(bytes));
  CHECK_FALSE(Claims(Flipped(bytes, 64)));
  CHECK_FALSE(Claims(bytes, bytes.size()));
}

TEST(SyncMarkClaims, WhatALaterMarkSaysWhateverTheDamage) {
  const std::string marked = bytes + EncodeMark(3, 90);
  for (size_t at = 64; at < 90; at++) CHECK_TRUE(Claims(Flipped(marked, at)));
}

TEST(SyncMarkClaims, NotWhatAMarkLeavesOut) {
  CHECK_FALSE(Claims(Flipped(bytes, 64) + EncodeMark(3, 64)));
  CHECK_FALSE(Claims(Flipped(bytes, 90) + EncodeMark(3, 90), 90));
  CHECK_TRUE(Claims(Flipped(bytes, 64) + EncodeMark(3, 65)));
}

TEST(SyncMarkClaims, NotWhatADamagedMarkSays) {
  const std::string marked = Flipped(bytes, 64) + EncodeMark(3, 90);
  for (size_t at = bytes.size(); at < marked.size(); at++) CHECK_FALSE(Claims(Flipped(marked, at)));
}

TEST(SyncMarkClaims, NotWhatAMarkSaysOfBytesBehindItself) {
  CHECK_FALSE(Claims(Flipped(bytes, 64) + EncodeMark(3, bytes.size() + 1)));
  CHECK_TRUE(Claims(Flipped(bytes, 64) + EncodeMark(3, bytes.size())));
}

TEST(SyncMarkClaims, ATornMarkSaysNothing) {
  const std::string marked = Flipped(bytes, 64) + EncodeMark(3, 90);
  for (size_t size = bytes.size(); size < marked.size(); size++) {
    CHECK_FALSE(Claims(marked.substr(0, size)));
  }
}

TEST(SyncMarkClaims, AMarkBehindSeveralDamagedRecordsIsFound) {
  const std::string marked = bytes + EncodeSet(3, "c", "3") + EncodeMark(4, 116);
  CHECK_TRUE(Claims(Flipped(Flipped(Flipped(marked, 64), 95), 116)));
}

TEST(SyncMarkClaims, AForgedMarkInTheValueOfAnIntactRecordDoesNotCount) {
  const std::string forged = EncodeMark(9, 70);
  CHECK_FALSE(Claims(Flipped(bytes, 64) + EncodeSet(3, "k", forged)));
  CHECK_FALSE(Claims(Flipped(bytes, 64) + EncodeSet(3, "k", "x" + forged + forged)));
}

TEST(SyncMarkClaims, AForgedMarkInTheValueOfTheDamagedRecordItselfDoesNotCount) {
  const std::string record = EncodeSet(1, "k", "before" + EncodeMark(9, 70) + "behind");
  const std::string file = SegmentBytes(1, record);
  CHECK_FALSE(Claims(Flipped(file, file.size() - 1)));
}

TEST(SyncMarkClaims, AForgedMarkInTheValueOfATornRecordDoesNotCount) {
  const std::string record = EncodeSet(1, "k", "before" + EncodeMark(9, 70) + "behind");
  const std::string file = SegmentBytes(1, record);
  for (size_t size = 64; size < file.size(); size++) CHECK_FALSE(Claims(file.substr(0, size)));
}
