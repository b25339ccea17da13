#include "store/hint.h"

#include <unistd.h>

#include <algorithm>
#include <boost/endian/conversion.hpp>
#include <cerrno>
#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "base/crc32.h"
#include "faults.h"
#include "scratch.h"
#include "store/hint_writer.h"
#include "store/testing.h"

using faults::Call;
using keystone::Code;
using keystone::FsyncPolicy;
using keystone::HintedKey;
using keystone::HintEntry;
using keystone::HintFile;
using keystone::HintHeader;
using keystone::HintName;
using keystone::kGroupGoesOn;
using keystone::kHintHeaderSize;
using keystone::kHintShards;
using keystone::Segment;
using keystone::Status;
using keystone::Store;
using testing::CheckOk;
using testing::CheckSays;
using testing::CheckValue;
using testing::EncodeExpiring;
using testing::EncodeSet;
using testing::EncodeTombstone;
using testing::Flipped;
using testing::kCollidingKeys;
using testing::SegmentBytes;
using testing::Set;
using testing::SomeId;

namespace {

constexpr char kFirst[] = "000000000001.log";
constexpr char kFirstHint[] = "000000000001.hint";
constexpr char kFirstHintInTheMaking[] = "000000000001.hint.tmp";
constexpr char kSecondHint[] = "000000000002.hint";

HintHeader SomeHeader() {
  HintHeader header;
  header.number = 7;
  header.store_id = SomeId();
  header.seed = 0x1122334455667788;
  header.covered_bytes = 1000;
  header.records = 12;
  header.last_sequence = 99;
  header.last_offset = 950;
  header.last_bytes = 0xAABBCCDDEEFF0011;
  header.segment_crc = 0x12345678;
  header.blocks[0] = {.size_bytes = 40, .entries = 2, .crc = 5};
  header.blocks[255] = {.size_bytes = 21, .entries = 1, .crc = 6};
  return header;
}

HintEntry SomeEntry(uint32_t tag) {
  return {.tag = tag,
          .ordinal = 3,
          .offset = 64,
          .size_bytes = 26,
          .key_size = 1,
          .tombstone = false,
          .has_attributes = false};
}

bool Parses(const std::string& block, uint32_t entries, uint64_t covered_bytes) {
  std::vector<HintedKey> keys;
  return keystone::ParseHintBlock(block, entries, covered_bytes, 3, &keys);
}

// `expiry`: the 8 bytes before the key, where there are attributes.
std::string BlockOf(const HintEntry& entry, std::string_view key = "k",
                    std::string_view expiry = "12345678") {
  const std::string text = std::string(expiry).append(key);
  std::string block;
  keystone::AppendHintEntry({entry, text.data() + expiry.size()}, &block);
  return block;
}

}  // namespace

// ---- bytes

TEST_GROUP(HintFormat){};

TEST(HintFormat, NamesAreThoseOfTheSegments) {
  STRCMP_EQUAL(kFirstHint, HintName(1).c_str());
  LONGS_EQUAL(1, keystone::HintNumber(kFirstHint).value());
  for (const char* name : {"000000000001.log", "1.hint", "000000000000.hint", ".hint",
                           "000000000001.hint.tmp", "00000000000x.hint"}) {
    CHECK_FALSE(keystone::HintNumber(name).has_value());
  }
}

TEST(HintFormat, AHeaderIsReadAsItWasWritten) {
  const HintHeader header = SomeHeader();
  const std::string bytes = keystone::EncodeHintHeader(header);
  LONGS_EQUAL(kHintHeaderSize, bytes.size());
  const auto read = keystone::DecodeHintHeader(bytes);
  CheckOk(read.status());
  LONGS_EQUAL(7, read.value().number);
  CHECK_TRUE(read.value().store_id == header.store_id);
  CHECK_TRUE(read.value().seed == header.seed);
  LONGS_EQUAL(3, read.value().entries());
  LONGS_EQUAL(kHintHeaderSize + 61, read.value().file_size());
  STRCMP_EQUAL(testing::Hex(bytes).c_str(),
               testing::Hex(keystone::EncodeHintHeader(read.value())).c_str());
}

TEST(HintFormat, AFlippedBitAnywhereInTheHeaderIsFound) {
  const std::string bytes = keystone::EncodeHintHeader(SomeHeader());
  for (size_t at = 0; at < bytes.size(); at++) {
    CHECK_EQUAL(Code::kCorrupt,
                keystone::DecodeHintHeader(Flipped(bytes, at, 1 << at % 8)).status().code());
  }
}

TEST(HintFormat, AFutureVersionIsNamed) {
  const std::string bytes = Flipped(keystone::EncodeHintHeader(SomeHeader()), 8, 1);
  CheckSays("version 3", keystone::DecodeHintHeader(bytes).status());
}

// All of them together would have the size of any file.
TEST(HintFormat, ABlockThatNoFileHoldsIsDamage) {
  HintHeader header = SomeHeader();
  header.blocks[0].size_bytes = uint64_t{1} << 48;
  CheckOk(keystone::DecodeHintHeader(keystone::EncodeHintHeader(header)).status());
  for (const uint64_t size : {(uint64_t{1} << 48) + 1, uint64_t{1} << 63, UINT64_MAX - 60}) {
    header.blocks[0].size_bytes = size;
    const Status damaged = keystone::DecodeHintHeader(keystone::EncodeHintHeader(header)).status();
    CHECK_EQUAL(Code::kCorrupt, damaged.code());
    CheckSays("tells of a block larger than any file", damaged);
  }
}

TEST(HintFormat, AHeaderThatEndsTooEarlyIsNone) {
  const std::string bytes = keystone::EncodeHintHeader(SomeHeader());
  for (const size_t size : {size_t{0}, size_t{8}, size_t{95}, bytes.size() - 1}) {
    CHECK_FALSE(keystone::DecodeHintHeader(bytes.substr(0, size)).ok());
  }
}

TEST(HintFormat, EntriesAreReadAsTheyWereWritten) {
  HintEntry second = SomeEntry(9);
  second.tombstone = second.has_attributes = true;
  second.offset = 90;
  second.key_size = 3;
  second.size_bytes = 24 + 12 + 3;
  std::vector<HintedKey> keys;
  const std::string block = BlockOf(SomeEntry(9)) + BlockOf(second, "key");
  CHECK_TRUE(keystone::ParseHintBlock(block, 2, 1000, 3, &keys));
  LONGS_EQUAL(2, keys.size());
  CHECK_TRUE(keys[0].entry == SomeEntry(9));
  CHECK_TRUE(keys[1].entry == second);
  CHECK_TRUE(keys[0].key() == "k");
  CHECK_TRUE(keys[0].expires_at_ms() == 0);
  CHECK_TRUE(keys[1].key() == "key");
  CHECK_TRUE(keys[1].expires_at_ms() == 0x3837363534333231);
  for (size_t size = 0; size < block.size(); size++) {
    CHECK_FALSE(Parses(block.substr(0, size), 2, 1000));
  }
}

TEST(HintFormat, ABlockOfAnotherSizeOrOrderIsNone) {
  const std::string block = BlockOf(SomeEntry(1)) + BlockOf(SomeEntry(2));
  CHECK_TRUE(Parses(block, 2, 1000));
  for (size_t size = 0; size < block.size(); size++) {
    CHECK_FALSE(Parses(block.substr(0, size), 2, 1000));
  }
  CHECK_FALSE(Parses(block, 1, 1000));
  CHECK_FALSE(Parses(block, 3, 1000));
  CHECK_FALSE(Parses(BlockOf(SomeEntry(2)) + BlockOf(SomeEntry(1)), 2, 1000));
}

TEST(HintFormat, AnEntryThatNoRecordHasIsNone) {
  CHECK_TRUE(Parses(BlockOf(SomeEntry(1)), 1, 90));
  CHECK_FALSE(Parses(BlockOf(SomeEntry(1)), 1, 89));
  HintEntry entry = SomeEntry(1);
  entry.offset = 63;
  CHECK_FALSE(Parses(BlockOf(entry), 1, 1000));
  entry.offset = ~uint64_t{0};
  CHECK_FALSE(Parses(BlockOf(entry), 1, 1000));
  entry = SomeEntry(1);
  entry.size_bytes = 24;
  CHECK_FALSE(Parses(BlockOf(entry), 1, 1000));
  entry = SomeEntry(1);
  entry.tombstone = true;  // with a value
  CHECK_FALSE(Parses(BlockOf(entry), 1, 1000));
  entry = SomeEntry(1);
  entry.key_size = 0;
  CHECK_FALSE(Parses(BlockOf(entry, ""), 1, 1000));
}

// ---- a store with and without them

TEST_GROUP(Hint) {
  Scratch scratch;
  std::unique_ptr<Store> store;

  void teardown() override {
    faults::Clear();
    store.reset();
  }

  // What a start finds; the directory is left as a clean stop leaves it.
  struct State {
    std::map<std::string, std::string> contents;
    uint64_t keys = 0;
    uint64_t live_bytes = 0;
    uint64_t stale_bytes = 0;
    uint64_t log_bytes = 0;
    uint64_t records = 0;
    uint64_t truncated_bytes = 0;
    uint64_t sequence = 0;  // of the next write

    bool operator==(const State&) const = default;
  };

  State StateOf(const std::string& directory) {
    std::unique_ptr<Store> opened = testing::OpenStore(directory);
    const keystone::StoreStats stats = opened->Stats();
    State state{.contents = {},
                .keys = stats.keys,
                .live_bytes = stats.live_bytes,
                .stale_bytes = stats.stale_bytes,
                .log_bytes = stats.log_bytes,
                .records = stats.recovered_records,
                .truncated_bytes = stats.recovered_truncated_bytes};
    LONGS_EQUAL(stats.keys, opened->Count());
    for (const std::string& key : testing::AllKeys(*opened)) {
      state.contents[key] = testing::ValueOf(*opened, key);
    }
    LONGS_EQUAL(stats.keys, state.contents.size());
    CheckOk(Set(*opened, "sequence", "probe"));
    CheckOk(opened->Close());
    opened.reset();
    state.sequence = testing::LogOf(directory).back().sequence;
    return state;
  }

  // The same, of a copy, perhaps without the hints.
  State StateOfCopy(bool with_hints) {
    const Scratch copy;
    for (const std::string& name : testing::FilesIn(scratch.path())) {
      if (!with_hints && name.ends_with(".hint")) continue;
      copy.Write(name, scratch.Read(name));
    }
    return StateOf(copy.path());
  }

  void CheckSameWithoutHints() { CHECK_TRUE(StateOfCopy(true) == StateOfCopy(false)); }

  size_t Hints() {
    const auto names = testing::FilesIn(scratch.path());
    return static_cast<size_t>(std::count_if(
        names.begin(), names.end(), [](const auto& name) { return name.ends_with(".hint"); }));
  }

  bool HasAllHints() {
    const auto manifest = keystone::LoadManifest(scratch.path());
    CheckOk(manifest.status());
    for (const uint64_t number : manifest.value().segments) {
      if (!scratch.Has(HintName(number))) return false;
    }
    return testing::HasNoLeftovers(scratch.path());
  }

  void Open(FsyncPolicy fsync = FsyncPolicy::kNo) {
    store.reset();
    store = testing::OpenStore(scratch.path(), fsync, testing::kSmallSegment);
  }

  // Some segments of sets, overwrites, deletes and groups.
  void Fill(int rounds = 300) {
    std::mt19937 random(7);
    for (int i = 0; i < rounds; i++) {
      keystone::Batch batch;
      std::vector<std::string> texts;
      texts.reserve(16);
      const size_t count = 1 + random() % 4;
      for (size_t k = 0; k < count; k++) {
        const std::string& key = texts.emplace_back("key" + std::to_string(random() % 100));
        if (random() % 4 == 0) {
          batch.Delete(key);
        } else {
          batch.Set(key, texts.emplace_back(std::string(random() % 60, 'v') + std::to_string(i)));
        }
      }
      CheckOk(store->Apply(&batch));
    }
  }

  // A store of a sealed segment and an active one, both with a hint.
  void MakeTwo() {
    scratch.Write(kFirst, SegmentBytes(1, EncodeSet(1, "a", "1") + EncodeSet(2, "b", "2") +
                                              EncodeTombstone(3, "c")));
    scratch.Write("000000000002.log",
                  SegmentBytes(2, EncodeSet(4, "b", "3") + EncodeTombstone(5, "d"), 4));
    scratch.Write("MANIFEST", keystone::EncodeManifest({SomeId(), 1, {1, 2}}));
    testing::OpenStore(scratch.path()).reset();
    CHECK_TRUE(HasAllHints());
  }

  void CheckTwo() {
    store = testing::OpenStore(scratch.path());
    CheckValue(*store, "a", "1");
    CheckValue(*store, "b", "3");
    CheckValue(*store, "c", "(none)");
    LONGS_EQUAL(2, store->Count());
    LONGS_EQUAL(5, store->Stats().recovered_records);
    LONGS_EQUAL(52, store->Stats().live_bytes);
    store.reset();
  }

  // The hint of that name is not used, nothing else is different, and there is a new one.
  void CheckNotUsed(const char* name, const std::string& bad) {
    const std::string good = scratch.Read(name);
    scratch.Write(name, bad);
    CheckTwo();
    CHECK_TRUE(scratch.Read(name) == good);
  }
};

TEST(Hint, AStopLeavesOneForEverySegment) {
  Open();
  Fill();
  store.reset();
  CHECK_TRUE(Hints() > 5);
  CHECK_TRUE(HasAllHints());
  CheckSameWithoutHints();
}

TEST(Hint, ARotationHasTheSealedSegmentsWritten) {
  Open();
  Fill();
  testing::WaitUntil([&] { return scratch.Has(kFirstHint); });
}

TEST(Hint, ACompactionTakesThoseOfTheOldSegmentsAlong) {
  for (const FsyncPolicy fsync : {FsyncPolicy::kNo, FsyncPolicy::kAlways}) {
    Open(fsync);
    Fill();
    CheckOk(store->Compact(keystone::CompactionMode::kStopTheWorld));
    CHECK_TRUE(testing::HasNoLeftovers(scratch.path()));
    Fill(20);
    store.reset();
    CHECK_TRUE(HasAllHints());
    CheckSameWithoutHints();
  }
}

TEST(Hint, CompactionsBesideTheWriterLeaveNothingBehind) {
  Open();
  for (int i = 0; i < 20; i++) {
    Fill(50);
    CheckOk(store->Compact(keystone::CompactionMode::kStopTheWorld));
  }
  store.reset();
  CHECK_TRUE(HasAllHints());
  CheckSameWithoutHints();
}

TEST(Hint, AnyOfThemMayBeMissing) {
  Open();
  Fill(120);
  store.reset();
  const State expected = StateOfCopy(false);
  std::mt19937 random(3);
  for (int round = 0; round < 30; round++) {
    const Scratch copy;
    for (const std::string& name : testing::FilesIn(scratch.path())) {
      if (name.ends_with(".hint") && random() % 2 == 0) continue;
      copy.Write(name, scratch.Read(name));
    }
    CHECK_TRUE(StateOf(copy.path()) == expected);
    CHECK_TRUE(copy.Has(kFirstHint));  // made again
  }
}

TEST(Hint, OneOfAnActiveSegmentThatHasGrownCountsForItsPart) {
  Open();
  Fill(10);
  store.reset();
  const std::string hint = scratch.Read(kFirstHint);
  Open();
  CheckOk(Set(*store, "key1", "newer"));
  CheckOk(testing::Delete(*store, "key2"));
  CheckOk(Set(*store, "later", "value"));
  CHECK_TRUE(scratch.Read(kFirstHint) == hint);
  // As a killed daemon leaves it.
  CheckSameWithoutHints();
  CHECK_TRUE(StateOfCopy(true).contents["key1"] == "newer");
  CHECK_TRUE(StateOfCopy(true).contents.count("key2") == 0);
}

TEST(Hint, ATailBehindOneIsCutAsEver) {
  Open();
  Fill(10);
  store.reset();
  const std::string hint = scratch.Read(kFirstHint);
  Open();
  CheckOk(Set(*store, "later", "value"));
  const std::string bytes = scratch.Read(kFirst);
  store.reset();
  scratch.Write(kFirstHint, hint);
  for (const size_t cut : {1, 10, 30}) {
    scratch.Write(kFirst, bytes.substr(0, bytes.size() - cut));
    const State state = StateOfCopy(true);
    CHECK_TRUE(state == StateOfCopy(false));
    LONGS_EQUAL(24 + 10 - cut, state.truncated_bytes);
  }
}

TEST(Hint, DamageBehindOneIsRefusedAsEver) {
  MakeTwo();
  const std::string first = scratch.Read(kFirst);
  for (const std::string& more : {std::string("garbage"), std::string(100, '\0')}) {
    scratch.Write(kFirst, first + more);
    CHECK_EQUAL(Code::kCorrupt, testing::OpenError(scratch.path()).code());
  }
  scratch.Write(kFirst, first);
  CheckTwo();
}

TEST(Hint, OfASegmentThatWasCutIsNotUsed) {
  Open();
  Fill(10);
  store.reset();
  const std::string hint = scratch.Read(kFirstHint);
  const std::string bytes = scratch.Read(kFirst);
  const auto entries = testing::Entries(bytes);
  const std::string half = bytes.substr(0, entries[entries.size() / 2].offset);
  scratch.Write(kFirst, bytes.substr(0, half.size() + 5));
  const State expected = StateOfCopy(false);
  CHECK_TRUE(StateOfCopy(true) == expected);
  // It does not come back when the segment has grown again.
  Open();
  CHECK_FALSE(scratch.Has(kFirstHint));
  for (int i = 0; i < 100; i++) CheckOk(Set(*store, "grown" + std::to_string(i), "x"));
  store.reset();
  scratch.Write(kFirstHint, hint);
  CheckSameWithoutHints();
}

TEST(Hint, AFlippedBitAnywhereIsFoundAndTheHintMadeAgain) {
  MakeTwo();
  const std::string good = scratch.Read(kFirstHint);
  for (size_t at = 0; at < good.size(); at += at >= 96 && at < 4100 ? 97 : 1) {
    CheckNotUsed(kFirstHint, Flipped(good, at, 1 << at % 8));
  }
}

TEST(Hint, AFlippedBitInThatOfTheActiveSegmentIsFound) {
  MakeTwo();
  const std::string good = scratch.Read(kSecondHint);
  for (size_t at = 0; at < good.size(); at += 37) {
    CheckNotUsed(kSecondHint, Flipped(good, at, 1 << at % 8));
  }
}

TEST(Hint, OneOfAnotherLengthIsNotUsed) {
  MakeTwo();
  const std::string good = scratch.Read(kFirstHint);
  for (size_t size = 0; size < good.size(); size += 53) {
    CheckNotUsed(kFirstHint, good.substr(0, size));
  }
  CheckNotUsed(kFirstHint, good.substr(0, good.size() - 1));
  CheckNotUsed(kFirstHint, good + '\0');
  CheckNotUsed(kFirstHint, std::string(good.size(), '\0'));
}

// The sizes of two blocks add up to that of the file.
TEST(Hint, OneWhoseSizesOverflowIsNotUsed) {
  MakeTwo();
  const std::string good = scratch.Read(kFirstHint);
  for (const int bits : {47, 48, 62, 63}) {
    HintHeader header = keystone::DecodeHintHeader(good).value();
    header.blocks[0].size_bytes += uint64_t{1} << bits;
    header.blocks[1].size_bytes -= uint64_t{1} << bits;
    CheckNotUsed(kFirstHint, keystone::EncodeHintHeader(header) + good.substr(kHintHeaderSize));
  }
}

TEST(Hint, OneOfSomethingElseIsNotUsed) {
  MakeTwo();
  const std::string good = scratch.Read(kFirstHint);
  const auto changed = [&](const std::function<void(HintHeader*)>& change) {
    HintHeader header = keystone::DecodeHintHeader(good).value();
    change(&header);
    return keystone::EncodeHintHeader(header) + good.substr(kHintHeaderSize);
  };
  CheckNotUsed(kFirstHint, scratch.Read(kSecondHint));
  CheckNotUsed(kFirstHint, changed([](HintHeader* h) { h->store_id[3] ^= 1; }));
  CheckNotUsed(kFirstHint, changed([](HintHeader* h) { h->seed++; }));
  CheckNotUsed(kFirstHint, changed([](HintHeader* h) { h->segment_crc++; }));
  CheckNotUsed(kFirstHint, changed([](HintHeader* h) { h->last_bytes++; }));
  CheckNotUsed(kFirstHint, changed([](HintHeader* h) { h->last_sequence++; }));
  CheckNotUsed(kFirstHint, changed([](HintHeader* h) { h->last_offset--; }));
  for (const uint64_t covered : {uint64_t{0}, uint64_t{90}, uint64_t{142}, ~uint64_t{0}}) {
    CheckNotUsed(kFirstHint, changed([&](HintHeader* h) { h->covered_bytes = covered; }));
  }
}

// Of a segment with "a" that expires, "b" and "c", as version 1 had it.
std::string OldHint(const std::string& hint) {
  HintHeader header = keystone::DecodeHintHeader(hint).value();
  std::string blocks = hint.substr(kHintHeaderSize);
  size_t block_at = 0;
  for (HintHeader::Block& block : header.blocks) {
    const size_t at = block_at;
    block_at += block.size_bytes;
    if (block.size_bytes == 0 || (blocks[at + 18] & 2) == 0) continue;
    LONGS_EQUAL(20 + 8 + 1, block.size_bytes);
    blocks.erase(at + 20, 8);
    block_at -= 8;
    block.size_bytes -= 8;
    block.crc = keystone::Crc32(std::string_view(blocks).substr(at, block.size_bytes));
  }
  std::string bytes = keystone::EncodeHintHeader(header);
  bytes[8] = 1;
  constexpr size_t kCrcAt = kHintHeaderSize - 8;
  boost::endian::store_little_u32(reinterpret_cast<unsigned char*>(&bytes[kCrcAt]),
                                  keystone::Crc32({bytes.data(), kCrcAt}));
  return bytes + blocks;
}

TEST(Hint, OneOfTheVersionBeforeIsNotUsedAndMadeAnew) {
  constexpr uint64_t kFarAway = 9'000'000'000'000;
  scratch.Write(kFirst, SegmentBytes(1, EncodeExpiring(1, "a", "1", kFarAway) +
                                            EncodeSet(2, "b", "2") + EncodeSet(3, "c", "3")));
  scratch.Write("000000000002.log", SegmentBytes(2, EncodeSet(4, "b", "4"), 4));
  scratch.Write("MANIFEST", keystone::EncodeManifest({SomeId(), 1, {1, 2}}));
  testing::OpenStore(scratch.path()).reset();
  const std::string hint = scratch.Read(kFirstHint);
  const std::string old = OldHint(hint);
  LONGS_EQUAL(hint.size() - 8, old.size());
  scratch.Write(kFirstHint, old);
  store = testing::OpenStore(scratch.path());
  LONGS_EQUAL(1, store->Stats().keys_expiring);
  CheckValue(*store, "a", "1");
  CheckValue(*store, "b", "4");
  store.reset();
  CHECK_TRUE(scratch.Read(kFirstHint) == hint);
}

TEST(Hint, OneThatCantBeReadIsNotUsed) {
  MakeTwo();
  LONGS_EQUAL(0, ::unlink(scratch.File(kFirstHint).c_str()));
  std::filesystem::create_directory(scratch.File(kFirstHint));
  CheckTwo();
  std::filesystem::remove(scratch.File(kFirstHint));
  CheckTwo();
  CHECK_TRUE(HasAllHints());
}

TEST(Hint, OneOfNoSegmentIsRemoved) {
  MakeTwo();
  scratch.Write("000000000009.hint", scratch.Read(kFirstHint));
  scratch.Write("000000000001.hint.tmp", "half");
  CheckTwo();
  CHECK_TRUE(HasAllHints());
}

TEST(Hint, ARefusedStartChangesNone) {
  MakeTwo();
  scratch.Write("000000000009.hint", "of a segment that is gone");
  const std::string bad = Flipped(scratch.Read(kSecondHint), 50);
  scratch.Write(kSecondHint, bad);
  scratch.Write(kFirst, scratch.Read(kFirst) + "garbage");
  CHECK_EQUAL(Code::kCorrupt, testing::OpenError(scratch.path()).code());
  CHECK_TRUE(scratch.Read(kSecondHint) == bad);
  CHECK_TRUE(scratch.Has("000000000009.hint"));
}

TEST(Hint, IsTheSameWhoeverMadeIt) {
  MakeTwo();
  const std::string good = scratch.Read(kFirstHint);
  LONGS_EQUAL(0, ::unlink(scratch.File(kFirstHint).c_str()));
  CheckTwo();
  CHECK_TRUE(scratch.Read(kFirstHint) == good);
}

TEST(Hint, KeysOfTheSamePositionAndManySegmentsAddUp) {
  std::mt19937 random(11);
  std::map<std::string, std::string> model;
  std::vector<uint64_t> numbers;
  uint64_t sequence = 0;
  for (uint64_t number = 1; number <= 12; number++) {
    const uint64_t first = sequence + 1;
    std::string records;
    for (int i = 0; i < 60; i++) {
      const std::string key =
          random() % 2 == 0 ? kCollidingKeys[random() % 6] : "key" + std::to_string(random() % 40);
      const uint16_t flags = random() % 3 == 0 && i != 59 ? kGroupGoesOn : 0;
      if (random() % 3 == 0) {
        model.erase(key);
        records += EncodeTombstone(++sequence, key, flags);
      } else {
        model[key] = std::to_string(sequence);
        records += EncodeSet(sequence + 1, key, model[key], flags);
        sequence++;
      }
    }
    scratch.Write(keystone::SegmentName(number), SegmentBytes(number, records, first));
    numbers.push_back(number);
  }
  scratch.Write("MANIFEST", keystone::EncodeManifest({SomeId(), 0, numbers}));
  CHECK_TRUE(StateOfCopy(false).contents == model);
  testing::OpenStore(scratch.path()).reset();
  CHECK_TRUE(HasAllHints());
  CHECK_TRUE(StateOfCopy(true).contents == model);
  CheckSameWithoutHints();
}

// ---- writing them

TEST(Hint, NoFailureOfItsWritingHurtsTheStore) {
  for (const Call call : {Call::kPwritev, Call::kFsync, Call::kRename}) {
    Open();
    faults::FailForHints(call, ENOSPC);
    Fill(60);
    CheckOk(store->Compact(keystone::CompactionMode::kStopTheWorld));
    Fill(60);
    CheckOk(store->Close());
    store.reset();
    faults::Clear();
    LONGS_EQUAL(0, Hints());
    CHECK_TRUE(testing::LogFilesIn(scratch.path()) == testing::FilesIn(scratch.path()));
    CheckSameWithoutHints();
  }
  Open();
  store.reset();
  CHECK_TRUE(HasAllHints());
}

TEST(Hint, OfASegmentThatGoesMeanwhileIsNotLeft) {
  std::string records;
  for (uint64_t i = 1; i <= 100000; i++) records += EncodeSet(i, "key" + std::to_string(i), "v");
  scratch.Write(kFirst, SegmentBytes(1, records));
  auto segment = Segment::Open(scratch.path(), 1, SomeId(), Segment::Access::kReadOnly, 0);
  CheckOk(segment.status());
  const keystone::Log log = testing::Quiet();
  const keystone::Reserve reserve(scratch.path(), &log);
  const std::vector<std::function<bool()>> moments = {
      [] { return true; },
      [&] { return scratch.Has(kFirstHintInTheMaking) || scratch.Has(kFirstHint); },
      [&] { return scratch.Has(kFirstHint); }};
  for (const auto& moment : moments) {
    keystone::HintWriter writer(scratch.path(), 1, &reserve, &log);
    writer.Start();
    writer.Add(segment.value());
    testing::WaitUntil(moment);
    writer.Forget({segment.value()});
    CHECK_FALSE(scratch.Has(kFirstHint));
    writer.Finish(nullptr);
    CHECK_TRUE(testing::FilesIn(scratch.path()) == std::set<std::string>{kFirst});
  }
}

TEST(Hint, AWriterThatStopsLeavesNoHalf) {
  std::string records;
  for (uint64_t i = 1; i <= 100000; i++) records += EncodeSet(i, "key" + std::to_string(i), "v");
  scratch.Write(kFirst, SegmentBytes(1, records));
  auto segment = Segment::Open(scratch.path(), 1, SomeId(), Segment::Access::kReadOnly, 0);
  CheckOk(segment.status());
  const keystone::Log log = testing::Quiet();
  const keystone::Reserve reserve(scratch.path(), &log);
  {
    keystone::HintWriter writer(scratch.path(), 1, &reserve, &log);
    writer.Start();
    writer.Add(segment.value());
    testing::WaitUntil(
        [&] { return scratch.Has(kFirstHint) || scratch.Has(kFirstHintInTheMaking); });
  }
  CHECK_FALSE(scratch.Has(kFirstHintInTheMaking));
  keystone::HintWriter writer(scratch.path(), 1, &reserve, &log);
  writer.Start();
  writer.Finish(segment.value());
  CHECK_TRUE(scratch.Has(kFirstHint));
  CheckOk(HintFile::Open(scratch.path(), *segment.value(), 1).status());
}

TEST(Hint, OfADamagedSegmentIsNotMade) {
  const std::string records = EncodeSet(1, "a", "1") + EncodeSet(2, "b", "2");
  scratch.Write(kFirst, SegmentBytes(1, Flipped(records, 30)));
  auto segment = Segment::Open(scratch.path(), 1, SomeId(), Segment::Access::kReadOnly, 0);
  const keystone::Log log = testing::Quiet();
  const keystone::Reserve reserve(scratch.path(), &log);
  keystone::HintWriter writer(scratch.path(), 1, &reserve, &log);
  writer.Start();
  writer.Finish(segment.value());
  CHECK_TRUE(testing::FilesIn(scratch.path()) == std::set<std::string>{kFirst});
}
