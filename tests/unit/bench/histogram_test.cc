#include "bench/histogram.h"

#include <CppUTest/TestHarness.h>

using keystone::Histogram;

TEST_GROUP(Histogram){};

TEST(Histogram, IsZeroWithoutDurations) {
  const Histogram empty;
  UNSIGNED_LONGS_EQUAL(0, empty.count());
  UNSIGNED_LONGS_EQUAL(0, empty.max_ns());
  UNSIGNED_LONGS_EQUAL(0, empty.Percentile(0.99));
}

TEST(Histogram, ShortDurationsAreExact) {
  for (uint64_t ns = 0; ns < 256; ns++) {
    Histogram histogram;
    histogram.Add(ns);
    histogram.Add(ns + 100'000);
    UNSIGNED_LONGS_EQUAL(ns, histogram.Percentile(0.5));
  }
}

TEST(Histogram, PercentilesAreOfAllThatWereAdded) {
  Histogram histogram;
  for (uint64_t ns = 1; ns <= 100; ns++) histogram.Add(ns);
  UNSIGNED_LONGS_EQUAL(1, histogram.Percentile(0));
  UNSIGNED_LONGS_EQUAL(50, histogram.Percentile(0.5));
  UNSIGNED_LONGS_EQUAL(99, histogram.Percentile(0.99));
  UNSIGNED_LONGS_EQUAL(100, histogram.Percentile(0.999));
  UNSIGNED_LONGS_EQUAL(100, histogram.Percentile(1));
}

TEST(Histogram, APercentileIsAtMostOne128thTooLong) {
  for (uint64_t ns = 1; ns < uint64_t{1} << 39; ns += ns / 3 + 1) {
    Histogram histogram;
    histogram.Add(ns);
    histogram.Add(uint64_t{1} << 40);
    const uint64_t median = histogram.Percentile(0.5);
    CHECK(median >= ns);
    CHECK(median - ns <= ns / 128);
  }
}

TEST(Histogram, TheMaximumIsExactWhateverItsLength) {
  Histogram histogram;
  histogram.Add(12'345'678'901);
  UNSIGNED_LONGLONGS_EQUAL(12'345'678'901, histogram.max_ns());
  UNSIGNED_LONGLONGS_EQUAL(12'345'678'901, histogram.Percentile(1));
  histogram.Add(~uint64_t{0});
  UNSIGNED_LONGLONGS_EQUAL(~uint64_t{0}, histogram.max_ns());
}

TEST(Histogram, MergingIsAddingTheOthers) {
  Histogram one;
  Histogram other;
  one.Add(10);
  other.Add(20);
  other.Add(3'000'000);
  one.Merge(other);
  UNSIGNED_LONGS_EQUAL(3, one.count());
  UNSIGNED_LONGS_EQUAL(20, one.Percentile(0.5));
  UNSIGNED_LONGS_EQUAL(3'000'000, one.max_ns());
}
