// Every allocation that a write or a compaction makes fails, once or with all behind it: nothing is
// lost, nothing aborts, nobody waits for ever.
#include <unistd.h>

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

std::string Key(int n) { return "key" + std::to_string(n); }

}  // namespace

TEST_GROUP(Memory) {
  Scratch scratch;
  std::unique_ptr<Store> store;

  void setup() override {
    store = OpenStore(scratch.path());
    for (int n = 0; n < 20; n++) CheckOk(Set(*store, Key(n % 10), Key(n)));
  }
  void teardown() override { Disarm(); }

  // What was there before is there, whatever happened.
  void CheckContents() {
    for (int n = 0; n < 10; n++) CheckValue(*store, Key(n), Key(n + 10));
  }

  void Reopen() {
    store.reset();
    store = OpenStore(scratch.path());
    CheckContents();
    CHECK_TRUE(HasNoLeftovers(scratch.path()));
  }

  void CompactWithoutEach(CompactionMode mode) {
    size_t allocation = 0;
    for (bool fired = true; fired; allocation++) {
      CHECK_TRUE(allocation < kMostAllocations);
      FailAfter(allocation);
      const Status status = Caught([&] { return store->Compact(mode); });
      fired = Disarm();
      CHECK_TRUE(fired || status.ok());
      CheckContents();
      if (store->Stats().read_only) Reopen();
    }
    CHECK_TRUE(allocation > 10);
    Reopen();
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

TEST(Memory, AnOnlineCompactionThatHasNoneLosesNothing) {
  CompactWithoutEach(CompactionMode::kOnline);
}

TEST(Memory, AStopTheWorldCompactionThatHasNoneLosesNothing) {
  CompactWithoutEach(CompactionMode::kStopTheWorld);
}
