#include "store/reserve.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <vector>

#include "faults.h"
#include "scratch.h"
#include "store/testing.h"

using faults::Call;
using keystone::Batch;
using keystone::Code;
using keystone::CompactionMode;
using keystone::FsyncPolicy;
using keystone::kReserveName;
using keystone::Reserve;
using keystone::Status;
using testing::CheckOk;
using testing::CheckSays;
using testing::CheckValue;
using testing::Delete;
using testing::kSmallSegment;
using testing::Set;

namespace {

const Status kFull(Code::kNoSpace, "write x.log: No space left on device");

}  // namespace

// ---- the file

TEST_GROUP(Reserve) {
  Scratch scratch;
  const keystone::Log log = testing::Quiet();
  Reserve reserve{scratch.path(), &log};

  void teardown() override { faults::Clear(); }

  struct stat Stat() const {
    struct stat info {};
    LONGS_EQUAL(0, ::stat(scratch.File(kReserveName).c_str(), &info));
    return info;
  }

  void CheckIsKept() const {
    LONGS_EQUAL(Reserve::kSizeBytes, Stat().st_size);
    CHECK_TRUE(static_cast<uint64_t>(Stat().st_blocks) * 512 >= Reserve::kSizeBytes);
  }
};

TEST(Reserve, IsAllocatedNotAHole) {
  reserve.Open();
  CheckIsKept();
  CHECK_FALSE(reserve.released());
}

TEST(Reserve, AHoleOfItsSizeIsFilled) {
  scratch.Write(kReserveName, "");
  LONGS_EQUAL(0, ::truncate(scratch.File(kReserveName).c_str(), Reserve::kSizeBytes));
  reserve.Open();
  CheckIsKept();
}

TEST(Reserve, GivesItsRoomAwayOnce) {
  reserve.Open();
  CHECK_TRUE(reserve.Release(kFull));
  CHECK_TRUE(reserve.released());
  LONGS_EQUAL(0, Stat().st_blocks);
  CHECK_FALSE(reserve.Release(kFull));
  CHECK_TRUE(reserve.released());
}

TEST(Reserve, IsTakenAgainOnceThereIsRoom) {
  reserve.Open();
  CHECK_TRUE(reserve.Release(kFull));
  faults::Fail(Call::kFallocate, ENOSPC);
  reserve.Retake();
  reserve.RetakeNow();
  CHECK_TRUE(reserve.released());
  LONGS_EQUAL(0, Stat().st_size);
  faults::Clear();
  reserve.Retake();
  CHECK_FALSE(reserve.released());
  CheckIsKept();
}

TEST(Reserve, LeavesTheRoomThatSomebodyStillNeeds) {
  reserve.Open();
  CHECK_TRUE(reserve.Release(kFull));
  faults::SetFreeBytes(2 * Reserve::kSizeBytes);
  reserve.Retake(Reserve::kSizeBytes);
  CHECK_TRUE(reserve.released());
  reserve.Retake(Reserve::kSizeBytes / 2);
  CHECK_FALSE(reserve.released());
}

TEST(Reserve, TellsWhatItMakesRoomFor) {
  faults::SetFreeBytes(1 << 20);
  CHECK_TRUE(reserve.MakesRoomFor(Reserve::kSizeBytes + (1 << 20)));
  CHECK_FALSE(reserve.MakesRoomFor(Reserve::kSizeBytes + (1 << 20) + 1));
}

TEST(Reserve, WithoutRoomFromTheStartNobodyIsRefusedAndNoFileIsLeft) {
  faults::Fail(Call::kFallocate, ENOSPC);
  reserve.Open();
  CHECK_FALSE(reserve.released());
  CHECK_FALSE(scratch.Has(kReserveName));
  CHECK_FALSE(reserve.Release(kFull));
  faults::Clear();
  reserve.Retake();
  CheckIsKept();
  CHECK_TRUE(reserve.Release(kFull));
}

TEST(Reserve, ThatWasLetGoIsSoForTheNextProcessToo) {
  scratch.Write(kReserveName, "");
  faults::Fail(Call::kFallocate, EDQUOT);
  reserve.Open();
  CHECK_TRUE(reserve.released());
  CHECK_TRUE(scratch.Has(kReserveName));
}

TEST(Reserve, AFileSystemThatKeepsNoRoomIsNotAskedAgain) {
  scratch.Write(kReserveName, "");
  faults::Fail(Call::kFallocate, EOPNOTSUPP);
  reserve.Open();
  CHECK_FALSE(reserve.released());
  CHECK_FALSE(scratch.Has(kReserveName));
  faults::Clear();
  reserve.Retake();
  CHECK_FALSE(scratch.Has(kReserveName));
}

TEST(Reserve, ThatAPersonHasRemovedGivesNoRoomAndIsMadeAnew) {
  reserve.Open();
  LONGS_EQUAL(0, ::unlink(scratch.File(kReserveName).c_str()));
  CHECK_FALSE(reserve.Release(kFull));
  CHECK_FALSE(reserve.released());
  reserve.Retake();
  CheckIsKept();
}

// ---- a store on a full disk

TEST_GROUP_BASE(FullDisk, testing::StoreTest) {
  using StoreTest::store;

  uint64_t Kept() const { return scratch.Read(kReserveName).size(); }

  // The next write finds no room, those behind it that of the reserve, which stays away.
  static void FillDisk() {
    faults::Fail(Call::kFallocate, ENOSPC);
    faults::FailOnce(Call::kPwritev, ENOSPC);
  }

  void CheckSetIsRefused() {
    CHECK_EQUAL(Code::kNoSpace, Set(*store, "refused", "value").code());
    CheckValue(*store, "refused", "(none)");
  }
};

TEST(FullDisk, ASetDoesNotTouchTheReserve) {
  Open();
  FillDisk();
  CheckSetIsRefused();
  LONGS_EQUAL(Reserve::kSizeBytes, Kept());
}

TEST(FullDisk, ADeleteGoesOnInTheReserve) {
  for (const FsyncPolicy fsync : {FsyncPolicy::kNo, FsyncPolicy::kAlways}) {
    Open(fsync);
    CheckOk(Set(*store, "key", "value"));
    FillDisk();
    bool took_effect = false;
    CheckOk(Delete(*store, "key", &took_effect));
    CHECK_TRUE(took_effect);
    LONGS_EQUAL(0, Kept());
    CheckOk(Delete(*store, "key", &took_effect));
    CHECK_FALSE(took_effect);
    Open();
    CheckValue(*store, "key", "(none)");
  }
}

TEST(FullDisk, WhatTheReserveLeftIsNotForSets) {
  Open();
  CheckOk(Set(*store, "key", "value"));
  FillDisk();
  CheckOk(Delete(*store, "key"));
  const size_t writes = faults::Count(Call::kPwritev);
  CheckSetIsRefused();
  LONGS_EQUAL(writes, faults::Count(Call::kPwritev));
  LONGS_EQUAL(1, store->Stats().write_errors);
  CheckOk(store->Sync());
}

TEST(FullDisk, SetsWorkAgainOnceTheReserveIsThere) {
  Open();
  CheckOk(Set(*store, "key", "value"));
  FillDisk();
  CheckOk(Delete(*store, "key"));
  CheckSetIsRefused();
  faults::Clear();
  testing::WaitUntil([&] { return Set(*store, "key", "value").ok(); });
  LONGS_EQUAL(Reserve::kSizeBytes, Kept());
}

TEST(FullDisk, TheDeletesOfARoundAreDoneAndItsSetsRefused) {
  Open();
  CheckOk(Set(*store, "a", "1"));
  CheckOk(Set(*store, "b", "1"));
  Batch set;
  Batch remove;
  Batch both;
  set.Set("c", "1");
  remove.Delete("a");
  both.Delete("b");
  both.Set("d", "1");
  std::vector<Batch*> round{&set, &remove, &both};
  FillDisk();
  store->Apply(round);
  CHECK_EQUAL(Code::kNoSpace, set.status().code());
  CheckSays("No space left on device", set.status());
  CheckOk(remove.status());
  CHECK_EQUAL(Code::kNoSpace, both.status().code());
  LONGS_EQUAL(3, store->Stats().write_errors);
  store->Apply(round);  // the same in the room that is left
  CHECK_EQUAL(Code::kNoSpace, set.status().code());
  CheckOk(remove.status());
  CHECK_FALSE(remove.operations()[0].took_effect);
  Open();
  CheckValue(*store, "a", "(none)");
  CheckValue(*store, "b", "1");
  LONGS_EQUAL(1, store->Count());
}

TEST(FullDisk, ADeleteThatHasToBeginASegmentGoesOnInTheReserve) {
  Open(FsyncPolicy::kNo, kSmallSegment);
  for (const char* key : {"a", "b", "c"}) CheckOk(Set(*store, key, std::string(1318, 'x')));
  LONGS_EQUAL(1, store->Stats().segments);
  FillDisk();
  CheckOk(Delete(*store, "a"));
  LONGS_EQUAL(2, store->Stats().segments);
  LONGS_EQUAL(0, Kept());
  Open(FsyncPolicy::kNo, kSmallSegment);
  LONGS_EQUAL(2, store->Count());
}

TEST(FullDisk, ADeleteThatFindsNoRoomEvenThenIsRefused) {
  Open();
  CheckOk(Set(*store, "key", "value"));
  faults::Fail(Call::kFallocate, ENOSPC);
  faults::Fail(Call::kPwritev, ENOSPC);
  for (int i = 0; i < 2; i++) CHECK_EQUAL(Code::kNoSpace, Delete(*store, "key").code());
  CheckValue(*store, "key", "value");
}

TEST(FullDisk, ACompactionGoesOnInTheReserveFromAnyWriteOn) {
  for (const CompactionMode mode : {CompactionMode::kStopTheWorld, CompactionMode::kOnline}) {
    for (size_t skip = 0;; skip++) {
      Open(FsyncPolicy::kNo, kSmallSegment);
      for (int i = 0; i < 10; i++) CheckOk(Set(*store, "key" + std::to_string(i % 5), "value"));
      faults::FailOnce(Call::kPwritev, ENOSPC, skip);
      CheckOk(store->Compact(mode));
      const bool failed = Set(*store, "key", "value").ok();  // else the fault is still to come
      LONGS_EQUAL(Reserve::kSizeBytes, Kept());
      CHECK_TRUE(testing::HasNoLeftovers(scratch.path()));
      if (!failed) break;
    }
  }
}

TEST(FullDisk, ACompactionWithoutRoomSaysHowMuchItNeedsAndTakesTheReserveBack) {
  Open();
  CheckOk(Set(*store, "key", std::string(1000, 'x')));
  faults::Fail(Call::kPwritev, ENOSPC);
  const Status status = store->Compact(CompactionMode::kOnline);
  CHECK_EQUAL(Code::kNoSpace, status.code());
  CheckSays("No space left on device; a compaction now needs room for 1027 bytes", status);
  LONGS_EQUAL(Reserve::kSizeBytes, Kept());
  faults::Clear();
  CheckOk(Set(*store, "key", "value"));
}

TEST(FullDisk, ACompactionThatTheReserveMakesNoRoomForLeavesItAlone) {
  for (const CompactionMode mode : {CompactionMode::kStopTheWorld, CompactionMode::kOnline}) {
    Open(FsyncPolicy::kNo, 16u << 20);
    for (int i = 0; store->Stats().live_bytes <= Reserve::kSizeBytes; i++) {
      CheckOk(Set(*store, std::to_string(i), std::string(1 << 20, 'x')));
    }
    faults::SetFreeBytes(0);
    faults::FailOnce(Call::kPwritev, ENOSPC);  // a second try would succeed
    const Status status = store->Compact(mode);
    CHECK_EQUAL(Code::kNoSpace, status.code());
    CheckSays("; a compaction now needs room for ", status);
    LONGS_EQUAL(0, store->Stats().compactions);
    LONGS_EQUAL(Reserve::kSizeBytes, Kept());
    CheckOk(Set(*store, "key", "value"));
    CHECK_TRUE(testing::HasNoLeftovers(scratch.path()));
  }
}

TEST(FullDisk, NoHintIsMadeInTheReserve) {
  Open(FsyncPolicy::kNo, kSmallSegment);
  CheckOk(Set(*store, "key", "value"));
  FillDisk();
  CheckOk(Delete(*store, "key"));
  CheckOk(store->Close());
  for (const std::string& name : testing::FilesIn(scratch.path())) {
    CHECK_FALSE(name.ends_with(".hint"));
  }
}

// ---- a limit on the size of files

TEST(FullDisk, ThatIsALimitOfFileSizeIsNoReasonToLetGoOfTheReserve) {
  Open();
  CheckOk(Set(*store, "key", "value"));
  faults::FailOnce(Call::kPwritev, EFBIG);
  const Status status = Delete(*store, "key");
  CHECK_EQUAL(Code::kFileLimit, status.code());
  CheckSays("File too large", status);
  LONGS_EQUAL(Reserve::kSizeBytes, Kept());
  CheckOk(Set(*store, "key", "value"));
  CheckOk(Delete(*store, "key"));
}

TEST(FullDisk, ThatIsALimitOfFileSizeInARotationIsTheSame) {
  Open(FsyncPolicy::kNo, kSmallSegment);
  for (const char* key : {"a", "b", "c"}) CheckOk(Set(*store, key, std::string(1318, 'x')));
  faults::FailOnce(Call::kPwritev, EFBIG);
  CHECK_EQUAL(Code::kFileLimit, Delete(*store, "a").code());
  LONGS_EQUAL(Reserve::kSizeBytes, Kept());
  CheckOk(Delete(*store, "a"));
  LONGS_EQUAL(2, store->Stats().segments);
}

TEST(FullDisk, ThatIsALimitOfFileSizeInACompactionIsTheSame) {
  Open();
  CheckOk(Set(*store, "key", "value"));
  faults::FailOnce(Call::kPwritev, EFBIG);  // a second try would succeed
  CHECK_EQUAL(Code::kFileLimit, store->Compact(CompactionMode::kStopTheWorld).code());
  LONGS_EQUAL(Reserve::kSizeBytes, Kept());
  CheckOk(store->Compact(CompactionMode::kStopTheWorld));
}
