// Updates that do not need what their key holds: its value is not read then.
#include <signal.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "base/bus_guard.h"
#include "scratch.h"
#include "store/testing.h"
#include "store/update.h"

using keystone::Attributes;
using keystone::Batch;
using keystone::Code;
using keystone::Effect;
using keystone::Held;
using keystone::Needs;
using keystone::Store;
using testing::CheckOk;
using testing::Set;

namespace {

constexpr char kFirst[] = "000000000001.log";
constexpr Attributes kOver{.client_flags = 0, .expires_at_ms = 1};

// Notes what it is told, and deletes what does not exist.
class Look : public keystone::Update {
 public:
  Effect Decide(const Held& told) override {
    held = told;
    return {.kind = told.exists ? Effect::Kind::kNone : Effect::Kind::kDelete};
  }

  Held held;
};

}  // namespace

TEST_GROUP(NeedsOfUpdates) {
  Scratch scratch;
  std::unique_ptr<Store> store;
  Batch batch;
  Look look;

  void setup() override { store = testing::OpenStore(scratch.path()); }

  void SetWith(std::string_view key, std::string_view value, const Attributes& attributes) const {
    Batch set;
    set.Set(key, value, attributes);
    CheckOk(store->Apply(&set));
  }

  // Of the first record, whose last byte is that of its value.
  void DamageLastByteOfFirst(size_t size_bytes) const {
    testing::FlipByte(scratch.File(kFirst), keystone::kSegmentHeaderSize + size_bytes - 1);
  }

  size_t Tombstones() const {
    size_t count = 0;
    for (const auto& entry : testing::LogOf(scratch.path())) count += entry.tombstone ? 1 : 0;
    return count;
  }
};

TEST(NeedsOfUpdates, ADamagedValueIsPresent) {
  CheckOk(Set(*store, "key", "value"));
  DamageLastByteOfFirst(keystone::RecordSize("key", "value"));
  for (const Needs needs : {Needs::kPresence, Needs::kClaim}) {
    batch.Clear();
    batch.Change("key", &look, 0, needs);
    CheckOk(store->Apply(&batch));
    CHECK_TRUE(look.held.exists);
    LONGS_EQUAL(1, look.held.sequence);
    CHECK_TRUE(look.held.value.empty());
  }
  batch.Clear();
  batch.Change("key", &look);
  CHECK_EQUAL(Code::kCorrupt, store->Apply(&batch).code());
}

TEST(NeedsOfUpdates, AnAbsentKeyIsAbsentAndADamagedOneIsNot) {
  CheckOk(Set(*store, "key", "value"));
  batch.Change("absent", &look, 0, Needs::kPresence);
  CheckOk(store->Apply(&batch));
  CHECK_FALSE(look.held.exists);
  testing::FlipByte(scratch.File(kFirst), keystone::kSegmentHeaderSize);  // the header
  batch.Clear();
  batch.Change("key", &look, 0, Needs::kPresence);
  CHECK_EQUAL(Code::kCorrupt, store->Apply(&batch).code());
}

TEST(NeedsOfUpdates, WhatHasExpiredIsAbsent) {
  for (const Needs needs : {Needs::kPresence, Needs::kClaim}) {
    SetWith("key", "value", kOver);
    batch.Clear();
    batch.Change("key", &look, 0, needs);
    CheckOk(store->Apply(&batch));
    CHECK_FALSE(look.held.exists);
    CHECK_FALSE(batch.operations()[0].took_effect);
  }
  LONGS_EQUAL(2, Tombstones());
}

TEST(NeedsOfUpdates, OfWhatSaysThatItHasExpiredPresenceIsToBeCertainAClaimIsNot) {
  SetWith("key", "value", kOver);
  DamageLastByteOfFirst(keystone::RecordSize("key", "value", kOver));
  batch.Change("key", &look, 0, Needs::kPresence);
  CHECK_EQUAL(Code::kCorrupt, store->Apply(&batch).code());
  CHECK_EQUAL(Code::kCorrupt, store->Exists("key").code());
  batch.Clear();
  batch.Change("key", &look, 0, Needs::kClaim);
  CheckOk(store->Apply(&batch));
  CHECK_FALSE(look.held.exists);
  CHECK_EQUAL(Code::kNotFound, store->Exists("key").code());
}

TEST(NeedsOfUpdates, WhatTheSameBatchWroteIsPresent) {
  batch.Set("key", "value");
  batch.Change("key", &look, 0, Needs::kPresence);
  CheckOk(store->Apply(&batch));
  CHECK_TRUE(look.held.exists);
  LONGS_EQUAL(0, look.held.sequence);
}

// A page that is touched where it can't be read is counted.
TEST(NeedsOfUpdates, NoPageOfTheValueIsTouched) {
  struct sigaction before {};
  ::sigaction(SIGBUS, nullptr, &before);
  CheckOk(keystone::BusGuard::Install());
  CheckOk(Set(*store, "live", std::string(12000, 'v')));
  LONGS_EQUAL(0, ::truncate(scratch.File(kFirst).c_str(), 4096));
  const uint64_t faults = keystone::BusGuard::faults();
  for (const Needs needs : {Needs::kPresence, Needs::kClaim, Needs::kValue}) {
    batch.Clear();
    batch.Change("live", &look, 0, needs);
    const keystone::Status status = store->Apply(&batch);
    const bool touched = keystone::BusGuard::faults() != faults;
    CHECK_TRUE(touched == (needs == Needs::kValue));
    CHECK_TRUE(status.ok() == !touched);
  }
  store.reset();
  ::sigaction(SIGBUS, &before, nullptr);
}
