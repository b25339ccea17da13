#include "store/hint_table.h"

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "scratch.h"
#include "store/hint_loader.h"
#include "store/hint_writer.h"
#include "store/index.h"
#include "store/testing.h"

using keystone::HintedKey;
using keystone::HintFile;
using keystone::HintTable;
using keystone::kGroupGoesOn;
using keystone::kHintShards;
using keystone::Segment;
using keystone::SegmentSet;
using testing::CheckOk;
using testing::EncodeExpiring;
using testing::EncodeMark;
using testing::EncodeSet;
using testing::EncodeTombstone;
using testing::kCollidingKeys;
using testing::SegmentBytes;
using testing::SomeId;

TEST_GROUP(HintTable) {
  Scratch scratch;
  SegmentSet::List segments;

  void Open(const std::string& records) {
    const uint64_t number = segments.size() + 1;
    scratch.Write(keystone::SegmentName(number), SegmentBytes(number, records));
    auto segment = Segment::Open(scratch.path(), number, SomeId(), Segment::Access::kReadOnly, 0);
    CheckOk(segment.status());
    segments.push_back(std::move(segment.value()));
  }

  // "key@offset", with a "!" for a tombstone, of all shards.
  std::set<std::string> Found(HintTable & table) {
    std::set<std::string> found;
    for (size_t shard = 0; shard < kHintShards; shard++) {
      table.Sort(shard);
      std::vector<HintedKey> keys;
      table.Collect(shard, &keys);
      CHECK_TRUE(std::is_sorted(keys.begin(), keys.end(), [](const auto& a, const auto& b) {
        return a.entry.tag < b.entry.tag;
      }));
      for (const HintedKey& key : keys) {
        found.insert(std::string(key.key()) + (key.entry.tombstone ? "!" : "@") +
                     std::to_string(key.entry.offset));
      }
    }
    return found;
  }
};

TEST(HintTable, HasTheLastOperationOfEachKey) {
  Open(EncodeSet(1, "a", "1") + EncodeSet(2, "b", "1", kGroupGoesOn) + EncodeSet(3, "a", "2") +
       EncodeMark(4, 64) + EncodeTombstone(5, "b") + EncodeSet(6, "c", ""));
  HintTable table(&segments, 0);
  uint64_t bytes = 0;
  uint64_t records = 0;
  const auto end = table.Fill(0, 64, segments[0]->size(), 1, [&](uint64_t read, uint64_t more) {
    bytes += read;
    records += more;
    return true;
  });
  LONGS_EQUAL(6, end.records);
  LONGS_EQUAL(6, records);
  LONGS_EQUAL(segments[0]->size() - 64, bytes);
  CHECK_TRUE(Found(table) == (std::set<std::string>{"a@116", "b!174", "c@199"}));
  LONGS_EQUAL(199, table.last_offset());
}

TEST(HintTable, KeysOfTheSamePositionAreKeptApart) {
  std::string records;
  std::set<std::string> expected;
  uint64_t sequence = 0;
  for (int round = 0; round < 3; round++) {
    for (const char* key : kCollidingKeys) {
      if (round == 2) expected.insert(std::string(key) + "@" + std::to_string(64 + records.size()));
      records += EncodeSet(++sequence, key, std::to_string(round));
    }
  }
  Open(records);
  HintTable table(&segments, 0);
  (void)table.Fill(0, 64, segments[0]->size(), 1, [](uint64_t, uint64_t) { return true; });
  CHECK_TRUE(Found(table) == expected);
}

TEST(HintTable, AShardOfManyOperationsIsPutInOrder) {
  std::vector<std::string> keys;  // all of the first shard
  for (int i = 0; keys.size() < 1500; i++) {
    std::string key = "k" + std::to_string(i);
    if (keystone::Index::Position(key, 0) >> 32 == 0) keys.push_back(std::move(key));
  }
  std::mt19937 random(7);
  std::string records;
  std::map<std::string, uint64_t> offsets;
  for (uint64_t sequence = 1; sequence <= 6000; sequence++) {
    const std::string& key = keys[random() % keys.size()];
    offsets[key] = 64 + records.size();
    records += EncodeSet(sequence, key, "1");
  }
  Open(records);
  HintTable table(&segments, 0);
  (void)table.Fill(0, 64, segments[0]->size(), 1, [](uint64_t, uint64_t) { return true; });
  std::set<std::string> expected;
  for (const auto& [key, offset] : offsets) expected.insert(key + "@" + std::to_string(offset));
  CHECK_TRUE(Found(table) == expected);
  LONGS_EQUAL(offsets.size(), table.Count());
}

TEST(HintTable, KnowsWhenTheLastOperationOfAKeyExpires) {
  Open(EncodeExpiring(1, "a", "1", 1000) + EncodeSet(2, "b", "1") +
       EncodeExpiring(3, "b", "2", 2000) + EncodeExpiring(4, "c", "1", 3000) +
       EncodeSet(5, "c", "2") + EncodeExpiring(6, "d", "1", 0));
  HintTable table(&segments, 0);
  (void)table.Fill(0, 64, segments[0]->size(), 1, [](uint64_t, uint64_t) { return true; });
  std::map<std::string, uint64_t> found;
  for (size_t shard = 0; shard < kHintShards; shard++) {
    table.Sort(shard);
    std::vector<HintedKey> keys;
    table.Collect(shard, &keys);
    for (const HintedKey& key : keys) found[std::string(key.key())] = key.expires_at_ms();
  }
  CHECK_TRUE(found ==
             (std::map<std::string, uint64_t>{{"a", 1000}, {"b", 2000}, {"c", 0}, {"d", 0}}));
}

TEST(HintTable, AWatcherStopsTheScan) {
  Open(EncodeSet(1, "a", std::string(600000, 'v')) + EncodeSet(2, "b", "1"));
  HintTable table(&segments, 0);
  const auto end =
      table.Fill(0, 64, segments[0]->size(), 1, [](uint64_t, uint64_t) { return false; });
  CHECK_TRUE(end.kind == keystone::ScanEnd::Kind::kStopped);
}

// ---- loading

TEST(HintTable, FilesTablesAndCondensedTablesAddUpInTheOrderOfTheLog) {
  std::mt19937 random(5);
  std::map<std::string, std::string> model;
  for (int number = 0; number < 6; number++) {
    std::string records;
    for (uint64_t i = 1; i <= 40; i++) {
      const std::string key =
          random() % 2 == 0 ? kCollidingKeys[random() % 6] : "key" + std::to_string(random() % 20);
      if (random() % 3 == 0) {
        model.erase(key);
        records += EncodeTombstone(i, key);
      } else {
        model[key] = std::to_string(number) + "." + std::to_string(i);
        records += EncodeSet(i, key, model[key]);
      }
    }
    Open(records);
  }
  const keystone::Log log = testing::Quiet();
  const keystone::Reserve reserve(scratch.path(), &log);
  keystone::Hints hints;
  hints.files.resize(6);
  hints.tables.resize(7);
  for (const size_t i : {1, 5}) {
    keystone::HintWriter writer(scratch.path(), 0, &reserve, &log);
    writer.Start();
    writer.Finish(segments[i]);
    auto file = HintFile::Open(scratch.path(), *segments[i], 0);
    CheckOk(file.status());
    hints.files[i] = std::move(file.value());
  }
  keystone::SegmentSet set;
  for (const auto& segment : segments) set.Add(segment);
  keystone::Index index(&set, 0);
  keystone::HintLoader loader(&segments, &hints, &index);
  const auto fill = [&](size_t i) {
    hints.tables[i] = std::make_unique<HintTable>(&segments, 0);
    (void)hints.tables[i]->Fill(static_cast<uint32_t>(i), 64, segments[i]->size(), 1,
                                [](uint64_t, uint64_t) { return true; });
  };
  hints.tables[6] = std::make_unique<HintTable>(&segments, 0);
  for (const size_t i : {0, 2, 3}) fill(i);
  for (size_t shard = 0; shard < kHintShards; shard++) loader.Condense(shard);
  LONGS_EQUAL(0, hints.tables[0]->Count() + hints.tables[2]->Count());
  CHECK_TRUE(hints.tables[6]->Count() <= 26);
  fill(4);
  fill(3);  // again, as when its hint was bad
  for (size_t shard = 0; shard < kHintShards; shard++) {
    size_t bad = 0;
    CheckOk(loader.Load(shard, &bad));
  }
  LONGS_EQUAL(model.size(), index.size());
  uint64_t live_bytes = 0;
  for (const auto& [key, value] : model) {
    keystone::RecordView record;
    CheckOk(index.Find(key, &record));
    CHECK_TRUE(record.value == value);
    live_bytes += record.size_bytes();
  }
  LONGS_EQUAL(live_bytes, index.live_bytes());
}
