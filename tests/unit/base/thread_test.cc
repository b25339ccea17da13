#include "base/thread.h"

#include <CppUTest/TestHarness.h>
#include <sched.h>

#include <thread>

using keystone::SetBatchThread;

TEST_GROUP(Thread){};

TEST(Thread, IsScheduledForThroughputOrForLatency) {
  const sched_param none{};
  bool may = false;  // some sandboxes allow none of it
  int batch = -1;
  int again = -1;
  int ended = -1;
  std::thread([&] {
    may = ::sched_setscheduler(0, SCHED_OTHER, &none) == 0;
    SetBatchThread(true);
    batch = ::sched_getscheduler(0);
    SetBatchThread(true);
    again = ::sched_getscheduler(0);
    SetBatchThread(false);
    ended = ::sched_getscheduler(0);
  }).join();
  if (!may) return;
  LONGS_EQUAL(SCHED_BATCH, batch);
  LONGS_EQUAL(SCHED_BATCH, again);
  LONGS_EQUAL(SCHED_OTHER, ended);
}
