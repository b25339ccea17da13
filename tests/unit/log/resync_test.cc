#include "log/resync.h"

#include <string>
#include <string_view>

#include "store/testing.h"

using keystone::FindNextRecord;
using keystone::kRecordHeaderSize;
using testing::EncodeSet;
using testing::SegmentBytes;

namespace {

constexpr uint64_t kDamaged = keystone::kSegmentHeaderSize;

// A segment of a record with sequence 10, whose first `size` bytes from `skip` on are overwritten,
// and `rest`.
std::string Damaged(std::string_view key, std::string_view value, size_t skip, size_t size,
                    std::string_view rest, char with = '\x5a') {
  std::string bytes = SegmentBytes(1, EncodeSet(10, key, value).append(rest), 10);
  for (size_t i = 0; i < size; i++) bytes[kDamaged + skip + i] = with;
  return bytes;
}

uint64_t Find(std::string_view bytes) { return FindNextRecord(bytes, kDamaged, {.lowest = 11}); }

std::string TwoRecords(uint64_t sequence) {
  return EncodeSet(sequence, "b", "2") + EncodeSet(sequence + 1, "c", "3");
}

constexpr uint64_t RecordEnd(size_t key_size, size_t value_size) {
  return kDamaged + kRecordHeaderSize + key_size + value_size;
}

}  // namespace

TEST_GROUP(Resync){};

TEST(Resync, SizesThatTheBodyConfirmsLeadToTheNextRecordThoughThatIsDamagedToo) {
  std::string bytes = Damaged("a", "value", 8, 8, TwoRecords(11));
  bytes[RecordEnd(1, 5)] ^= 1;
  LONGS_EQUAL(RecordEnd(1, 5), Find(bytes));
}

TEST(Resync, BodyCrcTellsTheEndWhereTheSizesAreDamaged) {
  // A record of the very next sequence in the value: only the CRC can tell.
  const std::string value = EncodeSet(11, "x", "9");
  const std::string bytes = Damaged("a", value, 8, 16, EncodeSet(12, "b", "2"));
  LONGS_EQUAL(RecordEnd(1, value.size()), Find(bytes));
}

TEST(Resync, BodyCrcTellsThatTheDamagedRecordIsTheLast) {
  const std::string value = EncodeSet(12, "x", "9");
  const std::string bytes = Damaged("a", value, 8, 16, "");
  LONGS_EQUAL(bytes.size(), Find(bytes));
}

TEST(Resync, SizesCountWhereTheSequenceLeavesNoRoomForAnotherRecord) {
  const std::string value = EncodeSet(12, "x", "9");
  const std::string bytes = Damaged("a", value, 0, 16, TwoRecords(11));
  LONGS_EQUAL(RecordEnd(1, value.size()), Find(bytes));
}

TEST(Resync, HeaderOfZerosIsNotTakenForAnEmptyRecord) {
  const std::string bytes = Damaged("a", "value", 0, kRecordHeaderSize, TwoRecords(11), '\0');
  LONGS_EQUAL(RecordEnd(1, 5), Find(bytes));
}

TEST(Resync, NothingIsFoundWhereNothingIsIntact) {
  const std::string bytes = Damaged("a", "value", 0, 30, "some bytes that are no record at all");
  LONGS_EQUAL(bytes.size(), Find(bytes));
}

TEST(Resync, SequencesThatDoNotFitAreNotTaken) {
  const std::string bytes = Damaged("a", "value", 0, 30, TwoRecords(20));
  LONGS_EQUAL(RecordEnd(1, 5), FindNextRecord(bytes, kDamaged, {.lowest = 11, .highest = 21}));
  LONGS_EQUAL(bytes.size(), FindNextRecord(bytes, kDamaged, {.lowest = 11, .highest = 19}));
  LONGS_EQUAL(bytes.size(), FindNextRecord(bytes, kDamaged, {.lowest = 22}));
}

// What a value may hold, behind a header of which nothing is left, and nothing of the body's begin.
TEST(Resync, CopiesInAValueAreNotTaken) {
  const std::string older = SegmentBytes(1, TwoRecords(1));
  const std::string newer = SegmentBytes(1, TwoRecords(1000));
  for (const std::string& copy :
       {older, older.substr(64), older.substr(0, older.size() - 1), newer, newer.substr(64),
        newer.substr(64) + "zz", TwoRecords(11), TwoRecords(12), TwoRecords(11) + "zz"}) {
    const std::string bytes = Damaged("a", copy, 0, kRecordHeaderSize + 1, TwoRecords(11));
    LONGS_EQUAL(RecordEnd(1, copy.size()), Find(bytes));
  }
}

TEST(Resync, CopyThatIsCutInsideARecordDoesNotHideTheNextOne) {
  const std::string copy = EncodeSet(1, "x", "9") + EncodeSet(2, "y", "a longer value");
  const std::string cut = copy.substr(0, copy.size() - 10);
  const std::string bytes = Damaged("a", cut, 0, kRecordHeaderSize + 1, TwoRecords(11));
  LONGS_EQUAL(RecordEnd(1, cut.size()), Find(bytes));
}

TEST(Resync, CopyOfAWholeSegmentIsNotTakenThoughItsSequencesFitAGap) {
  const std::string copy = SegmentBytes(1, TwoRecords(20)) + "zz";
  const std::string bytes = Damaged("a", copy, 0, kRecordHeaderSize + 1, TwoRecords(50));
  LONGS_EQUAL(RecordEnd(1, copy.size()), Find(bytes));
}

TEST(Resync, ChainThatLeadsToALowerSequenceIsNotTakenHoweverLongItIs) {
  const std::string copy = TwoRecords(1000) + TwoRecords(1002);
  const std::string rest = TwoRecords(11) + std::string(30, '\x5a');
  const std::string bytes = Damaged("a", copy, 0, kRecordHeaderSize + 1, rest);
  LONGS_EQUAL(RecordEnd(1, copy.size()), Find(bytes));
}

TEST(Resync, RecordsBetweenTwoDamagesAreFound) {
  const std::string rest =
      TwoRecords(11) + std::string(40, '\x5a') + EncodeSet(15, "d", "4") + std::string(99, '\0');
  LONGS_EQUAL(RecordEnd(1, 5), Find(Damaged("a", "value", 0, 30, rest)));
}
