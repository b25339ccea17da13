// What a thread does sooner or later.
#ifndef KEYSTONE_TESTS_UNIT_WAIT_H_
#define KEYSTONE_TESTS_UNIT_WAIT_H_

#include <poll.h>

#include <chrono>

// It takes over operator new, so it comes behind all headers that have one of their own.
// clang-format off
#include <CppUTest/TestHarness.h>
// clang-format on

namespace testing {

// Looks again and again until it is so; false where that takes more than a minute. Any process.
template <class Condition>
bool BecomesTrue(Condition condition) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    ::poll(nullptr, 0, 1);
  }
  return true;
}

// The same, where the test fails otherwise.
template <class Condition>
void WaitUntil(Condition condition) {
  CHECK_TRUE(BecomesTrue(condition));
}

}  // namespace testing

#endif  // KEYSTONE_TESTS_UNIT_WAIT_H_
