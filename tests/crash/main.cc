#include <CppUTest/CommandLineTestRunner.h>
#include <CppUTest/MemoryLeakWarningPlugin.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "explorer.h"

namespace {

unsigned LongestSeconds() {
  constexpr double kLongestSeconds = 900;
  const char* const slow = std::getenv("KEYSTONE_TEST_SLOW");
  return static_cast<unsigned>(kLongestSeconds * std::max(1.0, slow ? std::atof(slow) : 1.0));
}

}  // namespace

// A store that waits for ever is found by the alarm.
int main(int argc, char** argv) {
  ::alarm(LongestSeconds());
  MemoryLeakWarningPlugin::turnOffNewDeleteOverloads();
  const int failed = CommandLineTestRunner::RunAllTests(argc, argv);
  crash::Explorer::total().Print("in total, mutations included");
  return failed;
}
