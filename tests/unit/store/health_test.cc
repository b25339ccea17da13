#include "store/health.h"

#include "store/testing.h"

using keystone::Code;
using keystone::Health;
using keystone::Status;
using testing::CheckOk;
using testing::CheckSays;

TEST_GROUP(Health) {
  const keystone::Log log = testing::Quiet();
  Health health{&log};
};

TEST(Health, IsCuredOfAFailedSync) {
  CHECK_EQUAL(Code::kReadOnly, health.BecomeReadOnly({Code::kIo, "sync"}).code());
  CheckOk(health.CheckCurable());
  CheckSays("sync", health.Check());
  health.Cure();
  CheckOk(health.Check());
}

TEST(Health, OfAnIndexThatCanNotBeTrustedHasNoCure) {
  (void)health.BecomeReadOnlyForGood({Code::kSystem, "out of memory"});
  CHECK_EQUAL(Code::kReadOnly, health.CheckCurable().code());
  health.Cure();
  CHECK_TRUE(health.read_only());
  CheckSays("out of memory", health.Check());
  CheckSays("restart the daemon", health.CheckCurable());
}

TEST(Health, HasNoCureEvenWhereItWasReadOnlyBefore) {
  (void)health.BecomeReadOnly({Code::kIo, "sync"});
  (void)health.BecomeReadOnlyForGood({Code::kSystem, "out of memory"});
  health.Cure();
  CHECK_EQUAL(Code::kReadOnly, health.Check().code());
}
