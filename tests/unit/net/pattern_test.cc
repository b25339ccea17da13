#include "net/pattern.h"

#include <string>

#include "CppUTest/TestHarness.h"

using namespace keystone;
using namespace std::string_literals;

namespace {

std::string Parsed(std::string_view pattern) {
  std::string_view prefix;
  bool exact = false;
  if (!ParsePrefixPattern(pattern, &prefix, &exact)) return "refused";
  return (exact ? "key " : "prefix ") + std::string(prefix);
}

}  // namespace

TEST_GROUP(Pattern){};

TEST(Pattern, IsAPrefixOrAKey) {
  CHECK_EQUAL("prefix user:"s, Parsed("user:*"));
  CHECK_EQUAL("prefix "s, Parsed("*"));
  CHECK_EQUAL("key user:1"s, Parsed("user:1"));
  CHECK_EQUAL("key "s, Parsed(""));
  CHECK_EQUAL("key a]b"s, Parsed("a]b"));
}

TEST(Pattern, OfAnyOtherKindIsRefused) {
  for (const char* pattern : {"*a", "a*b", "a**", "a?", "?*", "[ab]*", "a\\*", "\\"}) {
    CHECK_EQUAL("refused"s, Parsed(pattern));
  }
}
