#include "store/round.h"

#include <string>
#include <vector>

#include "store/testing.h"

using keystone::Batch;
using keystone::kGroupGoesOn;
using keystone::Round;
using testing::EncodeMark;
using testing::EncodeSet;
using testing::EncodeTombstone;

namespace {

// All operations that are prepared and take effect.
Batch& Decided(Batch& batch) {
  keystone::Prepare(&batch);
  for (keystone::Operation& operation : batch.operations()) operation.is_written = true;
  return batch;
}

std::string BytesOf(Round& round) {
  std::string bytes;
  for (const iovec& piece : round.pieces()) {
    bytes.append(static_cast<const char*>(piece.iov_base), piece.iov_len);
  }
  return bytes;
}

}  // namespace

TEST_GROUP(Round) {
  Batch batch;
  Batch other;
  Round round;
};

TEST(Round, PrepareCountsBytesAndFillsInBodyCrcs) {
  batch.Set("key", "value");
  batch.Delete("gone");
  const std::string large(4097, 'l');
  batch.Set("large", large);
  const keystone::BatchSize size = keystone::Prepare(&batch);
  LONGS_EQUAL(24 + 8 + 24 + 4 + 24 + 5 + large.size(), size.bytes);
  LONGS_EQUAL(24 + 8 + 24 + 4 + 24 + 5, size.copied_bytes);
  LONGS_EQUAL(keystone::BodyCrc("key", "value"), batch.operations()[0].body_crc);
  LONGS_EQUAL(keystone::BodyCrc("gone", ""), batch.operations()[1].body_crc);
}

TEST(Round, ABatchOfOneIsASingleRecord) {
  batch.Set("key", "value");
  round.Start(7, 64, 1000);
  round.AddGroup(Decided(batch));
  CHECK_TRUE(BytesOf(round) == EncodeSet(7, "key", "value"));
  LONGS_EQUAL(32, round.size_bytes());
  LONGS_EQUAL(8, round.next_sequence());
}

TEST(Round, ABatchIsAGroupThatEndsWithItsLastRecord) {
  batch.Set("a", "1");
  batch.Delete("b");
  batch.Set("c", "");
  round.Start(1, 64, 1000);
  round.AddGroup(Decided(batch));
  CHECK_TRUE(BytesOf(round) == EncodeSet(1, "a", "1", kGroupGoesOn) +
                                   EncodeTombstone(2, "b", kGroupGoesOn) + EncodeSet(3, "c", ""));
}

TEST(Round, AttributesStandBeforeTheKeyOfWhatHasThem) {
  const keystone::Attributes attributes{7, 8};
  batch.Set("a", "1", attributes);
  batch.Set("b", "2");
  const keystone::BatchSize size = keystone::Prepare(&batch);
  round.Start(1, 64, size.copied_bytes);
  round.AddGroup(batch);
  const std::string bytes = BytesOf(round);
  LONGS_EQUAL(26 + 12 + 26, bytes.size());
  LONGS_EQUAL(bytes.size(), size.bytes);
  LONGS_EQUAL(26 + 12, round.placed()[0].size_bytes);
  keystone::RecordView record;
  CHECK_EQUAL(keystone::RecordState::kValid, keystone::DecodeRecord(bytes, &record));
  CHECK_TRUE(record.attributes() == attributes);
  CHECK_TRUE(record.group_goes_on());
  CHECK_TRUE(record.key == "a");
  CHECK_TRUE(record.value == "1");
  CHECK_TRUE(bytes.substr(26 + 12) == EncodeSet(2, "b", "2"));
}

TEST(Round, BatchesAreGroupsOfTheirOwnBehindTheMark) {
  batch.Set("a", "1");
  batch.Set("b", "2");
  other.Set("c", "3");
  round.Start(10, 640, 1000);
  round.AddSyncMark(600);
  round.AddGroup(Decided(batch));
  round.AddGroup(Decided(other));
  CHECK_TRUE(BytesOf(round) == EncodeMark(10, 600) + EncodeSet(11, "a", "1", kGroupGoesOn) +
                                   EncodeSet(12, "b", "2") + EncodeSet(13, "c", "3"));
  LONGS_EQUAL(14, round.next_sequence());
}

TEST(Round, WhatTookNoEffectIsLeftOutAndTheGroupStillEnds) {
  batch.Set("a", "1");
  batch.Delete("b");
  batch.Delete("c");
  Decided(batch).operations()[1].is_written = false;
  batch.operations()[2].is_written = false;
  round.Start(1, 64, 1000);
  round.AddGroup(batch);
  CHECK_TRUE(BytesOf(round) == EncodeSet(1, "a", "1"));
  LONGS_EQUAL(1, round.placed().size());
}

TEST(Round, WithoutAnythingOfEffectItIsEmptyThoughItHasAMark) {
  batch.Delete("a");
  Decided(batch).operations()[0].is_written = false;
  round.Start(1, 64, 1000);
  round.AddSyncMark(64);
  round.AddGroup(batch);
  CHECK_TRUE(round.empty());
}

TEST(Round, TellsWhereEachRecordWillBe) {
  batch.Set("a", "1");
  batch.Delete("b");
  round.Start(1, 640, 1000);
  round.AddSyncMark(600);
  round.AddGroup(Decided(batch));
  LONGS_EQUAL(2, round.placed().size());
  LONGS_EQUAL(640 + 32, round.placed()[0].offset);
  LONGS_EQUAL(26, round.placed()[0].size_bytes);
  LONGS_EQUAL(640 + 32 + 26, round.placed()[1].offset);
  LONGS_EQUAL(25, round.placed()[1].size_bytes);
  POINTERS_EQUAL(&batch.operations()[1], round.placed()[1].operation);
}

TEST(Round, SmallValuesAreOnePieceAndLargeOnesGoByReference) {
  const std::string small(4096, 's');
  const std::string large(4097, 'l');
  batch.Set("a", small);
  batch.Set("b", large);
  batch.Set("c", small);
  round.Start(1, 64, 20000);
  round.AddGroup(Decided(batch));
  const auto pieces = round.pieces();
  LONGS_EQUAL(3, pieces.size());
  POINTERS_EQUAL(large.data(), pieces[1].iov_base);
  LONGS_EQUAL(large.size(), pieces[1].iov_len);
  CHECK_TRUE(BytesOf(round) == EncodeSet(1, "a", small, kGroupGoesOn) +
                                   EncodeSet(2, "b", large, kGroupGoesOn) +
                                   EncodeSet(3, "c", small));
}

TEST(Round, CanBeStartedAgain) {
  const std::string large(2u << 20, 'l');
  batch.Set("big", large);
  round.Start(1, 64, large.size() + 100);
  round.AddGroup(Decided(batch));
  LONGS_EQUAL(large.size() + 27, round.size_bytes());
  other.Set("key", "value");
  round.Start(2, 64, 100);
  round.AddGroup(Decided(other));
  CHECK_TRUE(BytesOf(round) == EncodeSet(2, "key", "value"));
  LONGS_EQUAL(1, round.placed().size());
}
