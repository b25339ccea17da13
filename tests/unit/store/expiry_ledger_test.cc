#include "store/expiry_ledger.h"

#include <vector>

#include "store/testing.h"

using keystone::Expiring;
using keystone::ExpiryLedger;

TEST_GROUP(ExpiryLedger) {
  ExpiryLedger ledger;

  void CheckSums(uint64_t now_ms, uint64_t expired, uint64_t expired_bytes, uint64_t expiring,
                 uint64_t ever_expired) {
    const ExpiryLedger::Sums sums = ledger.At(now_ms);
    LONGS_EQUAL(expired, sums.expired_records);
    LONGS_EQUAL(expired_bytes, sums.expired_bytes);
    LONGS_EQUAL(expiring, sums.expiring_records);
    LONGS_EQUAL(ever_expired, sums.ever_expired);
  }
};

TEST(ExpiryLedger, CountsARecordAsExpiredAtTheEndOfItsSecond) {
  ledger.Add({5000, 10});
  ledger.Add({5001, 20});
  ledger.Add({6000, 40});
  CheckSums(4999, 0, 0, 3, 0);
  CheckSums(5000, 1, 10, 2, 1);
  CheckSums(5999, 1, 10, 2, 1);
  CheckSums(6000, 3, 70, 0, 3);
}

TEST(ExpiryLedger, OneThatHasExpiredAlreadyCountsAtOnce) {
  CheckSums(9000, 0, 0, 0, 0);
  ledger.Add({8000, 10});
  CheckSums(9000, 1, 10, 0, 1);
}

TEST(ExpiryLedger, OneThatIsGoneCountsNoMore) {
  ledger.Add({5000, 10});
  ledger.Add({6000, 20});
  ledger.Add({7000, 40});
  ledger.Remove({7000, 40}, 1000);
  CheckSums(5000, 1, 10, 1, 1);
  ledger.Remove({5000, 10}, 5000);
  CheckSums(5000, 0, 0, 1, 1);
  CheckSums(9000, 1, 20, 0, 2);
}

TEST(ExpiryLedger, OneThatGoesBeforeItExpiresNeverDid) {
  ledger.Add({5500, 10});
  ledger.Remove({5500, 10}, 5499);
  CheckSums(9000, 0, 0, 0, 0);
}

TEST(ExpiryLedger, OneThatGoesWithinTheSecondInWhichItExpiresHas) {
  ledger.Add({5500, 10});
  ledger.Remove({5500, 10}, 5500);
  CheckSums(5600, 0, 0, 0, 1);
  CheckSums(9000, 0, 0, 0, 1);
}

TEST(ExpiryLedger, ATimeThatGoesBackChangesNothing) {
  ledger.Add({5000, 10});
  CheckSums(5000, 1, 10, 0, 1);
  CheckSums(1000, 1, 10, 0, 1);
  ledger.Add({4000, 20});
  CheckSums(1000, 2, 30, 0, 2);
}

TEST(ExpiryLedger, ManyAtOnceAddUpAsOneByOne) {
  std::vector<Expiring> records{{7000, 1}, {5000, 2}, {6999, 4}, {5001, 8}, {5000, 16}};
  ledger.AddAll(records);
  CheckSums(4000, 0, 0, 5, 0);
  CheckSums(5000, 2, 18, 3, 2);
  CheckSums(6000, 3, 26, 2, 3);
  CheckSums(7000, 5, 31, 0, 5);
}

TEST(ExpiryLedger, ARecordThatSaysOtherwiseThanWhenItCameIsNoMatter) {
  ledger.Add({5000, 10});
  ledger.Remove({6000, 10}, 1000);
  CheckSums(4000, 0, 0, 1, 0);
  ledger.Remove({5000, 11}, 1000);
  CheckSums(9000, 0, 0, 0, 0);
  ledger.Remove({5000, 10}, 9000);
  CheckSums(9000, 0, 0, 0, 0);
}

TEST(ExpiryLedger, TheLastMomentThatANumberHoldsIsNeverReached) {
  ledger.Add({~uint64_t{0}, 10});
  CheckSums(9'000'000'000'000, 0, 0, 1, 0);
  ledger.Remove({~uint64_t{0}, 10}, 1000);
  CheckSums(9'000'000'000'000, 0, 0, 0, 0);
}

TEST(ExpiryLedger, MemoryIsBySecondNotByRecord) {
  for (uint64_t i = 0; i < 10000; i++) ledger.Add({1000 + i, 1});
  const uint64_t bytes = ledger.memory_bytes();
  CHECK_TRUE(bytes > 0);
  CHECK_TRUE(bytes < 1000);
  CheckSums(20000, 10000, 10000, 0, 10000);
  LONGS_EQUAL(0, ledger.memory_bytes());
}

TEST(ExpiryLedger, AnEmptyIndexHasNoneAndRemembersHowManyThereWere) {
  ledger.Add({5000, 10});
  ledger.Add({9000, 20});
  CheckSums(5000, 1, 10, 1, 1);
  ledger.Clear();
  CheckSums(9999, 0, 0, 0, 1);
  LONGS_EQUAL(0, ledger.memory_bytes());
}
