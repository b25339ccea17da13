#include "store/compactor.h"

#include <sys/resource.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/crc32.h"
#include "faults.h"
#include "scratch.h"
#include "store/testing.h"

using faults::Call;
using keystone::Batch;
using keystone::Code;
using keystone::CompactionMode;
using keystone::FsyncPolicy;
using keystone::kGroupGoesOn;
using keystone::Status;
using testing::CheckOk;
using testing::CheckSays;
using testing::CheckValue;
using testing::Delete;
using testing::EncodeSet;
using testing::Entry;
using testing::kSmallSegment;
using testing::Set;

namespace {

constexpr char kFirst[] = "000000000001.log";

constexpr CompactionMode kBothModes[] = {CompactionMode::kStopTheWorld, CompactionMode::kOnline};

std::string Key(int i) { return "key" + std::to_string(i); }

}  // namespace

TEST_GROUP_BASE(Compaction, testing::StoreTest) {
  std::map<std::string, std::string> expected;
  CompactionMode mode = CompactionMode::kStopTheWorld;

  Status Compact() { return store->Compact(mode); }

  void setup() override { Open(); }

  void Open(FsyncPolicy fsync = FsyncPolicy::kNo, uint64_t segment_size_bytes = kSmallSegment) {
    StoreTest::Open(fsync, segment_size_bytes);
  }

  void Put(const std::string& key, const std::string& value) {
    CheckOk(Set(*store, key, value));
    expected[key] = value;
  }

  void Drop(const std::string& key) {
    CheckOk(Delete(*store, key));
    expected.erase(key);
  }

  // Some segments with values, values written over, and tombstones.
  void Fill() {
    for (int i = 0; i < 60; i++) Put(Key(i), std::string(200, 'o'));
    for (int i = 0; i < 60; i += 3) Put(Key(i), "new" + std::to_string(i));
    for (int i = 0; i < 60; i += 4) Drop(Key(i));
    CHECK_TRUE(store->Stats().segments > 3);
  }

  void CheckContents() {
    LONGS_EQUAL(expected.size(), store->Count());
    for (const auto& [key, value] : expected) CheckValue(*store, key, value);
    LONGS_EQUAL(expected.size(), testing::AllKeys(*store).size());
  }

  void CheckAllIsThereAfterARestart() {
    expected.clear();
    for (const std::string& key : testing::AllKeys(*store)) {
      expected[key] = testing::ValueOf(*store, key);
    }
    Open();
    CheckContents();
  }

  void CheckContentsNowAndAfterARestart() {
    CheckContents();
    Open();
    CheckContents();
  }

  // Makes each call of a kind fail, from the first one of a compaction to the last: with `fail` as
  // faults::FailOnce or faults::Fail does.
  void CheckEveryFailureOf(Call call, int error,
                           const std::function<void(Call, int, size_t)>& fail = faults::FailOnce) {
    for (const CompactionMode each : kBothModes) CheckEveryFailureOf(each, call, error, fail);
  }

  void CheckEveryFailureOf(CompactionMode each, Call call, int error,
                           const std::function<void(Call, int, size_t)>& fail) {
    mode = each;
    Fill();
    for (size_t skip = 0;; skip++) {
      CHECK_TRUE(skip < 100);
      fail(call, error, skip);
      const Status status = Compact();
      faults::Clear();
      CheckContents();
      if (status.ok()) break;
      if (status.code() == Code::kReadOnly) {
        CHECK_EQUAL(Code::kReadOnly, Set(*store, "refused", "x").code());
        Open();  // whichever MANIFEST it finds
        CheckContents();
      }
      CHECK_TRUE(testing::HasNoLeftovers(scratch.path()));
      Put("written", std::to_string(skip));
    }
    CHECK_TRUE(testing::HasNoLeftovers(scratch.path()));
    CheckContentsNowAndAfterARestart();
  }

  // A client of its own keys; returns how often it was told something wrong. Any thread.
  int WriteAndVerifyUntil(const std::atomic<bool>& stop, int client) {
    int errors = 0;
    std::map<std::string, std::string> mine;
    for (int i = 0; !stop; i++) {
      const std::string key = "client" + std::to_string(client) + "." + std::to_string(i * 7 % 40);
      const bool there = mine.contains(key);
      if (testing::ValueOf(*store, key) != (there ? mine[key] : "(none)")) errors++;
      if (i % 5 == 0) {
        bool took_effect = false;
        if (!Delete(*store, key, &took_effect).ok() || took_effect != there) errors++;
        mine.erase(key);
        continue;
      }
      mine[key] = std::to_string(i) + std::string(static_cast<size_t>(i % 300), 'v');
      if (!Set(*store, key, mine[key]).ok()) errors++;
    }
    for (const auto& [key, value] : mine) {
      if (testing::ValueOf(*store, key) != value) errors++;
    }
    return errors;
  }

  void CheckStopped(CompactionMode each) {
    mode = each;
    const Status status = Compact();
    CHECK_EQUAL(Code::kCorrupt, status.code());
    CheckSays(kFirst, status);
    CHECK_TRUE(testing::HasNoLeftovers(scratch.path()));
    CHECK_TRUE(scratch.Has(kFirst));
    LONGS_EQUAL(0, store->Stats().compactions);
  }

  void CheckStoppedByDamageAt(uint64_t offset) {
    testing::FlipByte(scratch.File(kFirst), offset);
    for (const CompactionMode each : kBothModes) CheckStopped(each);
  }

  // What is dead is not read by one that has the store to itself, and gone after it.
  void CheckOnlyOnlineIsStoppedByDamageAt(uint64_t offset) {
    testing::FlipByte(scratch.File(kFirst), offset);
    CheckStopped(CompactionMode::kOnline);
    mode = CompactionMode::kStopTheWorld;
    CheckOk(Compact());
    CheckContentsNowAndAfterARestart();
  }
};

TEST(Compaction, KeepsLiveRecordsOnlyWithTheirSequences) {
  Open(FsyncPolicy::kAlways);
  Put("a", "1");   // 2, behind a mark
  Put("b", "2");   // 4
  Put("a", "3");   // 6
  Put("c", "");    // 8
  Drop("b");       // 10
  Drop("absent");  // not written
  CheckOk(Compact());
  const std::vector<Entry> log = testing::LogOf(scratch.path());
  LONGS_EQUAL(2, log.size());
  STRCMP_EQUAL("a", log[0].key.c_str());
  STRCMP_EQUAL("3", log[0].value.c_str());
  LONGS_EQUAL(6, log[0].sequence);
  STRCMP_EQUAL("c", log[1].key.c_str());
  LONGS_EQUAL(8, log[1].sequence);
  for (const Entry& entry : log) CHECK_FALSE(entry.tombstone || entry.mark || entry.goes_on);
  CHECK_TRUE(testing::HasNoLeftovers(scratch.path()));
  Put("d", "4");
  LONGS_EQUAL(12, testing::LogOf(scratch.path()).back().sequence);
  CheckContentsNowAndAfterARestart();
}

TEST(Compaction, AGroupThatLivesStaysAGroup) {
  for (const CompactionMode each : kBothModes) {
    mode = each;
    Batch batch;
    for (const char* key : {"a", "b", "c"}) batch.Set(key, "value");
    CheckOk(store->Apply(&batch));
    CheckOk(Compact());
    const std::vector<Entry> log = testing::LogOf(scratch.path());
    LONGS_EQUAL(3, log.size());
    CHECK_TRUE(log[0].goes_on && log[1].goes_on && !log[2].goes_on);
  }
}

TEST(Compaction, WhatLivesOfAGroupIsTiedToNothingElse) {
  for (const CompactionMode each : kBothModes) {
    mode = each;
    for (const char* dead : {"a", "b", "c"}) {
      Batch batch;
      for (const char* key : {"a", "b", "c"}) batch.Set(key, "value");
      CheckOk(store->Apply(&batch));
      CheckOk(Delete(*store, dead));
      CheckOk(Compact());
      const std::vector<Entry> log = testing::LogOf(scratch.path());
      LONGS_EQUAL(2, log.size());
      CHECK_FALSE(log.back().goes_on);
      for (const Entry& entry : log) {
        STRCMP_EQUAL("value", entry.value.c_str());
        CHECK_TRUE(entry.key != dead);
      }
      Open();
      LONGS_EQUAL(2, store->Count());
    }
  }
}

TEST(Compaction, AttributesStayWithTheirRecord) {
  const Scratch own;
  const std::string attributes("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c", 12);
  const std::string body = attributes + "keyvalue";
  std::string record(keystone::kRecordHeaderSize, '\0');
  keystone::EncodeHeader(1, 5, 3, keystone::kHasAttributes | kGroupGoesOn, keystone::Crc32(body),
                         record.data());
  own.Write(kFirst, testing::SegmentBytes(
                        1, record + body + EncodeSet(2, "dead", "1") + EncodeSet(3, "dead", "2")));
  own.Write("MANIFEST", keystone::EncodeManifest({testing::SomeId(), 1, {1}}));
  store = testing::OpenStore(own.path());
  CheckOk(Compact());
  CheckValue(*store, "key", "value");
  // Of those that two workers make, either may have the smaller number.
  const auto manifest = keystone::LoadManifest(own.path());
  const std::string first = keystone::SegmentName(manifest.value().segments.front());
  const std::string bytes = own.Read(first).substr(64);
  keystone::RecordView kept;
  CHECK_EQUAL(keystone::RecordState::kValid, keystone::DecodeRecord(bytes, &kept));
  CHECK_TRUE(kept.body == body);
  LONGS_EQUAL(0x04030201, kept.client_flags);
  store.reset();
}

TEST(Compaction, ValuesAreTheSameAfterwards) {
  for (const CompactionMode each : kBothModes) {
    mode = each;
    Fill();
    CheckOk(Compact());
    CHECK_TRUE(testing::HasNoLeftovers(scratch.path()));
    CheckContents();
    CheckOk(Compact());
    CheckContentsNowAndAfterARestart();
    CheckOk(Compact());
    CheckContentsNowAndAfterARestart();
  }
}

TEST(Compaction, AGroupBiggerThanASegmentIsCopiedWhole) {
  for (const CompactionMode each : kBothModes) {
    mode = each;
    Batch batch;
    const std::string value(1000, 'v');
    std::vector<std::string> keys;
    for (int i = 0; i < 20; i++) keys.push_back(Key(i));
    for (const std::string& key : keys) batch.Set(key, value);
    CheckOk(store->Apply(&batch));
    for (const std::string& key : keys) expected[key] = value;
    CheckOk(Compact());
    CheckContentsNowAndAfterARestart();
  }
}

TEST(Compaction, TellsWhatItReclaimed) {
  Fill();
  const keystone::StoreStats before = store->Stats();
  CheckOk(Compact());
  const keystone::StoreStats after = store->Stats();
  LONGS_EQUAL(1, after.compactions);
  LONGS_EQUAL(before.log_bytes - after.log_bytes, after.compaction_reclaimed_bytes);
  LONGS_EQUAL(before.live_bytes, after.live_bytes);
  CHECK_TRUE(before.stale_bytes > 0);
  LONGS_EQUAL(0, after.stale_bytes);
  CHECK_FALSE(after.compaction_running);
  CHECK_TRUE(after.compaction_last_us >= after.compaction_last_pause_us);
}

TEST(Compaction, OfAnEmptyStoreIsFine) {
  for (const CompactionMode each : kBothModes) {
    mode = each;
    CheckOk(Compact());
    LONGS_EQUAL(0, store->Count());
    Put("key", "value");
    CheckContentsNowAndAfterARestart();
    Drop("key");
    CheckOk(Compact());
  }
}

TEST(Compaction, SequencesGoOnBehindAStoreThatWasEmptiedAndRestarted) {
  Put("a", "1");  // 1
  Drop("a");      // 2
  CheckOk(Compact());
  CHECK_TRUE(testing::LogOf(scratch.path()).empty());
  Open();
  Put("b", "2");
  LONGS_EQUAL(3, testing::LogOf(scratch.path()).back().sequence);
}

// ---- failures

TEST(Compaction, AFullDiskAtAnyWriteLeavesTheOldStoreServing) {
  CheckEveryFailureOf(Call::kPwritev, ENOSPC, faults::Fail);
}

TEST(Compaction, AFailedSyncOfAnyNewFileLosesNothing) { CheckEveryFailureOf(Call::kFsync, EIO); }

TEST(Compaction, AFailedRenameOfAnyNewFileLeavesTheOldStoreServing) {
  CheckEveryFailureOf(Call::kRename, EIO);
}

TEST(Compaction, ATornWriteLeavesTheOldStoreServing) {
  Fill();
  faults::TearNextWrite(EIO);
  CHECK_EQUAL(Code::kIo, Compact().code());
  CHECK_TRUE(testing::HasNoLeftovers(scratch.path()));
  CheckContentsNowAndAfterARestart();
}

TEST(Compaction, AFailedSyncOfTheOldLogTurnsTheStoreReadOnlyAndTheNextCompactionCuresIt) {
  Fill();
  faults::FailOnce(Call::kFdatasync, EIO);
  CHECK_EQUAL(Code::kReadOnly, Compact().code());
  CheckContents();
  CHECK_EQUAL(Code::kReadOnly, Set(*store, "key", "value").code());
  CheckOk(Compact());
  Put("key", "value");
  CheckContentsNowAndAfterARestart();
}

TEST(Compaction, BitRotInALiveRecordStopsIt) {
  Put("live", "value");
  CheckStoppedByDamageAt(64 + 24 + 4);
}

TEST(Compaction, BitRotInADeadRecordStopsItOnline) {
  Put("dead", "value");
  Put("dead", "new");
  CheckOnlyOnlineIsStoppedByDamageAt(64 + 24 + 4);
}

TEST(Compaction, BitRotInADeadRecordsHeaderStopsItOnline) {
  Put("dead", "value");
  Put("dead", "new");
  CheckOnlyOnlineIsStoppedByDamageAt(64 + 16);
}

TEST(Compaction, BitRotInARecordsHeaderStopsIt) {
  Put("live", "value");
  CheckStoppedByDamageAt(64 + 16);
}

TEST(Compaction, BitRotInATombstoneStopsItOnline) {
  Put("dead", "value");
  const uint64_t tombstone = scratch.Read(kFirst).size();
  Drop("dead");
  CheckOnlyOnlineIsStoppedByDamageAt(tombstone + 24);
}

TEST(Compaction, ZerosInPlaceOfTheLastRecordsStopIt) {
  Put("first", "value");
  const uint64_t end = scratch.Read(kFirst).size();
  Put("last", "value");
  std::string bytes = scratch.Read(kFirst);
  for (size_t i = end; i < bytes.size(); i++) {
    testing::FlipByte(scratch.File(kFirst), i, static_cast<unsigned char>(bytes[i]));
  }
  for (const CompactionMode each : kBothModes) {
    mode = each;
    const Status status = Compact();
    CHECK_EQUAL(Code::kCorrupt, status.code());
    CheckSays(mode == CompactionMode::kOnline ? "zeros where records were" : "header checksum",
              status);
    CHECK_TRUE(scratch.Has(kFirst));
  }
}

TEST(Compaction, OnceCancelledItIsRefused) {
  for (const bool filled : {false, true}) {
    if (filled) Fill();
    const std::set<std::string> files = testing::LogFilesIn(scratch.path());
    store->CancelCompaction();
    CHECK_EQUAL(Code::kCancelled, Compact().code());
    CHECK_TRUE(testing::LogFilesIn(scratch.path()) == files);
    CheckContentsNowAndAfterARestart();
  }
}

// ---- beside clients

TEST(Compaction, WaitsForAValueInUseAndOnlyOneRunsAtATime) {
  for (const CompactionMode each : kBothModes) {
    mode = each;
    Put("key", "value");
    const uint64_t before = store->Stats().compactions;
    auto found = std::make_unique<keystone::FoundValue>();
    CheckOk(store->Get("key", found.get()));
    Status status;
    std::thread compaction([&] { status = Compact(); });
    while (!store->Stats().compaction_running) std::this_thread::yield();
    const Status second = Compact();
    const bool same = found->value() == "value";
    found.reset();
    compaction.join();
    CHECK_EQUAL(Code::kBusy, second.code());
    CheckSays("compaction already running", second);
    CHECK_TRUE(same);
    CheckOk(status);
    LONGS_EQUAL(before + 1, store->Stats().compactions);
  }
}

// Segments are small, so they are sealed all the time, too.
TEST(Compaction, ReadersAndWritersSeeNoneOfIt) {
  constexpr int kWriters = 3;
  constexpr int kCompactions = 20;
  for (const CompactionMode each : kBothModes) {
    mode = each;
    std::atomic<int> errors{0};
    std::atomic<bool> stop{false};
    testing::RunThreads(kWriters + 1, [&](int thread) {
      if (thread < kWriters) {
        errors += WriteAndVerifyUntil(stop, thread);
        return;
      }
      for (int i = 0; i < kCompactions; i++) {
        if (!Compact().ok()) errors++;
      }
      stop = true;
    });
    LONGS_EQUAL(0, errors);
    CHECK_TRUE(testing::HasNoLeftovers(scratch.path()));
    CheckAllIsThereAfterARestart();
    for (const std::string& key : testing::AllKeys(*store)) Drop(key);
  }
}

TEST(Compaction, OnlineTheWorldTurnsOnWhileAValueIsInUse) {
  mode = CompactionMode::kOnline;
  Fill();
  auto found = std::make_unique<keystone::FoundValue>();
  CheckOk(store->Get(Key(1), found.get()));
  Status status;
  std::thread compaction([&] { status = Compact(); });
  int failed = 0;
  std::thread client([&] {  // the thread that holds a value must not call the store
    while (!store->Stats().compaction_running) std::this_thread::yield();
    for (int i = 0; i < 200; i++) {
      if (!Set(*store, "new", std::to_string(i)).ok()) failed++;
      if (testing::ValueOf(*store, "new") != std::to_string(i)) failed++;
    }
    if (!Delete(*store, Key(2)).ok()) failed++;
  });
  client.join();
  const bool running = store->Stats().compaction_running;
  found.reset();
  compaction.join();
  CheckOk(status);
  LONGS_EQUAL(0, failed);
  CHECK_TRUE(running);
  expected["new"] = "199";
  expected.erase(Key(2));
  LONGS_EQUAL(0, store->Stats().compaction_last_pause_us);
  CheckContentsNowAndAfterARestart();
}

TEST(Compaction, OnlineTheNewSegmentsAreInFrontOfTheActiveOne) {
  mode = CompactionMode::kOnline;
  Fill();
  CheckOk(Compact());
  Put("last", "value");
  const std::vector<Entry> log = testing::LogOf(scratch.path());
  LONGS_EQUAL(expected.size(), log.size());
  STRCMP_EQUAL("last", log.back().key.c_str());
  for (size_t i = 1; i < log.size(); i++) CHECK_TRUE(log[i - 1].sequence < log[i].sequence);
}

TEST(Compaction, OnlineOfAReadOnlyStoreStopsTheWorldAndCuresIt) {
  mode = CompactionMode::kOnline;
  Fill();
  faults::FailOnce(Call::kFdatasync, EIO);
  CHECK_EQUAL(Code::kReadOnly, store->Sync().code());
  CheckOk(Compact());
  CHECK_TRUE(store->Stats().compaction_last_pause_us > 0);
  Put("key", "value");
  CheckContentsNowAndAfterARestart();
}

TEST(Compaction, OnlineAFailedSyncAtTheSealTurnsTheStoreReadOnly) {
  mode = CompactionMode::kOnline;
  Fill();
  faults::FailOnce(Call::kFdatasync, EIO, 1);  // the first is the one ahead of it
  CHECK_EQUAL(Code::kReadOnly, Compact().code());
  CheckContents();
  CHECK_EQUAL(Code::kReadOnly, Set(*store, "key", "value").code());
  CheckOk(Compact());
  CheckContentsNowAndAfterARestart();
}

// Stale is what newer records say: as long as a power cut may take those, the old ones stay.
TEST(Compaction, OnlineNothingGoesBeforeWhatMadeItStaleIsOnStableStorage) {
  mode = CompactionMode::kOnline;
  Fill();
  const std::set<std::string> before = testing::LogFilesIn(scratch.path());
  faults::FailOnce(Call::kFdatasync, EIO, 2);  // behind the one ahead of it and the seal's
  CHECK_EQUAL(Code::kReadOnly, Compact().code());
  const std::set<std::string> after = testing::LogFilesIn(scratch.path());
  CHECK_TRUE(std::includes(after.begin(), after.end(), before.begin(), before.end()));
  CHECK_TRUE(testing::HasNoLeftovers(scratch.path()));
  CheckContents();
  CheckOk(Compact());
  CheckContentsNowAndAfterARestart();
}

TEST(Compaction, ManySegmentsDoNotTakeManyDescriptors) {
  for (int i = 0; i < 400; i++) Put(Key(i), std::string(500, 'v'));
  CHECK_TRUE(store->Stats().segments > 40);
  rlimit limit{};
  LONGS_EQUAL(0, ::getrlimit(RLIMIT_NOFILE, &limit));
  const rlimit few{.rlim_cur = 50, .rlim_max = limit.rlim_max};
  for (const CompactionMode each : kBothModes) {
    LONGS_EQUAL(0, ::setrlimit(RLIMIT_NOFILE, &few));
    const Status status = store->Compact(each);
    LONGS_EQUAL(0, ::setrlimit(RLIMIT_NOFILE, &limit));
    CheckOk(status);
  }
  CheckContentsNowAndAfterARestart();
}

TEST(Compaction, AScanThatGoesOnAcrossItMissesNothing) {
  for (const CompactionMode each : kBothModes) {
    mode = each;
    Fill();
    std::set<std::string> keys;
    keystone::ScanResult result;
    do {
      CheckOk(store->Scan(result.next_cursor, 10, {}, &result));
      keys.insert(result.keys.begin(), result.keys.end());
      CheckOk(Compact());
    } while (result.next_cursor != 0);
    LONGS_EQUAL(expected.size(), keys.size());
  }
}

// ---- the copier alone

TEST_GROUP(Compactor) {
  Scratch scratch;
  std::unique_ptr<keystone::Directory> directory;
  std::unique_ptr<keystone::SegmentSet> segments = std::make_unique<keystone::SegmentSet>();
  std::unique_ptr<keystone::Index> index = std::make_unique<keystone::Index>(segments.get(), 0);
  std::atomic<bool> cancelled{false};
  keystone::Gate gate;

  void setup() override {
    auto opened = keystone::Directory::OpenOrCreate(scratch.path());
    CheckOk(opened.status());
    directory = std::move(opened.value());
    CheckOk(directory->StartNew());
    AddSegment(1);
  }
  void AddSegment(uint64_t first_sequence) {
    auto segment = directory->CreateSegment(first_sequence, 1u << 20);
    CheckOk(segment.status());
    CheckOk(segment.value()->Finish());
    segments->Add(segment.value());
  }
  void teardown() override {
    index.reset();
    segments.reset();
    directory.reset();
  }

  keystone::Location Put(uint64_t sequence, const std::string& key) {
    const auto segment = segments->active();
    const keystone::Location where{segment->number(), segment->size()};
    std::string bytes = EncodeSet(sequence, key, "value");
    iovec piece{bytes.data(), bytes.size()};
    CheckOk(segment->Append({&piece, 1}, bytes.size()));
    CheckOk(index->Put(key, where, bytes.size()));
    return where;
  }
};

TEST(Compactor, PointsTheIndexAtWhatHasMoved) {
  Put(1, "dead");
  Put(2, "written over meanwhile");
  const keystone::Location old = Put(5, "key");
  CheckOk(index->Erase("dead"));
  keystone::Compactor compactor(directory.get(), index.get(), &gate, kSmallSegment, 0, &cancelled,
                                keystone::Pace::kAllOfIt);
  CheckOk(compactor.Copy(segments->All()));
  AddSegment(6);
  const keystone::Location newer = Put(6, "written over meanwhile");
  LONGS_EQUAL(1, compactor.outputs().size());
  LONGS_EQUAL(2, compactor.outputs()[0]->header().first_sequence);
  CHECK_TRUE(index->Points(index->Position("key"), old));
  CheckOk(compactor.Relocate());
  const uint64_t first_size = keystone::RecordSize("written over meanwhile", "value");
  CHECK_TRUE(index->Points(index->Position("key"), {2, keystone::kSegmentHeaderSize + first_size}));
  CHECK_TRUE(index->Points(index->Position("written over meanwhile"), newer));
  LONGS_EQUAL(2, index->size());
}

TEST(Compactor, PlacesGoOnInTheNextSegment) {
  for (uint64_t i = 1; i <= 300; i++) Put(i, Key(static_cast<int>(i)));
  keystone::Compactor compactor(directory.get(), index.get(), &gate, kSmallSegment, 0, &cancelled,
                                keystone::Pace::kAllOfIt);
  CheckOk(compactor.Copy(segments->All()));
  CHECK_TRUE(compactor.outputs().size() > 2);
  const auto old = segments->All();
  segments->Swap(old, compactor.outputs(), {});
  CheckOk(compactor.Relocate());
  segments->Forget(old);
  for (int i = 1; i <= 300; i++) {
    keystone::RecordView record;
    CheckOk(index->Find(Key(i), &record));
    LONGS_EQUAL(i, record.sequence);
  }
}

TEST(Compactor, MakesNoSegmentOfNothing) {
  keystone::Compactor compactor(directory.get(), index.get(), &gate, kSmallSegment, 0, &cancelled,
                                keystone::Pace::kAllOfIt);
  CheckOk(compactor.Copy(segments->All()));
  CHECK_TRUE(compactor.outputs().empty());
}

TEST(Compactor, StopsOnRequestInTheMiddle) {
  for (uint64_t i = 1; i <= 300; i++) Put(i, Key(static_cast<int>(i)));
  keystone::Compactor compactor(directory.get(), index.get(), &gate, kSmallSegment, 0, &cancelled,
                                keystone::Pace::kAllOfIt);
  CheckOk(compactor.Copy(segments->All()));
  cancelled = true;
  CHECK_EQUAL(Code::kCancelled, compactor.Copy(segments->All()).code());
}
