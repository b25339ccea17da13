#include "base/escape.h"

#include <CppUTest/TestHarness.h>

#include <string>

using keystone::Escape;

TEST_GROUP(Escape){};

TEST(Escape, PrintableAsciiStays) {
  STRCMP_EQUAL("Hello, world! ~", Escape("Hello, world! ~").c_str());
  STRCMP_EQUAL("", Escape("").c_str());
}

TEST(Escape, BackslashesAndQuotesAreMarked) {
  STRCMP_EQUAL("a\\\\b\\'c\"d", Escape("a\\b'c\"d").c_str());
}

TEST(Escape, AllOtherBytesBecomeHex) {
  STRCMP_EQUAL("\\x00\\x0a\\x1f\\x7f\\x80\\xff",
               Escape(std::string_view("\0\n\x1f\x7f\x80\xff", 6)).c_str());
}

TEST(Escape, ShowsAtMostTheLimit) {
  STRCMP_EQUAL("abc", Escape("abc", 3).c_str());
  STRCMP_EQUAL("abc...", Escape("abcd", 3).c_str());
  STRCMP_EQUAL("\\x00\\x00...", Escape(std::string(3, '\0'), 2).c_str());
  LONGS_EQUAL(64 + 3, Escape(std::string(65, 'x')).size());
}
