#include "store/recovery.h"

#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/bus_guard.h"
#include "faults.h"
#include "scratch.h"
#include "store/reserve.h"
#include "store/testing.h"

using faults::Call;
using keystone::Code;
using keystone::FsyncPolicy;
using keystone::kGroupGoesOn;
using keystone::Status;
using keystone::Store;
using testing::CheckOk;
using testing::CheckSays;
using testing::CheckValue;
using testing::EncodeMark;
using testing::EncodeSet;
using testing::EncodeTombstone;
using testing::Flipped;
using testing::SegmentBytes;
using testing::Set;
using testing::SomeId;

namespace {

constexpr char kFirst[] = "000000000001.log";
constexpr char kSecond[] = "000000000002.log";
constexpr char kThird[] = "000000000003.log";

// How far each look at the clock moves it ahead, so that a recovery of moments takes seconds.
std::atomic<int64_t> clock_step_ms{0};
std::atomic<int64_t> clock_ahead_ms{0};

}  // namespace

// Replaces the library's own for this program.
std::chrono::steady_clock::time_point std::chrono::steady_clock::now() noexcept {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  clock_ahead_ms += clock_step_ms;
  return time_point(std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec) +
                    std::chrono::milliseconds(clock_ahead_ms));
}

TEST_GROUP_BASE(Recovery, testing::StoreTest) {
  // Two records of 26 bytes at 64 and 90.
  const std::string two = EncodeSet(1, "a", "1") + EncodeSet(2, "b", "2");

  void teardown() override {
    clock_step_ms = 0;
    clock_ahead_ms = 0;
    StoreTest::teardown();
  }

  // A new file each time: to empty an old one makes some file systems write it out first.
  void WriteFile(const char* name, const std::string& bytes) {
    (void)::unlink(scratch.File(name).c_str());
    scratch.Write(name, bytes);
  }

  void WriteManifest(std::vector<uint64_t> segments) {
    WriteFile("MANIFEST", keystone::EncodeManifest({SomeId(), 1, std::move(segments)}));
  }

  // A store of one segment with `records`.
  void WriteActive(const std::string& records) {
    WriteFile(kFirst, SegmentBytes(1, records));
    WriteManifest({1});
  }

  // A store of a sealed segment and an active one.
  void WriteSealed(const std::string& sealed, const std::string& active, uint64_t first_sequence) {
    WriteFile(kFirst, SegmentBytes(1, sealed));
    WriteFile(kSecond, SegmentBytes(2, active, first_sequence));
    WriteManifest({1, 2});
  }

  // Leaves what faults there are.
  void Open() {
    store.reset();
    store = testing::OpenStore(scratch.path());
  }

  // Open is refused, says `reason`, and changes nothing.
  void CheckRefused(Code code, std::string_view reason) {
    std::map<std::string, std::string> before;
    for (const std::string& name : testing::FilesIn(scratch.path())) {
      before[name] = scratch.Read(name);
    }
    before["LOCK"] = "";
    const Status status = testing::OpenError(scratch.path());
    CHECK_EQUAL(code, status.code());
    CheckSays(reason, status);
    std::map<std::string, std::string> after;
    for (const std::string& name : testing::FilesIn(scratch.path())) {
      after[name] = scratch.Read(name);
    }
    CHECK_TRUE(before == after);
  }

  // Open cuts the active segment at `offset` and keeps the rest beside it.
  void CheckCut(uint64_t offset, const std::string& records) {
    WriteActive(records);
    const std::string file = scratch.Read(kFirst);
    const std::string beside = std::string(kFirst) + ".cut-" + std::to_string(offset);
    Open();
    CHECK_TRUE(scratch.Read(kFirst) == file.substr(0, offset));
    CHECK_TRUE(scratch.Read(beside) == file.substr(offset));
    LONGS_EQUAL(file.size() - offset, store->Stats().recovered_truncated_bytes);
    LONGS_EQUAL(testing::Entries(file.substr(0, offset)).size(), store->Stats().recovered_records);
    LONGS_EQUAL(store->Stats().recovered_records, store->Count());
    store.reset();
    LONGS_EQUAL(0, ::remove(scratch.File(beside).c_str()));
  }
};

// ---- starts without damage

TEST(Recovery, ANewStoreHasAManifestAndAnEmptySegment) {
  Open();
  CHECK_TRUE(testing::HasNoLeftovers(scratch.path()));
  const auto manifest = keystone::LoadManifest(scratch.path());
  CheckOk(manifest.status());
  CHECK_TRUE(manifest.value().segments == std::vector<uint64_t>{1});
  LONGS_EQUAL(64, scratch.Read(kFirst).size());
  LONGS_EQUAL(0, store->Count());
}

TEST(Recovery, ANewStoresFilesArePrivate) {
  store = testing::OpenStore(scratch.File("made"));
  struct stat info {};
  LONGS_EQUAL(0, ::stat(scratch.File("made").c_str(), &info));
  LONGS_EQUAL(0700, info.st_mode & 07777);
  for (const char* name : {"made/LOCK", "made/MANIFEST", "made/000000000001.log"}) {
    LONGS_EQUAL(0, ::stat(scratch.File(name).c_str(), &info));
    LONGS_EQUAL(0600, info.st_mode & 07777);
  }
}

TEST(Recovery, EveryStoreHasAnIdAndASeedOfItsOwn) {
  for (const char* name : {"one", "two"}) testing::OpenStore(scratch.File(name)).reset();
  const auto one = keystone::LoadManifest(scratch.File("one"));
  const auto two_ = keystone::LoadManifest(scratch.File("two"));
  CHECK_TRUE(one.value().store_id != two_.value().store_id);
  CHECK_TRUE(one.value().seed != two_.value().seed);
}

TEST(Recovery, ReplaysSegmentsInTheManifestsOrder) {
  WriteFile(kFirst, SegmentBytes(1, EncodeSet(5, "a", "new") + EncodeTombstone(6, "b"), 5));
  WriteFile(kSecond, SegmentBytes(2, EncodeSet(1, "a", "old") + EncodeSet(2, "b", "old")));
  scratch.Write(kThird, SegmentBytes(3, EncodeMark(7, 64) + EncodeSet(8, "c", "3"), 7));
  WriteManifest({2, 1, 3});
  Open();
  CheckValue(*store, "a", "new");
  CheckValue(*store, "b", "(none)");
  CheckValue(*store, "c", "3");
  LONGS_EQUAL(2, store->Count());
  LONGS_EQUAL(6, store->Stats().recovered_records);
  LONGS_EQUAL(3, store->Stats().segments);
}

TEST(Recovery, TheNextSequenceIsBehindTheLast) {
  WriteActive(EncodeSet(1, "a", "1") + EncodeSet(41, "b", "2"));
  Open();
  CheckOk(Set(*store, "c", "3"));
  LONGS_EQUAL(43, testing::LogOf(scratch.path()).back().sequence);  // behind a mark
}

TEST(Recovery, TheNextSequenceIsNotBelowTheActiveSegmentsFirst) {
  WriteSealed(two, "", 100);
  Open();
  CheckOk(Set(*store, "c", "3"));
  LONGS_EQUAL(100, testing::LogOf(scratch.path()).back().sequence);
}

TEST(Recovery, SyncsWhatItServesAndMarksItWithTheFirstWrite) {
  WriteActive(two);
  faults::Clear();
  Open();
  CHECK_TRUE(faults::Count(Call::kFdatasync) > 0);
  CheckOk(Set(*store, "c", "3"));
  const auto log = testing::LogOf(scratch.path());
  LONGS_EQUAL(4, log.size());
  CHECK_TRUE(log[2].mark);
  LONGS_EQUAL(116, log[2].claims);
  store.reset();
  WriteFile(kFirst, Flipped(scratch.Read(kFirst), 64));
  LONGS_EQUAL(0, ::unlink(scratch.File("000000000001.hint").c_str()));
  CheckRefused(Code::kCorrupt, "offset 64");
}

TEST(Recovery, WhatItServesMustBeSyncable) {
  WriteActive(two);
  faults::FailOnce(Call::kFdatasync, EIO);
  CHECK_EQUAL(Code::kIo, testing::OpenError(scratch.path()).code());
  Open();
  CheckValue(*store, "a", "1");
}

// ---- the active segment's tail

TEST(Recovery, ZerosBehindTheLastRecordAreACleanEnd) {
  WriteActive(two + std::string(5000, '\0'));
  Open();
  LONGS_EQUAL(2, store->Count());
  LONGS_EQUAL(0, store->Stats().recovered_truncated_bytes);
  LONGS_EQUAL(64 + two.size(), scratch.Read(kFirst).size());
  CHECK_TRUE(testing::HasNoLeftovers(scratch.path()));
  CheckOk(Set(*store, "c", "3"));
  Open();
  LONGS_EQUAL(3, store->Count());
}

TEST(Recovery, ATailTornAtEveryByteOfTheLastGroupIsCutAndKept) {
  const std::string group = EncodeTombstone(3, "a", kGroupGoesOn) + EncodeSet(4, "c", "3");
  for (size_t size = 1; size < group.size(); size++) CheckCut(116, two + group.substr(0, size));
}

TEST(Recovery, ADamagedTailThatNoMarkClaimsIsCutAndKept) {
  for (size_t at = 26; at < 52; at += 5) CheckCut(90, Flipped(two, at));
  CheckCut(64, Flipped(two, 0));
  CheckCut(116, two + std::string(100, '\0') + "garbage");
}

TEST(Recovery, AMarkOfWhatIsBeforeTheDamageDoesNotKeepItFromBeingCut) {
  CheckCut(64, Flipped(two, 0) + EncodeMark(3, 64));
  CheckCut(90, Flipped(two, 26) + EncodeMark(3, 90));
}

TEST(Recovery, WritesGoOnBehindACut) {
  WriteActive(two + "torn");
  Open();
  CheckOk(Set(*store, "c", "3"));
  Open();
  LONGS_EQUAL(3, store->Count());
  CheckValue(*store, "c", "3");
}

TEST(Recovery, ASecondCutAtTheSameOffsetKeepsTheFirst) {
  for (const char* torn : {"first", "second", "third"}) {
    WriteActive(two + torn);
    Open();
    store.reset();
  }
  STRCMP_EQUAL("first", scratch.Read("000000000001.log.cut-116").c_str());
  STRCMP_EQUAL("second", scratch.Read("000000000001.log.cut-116.1").c_str());
  STRCMP_EQUAL("third", scratch.Read("000000000001.log.cut-116.2").c_str());
}

TEST(Recovery, NothingIsCutUnlessItIsKeptAndNoHalfKeptFileStays) {
  WriteActive(two + "torn");
  for (const size_t skip : {0, 1}) {  // the file, the directory
    faults::FailOnce(Call::kFsync, EIO, skip);
    CHECK_EQUAL(Code::kIo, testing::OpenError(scratch.path()).code());
    faults::Clear();
    LONGS_EQUAL(64 + two.size() + 4, scratch.Read(kFirst).size());
  }
  Open();
  CHECK_TRUE(scratch.Has("000000000001.log.cut-116"));
  CHECK_FALSE(scratch.Has("000000000001.log.cut-116.1"));
}

TEST(Recovery, OnAFullDiskATailIsKeptInTheRoomOfTheReserve) {
  WriteActive(two);
  Open();
  store.reset();
  for (const std::string& name : testing::FilesIn(scratch.path())) {
    if (name.ends_with(".hint")) (void)::unlink(scratch.File(name).c_str());
  }
  WriteFile(kFirst, SegmentBytes(1, two + "torn"));
  faults::FailOnce(Call::kFsync, ENOSPC, 1);  // behind that of the directory
  Open();
  STRCMP_EQUAL("torn", scratch.Read("000000000001.log.cut-116").c_str());
  LONGS_EQUAL(keystone::Reserve::kSizeBytes, scratch.Read(keystone::kReserveName).size());
  LONGS_EQUAL(2, store->Count());
}

TEST(Recovery, WithoutRoomForTheTailTheReserveStaysAndNothingIsCut) {
  WriteActive(two + "torn");
  faults::Fail(Call::kFsync, ENOSPC, 1);
  CHECK_EQUAL(Code::kNoSpace, testing::OpenError(scratch.path()).code());
  LONGS_EQUAL(keystone::Reserve::kSizeBytes, scratch.Read(keystone::kReserveName).size());
  LONGS_EQUAL(64 + two.size() + 4, scratch.Read(kFirst).size());
  CHECK_FALSE(scratch.Has("000000000001.log.cut-116"));
}

TEST(Recovery, LeftoversMakeRoomForATail) {
  WriteActive(two + "torn");
  scratch.Write("MANIFEST.tmp", "left");
  faults::Fail(Call::kFsync, EIO, 2);  // behind two of the directory
  CHECK_EQUAL(Code::kIo, testing::OpenError(scratch.path()).code());
  CHECK_FALSE(scratch.Has("MANIFEST.tmp"));
  LONGS_EQUAL(64 + two.size() + 4, scratch.Read(kFirst).size());
}

TEST(Recovery, AForgedMarkInATornValueDoesNotKeepTheStoreFromStarting) {
  const std::string record = EncodeSet(3, "k", EncodeMark(9, 117) + "more");
  CheckCut(116, two + record.substr(0, record.size() - 2));
}

// ---- bit rot

TEST(Recovery, DamageThatALaterMarkClaimsIsRefused) {
  for (size_t at = 0; at < 26; at++) {
    WriteActive(Flipped(two, at) + EncodeMark(3, 116));
    CheckRefused(Code::kCorrupt, "000000000001.log: offset 64");
  }
  CheckRefused(Code::kCorrupt, "keystone-log check");
}

TEST(Recovery, DamageInAnyByteOfASealedSegmentIsRefused) {
  for (size_t at = 0; at < 64 + two.size(); at++) {
    WriteSealed(two, EncodeSet(3, "c", "3"), 3);
    WriteFile(kFirst, Flipped(scratch.Read(kFirst), at));
    CheckRefused(Code::kCorrupt, kFirst);
  }
}

TEST(Recovery, ASealedSegmentCutAnywhereButBehindAGroupIsRefused) {
  for (size_t size = 0; size < 64 + two.size(); size++) {
    if (size == 64 || size == 90) continue;
    WriteSealed(two, EncodeSet(3, "c", "3"), 3);
    WriteFile(kFirst, scratch.Read(kFirst).substr(0, size));
    CheckRefused(Code::kCorrupt, kFirst);
  }
}

TEST(Recovery, ZerosInASealedSegmentAreRefused) {
  WriteSealed(two + std::string(100, '\0'), "", 3);
  CheckRefused(Code::kCorrupt, "zeros where records were on stable storage");
}

TEST(Recovery, ATornTailBehindADamagedSealedSegmentIsLeftAlone) {
  WriteSealed(Flipped(two, 30), EncodeSet(3, "c", "3") + "torn", 3);
  scratch.Write("leftover.tmp", "");
  CheckRefused(Code::kCorrupt, kFirst);
}

TEST(Recovery, ADamagedHeaderOfTheActiveSegmentIsRefused) {
  for (size_t at = 0; at < 64; at++) {
    WriteActive(two);
    WriteFile(kFirst, Flipped(scratch.Read(kFirst), at));
    CheckRefused(Code::kCorrupt, "offset 0");
  }
}

TEST(Recovery, AnUnknownFlagInTheActiveTailIsRefusedByName) {
  WriteActive(two + EncodeSet(3, "c", "3", 8));
  CheckRefused(Code::kCorrupt, "unknown record flag, written by a newer version");
}

TEST(Recovery, SegmentsWhoseSequencesRunBackwardsAreRefused) {
  WriteSealed(two, EncodeSet(2, "c", "3"), 2);
  CheckRefused(Code::kCorrupt,
               "000000000002.log: offset 64: sequence number 2 behind 2 in the segments before it");
  WriteFile(kFirst, SegmentBytes(1, EncodeSet(8, "a", "1") + EncodeSet(9, "b", "2"), 8));
  WriteFile(kSecond, SegmentBytes(2, "", 1));
  WriteFile(kThird, SegmentBytes(3, EncodeSet(5, "a", "old"), 5));
  WriteManifest({1, 2, 3});
  CheckRefused(Code::kCorrupt, "000000000003.log: offset 64: sequence number 5 behind 9");
}

TEST(Recovery, SegmentsWhoseHintsRunBackwardsAreRefused) {
  WriteActive(two);
  Open();
  store.reset();  // makes a hint of the active segment
  WriteFile(kSecond, SegmentBytes(2, EncodeSet(3, "c", "3"), 3));
  WriteManifest({1, 2});
  Open();
  store.reset();
  CHECK_TRUE(scratch.Has("000000000001.hint") && scratch.Has("000000000002.hint"));
  WriteManifest({2, 1});
  CheckRefused(Code::kCorrupt, "000000000001.log: offset 64: sequence number 1 behind 3");
}

TEST(Recovery, ASegmentWithoutRecordsRunsNowhere) {
  WriteSealed(two, "", 1);
  Open();
  CheckOk(Set(*store, "c", "3"));
  Open();
  LONGS_EQUAL(3, store->Count());
}

// ---- a hand in the directory

TEST(Recovery, AMissingSegmentIsRefused) {
  WriteFile(kSecond, SegmentBytes(2, "", 3));
  WriteManifest({1, 2});
  CheckRefused(Code::kCorrupt,
               "000000000001.log: No such file or directory; the MANIFEST names it");
}

TEST(Recovery, AMissingActiveSegmentIsRefused) {
  WriteFile(kFirst, SegmentBytes(1, two));
  WriteManifest({1, 2});
  CheckRefused(Code::kCorrupt, kSecond);
}

TEST(Recovery, ASegmentOfAnotherStoreIsRefused) {
  WriteActive(two);
  keystone::StoreId other = SomeId();
  other[0]++;
  WriteFile(kFirst, SegmentBytes(1, two, 1, other));
  CheckRefused(Code::kCorrupt, "bears the id of another store");
}

TEST(Recovery, ASegmentUnderAnothersNameIsRefused) {
  WriteSealed(two, "", 3);
  WriteFile(kFirst, SegmentBytes(2, two));
  CheckRefused(Code::kCorrupt, "bears segment number 2");
}

TEST(Recovery, AMissingManifestBesideSegmentsIsRefused) {
  WriteFile(kFirst, SegmentBytes(1, two));
  CheckRefused(Code::kCorrupt, "MANIFEST: missing beside");
  WriteFile(kFirst, SegmentBytes(1, ""));
  WriteFile(kSecond, SegmentBytes(2, ""));
  CheckRefused(Code::kCorrupt, "MANIFEST: missing beside");
}

TEST(Recovery, AMissingManifestBesideALaterSegmentIsRefusedThoughItIsEmpty) {
  WriteFile(kSecond, SegmentBytes(2, ""));
  CheckRefused(Code::kCorrupt, "MANIFEST: missing beside");
}

TEST(Recovery, ADamagedManifestIsRefused) {
  WriteActive(two);
  WriteFile("MANIFEST", Flipped(scratch.Read("MANIFEST"), 40, 1));
  CheckRefused(Code::kCorrupt, "MANIFEST: checksum does not match");
  WriteFile("MANIFEST", "");
  CheckRefused(Code::kCorrupt, "MANIFEST");
}

TEST(Recovery, AnUnlistedFileThatIsNoSegmentOfThisStoreIsRefused) {
  WriteActive(two);
  WriteFile(kSecond, "somebody's file");
  CheckRefused(Code::kCorrupt, "the MANIFEST does not name it");
  keystone::StoreId other = SomeId();
  other[0]++;
  WriteFile(kSecond, SegmentBytes(2, "", 1, other));
  CheckRefused(Code::kCorrupt, "the MANIFEST does not name it");
}

// ---- what an interruption leaves

TEST(Recovery, AnInterruptedFirstStartBeginsAnew) {
  WriteFile(kFirst, SegmentBytes(1, ""));
  Open();
  CHECK_TRUE(testing::HasNoLeftovers(scratch.path()));
  CheckOk(Set(*store, "key", "value"));
  Open();
  CheckValue(*store, "key", "value");
}

TEST(Recovery, AFirstStartInterruptedBeforeAnyNameBeginsAnew) {
  scratch.Write("000000000001.log.tmp", "");
  scratch.Write("MANIFEST.tmp", "keystone");
  Open();
  CHECK_TRUE(testing::HasNoLeftovers(scratch.path()));
}

TEST(Recovery, AFirstStartThatFailsAnywhereCanBeRepeated) {
  for (const Call call : {Call::kFsync, Call::kRename, Call::kPwritev}) {
    for (size_t skip = 0; skip < 10; skip++) {
      const Scratch own;
      faults::FailOnce(call, EIO, skip);
      if (testing::OpenError(own.path()).ok()) break;
      faults::Clear();
      store = testing::OpenStore(own.path());
      CHECK_TRUE(testing::HasNoLeftovers(own.path()));
      CheckOk(Set(*store, "key", "value"));
      store.reset();
    }
  }
}

TEST(Recovery, UnlistedSegmentsAndTemporaryFilesAreRemoved) {
  WriteActive(two);
  WriteFile(kSecond, SegmentBytes(2, EncodeSet(3, "a", "unlisted"), 3));
  scratch.Write("000000000003.log.tmp", "half");
  scratch.Write("MANIFEST.tmp", "half");
  Open();
  CHECK_TRUE(testing::HasNoLeftovers(scratch.path()));
  CheckValue(*store, "a", "1");
}

TEST(Recovery, FilesOfOtherNamesAreLeftAlone) {
  WriteActive(two);
  for (const char* name : {"notes.txt", "000000000001.log.cut-64", "000000000001.log.bak"}) {
    scratch.Write(name, "kept");
  }
  Open();
  for (const char* name : {"notes.txt", "000000000001.log.cut-64", "000000000001.log.bak"}) {
    STRCMP_EQUAL("kept", scratch.Read(name).c_str());
  }
}

// ---- who may open it

TEST(Recovery, ADirectoryThatOthersMayWriteToIsRefused) {
  for (const mode_t mode : {0770, 0702, 0777}) {
    LONGS_EQUAL(0, ::chmod(scratch.path().c_str(), mode));
    const Status status = testing::OpenError(scratch.path());
    CHECK_EQUAL(Code::kPermission, status.code());
    CheckSays("chmod 700", status);
    struct stat info {};
    LONGS_EQUAL(0, ::stat(scratch.path().c_str(), &info));
    LONGS_EQUAL(mode, info.st_mode & 07777);
  }
  LONGS_EQUAL(0, ::chmod(scratch.path().c_str(), 0750));
  Open();
}

TEST(Recovery, AFileInPlaceOfTheDirectoryIsRefused) {
  scratch.Write("file", "");
  CHECK_EQUAL(Code::kCantCreate, testing::OpenError(scratch.File("file")).code());
}

TEST(Recovery, ADirectoryWithoutAParentIsRefused) {
  CHECK_EQUAL(Code::kCantCreate, testing::OpenError(scratch.File("no/such")).code());
}

TEST(Recovery, ADirectoryInUseIsRefusedAndFreeAgainAfterwards) {
  Open();
  const Status status = testing::OpenError(scratch.path());
  CHECK_EQUAL(Code::kRunning, status.code());
  CheckSays(scratch.path(), status);
  CheckOk(Set(*store, "key", "value"));
  Open();
  CheckValue(*store, "key", "value");
}

TEST(Recovery, AnOfflineToolMakesNothing) {
  CHECK_FALSE(keystone::Directory::OpenExisting(scratch.path()).ok());
  CHECK_TRUE(testing::FilesIn(scratch.path()).empty());
  Open();
  CHECK_EQUAL(Code::kRunning, keystone::Directory::OpenExisting(scratch.path()).status().code());
  store.reset();
  CheckOk(keystone::Directory::OpenExisting(scratch.path()).status());
}

// ---- progress

TEST_GROUP_BASE(RecoveryProgress, TEST_GROUP_CppUTestGroupRecovery) {
  std::vector<keystone::RecoveryProgress> seen;
  std::function<void()> meanwhile = [] {};

  // Opens a store of 4 MiB with a clock that is more than a second ahead at each look.
  Status OpenSlowly(bool go_on) {
    std::string records;
    const std::string value(4096, 'v');
    for (uint64_t i = 1; i <= 1000; i++) {
      records += EncodeSet(i, "key" + std::to_string(i), value);
    }
    WriteActive(records);
    clock_step_ms = 1500;
    auto opened = Store::Open({.directory = scratch.path(), .fsync = FsyncPolicy::kNo},
                              testing::Quiet(), [&](const keystone::RecoveryProgress& progress) {
                                seen.push_back(progress);
                                meanwhile();
                                return go_on;
                              });
    clock_step_ms = 0;
    clock_ahead_ms = 0;
    if (opened.ok()) store = std::move(opened.value());
    return opened.status();
  }
};

TEST(RecoveryProgress, IsReportedWhileItLasts) {
  CheckOk(OpenSlowly(true));
  LONGS_EQUAL(1000, store->Count());
  CHECK_TRUE(seen.size() >= 3);
  const uint64_t size = scratch.Read(kFirst).size();
  uint64_t last = 0;
  for (const keystone::RecoveryProgress& progress : seen) {
    LONGS_EQUAL(size, progress.bytes_total);
    CHECK_TRUE(progress.bytes_done >= last);
    CHECK_TRUE(progress.bytes_done <= progress.bytes_total);
    CHECK_TRUE(progress.records > 0);
    last = progress.bytes_done;
  }
}

TEST(RecoveryProgress, CanStopIt) {
  CHECK_EQUAL(Code::kCancelled, OpenSlowly(false).code());
  LONGS_EQUAL(1, seen.size());
  Open();
  LONGS_EQUAL(1000, store->Count());
}

TEST(RecoveryProgress, OfAFileThatIsCutMeanwhileEndsWithAnErrorAndChangesNothing) {
  CheckOk(keystone::BusGuard::Install());
  constexpr off_t kLeft = 1 << 20;
  meanwhile = [&] { LONGS_EQUAL(0, ::truncate(scratch.File(kFirst).c_str(), kLeft)); };
  const Status status = OpenSlowly(true);
  CHECK_EQUAL(Code::kIo, status.code());
  CheckSays(kFirst, status);
  LONGS_EQUAL(kLeft, scratch.Read(kFirst).size());
  CHECK_TRUE(testing::FilesIn(scratch.path()) ==
             (std::set<std::string>{kFirst, "LOCK", "MANIFEST"}));
}

TEST(RecoveryProgress, IsNotReportedOfAShortOne) {
  WriteActive(two);
  bool called = false;
  auto opened = Store::Open({.directory = scratch.path()}, testing::Quiet(),
                            [&](const keystone::RecoveryProgress&) { return called = true; });
  CheckOk(opened.status());
  CHECK_FALSE(called);
}
