// A sync of the store's own thread that fails late: when its segment has been replaced meanwhile.
#include <cerrno>
#include <memory>
#include <string>

#include "faults.h"
#include "scratch.h"
#include "store/testing.h"

using faults::Call;
using keystone::Code;
using keystone::CompactionMode;
using keystone::FsyncPolicy;
using keystone::Store;
using testing::CheckOk;
using testing::CheckValue;
using testing::kSmallSegment;
using testing::Set;
using testing::WaitUntil;

TEST_GROUP(LateSync) {
  Scratch scratch;
  std::unique_ptr<Store> store;

  void setup() override {
    store = testing::OpenStore(scratch.path(), FsyncPolicy::kEverySecond, kSmallSegment);
    faults::Clear();
    faults::HoldNextSync(EIO);
    CheckOk(Set(*store, "a", "1"));
    WaitUntil(faults::SyncIsHeld);
  }

  void teardown() override {
    faults::LetSyncGo();
    store.reset();
    faults::Clear();
  }

  // The next one comes behind it, from the same thread.
  void CheckIsNoFailure() {
    faults::LetSyncGo();
    CheckOk(Set(*store, "b", "2"));
    WaitUntil([this] { return store->Stats().fsyncs >= 2 || store->Stats().read_only; });
    CHECK_FALSE(store->Stats().read_only);
    CheckOk(Set(*store, "c", "3"));
    CheckOk(store->Sync());
  }
};

TEST(LateSync, OfTheActiveSegmentIsAFailure) {
  CheckOk(Set(*store, "b", "2"));
  faults::LetSyncGo();
  WaitUntil([this] { return store->Stats().read_only; });
  CHECK_EQUAL(Code::kReadOnly, Set(*store, "c", "3").code());
}

TEST(LateSync, IsNotMissedByAnotherThatWaitsForItsTurn) {
  for (int i = 0; i < 3; i++) CheckOk(Set(*store, "fill", std::string(1000, 'x')));
  keystone::Status status;
  std::thread writer([&] { status = Set(*store, "key", std::string(1000, 'x')); });
  faults::LetSyncGo();
  writer.join();
  CHECK_EQUAL(Code::kReadOnly, status.code());
  LONGS_EQUAL(1, store->Stats().segments);
}

TEST(LateSync, OfWhatClearHasTakenAwayIsNoFailure) {
  CheckOk(store->Clear());
  CheckIsNoFailure();
}

TEST(LateSync, OfWhatACompactionHasReplacedIsNoFailure) {
  faults::TearNextWrite(EIO);
  faults::FailOnce(Call::kFtruncate, EIO);
  CHECK_EQUAL(Code::kReadOnly, Set(*store, "b", "2").code());
  CheckOk(store->Compact(CompactionMode::kStopTheWorld));  // which syncs no old segment then
  CheckIsNoFailure();
  CheckValue(*store, "a", "1");
}
