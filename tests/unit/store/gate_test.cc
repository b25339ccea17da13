#include "store/gate.h"

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "store/testing.h"

using keystone::Gate;
using testing::BecomesTrue;

TEST_GROUP(Gate) {
  // Not a plain member: CppUTest's allocation knows nothing of its alignment.
  const std::unique_ptr<Gate> owned = std::make_unique<Gate>();
  Gate& gate = *owned;
};

TEST(Gate, ManyCanBeInside) {
  std::atomic<int> inside{0};
  std::atomic<int> together{0};
  testing::RunThreads(8, [&](int) {
    const Gate::Pass pass(&gate);
    inside++;
    if (BecomesTrue([&] { return inside == 8; })) together++;
  });
  LONGS_EQUAL(8, together);
}

TEST(Gate, CanBeClosedAgainAndAgainWhileNobodyIsInside) {
  for (int i = 0; i < 3; i++) {
    gate.Close();
    gate.Open();
  }
  const Gate::Pass pass(&gate);
}

TEST(Gate, CloseWaitsForWhoIsInside) {
  std::atomic<bool> closed{false};
  auto pass = std::make_unique<Gate::Pass>(&gate);
  std::thread closer([&] {
    gate.Close();
    closed = true;
    gate.Open();
  });
  CHECK_FALSE(closed);
  pass.reset();
  closer.join();
  CHECK_TRUE(closed);
}

TEST(Gate, AWaitingCloserHasPriorityOverNewcomers) {
  std::atomic<bool> closed{false};
  std::atomic<bool> stop{false};
  std::atomic<uint64_t> passed{0};
  // Somebody is inside at every moment, so a gate that let newcomers in would never be empty.
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; i++) {
    threads.emplace_back([&] {
      Gate::Pass held(&gate);
      while (!stop) {
        held = Gate::Pass();
        held = Gate::Pass(&gate);
        passed++;
      }
    });
  }
  const bool busy = BecomesTrue([&] { return passed > 1000; });
  std::thread closer([&] {
    gate.Close();
    closed = true;
    gate.Open();
  });
  const bool came_first = BecomesTrue([&] { return closed.load(); });
  stop = true;
  closer.join();
  for (std::thread& thread : threads) thread.join();
  CHECK_TRUE(busy);
  CHECK_TRUE(came_first);
}

TEST(Gate, NobodyIsInsideWhileItIsClosed) {
  int64_t guarded = 0;  // plain: a race here is for the thread sanitizer to find
  std::atomic<int> inside{0};
  std::atomic<int> intruders{0};
  std::atomic<bool> stop{false};
  std::atomic<int64_t> seen{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; i++) {
    threads.emplace_back([&] {
      while (!stop) {
        const Gate::Pass pass(&gate);
        inside++;
        seen = guarded;
        inside--;
      }
    });
  }
  for (int i = 0; i < 500; i++) {
    gate.Close();
    if (inside != 0) intruders++;
    guarded++;
    if (inside != 0) intruders++;
    gate.Open();
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  LONGS_EQUAL(0, intruders);
}

TEST(Gate, APassThatMovesLeavesOnce) {
  Gate::Pass outer;
  {
    Gate::Pass inner(&gate);
    outer = std::move(inner);
  }
  std::atomic<bool> closed{false};
  std::thread closer([&] {
    gate.Close();
    closed = true;
    gate.Open();
  });
  CHECK_FALSE(closed);
  Gate::Pass third(std::move(outer));
  CHECK_FALSE(closed);
  third = Gate::Pass();
  closer.join();
  CHECK_TRUE(closed);
}

TEST(Gate, AnEmptyPassHoldsNothing) {
  const Gate::Pass pass;
  gate.Close();
  gate.Open();
}

TEST(Gate, APassThatIsTakenInOneThreadCanBeLeftInAnother) {
  auto pass = std::make_unique<Gate::Pass>(&gate);
  std::thread([&] { pass.reset(); }).join();
  gate.Close();
  gate.Open();
}

TEST(Gate, DrainWaitsForWhoWasInsideAndKeepsNobodyOut) {
  std::atomic<bool> drained{false};
  auto early = std::make_unique<Gate::Pass>(&gate);
  std::thread drainer([&] {
    gate.Drain();
    drained = true;
  });
  std::atomic<int> passed{0};
  testing::RunThreads(4, [&](int) {
    for (int i = 0; i < 100; i++) {
      const Gate::Pass pass(&gate);
      passed++;
    }
  });
  LONGS_EQUAL(400, passed);
  CHECK_FALSE(drained);
  early.reset();
  drainer.join();
  CHECK_TRUE(drained);
}

TEST(Gate, DrainDoesNotWaitForNewcomers) {
  auto early = std::make_unique<Gate::Pass>(&gate);
  std::atomic<bool> drained{false};
  std::thread drainer([&] {
    gate.Drain();
    drained = true;
  });
  // At every moment one of these is inside, each came in while the other was.
  Gate::Pass held[2];
  held[0] = Gate::Pass(&gate);
  early.reset();
  int turn = 0;
  CHECK_TRUE(BecomesTrue([&] {
    turn ^= 1;
    held[turn] = Gate::Pass();
    // A newcomer that was counted before the drain began is waited for: so it leaves, too.
    std::thread([&] { held[turn] = Gate::Pass(&gate); }).join();
    return drained.load();
  }));
  drainer.join();
}

TEST(Gate, NobodyUsesAfterADrainWhatWasTakenAwayBeforeIt) {
  struct Thing {
    int64_t number = 0;  // plain: a race here is for the thread sanitizer to find
  };
  std::atomic<Thing*> current{new Thing};
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 6; i++) {
    threads.emplace_back([&] {
      while (!stop) {
        const Gate::Pass pass(&gate);
        if (current.load()->number < 0) wrong++;
      }
    });
  }
  for (int i = 1; i <= 500; i++) {
    Thing* const old = current.exchange(new Thing{i});
    gate.Drain();
    old->number = -1;
    delete old;
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  delete current.load();
  LONGS_EQUAL(0, wrong);
}

TEST(Gate, ADrainThatGaveUpLeavesNobodyOut) {
  constexpr std::chrono::milliseconds kPatience{1};
  auto first = std::make_unique<Gate::Pass>(&gate);
  CHECK_FALSE(gate.DrainWithin(kPatience));
  CHECK_FALSE(gate.DrainWithin(kPatience));
  auto second = std::make_unique<Gate::Pass>(&gate);  // on the other side
  CHECK_FALSE(gate.DrainWithin(kPatience));
  second.reset();
  CHECK_FALSE(gate.DrainWithin(kPatience));
  second = std::make_unique<Gate::Pass>(&gate);
  first.reset();
  CHECK_FALSE(gate.DrainWithin(kPatience));
  second.reset();
  CHECK_TRUE(gate.DrainWithin(kPatience));
  gate.Drain();
}
