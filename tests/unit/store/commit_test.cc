#include "store/commit.h"

#include <atomic>
#include <cerrno>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "faults.h"
#include "scratch.h"
#include "store/testing.h"

using faults::Call;
using keystone::Batch;
using keystone::Code;
using keystone::FsyncPolicy;
using keystone::kSegmentHeaderSize;
using keystone::Status;
using testing::CheckOk;
using testing::CheckSays;
using testing::CheckValue;
using testing::Delete;
using testing::EncodeMark;
using testing::EncodeSet;
using testing::EncodeTombstone;
using testing::Entry;
using testing::kSmallSegment;
using testing::RunThreads;
using testing::Set;

namespace {

constexpr char kFirst[] = "000000000001.log";

// A meeting point for threads that shall do something at the same moment, again and again.
class Meeting {
 public:
  explicit Meeting(int count) : count_(count) {}

  void Wait() {
    const int round = round_;
    if (++waiting_ == count_) {
      waiting_ = 0;
      round_++;
    }
    while (round_ == round) std::this_thread::yield();
  }

 private:
  const int count_;
  std::atomic<int> waiting_{0};
  std::atomic<int> round_{0};
};

// The log without its segments' headers.
std::string WithoutReserve(std::string bytes) {
  bytes.resize(bytes.find_last_not_of('\0') + 1);
  return bytes;
}

std::string RecordsIn(const Scratch& scratch) {
  return scratch.Read(kFirst).substr(kSegmentHeaderSize);
}

bool SequencesHaveNoHoles(const std::vector<Entry>& log) {
  for (size_t i = 0; i < log.size(); i++) {
    if (log[i].sequence != i + 1) return false;
  }
  return true;
}

}  // namespace

TEST_GROUP_BASE(Commit, testing::StoreTest) {
  using StoreTest::store;

  // Fills the first small segment until the next write of 1000 bytes has to begin another.
  void FillSegment() {
    for (int i = 0; i < 3; i++) CheckOk(Set(*store, "fill" + std::to_string(i), Thousand()));
    LONGS_EQUAL(1, store->Stats().segments);
  }

  static std::string Thousand() { return std::string(1000, 'x'); }

  // A write that has to rotate fails, and leaves a store that works and has no file too many.
  void CheckFailedRotation(Code code) {
    CHECK_EQUAL(code, Set(*store, "key", Thousand()).code());
    faults::Clear();
    CHECK_TRUE(testing::HasNoLeftovers(scratch.path()));
    CheckValue(*store, "key", "(none)");
    CheckValue(*store, "fill0", Thousand());
    CheckOk(Set(*store, "key", Thousand()));
    LONGS_EQUAL(2, store->Stats().segments);
    CHECK_TRUE(testing::HasNoLeftovers(scratch.path()));
    Open(FsyncPolicy::kNo, kSmallSegment);
    CheckValue(*store, "key", Thousand());
    CheckValue(*store, "fill2", Thousand());
  }
};

// ---- the bytes

TEST(Commit, ABatchIsOneGroupAndOneWrite) {
  Open();
  Batch batch;
  batch.Set("a", "1");
  batch.Set("b", "2");
  CheckOk(store->Apply(&batch));
  LONGS_EQUAL(1, faults::Count(Call::kPwritev));
  LONGS_EQUAL(0, faults::Count(Call::kFdatasync));
  CHECK_TRUE(RecordsIn(scratch) ==
             EncodeSet(1, "a", "1", keystone::kGroupGoesOn) + EncodeSet(2, "b", "2"));
}

TEST(Commit, AnEmptyBatchWritesNothing) {
  Open(FsyncPolicy::kAlways);
  Batch batch;
  CheckOk(store->Apply(&batch));
  LONGS_EQUAL(0, faults::Count(Call::kPwritev));
}

TEST(Commit, UnderAlwaysEveryRoundIsSyncedAndBeginsWithAMarkOfAllBeforeIt) {
  Open(FsyncPolicy::kAlways);
  CheckOk(Set(*store, "a", "1"));
  CheckOk(Set(*store, "b", "2"));
  CheckOk(Delete(*store, "a"));
  LONGS_EQUAL(3, faults::Count(Call::kFdatasync));
  LONGS_EQUAL(3, faults::Count(Call::kPwritev));
  CHECK_TRUE(WithoutReserve(RecordsIn(scratch)) ==
             EncodeMark(1, 64) + EncodeSet(2, "a", "1") + EncodeMark(3, 122) +
                 EncodeSet(4, "b", "2") + EncodeMark(5, 180) + EncodeTombstone(6, "a"));
}

TEST(Commit, UnderAlwaysTheFileGrowsByZerosInAdvance) {
  Open(FsyncPolicy::kAlways);
  CheckOk(Set(*store, "a", "1"));
  const std::string bytes = scratch.Read(kFirst);
  CHECK_TRUE(bytes.size() > 256 * 1024);
  LONGS_EQUAL(122, WithoutReserve(bytes).size());
  CheckOk(Set(*store, "b", "2"));
  LONGS_EQUAL(bytes.size(), scratch.Read(kFirst).size());
  LONGS_EQUAL(180, store->Stats().log_bytes);
  store.reset();
  LONGS_EQUAL(180, scratch.Read(kFirst).size());
}

TEST(Commit, ASealedSegmentHasNoZerosAtItsEnd) {
  Open(FsyncPolicy::kAlways, uint64_t{1} << 20);
  const std::string value(100 * 1024, 'v');
  for (int i = 0; i < 12; i++) CheckOk(Set(*store, "key" + std::to_string(i), value));
  const std::string sealed = scratch.Read(kFirst);
  LONGS_EQUAL('v', sealed.back());
  CHECK_TRUE(scratch.Has("000000000002.log"));
  Open();
  LONGS_EQUAL(12, store->Count());
}

TEST(Commit, WhereTheZerosCantBeCutOffTheSegmentIsNotSealed) {
  Open(FsyncPolicy::kAlways, uint64_t{1} << 20);
  CheckOk(Set(*store, "a", std::string(600 * 1024, 'a')));
  const std::string big(500 * 1024, 'b');
  faults::FailOnce(Call::kFtruncate, EIO);
  CHECK_EQUAL(Code::kIo, Set(*store, "b", big).code());
  CHECK_FALSE(scratch.Has("000000000002.log"));
  CheckOk(Set(*store, "b", big));
  CHECK_TRUE(scratch.Has("000000000002.log"));
  LONGS_EQUAL('a', scratch.Read(kFirst).back());
  Open();
  LONGS_EQUAL(2, store->Count());
}

TEST(Commit, WhereThereIsNoRoomForZerosTheWriteIsDoneAllTheSame) {
  Open(FsyncPolicy::kAlways);
  faults::FailOnce(Call::kPwritev, ENOSPC);
  CheckOk(Set(*store, "a", "1"));
  LONGS_EQUAL(122, scratch.Read(kFirst).size());
  faults::TearNextWrite(ENOSPC);
  CHECK_EQUAL(Code::kNoSpace, Set(*store, "b", "2").code());
  faults::Clear();
  faults::TearNextWrite(ENOSPC);  // of the write with zeros
  CheckOk(Set(*store, "b", "3"));
  CheckValue(*store, "b", "3");
  Open();
  CheckValue(*store, "a", "1");
  CheckValue(*store, "b", "3");
}

TEST(Commit, OtherwiseAMarkComesWithTheFirstWriteAfterASync) {
  for (const FsyncPolicy fsync : {FsyncPolicy::kEverySecond, FsyncPolicy::kNo}) {
    const Scratch own;
    store = testing::OpenStore(own.path(), fsync);
    CheckOk(Set(*store, "a", "1"));
    CheckOk(store->Sync());
    CheckOk(store->Sync());
    CheckOk(Set(*store, "b", "2"));
    store.reset();
    const std::vector<Entry> log = testing::LogOf(own.path());
    // The syncer may have come by before "a", and then it marked that.
    CHECK_TRUE(log.size() >= 3);
    const Entry& mark = log[log.size() - 2];
    CHECK_TRUE(mark.mark);
    LONGS_EQUAL(mark.offset, mark.claims);
    STRCMP_EQUAL("b", log.back().key.c_str());
  }
}

TEST(Commit, WithoutASyncThereIsNoMark) {
  Open();
  for (int i = 0; i < 5; i++) CheckOk(Set(*store, "a", "1"));
  for (const Entry& entry : testing::LogOf(scratch.path())) CHECK_FALSE(entry.mark);
}

// ---- deletes

TEST(Commit, DeletingAnAbsentKeyWritesNothing) {
  Open(FsyncPolicy::kAlways);
  bool took_effect = true;
  CheckOk(Delete(*store, "absent", &took_effect));
  CHECK_FALSE(took_effect);
  LONGS_EQUAL(0, faults::Count(Call::kPwritev));
  CHECK_TRUE(RecordsIn(scratch).empty());
}

TEST(Commit, DeletesOfABatchAreDecidedInItsOrder) {
  Open();
  CheckOk(Set(*store, "old", "1"));
  Batch batch;
  batch.Delete("old");  // 0: was there
  batch.Set("old", "2");
  batch.Delete("old");  // 2: set by this batch
  batch.Delete("old");  // 3: gone by now
  batch.Delete("new");  // 4: never was
  batch.Set("new", "3");
  CheckOk(store->Apply(&batch));
  const std::vector<bool> expected{true, true, true, false, false, true};
  for (size_t i = 0; i < expected.size(); i++) {
    CHECK_EQUAL(expected[i], batch.operations()[i].took_effect);
  }
  CheckValue(*store, "old", "(none)");
  CheckValue(*store, "new", "3");
  LONGS_EQUAL(1, store->Count());
  Open();
  CheckValue(*store, "old", "(none)");
  CheckValue(*store, "new", "3");
}

TEST(Commit, OfClientsThatDeleteTheSameKeyExactlyOneTakesEffect) {
  constexpr int kThreads = 4;
  constexpr int kRounds = 60;
  for (const FsyncPolicy fsync : {FsyncPolicy::kNo, FsyncPolicy::kAlways}) {
    Open(fsync);
    std::vector<std::atomic<int>> effects(kRounds);
    std::atomic<int> errors{0};
    Meeting meeting(kThreads);
    RunThreads(kThreads, [&](int thread) {
      for (size_t i = 0; i < kRounds; i++) {
        const std::string key = "key" + std::to_string(i);
        if (thread == 0 && !Set(*store, key, "value").ok()) errors++;
        meeting.Wait();
        bool took_effect = false;
        if (!Delete(*store, key, &took_effect).ok()) errors++;
        if (took_effect) effects[i]++;
      }
    });
    LONGS_EQUAL(0, errors);
    for (const auto& effect : effects) LONGS_EQUAL(1, effect);
    LONGS_EQUAL(0, store->Count());
  }
}

TEST(Commit, SetsAndDeletesOfManyClientsAreDecidedInTheOrderOfTheLog) {
  Open(FsyncPolicy::kAlways);
  std::atomic<int> errors{0};
  std::atomic<int> deleted{0};
  RunThreads(4, [&](int thread) {
    std::minstd_rand random(static_cast<unsigned>(thread) + 1);
    for (int i = 0; i < 100; i++) {
      const std::string key = "key" + std::to_string(random() % 4);
      Batch batch;
      if (random() % 2 != 0) batch.Set(key, "value");
      batch.Delete(key);
      if (!store->Apply(&batch).ok()) errors++;
      for (const keystone::Operation& operation : batch.operations()) {
        const bool is_delete = operation.kind == keystone::Operation::Kind::kDelete;
        if (is_delete && operation.took_effect) deleted++;
      }
    }
  });
  LONGS_EQUAL(0, errors);
  std::map<std::string, bool> there;
  int tombstones = 0;
  for (const Entry& entry : testing::LogOf(scratch.path())) {
    if (entry.mark) continue;
    if (entry.tombstone) CHECK_TRUE(there[entry.key]);
    if (entry.tombstone) tombstones++;
    there[entry.key] = !entry.tombstone;
  }
  LONGS_EQUAL(deleted, tombstones);
}

TEST(Commit, ADeleteThatCantBeDecidedFailsAlone) {
  Open(FsyncPolicy::kAlways);
  CheckOk(Set(*store, "damaged", "value"));
  testing::FlipByte(scratch.File(kFirst), kSegmentHeaderSize + 32 + 24);
  std::atomic<int> deleted{0};
  std::atomic<int> refused{0};
  std::atomic<bool> stop{false};
  RunThreads(4, [&](int thread) {
    if (thread < 2) {
      while (!stop) {
        if (Delete(*store, "damaged").code() != Code::kCorrupt) deleted++;
      }
      return;
    }
    for (int i = 0; i < 100; i++) {
      if (!Set(*store, "key" + std::to_string(thread), "value").ok()) refused++;
    }
    stop = true;
  });
  LONGS_EQUAL(0, deleted);
  LONGS_EQUAL(0, refused);
}

// ---- many clients

TEST(Commit, ManyThreadsWriteOneLogInTheirOwnOrders) {
  constexpr int kThreads = 8;
  constexpr int kBatches = 60;
  Open(FsyncPolicy::kAlways, 64u << 10);
  std::atomic<int> errors{0};
  RunThreads(kThreads, [&](int thread) {
    const std::string name = "thread" + std::to_string(thread);
    for (int i = 0; i < kBatches; i++) {
      const std::string value = std::to_string(i);
      const std::string second = name + "." + value;
      Batch batch;
      batch.Set(name, value);
      if (i % 3 == 0) batch.Set(second, value);
      if (!store->Apply(&batch).ok()) errors++;
      if (testing::ValueOf(*store, name) != value) errors++;
    }
  });
  LONGS_EQUAL(0, errors);
  const std::vector<Entry> log = testing::LogOf(scratch.path());
  CHECK_TRUE(SequencesHaveNoHoles(log));
  std::map<std::string, int> next;
  for (size_t i = 0; i < log.size(); i++) {
    if (log[i].mark || log[i].key.find('.') != std::string::npos) continue;
    LONGS_EQUAL(next[log[i].key]++, std::stoi(log[i].value));
    // A batch's second record is its neighbour, whoever else is in the round.
    if (log[i].goes_on)
      STRCMP_EQUAL((log[i].key + "." + log[i].value).c_str(), log[i + 1].key.c_str());
  }
  LONGS_EQUAL(kThreads, next.size());
  for (const auto& [name, count] : next) LONGS_EQUAL(kBatches, count);
  Open(FsyncPolicy::kNo);
  for (const auto& [name, count] : next) CheckValue(*store, name, std::to_string(count - 1));
}

TEST(Commit, BatchesThatWaitTogetherShareOneWriteAndOneSync) {
  Open(FsyncPolicy::kAlways);
  size_t batches = 0;
  testing::WaitUntil([&] {
    RunThreads(8, [&](int thread) {
      for (int i = 0; i < 20; i++) (void)Set(*store, "key" + std::to_string(thread), "value");
    });
    batches += size_t{8} * 20;
    return faults::Count(Call::kPwritev) < batches && faults::Count(Call::kFdatasync) < batches;
  });
  LONGS_EQUAL(faults::Count(Call::kFdatasync), faults::Count(Call::kPwritev));
  LONGS_EQUAL(faults::Count(Call::kFdatasync), store->Stats().fsyncs);
}

TEST(Commit, SyncsOfClientsGoOnWhileSegmentsAreBegun) {
  Open(FsyncPolicy::kEverySecond, kSmallSegment);
  std::atomic<int> errors{0};
  std::atomic<bool> stop{false};
  RunThreads(3, [&](int thread) {
    if (thread > 0) {
      while (!stop) {
        if (!store->Sync().ok()) errors++;
      }
      return;
    }
    for (int i = 0; i < 60; i++) {
      if (!Set(*store, "key" + std::to_string(i), Thousand()).ok()) errors++;
    }
    stop = true;
  });
  LONGS_EQUAL(0, errors);
  LONGS_EQUAL(60, store->Count());
}

// ---- a full disk, a torn write

TEST(Commit, AFullDiskRefusesAWriteAndTheNextOneWorks) {
  Open(FsyncPolicy::kAlways);
  CheckOk(Set(*store, "a", "1"));
  const std::string before = WithoutReserve(scratch.Read(kFirst));
  faults::FailOnce(Call::kPwritev, ENOSPC);
  const Status status = Set(*store, "b", "2");
  CHECK_EQUAL(Code::kNoSpace, status.code());
  CheckSays("No space left on device", status);
  CHECK_TRUE(scratch.Read(kFirst) == before);
  CheckValue(*store, "a", "1");
  CheckValue(*store, "b", "(none)");
  LONGS_EQUAL(1, store->Stats().write_errors);
  CHECK_FALSE(store->Stats().read_only);
  CheckOk(Set(*store, "b", "3"));
  CheckValue(*store, "b", "3");
  CHECK_TRUE(SequencesHaveNoHoles(testing::LogOf(scratch.path())));
}

TEST(Commit, AnOverdrawnQuotaIsAFullDiskAndWhatElseRefusesAWriteIsToldApart) {
  Open();
  const std::pair<int, Code> rows[] = {
      {EDQUOT, Code::kNoSpace}, {EFBIG, Code::kFileLimit}, {EIO, Code::kIo}};
  for (const auto& [error, code] : rows) {
    faults::FailOnce(Call::kPwritev, error);
    CHECK_EQUAL(code, Set(*store, "key", "value").code());
  }
  CheckOk(Set(*store, "key", "value"));
}

TEST(Commit, ARefusedBatchLeavesNoneOfItsOperations) {
  Open();
  CheckOk(Set(*store, "a", "1"));
  faults::FailOnce(Call::kPwritev, ENOSPC);
  Batch batch;
  batch.Delete("a");
  batch.Set("b", "2");
  CHECK_EQUAL(Code::kNoSpace, store->Apply(&batch).code());
  CheckValue(*store, "a", "1");
  CheckValue(*store, "b", "(none)");
  LONGS_EQUAL(2, store->Stats().write_errors);
}

TEST(Commit, ATornWriteLeavesNoHalfRecord) {
  Open(FsyncPolicy::kAlways);
  CheckOk(Set(*store, "a", "1"));
  const std::string before = WithoutReserve(scratch.Read(kFirst));
  faults::TearNextWrite(EIO);
  CHECK_EQUAL(Code::kIo, Set(*store, "b", "2").code());
  CHECK_TRUE(scratch.Read(kFirst) == before);
  CheckOk(Set(*store, "c", "3"));
  CHECK_TRUE(SequencesHaveNoHoles(testing::LogOf(scratch.path())));
}

TEST(Commit, ATornWriteThatCantBeCutBackTurnsTheStoreReadOnlyUntilACompaction) {
  Open();
  CheckOk(Set(*store, "a", "1"));
  faults::TearNextWrite(EIO);
  faults::FailOnce(Call::kFtruncate, EIO);
  CHECK_EQUAL(Code::kReadOnly, Set(*store, "b", "2").code());
  CHECK_EQUAL(Code::kReadOnly, Set(*store, "b", "2").code());
  CheckValue(*store, "a", "1");
  CheckOk(store->Compact(keystone::CompactionMode::kStopTheWorld));
  CheckOk(Set(*store, "b", "3"));
  Open();
  CheckValue(*store, "a", "1");
  CheckValue(*store, "b", "3");
}

// ---- a failed sync

TEST(Commit, AFailedSyncRefusesTheWriteAndAllThatFollow) {
  Open(FsyncPolicy::kAlways);
  CheckOk(Set(*store, "a", "1"));
  faults::FailOnce(Call::kFdatasync, EIO);
  const Status status = Set(*store, "b", "2");
  CHECK_EQUAL(Code::kReadOnly, status.code());
  CheckSays("fdatasync", status);
  CheckValue(*store, "b", "(none)");
  const size_t writes = faults::Count(Call::kPwritev);
  const size_t syncs = faults::Count(Call::kFdatasync);
  CHECK_EQUAL(Code::kReadOnly, Set(*store, "c", "3").code());
  CHECK_EQUAL(Code::kReadOnly, Delete(*store, "a").code());
  CHECK_EQUAL(Code::kReadOnly, store->Sync().code());
  LONGS_EQUAL(writes, faults::Count(Call::kPwritev));
  LONGS_EQUAL(syncs, faults::Count(Call::kFdatasync));
  CheckValue(*store, "a", "1");
  LONGS_EQUAL(1, store->Count());
  CHECK_TRUE(store->Stats().read_only);
  LONGS_EQUAL(3, store->Stats().write_errors);
}

TEST(Commit, WhatAFailedSyncRefusedDoesNotComeBackWithARestart) {
  Open(FsyncPolicy::kAlways);
  CheckOk(Set(*store, "a", "1"));
  faults::FailOnce(Call::kFdatasync, EIO);
  CHECK_EQUAL(Code::kReadOnly, Set(*store, "a", "2").code());
  Open(FsyncPolicy::kAlways);
  CheckValue(*store, "a", "1");
  CheckOk(Set(*store, "a", "3"));
}

TEST(Commit, ACompactionCuresAFailedSync) {
  Open(FsyncPolicy::kAlways);
  CheckOk(Set(*store, "a", "1"));
  faults::FailOnce(Call::kFdatasync, EIO);
  CHECK_EQUAL(Code::kReadOnly, Set(*store, "b", "2").code());
  CheckOk(store->Compact(keystone::CompactionMode::kStopTheWorld));
  CHECK_FALSE(store->Stats().read_only);
  CheckOk(Set(*store, "c", "3"));
  CheckOk(store->Sync());
  Open();
  CheckValue(*store, "a", "1");
  CheckValue(*store, "b", "(none)");
  CheckValue(*store, "c", "3");
}

TEST(Commit, ACompactionThatFailsCuresNothing) {
  Open(FsyncPolicy::kAlways);
  CheckOk(Set(*store, "a", "1"));
  faults::FailOnce(Call::kFdatasync, EIO);
  CHECK_EQUAL(Code::kReadOnly, Set(*store, "b", "2").code());
  faults::FailOnce(Call::kFsync, EIO);
  CHECK_EQUAL(Code::kIo, store->Compact(keystone::CompactionMode::kStopTheWorld).code());
  CHECK_EQUAL(Code::kReadOnly, Set(*store, "b", "2").code());
  CheckValue(*store, "a", "1");
}

TEST(Commit, AFailedSyncOfAClientTurnsTheStoreReadOnlyAndReadsGoOn) {
  Open();
  CheckOk(Set(*store, "a", "1"));
  faults::FailOnce(Call::kFdatasync, EIO);
  CHECK_EQUAL(Code::kReadOnly, store->Sync().code());
  CHECK_EQUAL(Code::kReadOnly, Set(*store, "b", "2").code());
  CheckValue(*store, "a", "1");
}

TEST(Commit, AFailedSyncRefusesEveryBatchOfItsRound) {
  Open(FsyncPolicy::kAlways);
  faults::Fail(Call::kFdatasync, EIO);
  std::atomic<int> refused{0};
  RunThreads(8, [&](int thread) {
    const Status status = Set(*store, "key" + std::to_string(thread), "value");
    if (status.code() == Code::kReadOnly) refused++;
  });
  LONGS_EQUAL(8, refused);
  LONGS_EQUAL(1, faults::Count(Call::kFdatasync));
  LONGS_EQUAL(0, store->Count());
}

// ---- rotation

TEST(Commit, SegmentsAreSealedAtTheirSize) {
  Open(FsyncPolicy::kAlways, kSmallSegment);
  for (int i = 0; i < 20; i++) CheckOk(Set(*store, "key" + std::to_string(i), Thousand()));
  const keystone::StoreStats stats = store->Stats();
  LONGS_EQUAL(7, stats.segments);  // three a segment
  CHECK_TRUE(stats.log_bytes <= 7 * kSmallSegment);
  store.reset();
  CHECK_TRUE(testing::HasNoLeftovers(scratch.path()));
  const auto manifest = keystone::LoadManifest(scratch.path());
  LONGS_EQUAL(7, manifest.value().segments.size());
  for (const uint64_t number : manifest.value().segments) {
    CHECK_TRUE(scratch.Read(keystone::SegmentName(number)).size() <= kSmallSegment);
  }
  CHECK_TRUE(SequencesHaveNoHoles(testing::LogOf(scratch.path())));
  Open(FsyncPolicy::kNo, kSmallSegment);
  for (int i = 0; i < 20; i++) CheckValue(*store, "key" + std::to_string(i), Thousand());
}

TEST(Commit, ASegmentIsFilledToItsLastByte) {
  Open(FsyncPolicy::kNo, kSmallSegment);
  const size_t room = kSmallSegment - keystone::kSegmentHeaderSize;
  CheckOk(Set(*store, "k", std::string(room - keystone::kRecordHeaderSize - 1, 'v')));
  LONGS_EQUAL(1, store->Stats().segments);
  LONGS_EQUAL(kSmallSegment, store->Stats().log_bytes);
  CheckOk(Set(*store, "l", "1"));
  LONGS_EQUAL(2, store->Stats().segments);
}

TEST(Commit, MarksBeginAnewInEachSegment) {
  Open(FsyncPolicy::kAlways, kSmallSegment);
  for (int i = 0; i < 10; i++) CheckOk(Set(*store, "key" + std::to_string(i), Thousand()));
  for (const Entry& entry : testing::LogOf(scratch.path())) {
    if (entry.mark) LONGS_EQUAL(entry.offset, entry.claims);
  }
}

TEST(Commit, AGroupBiggerThanASegmentHasOneToItself) {
  Open(FsyncPolicy::kNo, kSmallSegment);
  CheckOk(Set(*store, "before", "1"));
  Batch batch;
  std::vector<std::string> keys;
  for (int i = 0; i < 20; i++) keys.push_back("group" + std::to_string(i));
  const std::string value = Thousand();
  for (const std::string& key : keys) batch.Set(key, value);
  CheckOk(store->Apply(&batch));
  CheckOk(Set(*store, "behind", "2"));
  LONGS_EQUAL(3, store->Stats().segments);
  LONGS_EQUAL(20, testing::Entries(scratch.Read("000000000002.log")).size());
  Open(FsyncPolicy::kNo, kSmallSegment);
  LONGS_EQUAL(22, store->Count());
  for (const std::string& key : keys) CheckValue(*store, key, value);
}

TEST(Commit, AFailedRenameAtARotationLeavesTheStoreUsableAndNoFileBehind) {
  for (const size_t skip : {0, 1}) {  // of the segment, of the MANIFEST
    const Scratch own;
    store = testing::OpenStore(own.path(), FsyncPolicy::kNo, kSmallSegment);
    FillSegment();
    faults::Clear();
    faults::FailOnce(Call::kRename, EIO, skip);
    CHECK_EQUAL(Code::kIo, Set(*store, "key", Thousand()).code());
    CHECK_TRUE(testing::HasNoLeftovers(own.path()));
    CheckOk(Set(*store, "key", Thousand()));
    CHECK_TRUE(testing::HasNoLeftovers(own.path()));
    store = nullptr;
    store = testing::OpenStore(own.path(), FsyncPolicy::kNo, kSmallSegment);
    LONGS_EQUAL(4, store->Count());
    store.reset();
  }
}

TEST(Commit, ANewSegmentThatCantBeSyncedIsNotUsed) {
  Open(FsyncPolicy::kNo, kSmallSegment);
  FillSegment();
  faults::FailOnce(Call::kFsync, EIO);
  CheckFailedRotation(Code::kIo);
}

TEST(Commit, ANewSegmentThatCantBeMadeOnAFullDiskIsNotUsed) {
  Open(FsyncPolicy::kNo, kSmallSegment);
  FillSegment();
  faults::FailOnce(Call::kPwritev, ENOSPC);
  CheckFailedRotation(Code::kNoSpace);
}

TEST(Commit, AManifestThatCantBeSyncedIsNotUsed) {
  Open(FsyncPolicy::kNo, kSmallSegment);
  FillSegment();
  faults::FailOnce(Call::kFsync, ENOSPC, 2);
  CheckFailedRotation(Code::kNoSpace);
}

TEST(Commit, ASegmentThatCantBeSyncedIsNotSealed) {
  Open(FsyncPolicy::kNo, kSmallSegment);
  FillSegment();
  faults::FailOnce(Call::kFdatasync, EIO);
  CHECK_EQUAL(Code::kReadOnly, Set(*store, "key", Thousand()).code());
  LONGS_EQUAL(1, store->Stats().segments);
  CheckValue(*store, "fill0", Thousand());
}

TEST(Commit, ADirectoryThatCantBeSyncedBeforeTheManifestTurnsTheStoreReadOnly) {
  Open(FsyncPolicy::kNo, kSmallSegment);
  FillSegment();
  faults::FailOnce(Call::kFsync, EIO, 1);
  CHECK_EQUAL(Code::kReadOnly, Set(*store, "key", Thousand()).code());
  CHECK_EQUAL(Code::kReadOnly, Set(*store, "key", Thousand()).code());
  CheckValue(*store, "fill0", Thousand());
  Open(FsyncPolicy::kNo, kSmallSegment);
  CheckValue(*store, "fill0", Thousand());
  CheckOk(Set(*store, "key", Thousand()));
}

TEST(Commit, ADirectoryThatCantBeSyncedBehindTheManifestTurnsTheStoreReadOnly) {
  Open(FsyncPolicy::kNo, kSmallSegment);
  FillSegment();
  faults::FailOnce(Call::kFsync, EIO, 3);
  CHECK_EQUAL(Code::kReadOnly, Set(*store, "key", Thousand()).code());
  CHECK_EQUAL(Code::kReadOnly, Set(*store, "key", Thousand()).code());
  CheckValue(*store, "fill0", Thousand());
  // Either MANIFEST may come back after a power cut, so the file that the new one names stays.
  CHECK_TRUE(scratch.Has("000000000002.log"));
  Open(FsyncPolicy::kNo, kSmallSegment);
  CheckValue(*store, "fill0", Thousand());
  CheckOk(Set(*store, "key", Thousand()));
}

TEST(Commit, ACompactionCuresADirectoryThatCouldNotBeSynced) {
  Open(FsyncPolicy::kNo, kSmallSegment);
  FillSegment();
  faults::FailOnce(Call::kFsync, EIO, 3);
  CHECK_EQUAL(Code::kReadOnly, Set(*store, "key", Thousand()).code());
  CheckOk(store->Compact(keystone::CompactionMode::kStopTheWorld));
  CheckOk(Set(*store, "key", Thousand()));
  Open(FsyncPolicy::kNo, kSmallSegment);
  LONGS_EQUAL(4, store->Count());
  CHECK_TRUE(testing::HasNoLeftovers(scratch.path()));
}
