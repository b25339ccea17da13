#include "bench/data.h"

#include <CppUTest/TestHarness.h>

#include <algorithm>
#include <set>
#include <vector>

using keystone::BenchKey;
using keystone::BenchPermutation;
using keystone::BenchRandom;
using keystone::BenchValues;

namespace {

std::string Value(size_t size_bytes, uint64_t key_number) {
  std::string value;
  BenchValues(size_bytes).Append(key_number, &value);
  return value;
}

}  // namespace

TEST_GROUP(BenchData){};

TEST(BenchData, AKeyIsItsNumberIn16Bytes) {
  STRCMP_EQUAL("key:000000000000", std::string(BenchKey(0).text()).c_str());
  STRCMP_EQUAL("key:000000012345", std::string(BenchKey(12345).text()).c_str());
  STRCMP_EQUAL("key:999999999999", std::string(BenchKey(999'999'999'999).text()).c_str());
}

TEST(BenchData, AValueHasTheSizeAskedForAndMatchesItself) {
  for (const size_t size : {1, 2, 15, 16, 17, 31, 32, 33, 34, 100, 101, 70000}) {
    const std::string value = Value(size, 7);
    UNSIGNED_LONGS_EQUAL(size, value.size());
    CHECK(BenchValues(size).Matches(7, value));
  }
}

TEST(BenchData, EveryByteOfAValueCounts) {
  const std::string value = Value(101, 7);
  const BenchValues values(101);
  for (size_t i = 0; i < value.size(); i++) {
    std::string altered = value;
    altered[i] = '!';
    CHECK_FALSE(values.Matches(7, altered));
  }
  CHECK_FALSE(values.Matches(7, value + "x"));
  CHECK_FALSE(values.Matches(7, value.substr(1)));
  CHECK_FALSE(values.Matches(7, ""));
}

TEST(BenchData, KeysHaveValuesOfTheirOwn) {
  std::set<std::string> seen;
  const BenchValues values(16);
  for (uint64_t key = 0; key < 10000; key++) {
    std::string value;
    values.Append(key, &value);
    seen.insert(value);
  }
  UNSIGNED_LONGS_EQUAL(10000, seen.size());
}

TEST(BenchData, ValuesArePrintableAndWithoutSpaces) {
  const std::string value = Value(70000, 3);
  CHECK(std::all_of(value.begin(), value.end(), [](char c) { return c > ' ' && c < 0x7f; }));
}

TEST(BenchData, TheSecondHalfOfAValueRepeatsTheFirst) {
  const std::string value = Value(100, 3);
  STRCMP_EQUAL(value.substr(0, 50).c_str(), value.substr(50).c_str());
}

TEST(BenchData, RandomNumbersStayBelowTheirLimitAndReachAllOfIt) {
  BenchRandom random(1);
  std::set<uint64_t> seen;
  for (int i = 0; i < 1000; i++) {
    const uint64_t number = random.Below(10);
    CHECK(number < 10);
    seen.insert(number);
  }
  UNSIGNED_LONGS_EQUAL(10, seen.size());
}

TEST(BenchData, APermutationHasEachNumberOnce) {
  for (const uint64_t size : {1, 2, 3, 4, 5, 16, 17, 1000}) {
    const BenchPermutation permutation(size);
    std::vector<bool> seen(size);
    for (uint64_t i = 0; i < size; i++) {
      const uint64_t number = permutation.At(i);
      CHECK(number < size);
      CHECK_FALSE(seen[number]);
      seen[number] = true;
    }
  }
}
