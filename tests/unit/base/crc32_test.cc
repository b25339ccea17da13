#include "base/crc32.h"

#include <CppUTest/TestHarness.h>

#include <string_view>

using keystone::Crc32;

TEST_GROUP(Crc32){};

TEST(Crc32, IsZlibs) {
  UNSIGNED_LONGS_EQUAL(0, Crc32(""));
  UNSIGNED_LONGS_EQUAL(0xcbf43926, Crc32("123456789"));
  UNSIGNED_LONGS_EQUAL(0x2144df1c, Crc32(std::string_view("\0\0\0\0", 4)));
}

TEST(Crc32, GoesOnWhereItStopped) {
  UNSIGNED_LONGS_EQUAL(0xcbf43926, Crc32("6789", Crc32("12345")));
  UNSIGNED_LONGS_EQUAL(0xcbf43926, Crc32("", Crc32("123456789")));
}
