// Rounds whose updates come to more than one write is to have.
#include <atomic>
#include <cerrno>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "faults.h"
#include "scratch.h"
#include "store/testing.h"
#include "store/update.h"

using faults::Call;
using keystone::Batch;
using keystone::Code;
using keystone::Effect;
using keystone::FsyncPolicy;
using keystone::Held;
using keystone::Store;
using testing::CheckOk;
using testing::CheckValue;
using testing::Set;

namespace {

constexpr size_t kLarge = size_t{5} << 20;  // more than a round takes

// Writes the value again with one flag more, as an EXPIRE would with another time.
class Rewrite : public keystone::Update {
 public:
  Effect Decide(const Held& held) override {
    asked++;
    flags_before = held.attributes.client_flags;
    return {.kind = Effect::Kind::kSet,
            .value = held.value,
            .attributes = {.client_flags = flags_before + 1}};
  }

  int asked = 0;
  uint32_t flags_before = 0;
};

}  // namespace

TEST_GROUP(Parts) {
  Scratch scratch;
  std::unique_ptr<Store> store;
  Rewrite rewrite;
  Batch before;
  Batch batch;
  Batch behind;
  std::vector<Batch*> round{&before, &batch, &behind};

  void setup() override {
    store = testing::OpenStore(scratch.path(), FsyncPolicy::kNo, 64u << 20);
    CheckOk(Set(*store, "large", std::string(kLarge, 'v')));
    CheckOk(Set(*store, "small", "value"));
    faults::Clear();
    before.Set("before", "1");
    behind.Set("behind", "2");
  }
  void teardown() override {
    faults::Clear();
    store.reset();
  }
};

TEST(Parts, SmallUpdatesAreWrittenWithTheOthers) {
  batch.Change("small", &rewrite);
  store->Apply(round);
  for (const Batch* each : round) CheckOk(each->status());
  LONGS_EQUAL(1, faults::Count(Call::kPwritev));
  LONGS_EQUAL(1, rewrite.asked);
}

TEST(Parts, ALargeUpdateIsWrittenAloneInItsPlace) {
  batch.Change("large", &rewrite);
  store->Apply(round);
  for (const Batch* each : round) CheckOk(each->status());
  LONGS_EQUAL(3, faults::Count(Call::kPwritev));
  store.reset();
  std::string keys;
  for (const testing::Entry& entry : testing::LogOf(scratch.path())) {
    if (!entry.mark) keys += entry.key + " ";
  }
  STRCMP_EQUAL("large small before large behind ", keys.c_str());
}

TEST(Parts, WhatFindsNoRoomBecauseItIsLargeFailsAlone) {
  batch.Change("large", &rewrite);
  faults::FailOnce(Call::kPwritev, ENOSPC, 1);
  store->Apply(round);
  CheckOk(before.status());
  CHECK_EQUAL(Code::kNoSpace, batch.status().code());
  CheckOk(behind.status());
  CheckValue(*store, "before", "1");
  CheckValue(*store, "behind", "2");
  LONGS_EQUAL(1, store->Stats().write_errors);
}

TEST(Parts, AFailureInFrontOfItIsNotItsOwn) {
  batch.Change("large", &rewrite);
  faults::FailOnce(Call::kPwritev, EIO);
  store->Apply(round);
  CHECK_EQUAL(Code::kIo, before.status().code());
  CheckOk(batch.status());
  CheckOk(behind.status());
  CheckValue(*store, "before", "(none)");
}

TEST(Parts, AnUpdateSeesWhatAnEarlierPartWrote) {
  Rewrite again;
  batch.Change("large", &rewrite);
  behind.Change("large", &again);
  store->Apply(round);
  LONGS_EQUAL(0, rewrite.flags_before);
  LONGS_EQUAL(1, again.flags_before);
}

TEST(Parts, OfAFailedPartNothingIsSeen) {
  Rewrite again;
  batch.Change("large", &rewrite);
  behind.Change("large", &again);
  faults::FailOnce(Call::kPwritev, EIO, 1);
  store->Apply(round);
  CHECK_EQUAL(Code::kIo, batch.status().code());
  CheckOk(behind.status());
  LONGS_EQUAL(0, again.flags_before);
}

// Once nothing may be written any more, that goes for the parts behind, too.
TEST(Parts, BehindAFailedSyncNoPartIsWritten) {
  store.reset();
  store = testing::OpenStore(scratch.path(), FsyncPolicy::kAlways, 64u << 20);
  faults::Clear();
  batch.Change("large", &rewrite);
  faults::FailOnce(Call::kFdatasync, EIO);
  store->Apply(round);
  for (const Batch* each : round) CHECK_EQUAL(Code::kReadOnly, each->status().code());
  LONGS_EQUAL(1, faults::Count(Call::kPwritev));
}

TEST(Parts, ManyThreadsAreAllAnswered) {
  constexpr int kTurns = 100;
  store.reset();
  store = testing::OpenStore(scratch.path() + "/another", FsyncPolicy::kNo, 16u << 10);
  CheckOk(Set(*store, "key", std::string(9000, 'v')));  // two of them are too much
  std::atomic<int> failed{0};
  testing::RunThreads(4, [&](int thread) {
    const std::string small = "small" + std::to_string(thread);
    for (int turn = 0; turn < kTurns; turn++) {
      Rewrite own;
      Batch writes;
      if (thread % 2 == 0) {
        writes.Change("key", &own);
      } else {
        writes.Set(small, "value");
      }
      if (!store->Apply(&writes).ok()) failed++;
    }
  });
  LONGS_EQUAL(0, failed);
  keystone::FoundValue found;
  CheckOk(store->Get("key", &found));
  LONGS_EQUAL(2 * kTurns, found.attributes().client_flags);
}
