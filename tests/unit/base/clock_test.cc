#include "base/clock.h"

#include <atomic>
#include <chrono>
#include <cstdint>
#include <thread>
#include <vector>

#include "faults.h"

// It takes over operator new.
// clang-format off
#include <CppUTest/TestHarness.h>
// clang-format on

using keystone::UnixTimeMs;

namespace {

constexpr int64_t kDay = 86'400'000;

uint64_t SystemMs() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

// Sets the system's clock ahead of all that UnixTimeMs has ever said, as another test may have
// done.
void SetAhead(int64_t ms) {
  faults::ShiftClock(static_cast<int64_t>(UnixTimeMs() - SystemMs()) + ms);
}

}  // namespace

TEST_GROUP(Clock){void teardown() override{faults::Clear();
}
}
;

TEST(Clock, IsTheSystemsTimeOrAheadOfIt) {
  const uint64_t system = SystemMs();
  CHECK_TRUE(UnixTimeMs() + 1 >= system);
}

TEST(Clock, GoesOn) {
  const uint64_t before = UnixTimeMs();
  while (UnixTimeMs() == before) std::this_thread::yield();
  CHECK_TRUE(UnixTimeMs() > before);
}

TEST(Clock, FollowsAJumpAhead) {
  const uint64_t before = UnixTimeMs();
  SetAhead(kDay);
  const uint64_t after = UnixTimeMs();
  CHECK_TRUE(after >= before + kDay);
  CHECK_TRUE(after < before + 2 * kDay);
}

TEST(Clock, DoesNotGoBackWithTheSystems) {
  SetAhead(kDay);
  const uint64_t before = UnixTimeMs();
  faults::ShiftClock(-kDay);
  const uint64_t after = UnixTimeMs();
  CHECK_TRUE(after >= before);
  CHECK_TRUE(after < before + kDay);
  while (UnixTimeMs() == after) std::this_thread::yield();  // and it does not stand still
}

TEST(Clock, NoThreadSeesItBehindWhatItHasSeen) {
  std::atomic<int> backward{0};
  std::vector<std::thread> threads;
  for (int thread = 0; thread < 4; thread++) {
    threads.emplace_back([&, thread] {
      uint64_t last = 0;
      for (int i = 0; i < 10'000; i++) {
        if (thread == 0) faults::ShiftClock(i % 2 == 0 ? i * kDay : -i);
        const uint64_t now = UnixTimeMs();
        if (now < last) backward++;
        last = now;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  LONGS_EQUAL(0, backward);
}
