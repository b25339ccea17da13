#include "net/maintenance.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "CppUTest/TestHarness.h"
#include "base/semaphore.h"
#include "scratch.h"

using keystone::Batch;
using keystone::CompactionMode;
using keystone::CompactionPays;
using keystone::CompactionThreshold;
using keystone::FoundValue;
using keystone::FsyncPolicy;
using keystone::Log;
using keystone::Maintenance;
using keystone::Priority;
using keystone::Semaphore;
using keystone::Store;
using keystone::StoreStats;

namespace {

constexpr CompactionThreshold kNever{.stale_percent = 0};

StoreStats LogOf(uint64_t bytes, uint64_t stale_bytes) {
  StoreStats stats;
  stats.log_bytes = bytes;
  stats.stale_bytes = stale_bytes;
  return stats;
}

// Looks again and again until it is so; false where that takes more than a minute.
template <class Condition>
bool BecomesTrue(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::yield();
  }
  return true;
}

// While it is there no compaction that stops the world gets further than its beginning: another
// thread uses a value.
class HeldWorld {
 public:
  explicit HeldWorld(Store* store) : thread_(&HeldWorld::Hold, this, store) { held_.Wait(); }
  ~HeldWorld() {
    release_.Post();
    thread_.join();
  }
  HeldWorld(const HeldWorld&) = delete;
  HeldWorld& operator=(const HeldWorld&) = delete;

 private:
  void Hold(Store* store) {
    FoundValue found;
    (void)store->Get("key", &found);
    held_.Post();
    release_.Wait();
  }

  Semaphore held_;
  Semaphore release_;
  std::thread thread_;
};

}  // namespace

TEST_GROUP(CompactionPays){};

TEST(CompactionPays, FromTheShareOfStaleBytesOn) {
  const CompactionThreshold half{.stale_percent = 50, .min_size_bytes = 0};
  CHECK_FALSE(CompactionPays(LogOf(1000, 499), half));
  CHECK_TRUE(CompactionPays(LogOf(1000, 500), half));
  const CompactionThreshold all{.stale_percent = 100, .min_size_bytes = 0};
  CHECK_FALSE(CompactionPays(LogOf(1000, 999), all));
  CHECK_TRUE(CompactionPays(LogOf(1000, 1000), all));
}

TEST(CompactionPays, FromTheSizeOfTheLogOn) {
  const CompactionThreshold threshold{.stale_percent = 1, .min_size_bytes = 1000};
  CHECK_FALSE(CompactionPays(LogOf(999, 999), threshold));
  CHECK_TRUE(CompactionPays(LogOf(1000, 999), threshold));
}

TEST(CompactionPays, NeverWhereNothingIsStaleOrItIsSwitchedOff) {
  CHECK_FALSE(CompactionPays(LogOf(0, 0), {.stale_percent = 1, .min_size_bytes = 0}));
  CHECK_FALSE(CompactionPays(LogOf(1000, 0), {.stale_percent = 1, .min_size_bytes = 0}));
  CHECK_FALSE(CompactionPays(LogOf(1000, 1000), kNever));
}

TEST_GROUP(Maintenance) {
  Scratch scratch;
  Log log{Log::Sink::kStderr, Priority::kCritical};
  std::unique_ptr<Store> store;
  std::atomic<int> idle_calls{0};
  std::unique_ptr<Maintenance> maintenance;

  void setup() override {
    auto opened = Store::Open({.directory = scratch.path(), .fsync = FsyncPolicy::kNo}, log);
    CHECK_TRUE(opened.ok());
    store = std::move(opened.value());
  }

  void Start(const CompactionThreshold& threshold = kNever) {
    maintenance = std::make_unique<Maintenance>(store.get(), threshold, [this] { idle_calls++; });
    CHECK_TRUE(maintenance->ended());
    CHECK_TRUE(maintenance->Start().ok());
  }

  void teardown() override { maintenance.reset(); }

  void SetOften(int times) const {
    for (int i = 0; i < times; i++) {
      Batch batch;
      batch.Set("key", "value");
      CHECK_TRUE(store->Apply(&batch).ok());
    }
  }

  bool IsIdle() const { return !maintenance->busy(); }
};

TEST(Maintenance, CompactsInTheModeThatWasAskedFor) {
  SetOften(10);
  Start();
  CHECK_TRUE(maintenance->RequestCompaction(CompactionMode::kStopTheWorld));
  CHECK_TRUE(BecomesTrue([&] { return IsIdle(); }));
  LONGS_EQUAL(1, store->Stats().compactions);
  LONGS_EQUAL(0, store->Stats().stale_bytes);
  CHECK_TRUE(store->Stats().compaction_last_pause_us > 0);
  CHECK_TRUE(maintenance->RequestCompaction(CompactionMode::kOnline));
  CHECK_TRUE(BecomesTrue([&] { return IsIdle(); }));
  LONGS_EQUAL(2, store->Stats().compactions);
  LONGS_EQUAL(0, store->Stats().compaction_last_pause_us);
}

TEST(Maintenance, ARequestDuringACompactionIsFoldedIntoIt) {
  SetOften(1);
  Start();
  auto held = std::make_unique<HeldWorld>(store.get());
  CHECK_TRUE(maintenance->RequestCompaction(CompactionMode::kStopTheWorld));
  CHECK_FALSE(maintenance->RequestCompaction(CompactionMode::kStopTheWorld));
  CHECK_TRUE(BecomesTrue([&] { return store->Stats().compaction_running; }));
  CHECK_FALSE(maintenance->RequestCompaction(CompactionMode::kOnline));
  CHECK_TRUE(maintenance->busy());
  held.reset();
  CHECK_TRUE(BecomesTrue([&] { return IsIdle(); }));
  LONGS_EQUAL(1, store->Stats().compactions);
}

TEST(Maintenance, SaysWhenItIsIdleAndWhenItEnds) {
  Start();
  CHECK_FALSE(maintenance->ended());
  CHECK_TRUE(maintenance->RequestCompaction(CompactionMode::kStopTheWorld));
  CHECK_TRUE(BecomesTrue([&] { return IsIdle(); }));
  LONGS_EQUAL(1, idle_calls);
  maintenance->RequestStop();
  CHECK_TRUE(BecomesTrue([&] { return maintenance->ended(); }));
  maintenance.reset();
  LONGS_EQUAL(2, idle_calls);
}

TEST(Maintenance, AStopLetsARunningCompactionEndAndTakesNoOther) {
  SetOften(10);
  Start();
  auto held = std::make_unique<HeldWorld>(store.get());
  CHECK_TRUE(maintenance->RequestCompaction(CompactionMode::kStopTheWorld));
  CHECK_TRUE(BecomesTrue([&] { return store->Stats().compaction_running; }));
  maintenance->RequestStop();
  CHECK_FALSE(maintenance->ended());
  CHECK_FALSE(maintenance->RequestCompaction(CompactionMode::kStopTheWorld));
  held.reset();
  CHECK_TRUE(BecomesTrue([&] { return maintenance->ended(); }));
  LONGS_EQUAL(1, store->Stats().compactions);
  CHECK_FALSE(maintenance->RequestCompaction(CompactionMode::kStopTheWorld));
  CHECK_FALSE(maintenance->busy());
}

TEST(Maintenance, CompactsByItselfOnceEnoughIsStale) {
  Start({.stale_percent = 50, .min_size_bytes = 0});
  SetOften(100);
  CHECK_TRUE(BecomesTrue([&] { return store->Stats().compactions > 0; }));
  LONGS_EQUAL(0, store->Stats().compaction_last_pause_us);  // beside the clients
}

TEST(Maintenance, CompactsAgainWhereAsMuchHasBecomeStaleMeanwhile) {
  Start({.stale_percent = 50, .min_size_bytes = 0});
  CHECK_TRUE(BecomesTrue([&] {
    SetOften(100);
    return store->Stats().compactions > 2;
  }));
}

TEST(Maintenance, ClearsWhateverElseItWasAskedFor) {
  SetOften(10);
  Start();
  auto held = std::make_unique<HeldWorld>(store.get());
  CHECK_TRUE(maintenance->RequestCompaction(CompactionMode::kStopTheWorld));
  maintenance->RequestClear();
  held.reset();
  CHECK_TRUE(BecomesTrue([&] { return store->Count() == 0 && IsIdle(); }));
  LONGS_EQUAL(1, store->Stats().compactions);
}
