// Every allocation that a write or a compaction makes fails, once or with all behind it: nothing is
// lost, nothing aborts, nobody waits for ever.
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <memory>
#include <new>
#include <string>

#include "faults.h"
#include "scratch.h"
#include "store/reserve.h"
#include "store/testing.h"

using keystone::Code;
using keystone::CompactionMode;
using keystone::FsyncPolicy;
using keystone::Status;
using keystone::Store;
using testing::CheckOk;
using testing::CheckSays;
using testing::CheckValue;
using testing::HasNoLeftovers;
using testing::OpenStore;
using testing::Set;

namespace {

struct Plan {
  bool armed = false;
  bool fired = false;
  bool lasts = false;
  size_t skip = 0;
};
thread_local Plan plan;

// Of the threads that are not spared: the store's own.
thread_local bool spared = false;
std::atomic<bool> others_fail{false};
std::atomic<size_t> others_failed{0};

void FailAfter(size_t skip) {
  plan = {.armed = true, .fired = false, .lasts = false, .skip = skip};
}
void FailFrom(size_t skip) { plan = {.armed = true, .fired = false, .lasts = true, .skip = skip}; }

// True where an allocation has failed since FailAfter.
bool Disarm() {
  plan.armed = false;
  return plan.fired;
}

}  // namespace

// operator new(unsigned long), replaced when the program is linked (-Wl,--wrap).
extern "C" {
void* __real__Znwm(size_t size);
void* __wrap__Znwm(size_t size);
void* __wrap__Znwm(size_t size) {
  if (others_fail && !spared) {
    others_failed++;
    throw std::bad_alloc();
  }
  if (plan.armed && (plan.skip == 0 || plan.skip-- == 0)) {
    plan.armed = plan.lasts;
    plan.fired = true;
    throw std::bad_alloc();
  }
  return __real__Znwm(size);
}
}

namespace {

// What the callers of a store do with what it lets through.
template <class Function>
Status Caught(Function&& function) {
  try {
    return function();
  } catch (const std::bad_alloc&) {
    return {Code::kSystem, "out of memory"};
  }
}

constexpr size_t kMostAllocations = 5000;

std::unique_ptr<Store> OpenStoreAgain(std::unique_ptr<Store> store, const std::string& directory) {
  store.reset();
  return OpenStore(directory, FsyncPolicy::kNo, testing::kSmallSegment);
}

// Batches point at their keys, so these are there for good.
const std::string& Key(size_t n) {
  static const std::vector<std::string> keys = [] {
    std::vector<std::string> made;
    for (int i = 0; i < 100; i++) made.push_back("key" + std::to_string(i));
    return made;
  }();
  return keys.at(n);
}

}  // namespace

TEST_GROUP(Memory) {
  Scratch scratch;
  std::unique_ptr<Store> store;

  void setup() override {
    store = OpenStore(scratch.path());
    for (size_t n = 0; n < 20; n++) CheckOk(Set(*store, Key(n % 10), Key(n)));
  }
  void teardown() override { Disarm(); }

  // What was there before is there, whatever happened.
  void CheckContents() {
    for (size_t n = 0; n < 10; n++) CheckValue(*store, Key(n), Key(n + 10));
  }

  void Reopen() {
    store.reset();
    store = OpenStore(scratch.path());
    CheckContents();
    CHECK_TRUE(HasNoLeftovers(scratch.path()));
  }

  // Once with each allocation failing, or with each and all behind it.
  void CompactWithoutEach(CompactionMode mode) {
    for (const auto& fail : {FailAfter, FailFrom}) {
      size_t allocation = 0;
      for (bool fired = true; fired; allocation++) {
        CHECK_TRUE(allocation < kMostAllocations);
        fail(allocation);
        const Status status = Caught([&] { return store->Compact(mode); });
        fired = Disarm();
        CHECK_TRUE(fired || status.ok());
        CheckContents();
        if (store->Stats().read_only) {
          Reopen();
        } else {
          LONGS_EQUAL(store->Stats().segments, CountLogFiles());
        }
      }
      CHECK_TRUE(allocation > 10);
      Reopen();
    }
  }

  long CountLogFiles() {
    const auto files = testing::FilesIn(scratch.path());
    return std::count_if(files.begin(), files.end(),
                         [](const std::string& name) { return name.find(".log") != name.npos; });
  }
};

// It looks for room once a second, and what it says of a try that fails takes memory.
TEST(Memory, TheThreadOfTheStoreThatHasNoneTriesAgain) {
  store.reset();
  scratch.Write(keystone::kReserveName, "");
  faults::Fail(faults::Call::kFallocate, ENOSPC);
  store = OpenStore(scratch.path());
  spared = true;
  others_failed = 0;
  others_fail = true;
  testing::WaitUntil([] { return others_failed >= 2; });
  others_fail = false;
  spared = false;
  faults::Clear();
  testing::WaitUntil(
      [&] { return scratch.Read(keystone::kReserveName).size() == keystone::Reserve::kSizeBytes; });
  CheckContents();
}

TEST(Memory, AWriteThatHasNoneLosesNothing) {
  size_t allocation = 0;
  for (bool fired = true; fired; allocation++) {
    CHECK_TRUE(allocation < kMostAllocations);
    const std::string key = "late" + std::to_string(allocation);
    FailAfter(allocation);
    const Status status = Caught([&] { return Set(*store, key, std::string(2000, 'v')); });
    fired = Disarm();
    CHECK_TRUE(fired || status.ok());
    if (store->Stats().read_only) {
      CheckSays("restart the daemon", store->Compact(CompactionMode::kStopTheWorld));
    }
    Reopen();
    if (status.ok()) CheckValue(*store, key, std::string(2000, 'v'));
  }
  CHECK_TRUE(allocation > 1);
}

TEST(Memory, AWriteThatFindsNoneAnyMoreIsAnsweredAndSoIsTheNext) {
  size_t allocation = 0;
  for (bool fired = true; fired; allocation++) {
    CHECK_TRUE(allocation < kMostAllocations);
    const std::string key = "late" + std::to_string(allocation);
    const std::string value(2000, 'v');
    FailFrom(allocation);
    const Status status = Caught([&] { return Set(*store, key, value); });
    fired = Disarm();
    CHECK_TRUE(fired || status.ok());
    const bool read_only = store->Stats().read_only;
    CHECK_TRUE(Set(*store, "next", "1").ok() != read_only);
    Reopen();
    if (status.ok()) CheckValue(*store, key, value);
  }
  CHECK_TRUE(allocation > 1);
}

// Nothing is in the log then: the keys are there already, so the index needs none.
TEST(Memory, AWriteThatHasNoneToBeEncodedInIsRefusedAndTheNextIsWritten) {
  for (const FsyncPolicy policy : {FsyncPolicy::kNo, FsyncPolicy::kAlways}) {
    size_t refused = 0;
    size_t allocation = 0;
    for (bool fired = true; fired; allocation++) {
      CHECK_TRUE(allocation < kMostAllocations);
      store.reset();
      store = OpenStore(scratch.path(), policy);
      keystone::Batch batch;
      const std::string value(2000, 'v');
      batch.Set(Key(0), value);
      FailAfter(allocation);
      const Status status = store->Apply(&batch);
      fired = Disarm();
      CHECK_EQUAL(fired ? Code::kSystem : Code::kOk, status.code());
      CHECK_FALSE(store->Stats().read_only);
      if (fired) CheckContents();
      refused += fired ? 1 : 0;
      CheckOk(Set(*store, Key(0), Key(10)));
    }
    CHECK_TRUE(refused >= (policy == FsyncPolicy::kAlways ? 4 : 3));
  }
  Reopen();
}

TEST(Memory, AWriteThatHasNoneToBeginASegmentIsRefusedAndTheNextIsWritten) {
  size_t refused = 0;
  size_t allocation = 0;
  for (bool fired = true; fired; allocation++) {
    CHECK_TRUE(allocation < kMostAllocations);
    const Scratch own;
    auto small = OpenStore(own.path(), FsyncPolicy::kNo, testing::kSmallSegment);
    const std::string value(1200, 'v');
    for (size_t n = 0; n < 3; n++) CheckOk(Set(*small, Key(n), value));
    keystone::Batch batch;
    batch.Set(Key(0), "new");
    batch.Set(Key(1), value);
    FailAfter(allocation);
    const Status status = small->Apply(&batch);
    fired = Disarm();
    CHECK_EQUAL(fired ? Code::kSystem : Code::kOk, status.code());
    CHECK_FALSE(small->Stats().read_only);
    CheckValue(*small, Key(0), fired ? value : "new");
    refused += fired ? 1 : 0;
    CheckOk(Set(*small, Key(2), value));
    LONGS_EQUAL(2, small->Stats().segments);
    CHECK_TRUE(HasNoLeftovers(own.path()));
    small = OpenStoreAgain(std::move(small), own.path());
    CheckValue(*small, Key(0), fired ? value : "new");
  }
  CHECK_TRUE(refused > 5);
}

// A sync whose error finds no memory for its text has failed all the same.
TEST(Memory, AFailedSyncIsNoticedWithoutAny) {
  store.reset();
  store = OpenStore(scratch.path(), FsyncPolicy::kAlways);
  CheckOk(Set(*store, Key(0), Key(10)));
  faults::FailOnce(faults::Call::kFdatasync, EIO);
  keystone::Batch batch;
  batch.Set(Key(0), "1");
  size_t allocations = 0;
  FailFrom(allocations);
  const Status status = store->Apply(&batch);
  CHECK_TRUE(Disarm());
  faults::Clear();
  CHECK_EQUAL(Code::kReadOnly, status.code());
  CHECK_EQUAL(Code::kReadOnly, Set(*store, Key(0), "2").code());
  CheckContents();
  Reopen();
}

TEST(Memory, ManyWritersOfWhichSomeHaveNoneAreAllAnswered) {
  constexpr int kThreads = 4;
  std::atomic<int> wrong{0};
  std::atomic<int> refused{0};
  testing::RunThreads(kThreads, [&](int thread) {
    std::string last = Key(thread + 10);
    for (size_t turn = 0; turn < 300; turn++) {
      const std::string value(turn * 10, static_cast<char>('a' + turn % 26));
      keystone::Batch batch;
      for (size_t i = 0; i <= turn / 10; i++) batch.Set(Key(thread), value);
      FailAfter(turn % 5);
      const Status status = store->Apply(&batch);
      Disarm();
      if (status.ok()) last = value;
      if (!status.ok()) refused++;
      if (!status.ok() && status.code() != Code::kSystem) wrong++;
      if (testing::ValueOf(*store, Key(thread)) != last) wrong++;
    }
  });
  LONGS_EQUAL(0, wrong);
  CHECK_TRUE(refused > 0);
  CHECK_FALSE(store->Stats().read_only);
}

TEST(Memory, AnOnlineCompactionThatHasNoneLosesNothing) {
  CompactWithoutEach(CompactionMode::kOnline);
}

TEST(Memory, AStopTheWorldCompactionThatHasNoneLosesNothing) {
  CompactWithoutEach(CompactionMode::kStopTheWorld);
}
