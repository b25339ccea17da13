#include "daemon/units.h"

#include <CppUTest/TestHarness.h>

#include <string>

using keystone::Code;
using keystone::ParseDuration;
using keystone::ParseSize;

namespace {

void CheckRefused(const keystone::Result<uint64_t>& parsed, const std::string& text) {
  CHECK_FALSE_TEXT(parsed.ok(), text.c_str());
  CHECK_TRUE(parsed.status().code() == Code::kInvalid);
  STRCMP_CONTAINS(("'" + text + "'").c_str(), parsed.status().message().c_str());
}

}  // namespace

TEST_GROUP(Units){};

TEST(Units, SizesArePowersOf1024) {
  CHECK_TRUE(ParseSize("0").value() == 0);
  CHECK_TRUE(ParseSize("4096").value() == 4096);
  CHECK_TRUE(ParseSize("64k").value() == 65536);
  CHECK_TRUE(ParseSize("256m").value() == 268435456);
  CHECK_TRUE(ParseSize("1g").value() == 1073741824);
}

TEST(Units, WhatIsNoSizeIsRefusedAndQuoted) {
  for (const char* text : {"", "k", "-1", "+1", " 1", "1 ", "1K", "1kb", "1.5m", "0x10", "1mm"}) {
    CheckRefused(ParseSize(text), text);
  }
}

TEST(Units, SizesThatNoFileCanHaveAreRefused) {
  CHECK_TRUE(ParseSize("9223372036854775807").ok());
  CHECK_TRUE(ParseSize("8589934591g").ok());
  for (const char* text : {"9223372036854775808", "8589934592g", "18446744073709551616",
                           "99999999999999999999999999", "18014398509481984k"}) {
    CheckRefused(ParseSize(text), text);
    STRCMP_CONTAINS("too large", ParseSize(text).status().message().c_str());
  }
}

TEST(Units, DurationsAreMilliseconds) {
  CHECK_TRUE(ParseDuration("0").value() == 0);
  CHECK_TRUE(ParseDuration("250ms").value() == 250);
  CHECK_TRUE(ParseDuration("30s").value() == 30000);
  CHECK_TRUE(ParseDuration("5m").value() == 300000);
  CHECK_TRUE(ParseDuration("1h").value() == 3600000);
}

TEST(Units, ABareDurationIsSeconds) { CHECK_TRUE(ParseDuration("30").value() == 30000); }

TEST(Units, WhatIsNoDurationIsRefusedAndQuoted) {
  for (const char* text :
       {"", "s", "-1s", "1S", "1d", "1sec", "1 s", "1.5s", "9223372036854775807h"}) {
    CheckRefused(ParseDuration(text), text);
  }
}
