#include "store/index.h"

#include <algorithm>
#include <atomic>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "scratch.h"
#include "store/segment_set.h"
#include "store/testing.h"

using keystone::Code;
using keystone::Index;
using keystone::Location;
using keystone::RecordSize;
using keystone::RecordView;
using keystone::Segment;
using keystone::SegmentSet;
using keystone::Status;
using testing::CheckOk;
using testing::CheckSays;

namespace {

// Two keys whose hashes (seed 0) have the same shard and tag, found by trying six million.
constexpr std::pair<const char*, const char*> kSameTag[] = {
    {"k503221", "k2406207"},  {"k1088229", "k3862334"}, {"k1692157", "k5844707"},
    {"k2140566", "k4470288"}, {"k263634", "k3722780"},  {"k2019755", "k5931777"}};

std::string Key(size_t i) { return "key" + std::to_string(i); }

}  // namespace

TEST_GROUP(Index) {
  Scratch scratch;
  std::unique_ptr<SegmentSet> segments = std::make_unique<SegmentSet>();
  std::unique_ptr<Index> index = std::make_unique<Index>(segments.get(), 0);
  std::shared_ptr<Segment> segment;
  uint64_t sequence = 0;

  void setup() override {
    auto created = Segment::Create(scratch.path(), {.number = 1}, uint64_t{64} << 20);
    CheckOk(created.status());
    segment = created.value();
    CheckOk(segment->Finish());
    segments->Add(segment);
  }
  void teardown() override {
    index.reset();
    segments.reset();
    segment.reset();
  }

  Location Write(const std::string& key, const std::string& value = "v") {
    const Location where{1, segment->size()};
    std::string bytes = testing::EncodeSet(++sequence, key, value);
    iovec piece{bytes.data(), bytes.size()};
    CheckOk(segment->Append({&piece, 1}, bytes.size()));
    return where;
  }

  Location Put(const std::string& key, const std::string& value = "v") {
    const Location where = Write(key, value);
    CheckOk(index->Put(key, where, RecordSize(key, value)));
    return where;
  }

  std::string Find(const std::string& key) {
    RecordView record;
    const Status status = index->Find(key, &record);
    if (status.code() == Code::kNotFound) return "(none)";
    return status.ok() ? std::string(record.value) : status.message();
  }

  void Damage(uint64_t offset) { testing::FlipByte(segment->path(), offset); }

  std::multiset<uint64_t> ScanOffsets(size_t count) {
    std::multiset<uint64_t> offsets;
    uint64_t cursor = 0;
    do {
      std::vector<Index::Entry> entries;
      cursor = index->Scan(cursor, count, &entries);
      for (const Index::Entry& entry : entries) offsets.insert(entry.where.offset);
    } while (cursor != 0);
    return offsets;
  }
};

TEST(Index, WhatExpiresIsCountedUntilThen) {
  const uint64_t later_ms = keystone::UnixTimeMs() + 3'600'000;
  CheckOk(index->Put("a", Write("a"), 100, later_ms));
  CheckOk(index->Put("b", Write("b"), 30));
  LONGS_EQUAL(2, index->LiveAt(later_ms - 1000).keys);
  LONGS_EQUAL(130, index->LiveAt(later_ms - 1000).bytes);
  LONGS_EQUAL(1, index->LiveAt(later_ms + 1000).keys);
  LONGS_EQUAL(30, index->LiveAt(later_ms + 1000).bytes);
  STRCMP_EQUAL("v", Find("a").c_str());  // who has found it looks at its time
}

TEST(Index, DropsARecordOnlyWhereItStillPointsAtIt) {
  const uint64_t past_ms = keystone::UnixTimeMs() - 1;
  const size_t size_bytes = RecordSize("a", "v") + keystone::kAttributesSize;
  const auto write = [&] {
    const Location where{1, segment->size()};
    std::string bytes = testing::EncodeExpiring(++sequence, "a", "v", past_ms);
    iovec piece{bytes.data(), bytes.size()};
    CheckOk(segment->Append({&piece, 1}, bytes.size()));
    CheckOk(index->Put("a", where, size_bytes, past_ms));
    return where;
  };
  const uint64_t position = index->Position("a");
  const Location first = write();
  const Location second = write();
  CHECK_FALSE(index->Drop(position, first, {past_ms, size_bytes}));
  STRCMP_EQUAL("v", Find("a").c_str());
  LONGS_EQUAL(1, index->size());
  CHECK_TRUE(index->Drop(position, second, {past_ms, size_bytes}));
  CHECK_FALSE(index->Drop(position, second, {past_ms, size_bytes}));
  STRCMP_EQUAL("(none)", Find("a").c_str());
  LONGS_EQUAL(0, index->size());
  LONGS_EQUAL(0, index->live_bytes());
  const auto sums = index->expiry().At(past_ms + 2000);
  LONGS_EQUAL(0, sums.expired_records);
  LONGS_EQUAL(0, sums.expiring_records);
}

TEST(Index, IsEmptyAtFirst) {
  STRCMP_EQUAL("(none)", Find("key").c_str());
  CHECK_EQUAL(Code::kNotFound, index->Erase("key").code());
  LONGS_EQUAL(0, index->size());
  LONGS_EQUAL(0, index->live_bytes());
  LONGS_EQUAL(0, index->memory_bytes());
  CHECK_TRUE(ScanOffsets(10).empty());
}

TEST(Index, FindsTheLastRecordOfAKey) {
  Put("key", "first");
  Put("key", "second");
  STRCMP_EQUAL("second", Find("key").c_str());
  LONGS_EQUAL(1, index->size());
  LONGS_EQUAL(RecordSize("key", "second"), index->live_bytes());
}

TEST(Index, AnErasedKeyIsGoneAndCanComeBack) {
  Put("key", "first");
  CheckOk(index->Erase("key"));
  STRCMP_EQUAL("(none)", Find("key").c_str());
  CHECK_EQUAL(Code::kNotFound, index->Erase("key").code());
  LONGS_EQUAL(0, index->size());
  LONGS_EQUAL(0, index->live_bytes());
  Put("key", "second");
  STRCMP_EQUAL("second", Find("key").c_str());
}

TEST(Index, PointsAtTheLiveRecordOnly) {
  const Location first = Put("key", "first");
  const Location second = Put("key", "second");
  CHECK_FALSE(index->Points(index->Position("key"), first));
  CHECK_TRUE(index->Points(index->Position("key"), second));
  CHECK_FALSE(index->Points(index->Position("other"), second));
}

TEST(Index, RelocatesFromTheGivenPlaceOnly) {
  const Location old = Put("key", "value");
  const Location now = Write("key", "value");
  CHECK_FALSE(index->Relocate(index->Position("key"), now, old));
  CHECK_FALSE(index->Relocate(index->Position("other"), old, now));
  CHECK_TRUE(index->Relocate(index->Position("key"), old, now));
  CHECK_TRUE(index->Points(index->Position("key"), now));
  LONGS_EQUAL(1, index->size());
  LONGS_EQUAL(RecordSize("key", "value"), index->live_bytes());
}

TEST(Index, DoesWhatAMapDoes) {
  constexpr size_t kKeys = 20000;
  std::mt19937 random(42);
  std::unordered_map<std::string, Location> model;
  for (int i = 0; i < 100000; i++) {
    const std::string key = Key(random() % kKeys);
    const auto choice = random() % 10;
    if (choice < 4) {
      model[key] = Put(key);
    } else if (choice < 6) {
      CHECK_EQUAL(model.erase(key) != 0 ? Code::kOk : Code::kNotFound, index->Erase(key).code());
    } else {
      const auto expected = model.find(key);
      RecordView record;
      const Status status = index->Find(key, &record);
      CHECK_EQUAL(expected != model.end() ? Code::kOk : Code::kNotFound, status.code());
      if (status.ok()) CHECK_TRUE(index->Points(index->Position(key), expected->second));
    }
  }
  std::multiset<uint64_t> offsets;
  uint64_t live_bytes = 0;
  for (const auto& [key, where] : model) {
    CHECK_TRUE(index->Points(index->Position(key), where));
    offsets.insert(where.offset);
    live_bytes += RecordSize(key, "v");
  }
  LONGS_EQUAL(model.size(), index->size());
  LONGS_EQUAL(live_bytes, index->live_bytes());
  CHECK_TRUE(ScanOffsets(100) == offsets);
  for (const auto& [key, where] : model) CheckOk(index->Erase(key));
  LONGS_EQUAL(0, index->size());
  LONGS_EQUAL(0, index->live_bytes());
  CHECK_TRUE(ScanOffsets(100).empty());
}

TEST(Index, LoadedShardsDoWhatPutsDo) {
  constexpr size_t kKeys = 20000;
  std::vector<std::vector<std::pair<uint32_t, Location>>> shards(256);
  uint64_t live_bytes = 0;
  const auto load = [&](const std::string& key) {
    const uint64_t position = Index::Position(key, 0);
    shards[position >> 32].push_back({static_cast<uint32_t>(position), Write(key, key)});
    live_bytes += RecordSize(key, key);
  };
  for (size_t i = 0; i < kKeys; i++) load(Key(i));
  for (const auto& [a, b] : kSameTag) {
    load(a);
    load(b);
  }
  for (size_t shard = 0; shard < shards.size(); shard++) {
    std::stable_sort(shards[shard].begin(), shards[shard].end(),
                     [](const auto& a, const auto& b) { return a.first < b.first; });
    std::vector<Index::Loaded> loaded;
    uint64_t shard_bytes = 0;
    for (const auto& [tag, where] : shards[shard]) {
      loaded.push_back({tag, where});
      RecordView record;
      CHECK_TRUE(segment->Read(where.offset, &record) == keystone::RecordState::kValid);
      shard_bytes += record.size_bytes();
    }
    index->LoadShard(shard, loaded, shard_bytes);
  }
  const size_t count = kKeys + 2 * std::size(kSameTag);
  LONGS_EQUAL(count, index->size());
  LONGS_EQUAL(live_bytes, index->live_bytes());
  CHECK_TRUE(index->memory_bytes() <= count * 22 + 256 * (64 * 16 + 4096));
  LONGS_EQUAL(count, ScanOffsets(100).size());
  for (const auto& [a, b] : kSameTag) {
    STRCMP_EQUAL(a, Find(a).c_str());
    STRCMP_EQUAL(b, Find(b).c_str());
  }
  for (size_t i = 0; i < kKeys; i++) STRCMP_EQUAL(Key(i).c_str(), Find(Key(i)).c_str());
  for (size_t i = 0; i < 2 * kKeys; i++) Put(Key(i), "new");
  for (size_t i = 0; i < 2 * kKeys; i += 2) CheckOk(index->Erase(Key(i)));
  for (size_t i = 0; i < 2 * kKeys; i++) {
    STRCMP_EQUAL(i % 2 == 0 ? "(none)" : "new", Find(Key(i)).c_str());
  }
  LONGS_EQUAL(kKeys + 2 * std::size(kSameTag), index->size());
}

TEST(Index, ALoadedShardOfTheHighestTagsHasRoom) {
  std::vector<Index::Loaded> entries;
  for (uint32_t i = 0; i < 950; i++) entries.push_back({i << 22, {1, 64 + i}});
  for (uint32_t i = 50; i-- > 0;) entries.push_back({~uint32_t{0} - i, {1, 2000 + i}});
  index->LoadShard(255, entries, 1000);
  LONGS_EQUAL(1000, ScanOffsets(100).size());
  index->LoadShard(7, {}, 0);
  LONGS_EQUAL(1000, index->size());
}

TEST(Index, KeysOfTheSameTagAreKeptApart) {
  for (const auto& [a, b] : kSameTag) {
    LONGS_EQUAL(index->Position(a), index->Position(b));
    const Location where_a = Put(a, "a");
    STRCMP_EQUAL("(none)", Find(b).c_str());
    CHECK_EQUAL(Code::kNotFound, index->Erase(b).code());
    const Location where_b = Put(b, "b");
    STRCMP_EQUAL("a", Find(a).c_str());
    STRCMP_EQUAL("b", Find(b).c_str());
    CHECK_TRUE(index->Points(index->Position(a), where_a));
    CHECK_TRUE(index->Points(index->Position(b), where_b));
    Put(a, "a2");
    STRCMP_EQUAL("a2", Find(a).c_str());
    STRCMP_EQUAL("b", Find(b).c_str());
    CheckOk(index->Erase(a));
    STRCMP_EQUAL("(none)", Find(a).c_str());
    STRCMP_EQUAL("b", Find(b).c_str());
  }
}

TEST(Index, AScanNeverPartsKeysOfTheSameTag) {
  for (const auto& [a, b] : kSameTag) {
    Put(a);
    Put(b);
  }
  LONGS_EQUAL(2 * std::size(kSameTag), ScanOffsets(1).size());
}

TEST(Index, ADamagedKeyIsNotAnAbsentKey) {
  const Location where = Put("key", "value");
  for (size_t i = 0; i < 3; i++) {
    Damage(where.offset + keystone::kRecordHeaderSize + i);
    RecordView record;
    const Status status = index->Find("key", &record);
    CHECK_EQUAL(Code::kCorrupt, status.code());
    CheckSays("000000000001.log at offset 64", status);
    CHECK_EQUAL(Code::kCorrupt, index->Erase("key").code());
    LONGS_EQUAL(1, index->size());
    Damage(where.offset + keystone::kRecordHeaderSize + i);
  }
  STRCMP_EQUAL("value", Find("key").c_str());
}

TEST(Index, ADamagedHeaderIsNotAnAbsentKey) {
  const Location where = Put("key", "value");
  Damage(where.offset + 20);
  RecordView record;
  CHECK_EQUAL(Code::kCorrupt, index->Find("key", &record).code());
}

TEST(Index, ALocationInNoSegmentIsDamage) {
  Put("key", "value");
  CHECK_TRUE(index->Relocate(index->Position("key"), {1, 64}, {7, 64}));
  RecordView record;
  const Status status = index->Find("key", &record);
  CHECK_EQUAL(Code::kCorrupt, status.code());
  CheckSays("000000000007.log (not open)", status);
}

TEST(Index, PuttingAKeyWhoseOldRecordIsDamagedSaysSoAndTheNewOneIsFound) {
  const Location where = Put("key", "old");
  Damage(where.offset);
  const Location now = Write("key", "new");
  CHECK_EQUAL(Code::kCorrupt, index->Put("key", now, RecordSize("key", "new")).code());
  STRCMP_EQUAL("new", Find("key").c_str());
  Put("key", "newer");
  STRCMP_EQUAL("newer", Find("key").c_str());
}

TEST(Index, ADamagedRecordIsCountedOutWhenItsKeyIsPutAgain) {
  for (const bool header : {true, false}) {
    const uint64_t bytes_before = index->live_bytes();
    const Location old = Put("key", "old");
    Damage(old.offset + (header ? 0 : keystone::kRecordHeaderSize));
    const Location now = Write("key", "new");
    CHECK_EQUAL(Code::kCorrupt, index->Put("key", now, RecordSize("key", "new")).code());
    LONGS_EQUAL(1, index->size());
    LONGS_EQUAL(1, ScanOffsets(10).size());
    const uint64_t unknown = header ? RecordSize("key", "old") : 0;
    LONGS_EQUAL(bytes_before + RecordSize("key", "new") + unknown, index->live_bytes());
    CheckOk(index->Erase("key"));
    STRCMP_EQUAL("(none)", Find("key").c_str());
    LONGS_EQUAL(0, index->size());
  }
}

TEST(Index, ADamagedRecordOfAnotherKeyThatCanBeReadIsLeft) {
  const auto& [a, b] = kSameTag[0];
  const Location damaged = Put(a, "a");
  Put(b, "b");
  Damage(damaged.offset);
  CHECK_EQUAL(Code::kCorrupt, index->Put(a, Write(a, "c"), RecordSize(a, "c")).code());
  STRCMP_EQUAL("c", Find(a).c_str());
  STRCMP_EQUAL("b", Find(b).c_str());
  LONGS_EQUAL(2, index->size());
}

TEST(Index, OfTwoDamagedRecordsNoneIsTakenForTheKeys) {
  const auto& [a, b] = kSameTag[0];
  Damage(Put(a, "a").offset);
  const Location where = Write(b, "b");
  CHECK_EQUAL(Code::kCorrupt, index->Put(b, where, RecordSize(b, "b")).code());
  LONGS_EQUAL(1, index->size());  // a's, as far as anybody can tell
  CHECK_TRUE(index->Points(index->Position(b), where));
  index->Clear();
  const Location first = Put(a, "a");
  Put(b, "b");
  Damage(first.offset);
  Damage(first.offset + RecordSize(a, "a"));
  CHECK_EQUAL(Code::kCorrupt, index->Put(a, Write(a, "c"), RecordSize(a, "c")).code());
  STRCMP_EQUAL("c", Find(a).c_str());
  LONGS_EQUAL(3, index->size());
  RecordView record;
  CHECK_EQUAL(Code::kCorrupt, index->Find(b, &record).code());
}

TEST(Index, AScanTakesEveryKeyOnceWhileNothingChanges) {
  for (size_t i = 0; i < 1000; i++) Put(Key(i));
  for (const size_t count : {1, 7, 100, 1000, 100000}) {
    const std::multiset<uint64_t> offsets = ScanOffsets(count);
    LONGS_EQUAL(1000, offsets.size());
    LONGS_EQUAL(1000, std::set<uint64_t>(offsets.begin(), offsets.end()).size());
  }
}

TEST(Index, AScanMissesNoKeyThatIsThereAllTheTime) {
  std::unordered_map<uint64_t, size_t> steady;  // offset -> times found
  for (size_t i = 0; i < 2000; i++) steady[Put("steady" + std::to_string(i)).offset] = 0;
  size_t added = 0;
  uint64_t cursor = 0;
  do {
    std::vector<Index::Entry> entries;
    cursor = index->Scan(cursor, 10, &entries);
    for (const Index::Entry& entry : entries) {
      const auto found = steady.find(entry.where.offset);
      if (found != steady.end()) found->second++;
    }
    for (int i = 0; i < 30; i++) Put(Key(added++));            // grows every shard many times
    if (added > 100) CheckOk(index->Erase(Key(added - 100)));  // and moves slots down
  } while (cursor != 0);
  for (const auto& [offset, times] : steady) LONGS_EQUAL(1, times);
}

TEST(Index, ACursorMeansTheSamePlaceInAnotherIndexOfTheSameSeed) {
  for (size_t i = 0; i < 1000; i++) Put(Key(i));
  std::vector<Index::Entry> first;
  const uint64_t cursor = index->Scan(0, 500, &first);
  // Rebuilt in another order and with other keys in between, as after a restart.
  Index rebuilt(segments.get(), 0);
  for (size_t i = 1000; i-- > 0;) CheckOk(rebuilt.Put(Key(i), Write(Key(i)), 30));
  for (size_t i = 1000; i < 3000; i++) CheckOk(rebuilt.Put(Key(i), Write(Key(i)), 30));
  std::set<uint64_t> positions;
  for (const Index::Entry& entry : first) positions.insert(entry.position);
  uint64_t next = cursor;
  do {
    std::vector<Index::Entry> entries;
    next = rebuilt.Scan(next, 100, &entries);
    for (const Index::Entry& entry : entries) positions.insert(entry.position);
  } while (next != 0);
  for (size_t i = 0; i < 1000; i++) CHECK_TRUE(positions.contains(index->Position(Key(i))));
}

TEST(Index, ACursorBehindTheEndIsTheEnd) {
  Put("key");
  std::vector<Index::Entry> entries;
  LONGS_EQUAL(0, index->Scan(~uint64_t{0}, 10, &entries));
  CHECK_TRUE(entries.empty());
}

TEST(Index, AnotherSeedIsAnotherOrder) {
  const Index other(segments.get(), 1);
  CHECK_TRUE(index->Position("key") != other.Position("key"));
}

TEST(Index, MemoryIsCountedAndIsBytesAKey) {
  for (size_t i = 0; i < 50000; i++) Put(Key(i));
  const uint64_t with_replaced = index->memory_bytes();
  CHECK_FALSE(index->TakeReplaced().empty());
  CHECK_TRUE(index->memory_bytes() < with_replaced);
  const uint64_t bytes = index->memory_bytes();  // whole pages, a shard at a time
  CHECK_TRUE(bytes >= 50000 * 16);
  CHECK_TRUE(bytes <= 50000 * 24 + 256 * (64 * 16 + 4096));
  for (size_t i = 0; i < 50000; i++) CheckOk(index->Erase(Key(i)));
  LONGS_EQUAL(bytes, index->memory_bytes());
}

TEST(Index, ReadersFindEveryKeyWhileItGrowsAndOthersGo) {
  constexpr size_t kStay = 2000;
  constexpr size_t kComeAndGo = 20000;
  for (size_t i = 0; i < kStay; i++) Put(Key(i));
  std::vector<Location> places;
  for (size_t i = 0; i < kComeAndGo; i++) places.push_back(Write("more" + std::to_string(i)));
  std::atomic<bool> stop{false};
  std::atomic<int> missed{0};
  std::vector<std::thread> readers;
  for (size_t r = 0; r < 3; r++) {
    readers.emplace_back([&, r] {
      for (size_t i = r; !stop; i++) {
        RecordView record;
        const std::string key = Key(i % kStay);
        if (!index->Find(key, &record).ok() || record.key != key) missed++;
      }
    });
  }
  std::vector<keystone::Shard::Tables> replaced;  // they stay: there is no gate here
  for (int round = 0; round < 3; round++) {
    for (size_t i = 0; i < kComeAndGo; i++) {
      CheckOk(index->Put("more" + std::to_string(i), places[i], 30));
    }
    replaced.push_back(index->TakeReplaced());
    for (size_t i = 0; i < kComeAndGo; i++) CheckOk(index->Erase("more" + std::to_string(i)));
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  LONGS_EQUAL(0, missed);
  CHECK_FALSE(replaced[0].empty());
  LONGS_EQUAL(kStay, index->size());
}

TEST(Index, ARelocationBesideItNeitherLosesNorRevivesAnything) {
  constexpr size_t kKeys = 3000;
  std::vector<Location> old;
  std::vector<Location> moved;
  std::vector<Location> newer;
  for (size_t i = 0; i < kKeys; i++) old.push_back(Put(Key(i)));
  for (size_t i = 0; i < kKeys; i++) moved.push_back(Write(Key(i)));
  for (size_t i = 0; i < kKeys; i++) newer.push_back(Write(Key(i)));
  std::thread compaction([&] {
    for (size_t i = 0; i < kKeys; i++) index->Relocate(index->Position(Key(i)), old[i], moved[i]);
  });
  int failed = 0;
  for (size_t i = 0; i < kKeys; i++) {  // a third is written, a third deleted, a third left
    if (i % 3 == 0 && !index->Put(Key(i), newer[i], 30).ok()) failed++;
    if (i % 3 == 1 && !index->Erase(Key(i)).ok()) failed++;
  }
  compaction.join();
  LONGS_EQUAL(0, failed);
  for (size_t i = 0; i < kKeys; i++) {
    const bool in_place = i % 3 == 0   ? index->Points(index->Position(Key(i)), newer[i])
                          : i % 3 == 2 ? index->Points(index->Position(Key(i)), moved[i])
                                       : !index->Points(index->Position(Key(i)), moved[i]);
    CHECK_TRUE(in_place);
  }
  LONGS_EQUAL(kKeys - kKeys / 3, index->size());
}
