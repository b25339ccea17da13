#include <CppUTest/CommandLineTestRunner.h>
#include <CppUTest/MemoryLeakWarningPlugin.h>
#include <unistd.h>

#include "explorer.h"

// A store that waits for ever is found by the alarm.
int main(int argc, char** argv) {
  constexpr unsigned kLongestSeconds = 900;
  ::alarm(kLongestSeconds);
  MemoryLeakWarningPlugin::turnOffNewDeleteOverloads();
  const int failed = CommandLineTestRunner::RunAllTests(argc, argv);
  crash::Explorer::total().Print("in total, mutations included");
  return failed;
}
