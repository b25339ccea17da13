#include "store/workers.h"

#include <atomic>
#include <chrono>
#include <new>
#include <string>
#include <thread>
#include <vector>

#include "store/testing.h"

using keystone::Code;
using keystone::RunTasks;
using keystone::Status;
using testing::CheckOk;

namespace {

const std::function<void()> kNothing = [] {};

}  // namespace

TEST_GROUP(Workers){};

TEST(Workers, RunEachTaskOnce) {
  for (const size_t workers : {1, 2, 4}) {
    for (const size_t count : {0, 1, 3, 100}) {
      std::vector<std::atomic<int>> runs(count);
      std::atomic<bool> wrong{false};
      CheckOk(RunTasks(
          count, workers,
          [&](size_t worker, size_t task) {
            runs[task]++;
            if (worker >= workers) wrong = true;
            return Status::Ok();
          },
          kNothing));
      for (const auto& times : runs) LONGS_EQUAL(1, times);
      CHECK_FALSE(wrong);
    }
  }
}

TEST(Workers, TheFirstTaskThatFailsIsTheResult) {
  for (int round = 0; round < 200; round++) {
    const Status status = RunTasks(
        50, 4,
        [](size_t, size_t task) {
          return task % 7 == 6 ? Status(Code::kIo, std::to_string(task)) : Status::Ok();
        },
        kNothing);
    STRCMP_EQUAL("6", status.message().c_str());
  }
}

TEST(Workers, ATaskThatIsOutOfMemoryFails) {
  const auto task = [](size_t, size_t) -> Status { throw std::bad_alloc(); };
  CHECK_EQUAL(Code::kSystem, RunTasks(2, 2, task, kNothing).code());
}

TEST(Workers, TheThreadThatWaitsForOthersIsNotIdle) {
  std::atomic<int> idle{0};
  const auto main_thread = std::this_thread::get_id();
  const auto task = [&](size_t, size_t) {
    while (std::this_thread::get_id() != main_thread && idle == 0) std::this_thread::yield();
    return Status::Ok();
  };
  CheckOk(RunTasks(2, 2, task, [&] { idle++; }));
}
