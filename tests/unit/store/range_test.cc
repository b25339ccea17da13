#include "store/range.h"

#include <algorithm>
#include <atomic>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "scratch.h"
#include "store/testing.h"

using keystone::Code;
using keystone::KeyRange;
using keystone::Store;
using testing::CheckOk;
using testing::EncodeExpiring;
using testing::EncodeSet;
using testing::SegmentBytes;
using testing::Set;
using testing::SomeId;

using Strings = std::vector<std::string>;

TEST_GROUP(Range){static Strings Select(const KeyRange& wanted,
                                        const Strings& keys){keystone::RangeCollector range(wanted);
for (const std::string& key : keys) range.Offer(key);
return range.Take();
}
}
;

TEST(Range, BothEndsBelongToIt) {
  CHECK_TRUE(Select({.start = "b", .end = "d"}, {"e", "d", "a", "c", "b", "bb", "da"}) ==
             (Strings{"b", "bb", "c", "d"}));
}

TEST(Range, HasNoEndWhereNoneIsSaid) {
  CHECK_TRUE(Select({.start = "c"}, {"b", "\xff\xff", "c", "d"}) ==
             (Strings{"c", "d", "\xff\xff"}));
  CHECK_TRUE(Select({.start = "", .end = ""}, {"a"}).empty());
}

TEST(Range, OrdersKeysByTheirBytesAsUnsigned) {
  const std::string zero("a\0", 2);
  CHECK_TRUE(Select({}, {"a\x80", "a", "a\x7f", zero, "A"}) ==
             (Strings{"A", "a", zero, "a\x7f", "a\x80"}));
}

TEST(Range, KeepsToThePrefix) {
  CHECK_TRUE(Select({.start = "ab", .prefix = "a"}, {"a", "ab", "b", "ac", "aa"}) ==
             (Strings{"ab", "ac"}));
}

TEST(Range, TheLimitLeavesTheSmallestKeys) {
  std::mt19937 random(3);
  std::set<std::string> all;
  while (all.size() < 500) all.insert(std::to_string(random() % 100000));
  Strings keys(all.begin(), all.end());
  for (const size_t limit : {1, 2, 7, 499, 500, 501}) {
    std::shuffle(keys.begin(), keys.end(), random);
    const Strings expected(
        all.begin(), std::next(all.begin(), static_cast<ptrdiff_t>(std::min(limit, all.size()))));
    CHECK_TRUE(Select({.limit = limit}, keys) == expected);
  }
}

TEST_GROUP(StoreRange) {
  Scratch scratch;
  std::unique_ptr<Store> store = testing::OpenStore(scratch.path());

  void teardown() override { store.reset(); }

  Strings Keys(const KeyRange& range = {}) {
    Strings keys{"what was there before"};
    CheckOk(store->Range(range, &keys));
    return keys;
  }
};

TEST(StoreRange, OfAnEmptyStoreIsEmpty) { CHECK_TRUE(Keys().empty()); }

TEST(StoreRange, HasEveryKeyOnceAndInOrder) {
  std::set<std::string> model;
  for (int i = 0; i < 3000; i++) {
    model.insert("key" + std::to_string(i));
    CheckOk(Set(*store, "key" + std::to_string(i), "v"));
  }
  for (int i = 0; i < 3000; i += 7) {
    model.erase("key" + std::to_string(i));
    CheckOk(testing::Delete(*store, "key" + std::to_string(i)));
  }
  CHECK_TRUE(Keys() == Strings(model.begin(), model.end()));
  CheckOk(store->Compact(keystone::CompactionMode::kOnline));
  CHECK_TRUE(Keys() == Strings(model.begin(), model.end()));
  CHECK_TRUE(Keys({.start = "key11", .end = "key1101", .limit = 2}) ==
             (Strings{"key11", "key110"}));
  CHECK_TRUE(Keys({.prefix = "key299"}) ==
             (Strings{"key299", "key2990", "key2991", "key2992", "key2993", "key2994", "key2995",
                      "key2997", "key2998", "key2999"}));
}

TEST(StoreRange, KeysOfTheSamePositionAreAllThere) {
  // By the seed 0; see index_test.cc.
  store.reset();
  Scratch other;
  std::string records;
  uint64_t sequence = 0;
  Strings expected{"k1088229", "k2406207", "k263634", "k3722780", "k3862334", "k503221"};
  for (const std::string& key : expected) records += EncodeSet(++sequence, key, "v");
  other.Write("000000000001.log", SegmentBytes(1, records));
  other.Write("MANIFEST", keystone::EncodeManifest({SomeId(), 0, {1}}));
  store = testing::OpenStore(other.path());
  CHECK_TRUE(Keys() == expected);
  store.reset();
}

TEST(StoreRange, KeysThatStayAreThereWhateverIsWrittenMeanwhile) {
  std::set<std::string> stay;
  for (int i = 0; i < 2000; i++) {
    stay.insert("stay" + std::to_string(i));
    CheckOk(Set(*store, "stay" + std::to_string(i), "v"));
  }
  std::atomic<bool> done{false};
  std::atomic<int> wrong{0};
  testing::RunThreads(2, [&](int thread) {
    if (thread == 0) {
      for (int i = 0; i < 5000; i++) {
        (void)Set(*store, "go" + std::to_string(i % 500), "v");
        (void)Set(*store, "stay" + std::to_string(i % 2000), "w");
        (void)testing::Delete(*store, "go" + std::to_string((i + 250) % 500));
      }
      done = true;
      return;
    }
    while (!done) {
      Strings keys;
      if (!store->Range({.prefix = "stay"}, &keys).ok()) wrong++;
      if (!std::equal(keys.begin(), keys.end(), stay.begin(), stay.end())) wrong++;
    }
  });
  LONGS_EQUAL(0, wrong);
}

TEST(StoreRange, ADamagedKeyIsAnError) {
  CheckOk(Set(*store, "a", "v"));
  testing::FlipByte(scratch.File("000000000001.log"), 64 + 24);
  Strings keys{"a"};
  CHECK_EQUAL(Code::kCorrupt, store->Range({}, &keys).code());
}

TEST(StoreRange, ARandomKeyIsOneThatIsThere) {
  std::string key = "unchanged";
  CHECK_EQUAL(Code::kNotFound, store->RandomKey(&key).code());
  STRCMP_EQUAL("unchanged", key.c_str());
  CheckOk(Set(*store, "only", "v"));
  CheckOk(store->RandomKey(&key));
  STRCMP_EQUAL("only", key.c_str());
  std::map<std::string, int> found;
  for (int i = 0; i < 10; i++) CheckOk(Set(*store, "key" + std::to_string(i), "v"));
  for (int i = 0; i < 10000 && found.size() < 11; i++) {
    CheckOk(store->RandomKey(&key));
    found[key]++;
  }
  CHECK_TRUE(found.size() > 5);  // a key close behind another one comes seldom
  for (const auto& [name, count] : found) CheckOk(store->Exists(name));
}

TEST(StoreRange, ARandomKeyIsNeverOneThatHasExpired) {
  store.reset();
  Scratch other;
  const uint64_t past_ms = keystone::UnixTimeMs() - 1;
  std::string records;
  for (uint64_t i = 1; i <= 1000; i++) {
    records += EncodeExpiring(i, "key" + std::to_string(i), "v", past_ms);
  }
  records += EncodeSet(1001, "alive", "v");
  other.Write("000000000001.log", SegmentBytes(1, records));
  other.Write("MANIFEST", keystone::EncodeManifest({SomeId(), 0, {1}}));
  store = testing::OpenStore(other.path());
  for (int i = 0; i < 20; i++) {
    std::string key;
    CheckOk(store->RandomKey(&key));
    STRCMP_EQUAL("alive", key.c_str());
  }
  CheckOk(testing::Delete(*store, "alive"));
  std::string key;
  CHECK_EQUAL(Code::kNotFound, store->RandomKey(&key).code());
  store.reset();
}
