// Store::Clear: everything goes at once, and for good.
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <string>
#include <thread>

#include "faults.h"
#include "scratch.h"
#include "store/reserve.h"
#include "store/store.h"
#include "store/testing.h"

using faults::Call;
using keystone::Code;
using keystone::CompactionMode;
using keystone::FoundValue;
using keystone::FsyncPolicy;
using keystone::Status;
using keystone::Store;
using keystone::StoreStats;
using testing::CheckOk;
using testing::CheckSays;
using testing::CheckValue;
using testing::HasNoLeftovers;
using testing::kSmallSegment;
using testing::Set;

namespace {

constexpr int kKeys = 30;

std::string Key(int n) { return "key" + std::to_string(n); }

}  // namespace

TEST_GROUP_BASE(Clear, testing::StoreTest) {
  using StoreTest::store;

  void setup() override {
    Open();
    const std::string value(500, 'v');
    keystone::Batch batch;
    for (int n = 0; n < kKeys; n++) CheckOk(Set(*store, Key(n), value));
    batch.Set("expires", "value", {.client_flags = 1, .expires_at_ms = ~uint64_t{0} >> 1});
    CheckOk(store->Apply(&batch));
    CHECK_TRUE(store->Stats().segments > 2);
  }

  void Open(FsyncPolicy fsync = FsyncPolicy::kNo) { StoreTest::Open(fsync, kSmallSegment); }

  void CheckEmpty() {
    LONGS_EQUAL(0, store->Count());
    LONGS_EQUAL(0, testing::AllKeys(*store).size());
    CheckValue(*store, Key(0), "(none)");
    CheckValue(*store, "expires", "(none)");
    CHECK_TRUE(HasNoLeftovers(scratch.path()));
  }

  void CheckAllThere() {
    LONGS_EQUAL(kKeys + 1, store->Count());
    LONGS_EQUAL(kKeys + 1, testing::AllKeys(*store).size());
    CHECK_TRUE(HasNoLeftovers(scratch.path()));
  }

  uint64_t SequenceOf(std::string_view key) const {
    FoundValue found;
    CheckOk(store->Get(key, &found));
    return found.sequence();
  }
};

TEST(Clear, TakesAllKeysAwayAndAllOfTheLog) {
  CheckOk(store->Clear());
  CheckEmpty();
  const StoreStats stats = store->Stats();
  LONGS_EQUAL(0, stats.keys);
  LONGS_EQUAL(0, stats.keys_expiring);
  LONGS_EQUAL(0, stats.live_bytes);
  LONGS_EQUAL(0, stats.stale_bytes);
  LONGS_EQUAL(0, stats.index_bytes);
  LONGS_EQUAL(1, stats.segments);
  LONGS_EQUAL(keystone::kSegmentHeaderSize, stats.log_bytes);
  LONGS_EQUAL(0, stats.compactions);
  CHECK_FALSE(stats.compaction_running);
}

TEST(Clear, IsForGood) {
  CheckOk(store->Clear());
  Open();
  CheckEmpty();
  CheckOk(store->Compact(CompactionMode::kStopTheWorld));
  CheckEmpty();
}

TEST(Clear, WritesGoOnAndSequencesToo) {
  const uint64_t before = SequenceOf("expires");
  CheckOk(store->Clear());
  CheckOk(Set(*store, "key0", "again"));
  CheckValue(*store, "key0", "again");
  LONGS_EQUAL(before + 1, SequenceOf("key0"));
  CheckOk(store->Clear());
  Open();  // an empty log knows how far they were
  CheckOk(Set(*store, "key0", "once more"));
  LONGS_EQUAL(before + 2, SequenceOf("key0"));
  LONGS_EQUAL(1, store->Count());
}

TEST(Clear, OfAnEmptyStoreLeavesOne) {
  for (int i = 0; i < 3; i++) {
    CheckOk(store->Clear());
    CheckEmpty();
  }
}

TEST(Clear, StopsAnOnlineCompactionThatRuns) {
  const std::string value(2000, 'v');
  for (int turn = 0; turn < 3; turn++) {
    for (int n = 0; n < 40; n++) CheckOk(Set(*store, Key(n), value));
    std::atomic<bool> ended = false;
    Status compacted;
    std::thread compaction([&] {
      compacted = store->Compact(CompactionMode::kOnline);
      ended = true;
    });
    while (!store->Stats().compaction_running && !ended) std::this_thread::yield();
    CheckOk(store->Clear());
    compaction.join();
    if (!compacted.ok()) CHECK_EQUAL(Code::kCancelled, compacted.code());
    CheckEmpty();
    CheckOk(store->Compact(CompactionMode::kOnline));  // later ones are not refused
  }
}

TEST(Clear, BesideWritersReadersAndScansLeavesWhatWasWrittenBehindIt) {
  std::atomic<bool> stop = false;
  std::atomic<int> failed = 0;
  std::thread clearer([&] {
    for (int i = 0; i < 20; i++) {
      if (!store->Clear().ok()) failed++;
    }
    stop = true;
  });
  testing::RunThreads(3, [&](int thread) {
    keystone::ScanResult result;
    for (int n = 0; !stop || n < 100; n++) {
      const std::string key = Key(thread * 100 + n % 100);
      if (!Set(*store, key, key).ok()) failed++;
      const std::string found = testing::ValueOf(*store, key);
      if (found != key && found != "(none)") failed++;
      if (!store->Scan(0, 10, {}, &result).ok()) failed++;
    }
  });
  clearer.join();
  LONGS_EQUAL(0, failed);
  const auto keys = testing::AllKeys(*store);
  LONGS_EQUAL(keys.size(), store->Count());
  Open();
  CHECK_TRUE(keys == testing::AllKeys(*store));
}

TEST(Clear, SeveralAtOnceAllSucceed) {
  std::atomic<int> failed = 0;
  testing::RunThreads(4, [&](int) {
    for (int i = 0; i < 10; i++) {
      if (!store->Clear().ok()) failed++;
    }
  });
  LONGS_EQUAL(0, failed);
  CheckEmpty();
}

TEST(Clear, IsRefusedOnceTheStoreCloses) {
  store->CancelCompaction();
  CHECK_EQUAL(Code::kCancelled, store->Clear().code());
  CheckAllThere();
}

TEST(Clear, GoesOnInTheReserveOfAFullDisk) {
  faults::FailOnce(Call::kPwritev, ENOSPC);
  CheckOk(store->Clear());
  CheckEmpty();
  LONGS_EQUAL(keystone::Reserve::kSizeBytes, scratch.Read(keystone::kReserveName).size());
  CheckOk(Set(*store, "key", "value"));
}

TEST(Clear, ThatFailsLeavesEverything) {
  struct Fault {
    Call call;
    int error;
    Code code;
  };
  for (const Fault& fault :
       {Fault{Call::kPwritev, ENOSPC, Code::kNoSpace}, Fault{Call::kPwritev, EIO, Code::kIo},
        Fault{Call::kFsync, EIO, Code::kIo}, Fault{Call::kRename, EIO, Code::kIo}}) {
    faults::Fail(fault.call, fault.error);
    CHECK_EQUAL(fault.code, store->Clear().code());
    faults::Clear();
    CheckAllThere();
    CheckOk(Set(*store, Key(0), "value"));
  }
  Open();
  CheckAllThere();
}

TEST(Clear, ThatIsNotCertainTurnsTheStoreReadOnlyUntilARestartHasLooked) {
  faults::FailOnce(Call::kFsync, EIO, 3);  // of the directory, behind the rename of the MANIFEST
  const Status status = store->Clear();
  CHECK_EQUAL(Code::kReadOnly, status.code());
  faults::Clear();
  CHECK_EQUAL(Code::kReadOnly, Set(*store, "key", "value").code());
  LONGS_EQUAL(kKeys + 1, store->Count());
  Open();
  CheckEmpty();
}

TEST(Clear, CuresAFailedSync) {
  Open(FsyncPolicy::kAlways);
  faults::FailOnce(Call::kFdatasync, EIO);
  CHECK_EQUAL(Code::kReadOnly, Set(*store, "key", "value").code());
  faults::Clear();
  CheckOk(store->Clear());
  CheckEmpty();
  CheckOk(Set(*store, "key", "value"));
  CHECK_FALSE(store->Stats().read_only);
}
