// Store::Apply of several batches: one write, and each batch succeeds or fails for itself.
#include <array>
#include <atomic>
#include <cerrno>
#include <memory>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "faults.h"
#include "scratch.h"
#include "store/store.h"
#include "store/testing.h"

using faults::Call;
using keystone::Batch;
using keystone::Code;
using keystone::Deferral;
using keystone::FsyncPolicy;
using keystone::kMaxKeySize;
using keystone::Status;
using keystone::Store;
using testing::CheckOk;
using testing::CheckValue;
using testing::Entry;
using testing::LogOf;
using testing::Set;
using testing::WaitUntil;

namespace {

// Batches, and the list of them that Apply takes.
struct Batches {
  explicit Batches(size_t count) : all(count) {
    for (Batch& batch : all) list.push_back(&batch);
  }
  Batch& operator[](size_t i) { return all[i]; }

  std::vector<Batch> all;
  std::vector<Batch*> list;
};

}  // namespace

TEST_GROUP_BASE(Apply, testing::StoreTest){};

TEST(Apply, SeveralBatchesAreOneWriteAndAGroupEach) {
  Open();
  Batches batches(2);
  batches[0].Set("a", "1");
  batches[0].Set("b", "2");
  batches[1].Set("c", "3");
  store->Apply(batches.list);
  for (const Batch* batch : batches.list) CheckOk(batch->status());
  LONGS_EQUAL(1, faults::Count(Call::kPwritev));
  const std::vector<Entry> log = LogOf(scratch.path());
  LONGS_EQUAL(3, log.size());
  CHECK_TRUE(log[0].goes_on);
  CHECK_FALSE(log[1].goes_on);
  STRCMP_EQUAL("c", log[2].key.c_str());
}

TEST(Apply, SeveralBatchesShareOneSyncUnderAlways) {
  Open(FsyncPolicy::kAlways);
  Batches batches(50);
  for (Batch* batch : batches.list) batch->Set("key", "value");
  store->Apply(batches.list);
  for (const Batch* batch : batches.list) CheckOk(batch->status());
  LONGS_EQUAL(1, faults::Count(Call::kFdatasync));
}

TEST(Apply, NoBatchesAndEmptyOnesWriteNothing) {
  Open();
  store->Apply(std::span<Batch* const>());
  Batches batches(2);
  store->Apply(batches.list);
  for (const Batch* batch : batches.list) CheckOk(batch->status());
  LONGS_EQUAL(0, faults::Count(Call::kPwritev));
}

TEST(Apply, ABatchThatNoRecordHoldsFailsAlone) {
  Open();
  const std::string long_key(kMaxKeySize + 1, 'k');
  Batches batches(3);
  batches[0].Set("a", "1");
  batches[1].Set("b", "1");
  batches[1].Set(long_key, "1");
  batches[2].Set("c", "1");
  store->Apply(batches.list);
  CheckOk(batches[0].status());
  CHECK_EQUAL(Code::kInvalid, batches[1].status().code());
  CheckOk(batches[2].status());
  CheckValue(*store, "a", "1");
  CheckValue(*store, "b", "(none)");
  CheckValue(*store, "c", "1");
  batches[1].Clear();
  batches[1].Set("b", "2");
  store->Apply(batches.list);
  CheckOk(batches[1].status());
  CheckValue(*store, "b", "2");
}

TEST(Apply, LaterBatchesSeeTheEarlierOnes) {
  Open();
  Batches batches(4);
  batches[0].Delete("key");
  batches[1].Set("key", "1");
  batches[2].Delete("key");
  batches[3].Delete("key");
  store->Apply(batches.list);
  for (const Batch* batch : batches.list) CheckOk(batch->status());
  CHECK_FALSE(batches[0].operations()[0].took_effect);
  CHECK_TRUE(batches[2].operations()[0].took_effect);
  CHECK_FALSE(batches[3].operations()[0].took_effect);
  CheckValue(*store, "key", "(none)");
}

TEST(Apply, MoreThanARoundHoldsIsWrittenInSeveral) {
  Open(FsyncPolicy::kNo, 64u << 20);
  const std::string big(3u << 20, 'v');
  Batches batches(5);
  std::vector<std::string> keys;
  for (size_t i = 0; i < 5; i++) keys.push_back("key" + std::to_string(i));
  for (size_t i = 0; i < 5; i++) {
    batches[i].Set(keys[i], i == 2 ? std::string_view("small") : std::string_view(big));
  }
  store->Apply(batches.list);
  for (const Batch* batch : batches.list) CheckOk(batch->status());
  LONGS_EQUAL(4, faults::Count(Call::kPwritev));
  for (size_t i = 0; i < 5; i++) {
    CHECK_TRUE(testing::ValueOf(*store, keys[i]) == (i == 2 ? "small" : big));
  }
}

TEST(Apply, BatchesBiggerThanASegmentAllTogetherFillSeveral) {
  Open(FsyncPolicy::kNo, testing::kSmallSegment);
  const std::string value(900, 'v');
  std::vector<std::string> keys;
  for (int i = 0; i < 20; i++) keys.push_back("key" + std::to_string(i));
  Batches batches(keys.size());
  for (size_t i = 0; i < keys.size(); i++) batches[i].Set(keys[i], value);
  store->Apply(batches.list);
  for (size_t i = 0; i < keys.size(); i++) {
    CheckOk(batches[i].status());
    CheckValue(*store, keys[i], value);
  }
  LONGS_EQUAL(5, store->Stats().segments);
}

TEST(Apply, AFullDiskRefusesAllOfARoundAndNoneOfTheNext) {
  Open();
  Batches batches(3);
  for (Batch* batch : batches.list) {
    batch->Set("key", "1");
    batch->Set("other", "1");
  }
  faults::Fail(Call::kPwritev, ENOSPC);
  store->Apply(batches.list);
  for (const Batch* batch : batches.list) CHECK_EQUAL(Code::kNoSpace, batch->status().code());
  LONGS_EQUAL(6, store->Stats().write_errors);
  CheckValue(*store, "key", "(none)");
  faults::Clear();
  store->Apply(batches.list);
  for (const Batch* batch : batches.list) CheckOk(batch->status());
  CheckValue(*store, "key", "1");
}

TEST(Apply, AReadOnlyStoreRefusesEachBatch) {
  Open(FsyncPolicy::kAlways);
  faults::Fail(Call::kFdatasync, EIO);
  CHECK_FALSE(Set(*store, "key", "1").ok());
  faults::Clear();
  Batches batches(2);
  for (Batch* batch : batches.list) batch->Set("key", "2");
  store->Apply(batches.list);
  for (const Batch* batch : batches.list) CHECK_EQUAL(Code::kReadOnly, batch->status().code());
  CheckValue(*store, "key", "(none)");
}

TEST(Apply, ManyThreadsWithSeveralBatchesEachLoseNothing) {
  Open(FsyncPolicy::kNo, 64u << 10);
  constexpr int kThreads = 4;
  constexpr int kTurns = 50;
  constexpr int kBatches = 20;
  std::atomic<int> failed{0};
  testing::RunThreads(kThreads, [&](int thread) {
    for (int turn = 0; turn < kTurns; turn++) {
      std::vector<std::string> keys;
      for (int i = 0; i < kBatches; i++) {
        keys.push_back(std::to_string(thread) + "/" + std::to_string(turn) + "/" +
                       std::to_string(i));
      }
      Batches batches(kBatches);
      for (size_t i = 0; i < kBatches; i++) batches[i].Set(keys[i], keys[i]);
      store->Apply(batches.list);
      for (size_t i = 0; i < kBatches; i++) {
        if (!batches[i].status().ok() || testing::ValueOf(*store, keys[i]) != keys[i]) failed++;
      }
    }
  });
  LONGS_EQUAL(0, failed);
  LONGS_EQUAL(kThreads * kTurns * kBatches, store->Count());
}

TEST(Apply, WhereNobodyElseCommitsNothingIsDeferred) {
  Open(FsyncPolicy::kAlways);
  bool called = false;
  Deferral deferral([&] { called = true; });
  Batch batch;
  batch.Set("key", "value");
  CHECK_TRUE(store->ApplyOrDefer(&batch, &deferral));
  CheckOk(batch.status());
  CHECK_FALSE(called);
  CheckValue(*store, "key", "value");
}

// One of two waits, to commit what has come meanwhile.
TEST(Apply, WhatIsDeferredIsAppliedByWhoCommitsNext) {
  Open(FsyncPolicy::kAlways);
  faults::HoldNextSync(0);
  Status status;
  std::thread first([&] { status = Set(*store, "first", "1"); });
  WaitUntil(faults::SyncIsHeld);
  std::atomic<int> deferred{0};
  std::atomic<int> called{0};
  struct Other {
    explicit Other(std::atomic<int>* called) : deferral([called] { ++*called; }) {}
    Batch batch;
    Deferral deferral;
    std::thread thread;
  };
  std::array<Other, 2> others{Other(&called), Other(&called)};
  for (Other& other : others) {
    other.batch.Set("key", "value");
    other.thread = std::thread([&] {
      if (!store->ApplyOrDefer(&other.batch, &other.deferral)) ++deferred;
    });
  }
  WaitUntil([&] { return deferred == 1; });
  LONGS_EQUAL(0, called);
  CHECK_EQUAL(Code::kNotFound, store->Exists("key").code());
  faults::LetSyncGo();
  first.join();
  CheckOk(status);
  for (Other& other : others) other.thread.join();
  LONGS_EQUAL(1, deferred);
  LONGS_EQUAL(1, called);
  for (const Other& other : others) CheckOk(other.batch.status());
  LONGS_EQUAL(2, faults::Count(Call::kFdatasync));
}

TEST(Apply, WhereCommitsAreNotSyncedNothingIsDeferred) {
  Open(FsyncPolicy::kNo);
  Deferral deferral([] { FAIL("deferred"); });
  for (int i = 0; i < 3; i++) {
    const std::string value = std::to_string(i);
    Batch batch;
    batch.Set("key", value);
    CHECK_TRUE(store->ApplyOrDefer(&batch, &deferral));
  }
  CheckValue(*store, "key", "2");
}
