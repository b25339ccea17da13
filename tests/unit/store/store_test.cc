#include "store/store.h"

#include <cerrno>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "faults.h"
#include "scratch.h"
#include "store/testing.h"

using keystone::Batch;
using keystone::Code;
using keystone::FoundValue;
using keystone::FsyncPolicy;
using keystone::Status;
using keystone::Store;
using keystone::StoreStats;
using testing::CheckOk;
using testing::CheckSays;
using testing::CheckValue;
using testing::Delete;
using testing::Set;

TEST_GROUP_BASE(Store, testing::StoreTest) {
  using StoreTest::store;

  void setup() override { Open(); }

  // Bytes come back as they were, now and after a restart.
  void CheckRoundTrip(const std::string& key, const std::string& value) {
    CheckOk(Set(*store, key, value));
    CHECK_TRUE(testing::ValueOf(*store, key) == value);
    Open();
    CHECK_TRUE(testing::ValueOf(*store, key) == value);
  }
};

TEST(Store, GetsWhatWasSet) {
  CHECK_EQUAL(Code::kNotFound, store->Exists("key").code());
  CheckValue(*store, "key", "(none)");
  CheckOk(Set(*store, "key", "value"));
  CheckOk(store->Exists("key"));
  CheckValue(*store, "key", "value");
  CheckOk(Set(*store, "key", "other"));
  CheckValue(*store, "key", "other");
  LONGS_EQUAL(1, store->Count());
}

// A compaction that has switched to the new log waits for those who have found a place in the old
// one, and unmaps that.
TEST(Store, AValueIsPinnedThatACompactionHasTakenOutOfTheLog) {
  const std::string value(20000, 'x');
  for (int i = 0; i < 5; i++) CheckOk(Set(*store, "key", value));
  FoundValue found;
  CheckOk(store->Get("key", &found));
  Status compacted;
  std::thread compaction([&] { compacted = store->Compact(keystone::CompactionMode::kOnline); });
  const bool switched =
      testing::BecomesTrue([&] { return store->Stats().log_bytes < 2 * value.size(); });
  const keystone::PinnedValue pinned = store->Pin(std::move(found));
  compaction.join();
  CHECK_TRUE(switched);
  CheckOk(compacted);
  CHECK_TRUE(pinned.value() == value);
}

TEST(Store, ADeletedKeyIsGone) {
  CheckOk(Set(*store, "key", "value"));
  bool took_effect = false;
  CheckOk(Delete(*store, "key", &took_effect));
  CHECK_TRUE(took_effect);
  CHECK_EQUAL(Code::kNotFound, store->Exists("key").code());
  CheckValue(*store, "key", "(none)");
  LONGS_EQUAL(0, store->Count());
  CheckOk(Delete(*store, "key", &took_effect));
  CHECK_FALSE(took_effect);
  Open();
  CheckValue(*store, "key", "(none)");
}

TEST(Store, EverythingSurvivesARestartUnderEveryPolicy) {
  for (const FsyncPolicy fsync :
       {FsyncPolicy::kAlways, FsyncPolicy::kEverySecond, FsyncPolicy::kNo}) {
    Open(fsync);
    for (int i = 0; i < 20; i++) CheckOk(Set(*store, "key" + std::to_string(i), "value"));
    CheckOk(Delete(*store, "key7"));
    CheckOk(store->Close());
    Open(fsync);
    LONGS_EQUAL(19, store->Count());
    CheckValue(*store, "key3", "value");
    CheckValue(*store, "key7", "(none)");
  }
}

TEST(Store, AnEmptyValueIsAValue) {
  CheckRoundTrip("key", "");
  CheckOk(store->Exists("key"));
}

TEST(Store, AllByteValuesRoundTripInKeysAndValues) {
  std::string all;
  for (int i = 0; i < 256; i++) all += static_cast<char>(i);
  CheckRoundTrip(all, all);
  for (const char c : all) CheckOk(Set(*store, std::string(1, c), std::string(2, c)));
  LONGS_EQUAL(257, store->Count());
  for (const char c : all) {
    CHECK_TRUE(testing::ValueOf(*store, std::string(1, c)) == std::string(2, c));
  }
}

TEST(Store, ValuesAroundTheSizeThatIsCopiedRoundTrip) {
  for (const size_t size : {4095, 4096, 4097, 5000}) {
    CheckRoundTrip("key" + std::to_string(size), std::string(size, 'v'));
  }
}

TEST(Store, AMebibyteRoundTrips) {
  std::string value(1u << 20, '\0');
  for (size_t i = 0; i < value.size(); i++) value[i] = static_cast<char>(i * 31 >> 3);
  CheckRoundTrip("big", value);
}

TEST(Store, AKeyOf65535BytesRoundTrips) {
  CheckRoundTrip(std::string(65535, 'k'), "value");
  CheckValue(*store, std::string(65534, 'k'), "(none)");
}

TEST(Store, ABatchIsVisibleAsAWhole) {
  Batch batch;
  batch.Set("a", "1");
  batch.Set("a", "2");
  batch.Set("b", "3");
  CheckOk(store->Apply(&batch));
  for (const auto& operation : batch.operations()) CHECK_TRUE(operation.took_effect);
  CheckValue(*store, "a", "2");
  CheckValue(*store, "b", "3");
  LONGS_EQUAL(2, store->Count());
}

TEST(Store, AFoundValueStaysWhileTheKeyIsWrittenOver) {
  CheckOk(Set(*store, "key", "old"));
  FoundValue found;
  CheckOk(store->Get("key", &found));
  // Another thread: one that holds a value must not call the store.
  Status status;
  std::thread([&] { status = Set(*store, "key", "new"); }).join();
  CheckOk(status);
  CHECK_TRUE(found.value() == "old");
}

TEST(Store, AValueThatWasNotFoundHoldsNothing) {
  FoundValue found;
  CHECK_EQUAL(Code::kNotFound, store->Get("absent", &found).code());
  CHECK_TRUE(found.value().empty());
  CheckOk(store->Compact(
      keystone::CompactionMode::kStopTheWorld));  // would wait for ever for one that is held
}

TEST(Store, ADamagedValueIsNeverServed) {
  CheckOk(Set(*store, "key", "value"));
  const std::string file = scratch.File("000000000001.log");
  for (size_t at = 64 + 24 + 3; at < 64 + 24 + 8; at++) {
    testing::FlipByte(file, at, 1);
    FoundValue found;
    const Status status = store->Get("key", &found);
    CHECK_EQUAL(Code::kCorrupt, status.code());
    CheckSays("'key'", status);
    CHECK_TRUE(found.value().empty());
    CheckOk(store->Exists("key"));
    testing::FlipByte(file, at, 1);
  }
  CheckValue(*store, "key", "value");
}

TEST(Store, ADamagedKeyIsNotAnAbsentKey) {
  CheckOk(Set(*store, "key", "value"));
  testing::FlipByte(scratch.File("000000000001.log"), 64 + 24);
  CHECK_EQUAL(Code::kCorrupt, store->Exists("key").code());
  CHECK_EQUAL(Code::kCorrupt, Delete(*store, "key").code());
  keystone::ScanResult result;
  CHECK_EQUAL(Code::kCorrupt, store->Scan(0, 10, {}, &result).code());
}

// ---- scans

TEST(Store, AnEmptyStoreHasNothingToScan) { CHECK_TRUE(testing::AllKeys(*store).empty()); }

TEST(Store, AScanFindsEveryKeyOnceWhateverItsSteps) {
  std::multiset<std::string> keys;
  for (int i = 0; i < 500; i++) keys.insert("key" + std::to_string(i));
  for (const std::string& key : keys) CheckOk(Set(*store, key, "value"));
  for (const size_t count : {1, 10, 499, 500, 10000}) {
    CHECK_TRUE(testing::AllKeys(*store, count) == keys);
  }
}

TEST(Store, AScanOfAPrefixFindsItsKeysOnly) {
  for (int i = 0; i < 50; i++) {
    CheckOk(Set(*store, "odd" + std::to_string(i), "value"));
    CheckOk(Set(*store, "even" + std::to_string(i), "value"));
  }
  const auto keys = testing::AllKeys(*store, 7, "odd");
  LONGS_EQUAL(50, keys.size());
  for (const std::string& key : keys) CHECK_TRUE(key.starts_with("odd"));
  CHECK_TRUE(testing::AllKeys(*store, 7, "none").empty());
}

TEST(Store, AScanGoesOnAcrossARestart) {
  std::set<std::string> expected;
  for (int i = 0; i < 300; i++) expected.insert("key" + std::to_string(i));
  for (const std::string& key : expected) CheckOk(Set(*store, key, "value"));
  std::set<std::string> keys;
  keystone::ScanResult result;
  do {
    CheckOk(store->Scan(result.next_cursor, 50, {}, &result));
    keys.insert(result.keys.begin(), result.keys.end());
    Open();
  } while (result.next_cursor != 0);
  CHECK_TRUE(keys == expected);
}

// ---- syncs, numbers, the end

TEST(Store, SyncSyncsTheActiveSegment) {
  CheckOk(Set(*store, "key", "value"));
  LONGS_EQUAL(0, faults::Count(faults::Call::kFdatasync));
  CheckOk(store->Sync());
  LONGS_EQUAL(1, faults::Count(faults::Call::kFdatasync));
  LONGS_EQUAL(1, store->Stats().fsyncs);
}

TEST(Store, EverySecondSyncsByItself) {
  Open(FsyncPolicy::kEverySecond);
  CheckOk(Set(*store, "key", "value"));
  testing::WaitUntil([&] { return store->Stats().fsyncs > 0; });
  LONGS_EQUAL(1, store->Stats().fsyncs);
}

TEST(Store, EverySecondSyncsWhoeverHoldsAValue) {
  Open(FsyncPolicy::kEverySecond);
  CheckOk(Set(*store, "held", "value"));
  keystone::FoundValue held;
  CheckOk(store->Get("held", &held));
  bool synced = false;
  std::thread others([&] {
    int i = 0;
    synced = testing::BecomesTrue([&] {
      return Set(*store, "key" + std::to_string(i++), "1").ok() && store->Stats().fsyncs >= 4;
    });
  });
  others.join();
  CHECK_TRUE(synced);
}

TEST(Store, StatsCountBytes) {
  StoreStats stats = store->Stats();
  LONGS_EQUAL(0, stats.keys);
  LONGS_EQUAL(1, stats.segments);
  LONGS_EQUAL(64, stats.log_bytes);
  LONGS_EQUAL(0, stats.live_bytes);
  LONGS_EQUAL(0, stats.stale_bytes);
  LONGS_EQUAL(0, stats.index_bytes);
  CheckOk(Set(*store, "a", "12345"));  // 30
  CheckOk(Set(*store, "b", "12345"));  // 30
  CheckOk(Set(*store, "a", "1"));      // 26, and 30 are stale
  CheckOk(Delete(*store, "b"));        // 25, and 55 are stale
  stats = store->Stats();
  LONGS_EQUAL(1, stats.keys);
  LONGS_EQUAL(64 + 30 + 30 + 26 + 25, stats.log_bytes);
  LONGS_EQUAL(26, stats.live_bytes);
  LONGS_EQUAL(85, stats.stale_bytes);
  CHECK_TRUE(stats.index_bytes > 0);
  Open();
  stats = store->Stats();
  LONGS_EQUAL(26, stats.live_bytes);
  LONGS_EQUAL(85, stats.stale_bytes);
  LONGS_EQUAL(4, stats.recovered_records);
}

TEST(Store, StatsOfAHealthyStoreSayNothingOfErrors) {
  Open(FsyncPolicy::kAlways);
  CheckOk(Set(*store, "key", "value"));
  const StoreStats stats = store->Stats();
  CHECK_TRUE(stats.fsync_policy == FsyncPolicy::kAlways);
  LONGS_EQUAL(1, stats.fsyncs);
  LONGS_EQUAL(0, stats.write_errors);
  LONGS_EQUAL(0, stats.compactions);
  LONGS_EQUAL(0, stats.recovered_truncated_bytes);
  CHECK_FALSE(stats.read_only);
  CHECK_FALSE(stats.compaction_running);
}

TEST(Store, CloseSyncsUnderEveryPolicy) {
  for (const FsyncPolicy fsync :
       {FsyncPolicy::kAlways, FsyncPolicy::kEverySecond, FsyncPolicy::kNo}) {
    Open(fsync);
    CheckOk(Set(*store, "key", "value"));
    faults::Clear();
    CheckOk(store->Close());
    CHECK_TRUE(faults::Count(faults::Call::kFdatasync) > 0);
  }
}

TEST(Store, CloseTellsOfAFailedSync) {
  CheckOk(Set(*store, "key", "value"));
  faults::FailOnce(faults::Call::kFdatasync, EIO);
  CHECK_FALSE(store->Close().ok());
}

TEST(Store, ASegmentSizeThatIsTooSmallIsRefused) {
  const Scratch own;
  const auto opened =
      Store::Open({.directory = own.path(), .segment_size_bytes = 4095}, testing::Quiet());
  CHECK_EQUAL(Code::kInvalid, opened.status().code());
  CHECK_TRUE(testing::FilesIn(own.path()).empty());
}

TEST(Store, ASmallerSegmentSizeThanBeforeAppliesFromTheNextSegmentOn) {
  CheckOk(Set(*store, "big", std::string(10000, 'b')));
  store.reset();
  store = testing::OpenStore(scratch.path(), FsyncPolicy::kNo, testing::kSmallSegment);
  CheckOk(Set(*store, "small", "s"));
  LONGS_EQUAL(2, store->Stats().segments);
  CheckValue(*store, "big", std::string(10000, 'b'));
}
