// What can't be read: the file is cut under the store, which is SIGBUS like a bad sector.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "base/bus_guard.h"
#include "scratch.h"
#include "store/hint_writer.h"
#include "store/testing.h"

using keystone::Code;
using keystone::CompactionMode;
using keystone::FoundValue;
using keystone::FsyncPolicy;
using keystone::ScanResult;
using keystone::Status;
using keystone::Store;
using testing::CheckOk;
using testing::CheckSays;
using testing::CheckValue;
using testing::Delete;
using testing::Set;

namespace {

constexpr char kFirst[] = "000000000001.log";
constexpr off_t kLeft = 16384;

}  // namespace

TEST_GROUP(Unreadable) {
  Scratch scratch;
  std::unique_ptr<Store> store;
  struct sigaction before {};

  void setup() override {
    ::sigaction(SIGBUS, nullptr, &before);
    CheckOk(keystone::BusGuard::Install());
    store = testing::OpenStore(scratch.path());
    for (const char* key : {"in front", "cut", "also cut"}) {
      CheckOk(Set(*store, key, std::string(12000, 'v')));
    }
  }

  void teardown() override {
    store.reset();
    ::sigaction(SIGBUS, &before, nullptr);
  }

  // "in front" stays; of "cut" a part, of "also cut" nothing.
  void Cut() const { LONGS_EQUAL(0, ::truncate(scratch.File(kFirst).c_str(), kLeft)); }

  static void CheckUnreadable(const Status& status) {
    CHECK_EQUAL(Code::kIo, status.code());
    CheckSays(kFirst, status);
    CheckSays("Input/output error", status);
  }
};

TEST(Unreadable, AValueIsAnErrorAndTheOthersAreServed) {
  Cut();
  FoundValue found;
  for (int i = 0; i < 2; i++) {
    CheckUnreadable(store->Get("cut", &found));
    CheckUnreadable(store->Get("also cut", &found));
    CheckValue(*store, "in front", std::string(12000, 'v'));
  }
}

TEST(Unreadable, AKeyIsNotAnAbsentKey) {
  Cut();
  CheckUnreadable(store->Exists("also cut"));
  CheckUnreadable(Delete(*store, "also cut"));
  ScanResult result;
  CheckUnreadable(store->Scan(0, 100, {}, &result));
  CHECK_EQUAL(Code::kNotFound, store->Exists("no such key").code());
}

TEST(Unreadable, ACompactionLeavesTheOldLog) {
  for (const CompactionMode mode : {CompactionMode::kStopTheWorld, CompactionMode::kOnline}) {
    Cut();
    CheckUnreadable(store->Compact(mode));
    CHECK_TRUE(testing::HasNoLeftovers(scratch.path()));
    CheckValue(*store, "in front", std::string(12000, 'v'));
  }
}

TEST(Unreadable, AValueThatIsLostWhileItIsUsedIsSpoilt) {
  FoundValue found;
  CheckOk(store->Get("also cut", &found));
  CHECK_FALSE(found.spoilt());
  Cut();
  LONGS_EQUAL(0, found.value().back());
  CHECK_TRUE(found.spoilt());
}

TEST(Unreadable, AValueIsNotSpoiltByWhatIsLostElsewhere) {
  FoundValue lost;
  FoundValue found;
  CheckOk(store->Get("also cut", &lost));
  CheckOk(store->Get("in front", &found));
  Cut();
  LONGS_EQUAL(0, lost.value().back());
  CHECK_FALSE(found.spoilt());
}

TEST(Unreadable, NoHintIsMade) {
  Cut();
  CheckOk(store->Close());
  CHECK_FALSE(scratch.Has("000000000001.hint"));
}
