#include "store/record.h"

#include <set>
#include <string>
#include <string_view>

#include "base/crc32.h"
#include "store/testing.h"

using keystone::DecodeHeader;
using keystone::DecodeRecord;
using keystone::kGroupGoesOn;
using keystone::kHasAttributes;
using keystone::kRecordHeaderSize;
using keystone::kSyncMark;
using keystone::kTombstone;
using keystone::RecordState;
using keystone::RecordView;
using testing::EncodeMark;
using testing::EncodeSet;
using testing::EncodeTombstone;
using testing::Flipped;
using testing::Hex;

namespace {

// A record as its writer's fields say, with both CRCs right.
std::string Encode(uint32_t value_size, size_t key_size, uint16_t flags, std::string_view body) {
  std::string bytes(kRecordHeaderSize, '\0');
  keystone::EncodeHeader(7, value_size, key_size, flags, keystone::Crc32(body), bytes.data());
  return bytes.append(body);
}

RecordState StateOf(std::string_view bytes) {
  RecordView record;
  return DecodeRecord(bytes, &record);
}

}  // namespace

TEST_GROUP(Record){};

// The expected bytes of these tests come from Python's struct and zlib, not from this code.

TEST(Record, EveryFieldOfAValueIsAtItsPlace) {
  STRCMP_EQUAL(
      "167c7b79"          // header_crc
      "e6f355c6"          // body_crc
      "0807060504030201"  // sequence
      "05000000"          // value_size
      "0300"              // key_size
      "0100"              // flags
      "6b6579"
      "76616c7565",
      Hex(EncodeSet(0x0102030405060708, "key", "value", kGroupGoesOn)).c_str());
}

TEST(Record, EveryFieldOfATombstoneIsAtItsPlace) {
  STRCMP_EQUAL(
      "92878ace"
      "454f9802"
      "0200000000000000"
      "ffffffff"
      "0400"
      "0000"
      "676f6e65",
      Hex(EncodeTombstone(2, "gone")).c_str());
}

TEST(Record, EveryFieldOfASyncMarkIsAtItsPlace) {
  STRCMP_EQUAL(
      "dd1a0fda"
      "2ef1341d"
      "0300000000000000"
      "08000000"
      "0000"
      "0400"
      "8877665544332211",
      Hex(EncodeMark(3, 0x1122334455667788)).c_str());
}

TEST(Record, AValueComesBackAsItWasWritten) {
  const std::string bytes = EncodeSet(0x0102030405060708, "key", "value", kGroupGoesOn);
  RecordView record;
  const std::string more = bytes + "what follows";
  CHECK_EQUAL(RecordState::kValid, DecodeRecord(more, &record));
  CHECK_TRUE(record.sequence == 0x0102030405060708);
  CHECK_TRUE(record.key == "key");
  CHECK_TRUE(record.value == "value");
  CHECK_TRUE(record.body == "keyvalue");
  CHECK_TRUE(record.group_goes_on());
  CHECK_FALSE(record.tombstone);
  CHECK_FALSE(record.is_sync_mark());
  LONGS_EQUAL(bytes.size(), record.size_bytes());
  LONGS_EQUAL(0, record.client_flags);
  LONGS_EQUAL(0, record.expires_at_ms);
}

TEST(Record, AnEmptyValueIsNoTombstone) {
  RecordView record;
  const std::string bytes = EncodeSet(1, "key", "");
  CHECK_EQUAL(RecordState::kValid, DecodeRecord(bytes, &record));
  CHECK_FALSE(record.tombstone);
  CHECK_TRUE(record.value.empty());
}

TEST(Record, ATombstoneComesBackAsItWasWritten) {
  const std::string bytes = EncodeTombstone(2, "gone");
  RecordView record;
  CHECK_EQUAL(RecordState::kValid, DecodeRecord(bytes, &record));
  CHECK_TRUE(record.tombstone);
  CHECK_TRUE(record.key == "gone");
  CHECK_TRUE(record.value.empty());
  LONGS_EQUAL(bytes.size(), record.size_bytes());
}

TEST(Record, ASyncMarkComesBackAsItWasWritten) {
  const std::string bytes = EncodeMark(3, 0x1122334455667788);
  RecordView record;
  CHECK_EQUAL(RecordState::kValid, DecodeRecord(bytes, &record));
  CHECK_TRUE(record.is_sync_mark());
  CHECK_TRUE(record.key.empty());
  CHECK_TRUE(keystone::SyncMarkOffset(record) == 0x1122334455667788);
  LONGS_EQUAL(keystone::kSyncMarkSize, bytes.size());
}

TEST(Record, AttributesStandBeforeTheKey) {
  using namespace std::string_view_literals;
  const std::string bytes = Encode(5, 3, kHasAttributes,
                                   "\x04\x03\x02\x01"
                                   "\x18\x17\x16\x15\x14\x13\x12\x11"
                                   "keyvalue"sv);
  RecordView record;
  CHECK_EQUAL(RecordState::kValid, DecodeRecord(bytes, &record));
  LONGS_EQUAL(0x01020304, record.client_flags);
  CHECK_TRUE(record.expires_at_ms == 0x1112131415161718);
  CHECK_TRUE(record.key == "key");
  CHECK_TRUE(record.value == "value");
  LONGS_EQUAL(bytes.size(), record.size_bytes());
}

TEST(Record, AttributesAreEncodedAsTheyAreDecoded) {
  const keystone::Attributes attributes{0x01020304, 0x1112131415161718};
  std::string body(keystone::kAttributesSize, '\0');
  keystone::EncodeAttributes(attributes, body.data());
  const std::string bytes = Encode(5, 3, kHasAttributes, body + "keyvalue");
  RecordView record;
  CHECK_EQUAL(RecordState::kValid, DecodeRecord(bytes, &record));
  CHECK_TRUE(record.attributes() == attributes);
  LONGS_EQUAL(bytes.size(), keystone::RecordSize("key", "value", attributes));
  LONGS_EQUAL(record.body_crc, keystone::BodyCrc("key", "value", attributes));
}

TEST(Record, AKeyCanHave65535Bytes) {
  const std::string key(keystone::kMaxKeySize, 'k');
  const std::string bytes = EncodeSet(1, key, "v");
  RecordView record;
  CHECK_EQUAL(RecordState::kValid, DecodeRecord(bytes, &record));
  CHECK_TRUE(record.key == key);
  CHECK_TRUE(record.value == "v");
}

TEST(Record, SizesAreKnownBeforeEncoding) {
  LONGS_EQUAL(EncodeSet(1, "key", "value").size(), keystone::RecordSize("key", "value"));
  LONGS_EQUAL(EncodeTombstone(1, "key").size(), keystone::TombstoneSize("key"));
}

TEST(Record, AFlippedByteOfTheHeaderIsFound) {
  const std::string bytes = EncodeSet(1, "key", "value");
  for (size_t at = 0; at < kRecordHeaderSize; at++) {
    for (int bit = 0; bit < 8; bit++) {
      CHECK_EQUAL(RecordState::kBadHeader, StateOf(Flipped(bytes, at, 1 << bit)));
    }
  }
}

TEST(Record, AFlippedByteOfTheBodyIsFoundAndLeavesThePlaceOfTheNextRecordKnown) {
  const std::string bytes = EncodeSet(1, "key", "value");
  for (size_t at = kRecordHeaderSize; at < bytes.size(); at++) {
    const std::string damaged = Flipped(bytes, at, 1);
    RecordView record;
    CHECK_EQUAL(RecordState::kBadBody, DecodeRecord(damaged, &record));
    LONGS_EQUAL(bytes.size(), record.size_bytes());
    CHECK_EQUAL(RecordState::kValid, DecodeHeader(damaged, &record));
    CHECK_FALSE(keystone::BodyIsIntact(record));
  }
}

TEST(Record, ATruncationAtEveryLengthIsFound) {
  for (const std::string& bytes :
       {EncodeSet(1, "key", "value"), EncodeTombstone(1, "key"), EncodeMark(1, 64),
        Encode(5, 3, kHasAttributes, std::string(20, 'a'))}) {
    for (size_t size = 0; size < bytes.size(); size++) {
      CHECK_EQUAL(RecordState::kTruncated, StateOf(bytes.substr(0, size)));
    }
    CHECK_EQUAL(RecordState::kValid, StateOf(bytes));
  }
}

TEST(Record, SizesThatNoRecordHasAreRefusedThoughTheCrcIsRight) {
  const std::string body(64, 'b');
  CHECK_EQUAL(RecordState::kBadHeader, StateOf(Encode(5, 0, 0, body)));
  CHECK_EQUAL(RecordState::kBadHeader, StateOf(Encode(kTombstone, 0, 0, body)));
  CHECK_EQUAL(RecordState::kBadHeader, StateOf(Encode(keystone::kMaxValueSize + 1, 3, 0, body)));
  CHECK_EQUAL(RecordState::kBadHeader, StateOf(Encode(kTombstone - 1, 3, 0, body)));
  CHECK_EQUAL(RecordState::kTruncated, StateOf(Encode(keystone::kMaxValueSize, 3, 0, body)));
}

TEST(Record, ASyncMarkOfAnotherShapeIsRefusedThoughTheCrcIsRight) {
  const std::string body(64, 'b');
  CHECK_EQUAL(RecordState::kBadHeader, StateOf(Encode(7, 0, kSyncMark, body)));
  CHECK_EQUAL(RecordState::kBadHeader, StateOf(Encode(9, 0, kSyncMark, body)));
  CHECK_EQUAL(RecordState::kBadHeader, StateOf(Encode(8, 1, kSyncMark, body)));
  CHECK_EQUAL(RecordState::kBadHeader, StateOf(Encode(kTombstone, 0, kSyncMark, body)));
  CHECK_EQUAL(RecordState::kBadHeader, StateOf(Encode(8, 0, kSyncMark | kGroupGoesOn, body)));
  CHECK_EQUAL(RecordState::kBadHeader, StateOf(Encode(8, 0, kSyncMark | kHasAttributes, body)));
}

TEST(Record, EveryFlagOfTheFutureIsRefusedByName) {
  for (int bit = 3; bit < 16; bit++) {
    const auto flags = static_cast<uint16_t>(1 << bit);
    CHECK_EQUAL(RecordState::kUnknownFlag, StateOf(Encode(5, 3, flags, "keyvalue")));
  }
}

TEST(Record, EveryStateHasADescriptionOfItsOwn) {
  std::set<std::string_view> texts;
  for (const RecordState state :
       {RecordState::kValid, RecordState::kTruncated, RecordState::kBadHeader,
        RecordState::kBadBody, RecordState::kUnknownFlag}) {
    texts.insert(keystone::Describe(state));
  }
  LONGS_EQUAL(5, texts.size());
}

TEST(Record, TheCrcIsThatOfZlib) {
  LONGS_EQUAL(0xCBF43926, keystone::Crc32("123456789"));
  LONGS_EQUAL(0xCBF43926, keystone::BodyCrc("1234", "56789"));
  LONGS_EQUAL(0, keystone::BodyCrc("", ""));
}
