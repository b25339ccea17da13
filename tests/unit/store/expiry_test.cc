// Records that expire, as a reader sees them: gone from their time on.
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "faults.h"
#include "scratch.h"
#include "store/testing.h"

using keystone::Code;
using keystone::KeyRange;
using keystone::Status;
using keystone::Store;
using testing::CheckOk;
using testing::CheckSays;
using testing::CheckValue;
using testing::EncodeExpiring;
using testing::EncodeSet;
using testing::SegmentBytes;
using testing::Set;
using testing::SomeId;

namespace {

constexpr char kFirst[] = "000000000001.log";
constexpr int64_t kSecond = 1000;
constexpr int64_t kHour = 3600 * kSecond;

uint64_t In(int64_t ms) { return keystone::UnixTimeMs() + static_cast<uint64_t>(ms); }

}  // namespace

// The time of a process never goes back, so each test that moves it ahead does so for the next
// ones.
TEST_GROUP(Expiry) {
  Scratch scratch;
  std::unique_ptr<Store> store;
  std::string records;
  uint64_t sequence = 0;
  int64_t shift_ms = 0;

  void teardown() override {
    store.reset();
    faults::ShiftClock(0);
  }

  void Pass(int64_t ms) {
    static int64_t passed = 0;
    passed += ms;
    faults::ShiftClock(passed);
  }

  void Add(const std::string& key, const std::string& value, uint64_t expires_at_ms = 0) {
    records += expires_at_ms == 0 ? EncodeSet(++sequence, key, value)
                                  : EncodeExpiring(++sequence, key, value, expires_at_ms);
  }

  void Open() {
    store.reset();
    if (!scratch.Has("MANIFEST")) {
      scratch.Write(kFirst, SegmentBytes(1, records));
      scratch.Write("MANIFEST", keystone::EncodeManifest({SomeId(), 1, {1}}));
    }
    store = testing::OpenStore(scratch.path());
  }

  std::vector<std::string> Keys(const KeyRange& range = {}) {
    std::vector<std::string> keys;
    CheckOk(store->Range(range, &keys));
    return keys;
  }

  void CheckAbsent(const std::string& key) {
    CheckValue(*store, key, "(none)");
    CHECK_EQUAL(Code::kNotFound, store->Exists(key).code());
    LONGS_EQUAL(0, testing::AllKeys(*store).count(key));
    for (const std::string& found : Keys()) CHECK_TRUE(found != key);
  }
};

TEST(Expiry, ARecordIsThereUntilItsTimeAndThenIsNot) {
  Add("a", "1", In(kHour));
  Add("b", "2");
  Open();
  CheckValue(*store, "a", "1");
  CheckOk(store->Exists("a"));
  LONGS_EQUAL(2, store->Count());
  CHECK_TRUE(testing::AllKeys(*store) == (std::multiset<std::string>{"a", "b"}));
  Pass(kHour);
  CheckAbsent("a");
  CheckValue(*store, "b", "2");
  CHECK_TRUE(testing::AllKeys(*store) == (std::multiset<std::string>{"b"}));
}

TEST(Expiry, WhatHasExpiredIsStaleAndCountsAsNoKey) {
  Add("a", std::string(100, 'v'), In(kHour));
  Add("b", "2");
  Open();
  const auto before = store->Stats();
  LONGS_EQUAL(2, before.keys);
  LONGS_EQUAL(1, before.keys_expiring);
  LONGS_EQUAL(0, before.expired);
  LONGS_EQUAL(0, before.stale_bytes);
  Pass(kHour + kSecond);
  const auto after = store->Stats();
  LONGS_EQUAL(1, after.keys);
  LONGS_EQUAL(1, store->Count());
  LONGS_EQUAL(0, after.keys_expiring);
  LONGS_EQUAL(1, after.expired);
  LONGS_EQUAL(24 + 12 + 1 + 100, after.stale_bytes);
  LONGS_EQUAL(before.live_bytes, after.live_bytes + after.stale_bytes);
}

TEST(Expiry, TheLedgerIsPartOfTheIndexsMemory) {
  for (int i = 0; i < 1000; i++) Add("key" + std::to_string(i), "v", In(kHour + i * kSecond));
  Open();
  const uint64_t bytes = store->Stats().index_bytes;
  Pass(2 * kHour);
  LONGS_EQUAL(1000, store->Stats().expired);
  CHECK_TRUE(store->Stats().index_bytes + 1000 * 32 <= bytes);
}

TEST(Expiry, ANewerRecordWithoutATimeStays) {
  Add("a", "1", In(kHour));
  Open();
  CheckOk(Set(*store, "a", "2"));
  LONGS_EQUAL(0, store->Stats().keys_expiring);
  Pass(2 * kHour);
  CheckValue(*store, "a", "2");
  LONGS_EQUAL(1, store->Count());
  LONGS_EQUAL(0, store->Stats().expired);
}

TEST(Expiry, AValueCanBeSetWhereOneHasExpired) {
  Add("a", "1", In(kHour));
  Open();
  Pass(2 * kHour);
  CheckOk(Set(*store, "a", "2"));
  CheckValue(*store, "a", "2");
  LONGS_EQUAL(1, store->Count());
  LONGS_EQUAL(1, store->Stats().expired);
}

TEST(Expiry, ADeletedKeyExpiresNoMore) {
  Add("a", "1", In(kHour));
  Open();
  CheckOk(testing::Delete(*store, "a"));
  LONGS_EQUAL(0, store->Stats().keys_expiring);
  Pass(2 * kHour);
  LONGS_EQUAL(0, store->Count());
  LONGS_EQUAL(0, store->Stats().expired);
}

TEST(Expiry, AClockThatIsSetBackBringsNothingBack) {
  Add("a", "1", In(kHour));
  Open();
  Pass(2 * kHour);
  LONGS_EQUAL(0, store->Count());
  CheckAbsent("a");
  Pass(-2 * kHour);
  LONGS_EQUAL(0, store->Count());
  CheckAbsent("a");
}

TEST(Expiry, ARestartDoesNotStartATimeAgain) {
  Add("a", "1", In(kHour));
  Add("b", "2", In(3 * kHour));
  Open();
  Pass(kHour / 2);
  Open();
  LONGS_EQUAL(2, store->Stats().keys_expiring);
  CheckValue(*store, "a", "1");
  Pass(kHour);
  Open();
  CheckAbsent("a");
  CheckValue(*store, "b", "2");
  LONGS_EQUAL(1, store->Count());
}

TEST(Expiry, IsTheSameFromAHintAndFromASegment) {
  for (int i = 0; i < 100; i++) {
    Add("key" + std::to_string(i), "v", i % 3 == 0 ? 0 : In(i % 3 * kHour));
  }
  Open();
  store.reset();
  for (const bool hinted : {true, false}) {
    const Scratch copy;
    for (const std::string& name : testing::FilesIn(scratch.path())) {
      if (hinted || !name.ends_with(".hint")) copy.Write(name, scratch.Read(name));
    }
    CHECK_EQUAL(hinted, copy.Has("000000000001.hint"));
    auto same = testing::OpenStore(copy.path());
    LONGS_EQUAL(66, same->Stats().keys_expiring);
    LONGS_EQUAL(100, same->Count());
  }
  Pass(kHour + kSecond);
  Open();
  LONGS_EQUAL(33, store->Stats().keys_expiring);
  LONGS_EQUAL(67, store->Count());
}

TEST(Expiry, ATimeThatIsDamagedIsDamageNotAbsence) {
  Add("a", "1", In(kHour));
  Open();
  store.reset();
  Open();  // by its hint
  const uint64_t highest_byte_of_time = 64 + 24 + 4 + 5;
  testing::FlipByte(scratch.File(kFirst), highest_byte_of_time, 1);
  CHECK_EQUAL(Code::kCorrupt, [&] {
    keystone::FoundValue found;
    return store->Get("a", &found).code();
  }());
  CHECK_EQUAL(Code::kCorrupt, store->Exists("a").code());
  std::vector<std::string> keys;
  CHECK_EQUAL(Code::kCorrupt, store->Range({}, &keys).code());
}
