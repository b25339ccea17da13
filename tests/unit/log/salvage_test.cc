#include "log/salvage.h"

#include <string>
#include <string_view>

#include "store/testing.h"

using keystone::KeptRun;
using keystone::kGroupGoesOn;
using keystone::kMaxSequence;
using keystone::Salvage;
using keystone::SalvageRecords;
using testing::EncodeMark;
using testing::EncodeSet;
using testing::Flipped;
using testing::SegmentBytes;

namespace {

constexpr size_t kSize = 26;  // of each record here
constexpr bool kActive = true;
constexpr bool kSealed = false;

std::string Three(uint16_t flags = 0) {
  return EncodeSet(1, "a", "1", flags) + EncodeSet(2, "b", "2", flags) + EncodeSet(3, "c", "3");
}

// A record, then a group of three whose last body never got there.
std::string TornGroup() {
  const std::string group = EncodeSet(2, "b", "2", kGroupGoesOn) +
                            EncodeSet(3, "c", "3", kGroupGoesOn) + EncodeSet(4, "d", "4");
  return EncodeSet(1, "a", "1") + group.substr(0, group.size() - 2) + std::string(2, '\0');
}

// "64-90 90-116/" : the kept runs; a slash behind those whose records are to stand alone.
std::string Runs(const Salvage& salvage) {
  std::string text;
  for (const KeptRun& run : salvage.kept) {
    text += (text.empty() ? "" : " ") + std::to_string(run.begin) + "-" + std::to_string(run.end) +
            (run.whole_groups ? "" : "/");
  }
  return text;
}

// Damage in the record of that number, from 0 on: `at` 0 in its header, kSize - 1 in its value.
Salvage WithDamage(std::string_view records, size_t number, size_t at, bool active = kSealed) {
  return SalvageRecords(SegmentBytes(1, Flipped(records, number * kSize + at)), active,
                        {.lowest = 1});
}

void CheckRuns(const char* expected, const Salvage& salvage) {
  STRCMP_EQUAL(expected, Runs(salvage).c_str());
}

}  // namespace

TEST_GROUP(SalvageOfRecords){};

TEST(SalvageOfRecords, WholeSegmentIsKeptAsItIs) {
  const Salvage salvage = SalvageRecords(SegmentBytes(1, Three()), kSealed, {.lowest = 1});
  CheckRuns("64-142", salvage);
  LONGS_EQUAL(0, salvage.lost.size());
  LONGS_EQUAL(3, salvage.records);
  LONGS_EQUAL(4, salvage.next_sequence);
}

TEST(SalvageOfRecords, BothSidesOfADamagedBodyAreKeptAndItsKeyIsNamed) {
  const Salvage salvage = WithDamage(Three(), 1, kSize - 1);
  CheckRuns("64-90 116-142", salvage);
  LONGS_EQUAL(1, salvage.lost.size());
  LONGS_EQUAL(90, salvage.lost[0].begin);
  LONGS_EQUAL(116, salvage.lost[0].end);
  LONGS_EQUAL(2, salvage.lost[0].first_sequence);
  LONGS_EQUAL(2, salvage.lost[0].last_sequence);
  STRCMP_EQUAL("b", salvage.lost[0].key.value_or("").c_str());
}

TEST(SalvageOfRecords, BothSidesOfADamagedHeaderAreKept) {
  const Salvage salvage = WithDamage(Three(), 1, 17);
  CheckRuns("64-90 116-142", salvage);
  LONGS_EQUAL(2, salvage.lost[0].first_sequence);
  LONGS_EQUAL(2, salvage.lost[0].last_sequence);
  CHECK_FALSE(salvage.lost[0].key.has_value());
}

TEST(SalvageOfRecords, DamageAtTheEndLeavesItOpenWhichSequencesAreLost) {
  const std::string bytes = SegmentBytes(1, Flipped(Three(), 2 * kSize));
  Salvage salvage = SalvageRecords(bytes, kSealed, {.lowest = 1});
  LONGS_EQUAL(3, salvage.lost[0].first_sequence);
  LONGS_EQUAL(0, salvage.lost[0].last_sequence);
  LONGS_EQUAL(5, salvage.unused_sequence);  // 26 bytes can have been one record; and one more
  salvage = SalvageRecords(bytes, kSealed, {.lowest = 1, .highest = 7});
  LONGS_EQUAL(7, salvage.lost[0].last_sequence);
}

TEST(SalvageOfRecords, RecordsInFrontOfDamageInTheirGroupStandAlone) {
  CheckRuns("64-116/", WithDamage(Three(kGroupGoesOn), 2, kSize - 1));
  CheckRuns("64-90/ 116-142", WithDamage(Three(kGroupGoesOn), 1, 0));
  CheckRuns("90-142", WithDamage(Three(kGroupGoesOn), 0, 0));
}

TEST(SalvageOfRecords, UnfinishedGroupIsATornTailOfTheActiveSegmentOnly) {
  const std::string bytes =
      SegmentBytes(1, EncodeSet(1, "a", "1") + EncodeSet(2, "b", "2", kGroupGoesOn));
  Salvage salvage = SalvageRecords(bytes, kActive, {.lowest = 1});
  CheckRuns("64-90", salvage);
  CHECK_TRUE(salvage.tail_is_torn);
  LONGS_EQUAL(90, salvage.tail_offset);
  LONGS_EQUAL(0, salvage.lost.size());
  salvage = SalvageRecords(bytes, kSealed, {.lowest = 1});
  CheckRuns("64-90 90-116/", salvage);
  CHECK_FALSE(salvage.tail_is_torn);
  LONGS_EQUAL(1, salvage.lost.size());
}

TEST(SalvageOfRecords, CutRecordIsATornTailOfTheActiveSegmentOnly) {
  const std::string whole = SegmentBytes(1, Three());
  const std::string bytes = whole.substr(0, whole.size() - 1);
  CHECK_TRUE(SalvageRecords(bytes, kActive, {.lowest = 1}).tail_is_torn);
  LONGS_EQUAL(0, SalvageRecords(bytes, kActive, {.lowest = 1}).lost.size());
  LONGS_EQUAL(1, SalvageRecords(bytes, kSealed, {.lowest = 1}).lost.size());
  CheckRuns("64-116", SalvageRecords(bytes, kSealed, {.lowest = 1}));
}

TEST(SalvageOfRecords, ZerosAtTheEndAreDamageUnlessTheSegmentIsActive) {
  for (const size_t size : {size_t{1}, size_t{23}, size_t{24}, size_t{500}}) {
    const std::string bytes = SegmentBytes(1, Three() + std::string(size, '\0'));
    LONGS_EQUAL(0, SalvageRecords(bytes, kActive, {.lowest = 1}).lost.size());
    CHECK_FALSE(SalvageRecords(bytes, kActive, {.lowest = 1}).tail_is_torn);
    LONGS_EQUAL(1, SalvageRecords(bytes, kSealed, {.lowest = 1}).lost.size());
  }
}

TEST(SalvageOfRecords, DamageInTheActiveSegmentDoesNotHideWhatStandsBehind) {
  CheckRuns("64-90 116-142", WithDamage(Three() + std::string(300, '\0'), 1, 0, kActive));
}

TEST(SalvageOfRecords, DamagedGroupAtTheEndOfTheActiveSegmentIsATornTail) {
  const std::string reserve(300, '\0');
  for (const std::string& damaged :
       {TornGroup(), Flipped(TornGroup(), 3 * kSize), Flipped(TornGroup(), 2 * kSize)}) {
    for (const std::string& behind : {std::string(), reserve}) {
      const Salvage salvage =
          SalvageRecords(SegmentBytes(1, damaged + behind), kActive, {.lowest = 1});
      CheckRuns("64-90", salvage);
      LONGS_EQUAL(1, salvage.records);
      CHECK_TRUE(salvage.tail_is_torn);
      LONGS_EQUAL(90, salvage.tail_offset);
      CHECK_TRUE(salvage.unused_sequence > 4);
      CHECK_FALSE(salvage.lost.empty());
    }
  }
}

TEST(SalvageOfRecords, DamagedGroupThatASyncMarkClaimsIsNoTornTail) {
  const Salvage claimed =
      SalvageRecords(SegmentBytes(1, TornGroup() + EncodeMark(5, 168)), kActive, {.lowest = 1});
  CheckRuns("64-90 90-142/ 168-200", claimed);
  CHECK_FALSE(claimed.tail_is_torn);
  const Salvage unclaimed =
      SalvageRecords(SegmentBytes(1, TornGroup() + EncodeMark(5, 90)), kActive, {.lowest = 1});
  CheckRuns("64-90", unclaimed);
  CHECK_TRUE(unclaimed.tail_is_torn);
}

TEST(SalvageOfRecords, DamagedGroupThatAWholeGroupFollowsIsNoTornTail) {
  const Salvage salvage =
      SalvageRecords(SegmentBytes(1, TornGroup() + EncodeSet(5, "e", "5")), kActive, {.lowest = 1});
  CheckRuns("64-90 90-142/ 168-194", salvage);
  CHECK_FALSE(salvage.tail_is_torn);
}

TEST(SalvageOfRecords, GroupWithoutItsEndBehindDamageIsATornTail) {
  const std::string unfinished = EncodeSet(6, "f", "6", kGroupGoesOn);
  const Salvage together =
      SalvageRecords(SegmentBytes(1, TornGroup() + unfinished), kActive, {.lowest = 1});
  CheckRuns("64-90", together);
  LONGS_EQUAL(90, together.tail_offset);
  const Salvage alone = SalvageRecords(
      SegmentBytes(1, TornGroup() + EncodeMark(5, 168) + unfinished), kActive, {.lowest = 1});
  CheckRuns("64-90 90-142/ 168-200", alone);
  LONGS_EQUAL(200, alone.tail_offset);
}

TEST(SalvageOfRecords, UnfinishedGroupInFrontOfZerosIsATornTail) {
  const std::string bytes = SegmentBytes(
      1, EncodeSet(1, "a", "1") + EncodeSet(2, "b", "2", kGroupGoesOn) + std::string(300, '\0'));
  const Salvage salvage = SalvageRecords(bytes, kActive, {.lowest = 1});
  CheckRuns("64-90", salvage);
  CHECK_TRUE(salvage.tail_is_torn);
}

TEST(SalvageOfRecords, SequenceThatGoesBackwardsIsNotKept) {
  const std::string records =
      EncodeSet(5, "a", "1") + EncodeSet(4, "b", "2") + EncodeSet(6, "c", "3");
  const Salvage salvage = SalvageRecords(SegmentBytes(1, records), kSealed, {.lowest = 1});
  CheckRuns("64-90 116-142", salvage);
}

TEST(SalvageOfRecords, SequenceThatNoStoreReachesIsLostAlone) {
  for (const uint64_t sequence : {kMaxSequence + 1, kMaxSequence + 5, UINT64_MAX}) {
    const std::string records =
        EncodeSet(1, "a", "1") + EncodeSet(sequence, "b", "2") + EncodeSet(3, "c", "3");
    const Salvage salvage = SalvageRecords(SegmentBytes(1, records), kSealed, {.lowest = 1});
    CheckRuns("64-90 116-142", salvage);
    LONGS_EQUAL(1, salvage.lost.size());
    STRCMP_EQUAL("sequence number that no store reaches", salvage.lost[0].reason.c_str());
    LONGS_EQUAL(2, salvage.lost[0].first_sequence);
    LONGS_EQUAL(2, salvage.lost[0].last_sequence);
    LONGS_EQUAL(4, salvage.unused_sequence);
  }
}

TEST(SalvageOfRecords, ImpossibleSequenceOfADamagedBodyMovesNoOther) {
  const std::string records =
      EncodeSet(1, "a", "1") + EncodeSet(kMaxSequence + 5, "b", "2") + EncodeSet(3, "c", "3");
  const std::string damaged = Flipped(records, 2 * kSize - 1);
  const Salvage salvage = SalvageRecords(SegmentBytes(1, damaged), kSealed, {.lowest = 1});
  CheckRuns("64-90 116-142", salvage);
  LONGS_EQUAL(2, salvage.lost[0].last_sequence);
  LONGS_EQUAL(4, salvage.next_sequence);
}

TEST(SalvageOfRecords, SequenceOfALaterSegmentIsLost) {
  const std::string records = EncodeSet(11, "a", "1") + EncodeSet(25, "b", "2");
  const Salvage salvage =
      SalvageRecords(SegmentBytes(1, records), kSealed, {.lowest = 1, .highest = 12});
  CheckRuns("64-90", salvage);
  STRCMP_EQUAL("sequence number of a later segment", salvage.lost[0].reason.c_str());
  LONGS_EQUAL(12, salvage.lost[0].first_sequence);
  LONGS_EQUAL(12, salvage.lost[0].last_sequence);
  LONGS_EQUAL(12, salvage.next_sequence);
}

TEST(SalvageOfRecords, LossesWithoutARecordBetweenThemShareTheirSequences) {
  const std::string records = EncodeSet(5, "a", "1") + EncodeSet(1, "b", "2") +
                              EncodeSet(UINT64_MAX, "c", "3") + EncodeSet(8, "d", "4");
  const Salvage salvage = SalvageRecords(SegmentBytes(1, records), kSealed, {.lowest = 1});
  LONGS_EQUAL(2, salvage.lost.size());
  for (const auto& lost : salvage.lost) {
    LONGS_EQUAL(6, lost.first_sequence);
    LONGS_EQUAL(7, lost.last_sequence);
  }
}

TEST(SalvageOfRecords, SyncMarkInsideAGroupEndsTheGroup) {
  const std::string records = EncodeSet(1, "a", "1", kGroupGoesOn) + EncodeMark(2, 64);
  const Salvage salvage = SalvageRecords(SegmentBytes(1, records), kSealed, {.lowest = 1});
  CheckRuns("64-90/ 90-122", salvage);
  LONGS_EQUAL(1, salvage.lost.size());
}

TEST(SalvageOfRecords, RecordOfANewerVersionIsTold) {
  const std::string records = EncodeSet(1, "a", "1") + EncodeSet(2, "b", "2", 8);
  const Salvage salvage = SalvageRecords(SegmentBytes(1, records), kSealed, {.lowest = 1});
  LONGS_EQUAL(90, salvage.newer_record.value_or(0));
}

TEST(SalvageOfRecords, NothingIsKeptOfAFileShorterThanItsHeader) {
  LONGS_EQUAL(0, SalvageRecords("KEYSTONE", kSealed, {.lowest = 1}).records);
  LONGS_EQUAL(0, SalvageRecords({}, kActive, {.lowest = 1}).records);
}
