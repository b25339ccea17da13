#include "base/memory.h"

#include <unistd.h>

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string_view>

#include "CppUTest/TestHarness.h"
#include "base/pages.h"

using keystone::GiveBackPages;
using keystone::Pages;

TEST_GROUP(Memory) {
  const size_t page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  const Pages pages{4 * page};
  char* const data = pages.data();

  void setup() override { std::fill_n(data, 4 * page, 'x'); }

  bool IsAll(char byte, size_t from, size_t to) const {
    return std::all_of(data + from, data + to, [byte](char c) { return c == byte; });
  }
};

TEST(Memory, OnlyPagesThatAreWhollyWithinAreGivenBack) {
  GiveBackPages(data + 1, 3 * page);
  CHECK_TRUE(IsAll('x', 0, page));
  CHECK_TRUE(IsAll('\0', page, 3 * page));
  CHECK_TRUE(IsAll('x', 3 * page, 4 * page));
}

TEST(Memory, PagesThatBeginAndEndWithItAreGivenBack) {
  GiveBackPages(data + page, 2 * page);
  CHECK_TRUE(IsAll('x', 0, page));
  CHECK_TRUE(IsAll('\0', page, 3 * page));
  CHECK_TRUE(IsAll('x', 3 * page, 4 * page));
}

TEST(Memory, WhatHoldsNoWholePageStays) {
  GiveBackPages(data + 1, page);
  GiveBackPages(data + 1, 2 * page - 2);
  GiveBackPages(data + 1, 1);
  GiveBackPages(data, 0);
  CHECK_TRUE(IsAll('x', 0, 4 * page));
}
