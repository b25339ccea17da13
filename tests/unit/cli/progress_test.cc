#include "cli/progress.h"

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <thread>

#include "CppUTest/TestHarness.h"
#include "base/fd.h"
#include "scratch.h"

using keystone::Fd;
using keystone::Progress;

// What it draws goes to a file meanwhile.
TEST_GROUP(Progress) {
  Scratch scratch;
  Fd terminal{::dup(STDERR_FILENO)};

  void setup() override {
    const Fd file(::open(scratch.File("drawn").c_str(), O_WRONLY | O_CREAT, 0600));
    ::dup2(file.get(), STDERR_FILENO);
  }
  void teardown() override { ::dup2(terminal.get(), STDERR_FILENO); }

  std::string Drawn() const {
    std::fflush(stderr);
    return scratch.Read("drawn");
  }

  // Updates until something is drawn.
  void Draw(Progress * progress, uint64_t done) const {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (Drawn().empty() && std::chrono::steady_clock::now() < deadline) {
      progress->Update(done);
      std::this_thread::yield();
    }
  }
};

TEST(Progress, NothingIsDrawnWhereNobodyWatches) {
  {
    Progress progress(Progress::Unit::kBytes, 100, false);
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(150);
    while (std::chrono::steady_clock::now() < deadline) progress.Update(50);
  }
  STRCMP_EQUAL("", Drawn().c_str());
}

TEST(Progress, ABarAndAPercentageWhereTheEndIsKnown) {
  Progress progress(Progress::Unit::kBytes, 3 << 20, true);
  Draw(&progress, 3 << 19);
  STRCMP_CONTAINS("\r[===============>              ]  50%  1.5 MiB of 3.0 MiB  ", Drawn().c_str());
}

TEST(Progress, NeitherWhereItIsNot) {
  Progress progress(Progress::Unit::kEntries, 0, true);
  Draw(&progress, 1234);
  STRCMP_CONTAINS("\r1234  ", Drawn().c_str());
  CHECK_TRUE(Drawn().find('%') == std::string::npos);
}

TEST(Progress, MoreThanAllIsAFullBar) {
  Progress progress(Progress::Unit::kEntries, 10, true);
  Draw(&progress, 11);
  STRCMP_CONTAINS("[==============================] 100%  11 of 10", Drawn().c_str());
}

TEST(Progress, WhatWasDrawnIsRemovedOnce) {
  {
    Progress progress(Progress::Unit::kEntries, 0, true);
    Draw(&progress, 1);
    progress.Clear();
  }
  const std::string drawn = Drawn();
  const std::string removal = "\r\033[K";
  const size_t at = drawn.find(removal);
  CHECK_TRUE(at != std::string::npos);
  LONGS_EQUAL(drawn.size(), at + removal.size());
}
