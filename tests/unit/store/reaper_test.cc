#include "store/reaper.h"

#include <set>
#include <string>
#include <vector>

#include "store/testing.h"

using keystone::Batch;
using keystone::Code;
using keystone::Effect;
using keystone::Held;
using keystone::Operation;
using keystone::Reaper;
using keystone::Status;

TEST_GROUP(Reaper) {
  Reaper reaper;
  std::multiset<std::string> applied;
  size_t most_at_once = 0;
  Status answer;

  void Reap() {
    applied.clear();
    reaper.Reap([this](std::span<Batch* const> batches) {
      most_at_once = std::max(most_at_once, batches.size());
      for (Batch* batch : batches) {
        LONGS_EQUAL(1, batch->operations().size());
        const Operation& operation = batch->operations()[0];
        CHECK_TRUE(operation.kind == Operation::Kind::kUpdate);
        CHECK_TRUE(operation.needs == keystone::Needs::kClaim);
        CHECK_TRUE(operation.update->Decide(Held()).kind == Effect::Kind::kDelete);
        CHECK_TRUE(operation.update->Decide({.exists = true}).kind == Effect::Kind::kNone);
        applied.insert(std::string(operation.key));
        batch->set_status(answer);
      }
    });
  }
};

TEST(Reaper, DeletesWhatWasNotedOnce) {
  for (const char* key : {"b", "a", "b", "a"}) reaper.Note(key);
  Reap();
  CHECK_TRUE(applied == (std::multiset<std::string>{"a", "b"}));
  Reap();
  CHECK_TRUE(applied.empty());
}

TEST(Reaper, TriesAgainWhatCouldNotBeWritten) {
  reaper.Note("a");
  answer = {Code::kNoSpace, "the disk is full"};
  Reap();
  Reap();
  CHECK_TRUE(applied == (std::multiset<std::string>{"a"}));
  answer = Status::Ok();
  Reap();
  Reap();
  CHECK_TRUE(applied.empty());
}

TEST(Reaper, ManyKeysAreManyRounds) {
  for (int i = 0; i < 1000; i++) reaper.Note("key" + std::to_string(i));
  Reap();
  LONGS_EQUAL(1000, applied.size());
  CHECK_TRUE(most_at_once < 500);
}

TEST(Reaper, KeysAndTheirBytesAreBounded) {
  for (size_t i = 0; i < Reaper::kMostKeys + 1000; i++) reaper.Note(std::to_string(i));
  Reap();
  LONGS_EQUAL(Reaper::kMostKeys, applied.size());
  for (int i = 0; i < 1000; i++) reaper.Note(std::string(60000, 'k') + std::to_string(i));
  Reap();
  CHECK_TRUE(applied.size() < Reaper::kMostBytes / 60000 + 1);
  CHECK_TRUE(applied.size() > Reaper::kMostBytes / 60000 - 2);
}
