// Records that expire, as a reader sees them: gone from their time on.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/clock.h"
#include "faults.h"
#include "scratch.h"
#include "store/testing.h"

using keystone::Batch;
using keystone::Code;
using keystone::CompactionMode;
using keystone::Effect;
using keystone::Held;
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

constexpr CompactionMode kBothModes[] = {CompactionMode::kStopTheWorld, CompactionMode::kOnline};

uint64_t In(int64_t ms) { return keystone::UnixTimeMs() + static_cast<uint64_t>(ms); }

}  // namespace

// The time of a process never goes back, so each test that moves it ahead does so for the next
// ones.
TEST_GROUP(Expiry) {
  Scratch scratch;
  std::unique_ptr<Store> store;
  std::string records;
  uint64_t sequence = 0;

  void teardown() override {
    store.reset();
    faults::ShiftClock(0);
  }

  // The wall clock jumps to the time that it is in the process by now, and `ms` ahead.
  void Pass(int64_t ms) {
    using std::chrono::duration_cast, std::chrono::milliseconds, std::chrono::system_clock;
    const auto wall = duration_cast<milliseconds>(system_clock::now().time_since_epoch());
    faults::ShiftClock(static_cast<int64_t>(In(ms)) - wall.count());
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

  Status Put(const std::string& key, const std::string& value, uint64_t expires_at_ms = 0) {
    Batch batch;
    batch.Set(key, value, {.client_flags = 0, .expires_at_ms = expires_at_ms});
    return store->Apply(&batch);
  }

  // Also while it is being written.
  bool HasTombstone(const std::string& key) {
    bool found = false;
    keystone::ScanGroups(scratch.Read(kFirst), 1, true, [&](auto group) {
      for (const auto& [offset, record] : group) {
        found = found || (record.tombstone && record.key == key);
      }
      return true;
    });
    return found;
  }

  void AwaitTombstone(const std::string& key) {
    testing::WaitUntil([&] { return HasTombstone(key); });
  }

  // In a process of its own, in which a failed check would not end the test. Waits until the key is
  // deleted.
  bool FindsGoneTwoHoursLater(const std::string& key) {
    Pass(2 * kHour);
    auto opened = Store::Open(
        testing::OptionsFor(scratch.path(), keystone::FsyncPolicy::kNo, uint64_t{4} << 20),
        testing::Quiet());
    if (!opened.ok() || testing::ValueOf(*opened.value(), key) != "(none)") return false;
    return testing::BecomesTrue([&] { return HasTombstone(key); });
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
  faults::ShiftClock(-kHour);
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

// ---- written by this store

TEST(Expiry, WhatIsWrittenExpiresToo) {
  Open();
  CheckOk(Put("a", "1", In(kHour)));
  CheckOk(Put("b", "2", In(kHour)));
  CheckOk(Put("c", "3", In(kHour)));
  CheckOk(Put("b", "4"));
  CheckOk(Put("c", "5", In(3 * kHour)));
  LONGS_EQUAL(2, store->Stats().keys_expiring);
  Pass(2 * kHour);
  CheckAbsent("a");
  CheckValue(*store, "b", "4");
  CheckValue(*store, "c", "5");
  LONGS_EQUAL(1, store->Stats().keys_expiring);
  LONGS_EQUAL(1, store->Stats().expired);
  LONGS_EQUAL(2, store->Count());
}

// ---- compaction

TEST(Expiry, ACompactionLeavesOutWhatHasExpired) {
  for (const CompactionMode mode : kBothModes) {
    Open();
    CheckOk(Put("a", "1", In(kHour)));
    CheckOk(Put("b", "2", In(3 * kHour)));
    CheckOk(Put("c", "3"));
    Pass(2 * kHour);
    const auto before = store->Stats();
    LONGS_EQUAL(2, before.keys);
    CheckOk(store->Compact(mode));
    const auto after = store->Stats();
    LONGS_EQUAL(2, after.keys);
    LONGS_EQUAL(1, after.keys_expiring);
    LONGS_EQUAL(before.expired, after.expired);
    LONGS_EQUAL(before.live_bytes, after.live_bytes);
    LONGS_EQUAL(0, after.stale_bytes);
    const auto log = testing::LogOf(scratch.path());
    LONGS_EQUAL(2, log.size());
    for (const testing::Entry& entry : log) CHECK_TRUE(entry.key != "a");
    CheckAbsent("a");
    Open();
    CheckAbsent("a");
    LONGS_EQUAL(2, store->Count());
    CheckValue(*store, "b", "2");
    CheckOk(testing::Delete(*store, "b"));
    CheckOk(testing::Delete(*store, "c"));
    CheckOk(store->Compact(mode));
  }
}

TEST(Expiry, ACompactionOfNothingButWhatHasExpiredLeavesNothing) {
  for (const CompactionMode mode : kBothModes) {
    Open();
    for (int i = 0; i < 1000; i++) CheckOk(Put("key" + std::to_string(i), "v", In(kHour)));
    Pass(2 * kHour);
    CheckOk(store->Compact(mode));
    LONGS_EQUAL(0, store->Count());
    LONGS_EQUAL(0, store->Stats().live_bytes);
    LONGS_EQUAL(0, store->Stats().stale_bytes);
    CHECK_TRUE(testing::LogOf(scratch.path()).empty());
    CheckOk(Put("key1", "again"));
    CheckValue(*store, "key1", "again");
    CheckOk(testing::Delete(*store, "key1"));
  }
}

TEST(Expiry, OfAGroupACompactionLeavesWhatHasNotExpired) {
  for (const CompactionMode mode : kBothModes) {
    Open();
    Batch batch;
    batch.Set("a", "1", {.client_flags = 0, .expires_at_ms = In(kHour)});
    batch.Set("b", "2");
    batch.Set("c", "3", {.client_flags = 7, .expires_at_ms = In(3 * kHour)});
    CheckOk(store->Apply(&batch));
    Pass(2 * kHour);
    CheckOk(store->Compact(mode));
    const auto log = testing::LogOf(scratch.path());
    LONGS_EQUAL(2, log.size());
    CHECK_FALSE(log[1].goes_on);
    CheckValue(*store, "c", "3");
    Open();
    LONGS_EQUAL(1, store->Stats().keys_expiring);
    CheckOk(testing::Delete(*store, "b"));
    CheckOk(testing::Delete(*store, "c"));
  }
}

// The index loses a record only where it still points at the one that was left out.
TEST(Expiry, CompactionsBesideWritersTakeNothingThatWasSetAgain) {
  Open();
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  testing::RunThreads(4, [&](int thread) {
    if (thread == 0) {
      for (int i = 0; i < 30; i++) {
        if (!store->Compact(kBothModes[i % 5 == 0 ? 0 : 1]).ok()) wrong++;
      }
      stop = true;
      return;
    }
    for (int i = 0; !stop; i++) {
      const std::string key = std::to_string(thread) + "." + std::to_string(i % 200);
      const bool expires = i % 3 != 0;
      // Gone at once, soon, or never.
      if (!Put(key, std::to_string(i), expires ? In(i % 7) : 0).ok()) wrong++;
      if (!expires && testing::ValueOf(*store, key) != std::to_string(i)) wrong++;
    }
  });
  LONGS_EQUAL(0, wrong);
  Pass(kSecond);
  const auto keys = testing::AllKeys(*store);
  LONGS_EQUAL(keys.size(), store->Count());
  CheckOk(store->Compact(CompactionMode::kStopTheWorld));
  const auto stats = store->Stats();
  LONGS_EQUAL(keys.size(), stats.keys);
  LONGS_EQUAL(0, stats.keys_expiring);
  LONGS_EQUAL(0, stats.stale_bytes);
  CHECK_TRUE(testing::AllKeys(*store) == keys);
  Open();
  CHECK_TRUE(testing::AllKeys(*store) == keys);
  LONGS_EQUAL(stats.live_bytes, store->Stats().live_bytes);
}

// ---- gone for good

TEST(Expiry, AKeyThatAReaderFoundGoneIsDeletedAndNoOther) {
  Open();
  CheckOk(Put("get", "1", In(kHour)));
  CheckOk(Put("exists", "1", In(kHour)));
  CheckOk(Put("untouched", "1", In(kHour)));
  Pass(2 * kHour);
  CheckValue(*store, "get", "(none)");
  CHECK_EQUAL(Code::kNotFound, store->Exists("exists").code());
  AwaitTombstone("get");
  AwaitTombstone("exists");
  CHECK_FALSE(HasTombstone("untouched"));
  LONGS_EQUAL(0, store->Count());
  LONGS_EQUAL(3, store->Stats().expired);
}

TEST(Expiry, WhatAScanLeftOutIsDeleted) {
  Open();
  CheckOk(Put("a", "1", In(kHour)));
  Pass(2 * kHour);
  LONGS_EQUAL(0, testing::AllKeys(*store).size());
  AwaitTombstone("a");
}

TEST(Expiry, AKeyThatAWriterFoundGoneIsDeleted) {
  class Look : public keystone::Update {
   public:
    Effect Decide(const Held& held) override {
      existed = held.exists;
      return {};
    }
    bool existed = true;
  } look;
  Open();
  CheckOk(Put("a", "1", In(kHour)));
  Pass(2 * kHour);
  Batch batch;
  batch.Change("a", &look);
  CheckOk(store->Apply(&batch));
  CHECK_FALSE(look.existed);
  AwaitTombstone("a");
}

TEST(Expiry, AKeyThatIsSetAgainIsNotDeleted) {
  Open();
  for (const char* key : {"a", "b"}) CheckOk(Put(key, "1", In(kHour)));
  Pass(2 * kHour);
  for (const char* key : {"a", "b"}) CheckValue(*store, key, "(none)");
  CheckOk(Put("a", "2"));
  AwaitTombstone("b");
  CheckValue(*store, "a", "2");
}

TEST(Expiry, ACleanStopDeletesWhatWasFoundGone) {
  Open();
  CheckOk(Put("a", "1", In(kHour)));
  Pass(2 * kHour);
  CheckValue(*store, "a", "(none)");
  CheckOk(store->Close());
  store.reset();
  CHECK_TRUE(HasTombstone("a"));
}

// Another process, since the time of one never goes back.
TEST(Expiry, WhatWasSeenGoneStaysSoThoughARestartFindsAnEarlierTime) {
  Open();
  CheckOk(Put("seen", "1", In(kHour)));
  CheckOk(Put("unseen", "1", In(kHour)));
  store.reset();
  const pid_t child = ::fork();
  if (child == 0) ::_exit(FindsGoneTwoHoursLater("seen") ? 0 : 1);  // as if killed
  int how = 0;
  LONGS_EQUAL(child, ::waitpid(child, &how, 0));
  LONGS_EQUAL(0, how);
  Open();
  CheckAbsent("seen");
  CheckValue(*store, "unseen", "1");
  LONGS_EQUAL(1, store->Count());
}
