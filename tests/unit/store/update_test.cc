// Writes that depend on what their keys hold, and guards: decided where they are ordered.
#include "store/update.h"

#include <atomic>
#include <cerrno>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "faults.h"
#include "scratch.h"
#include "store/store.h"
#include "store/testing.h"

using faults::Call;
using keystone::Attributes;
using keystone::Batch;
using keystone::Code;
using keystone::Effect;
using keystone::FoundValue;
using keystone::FsyncPolicy;
using keystone::Held;
using keystone::Operation;
using keystone::Status;
using keystone::Update;
using testing::CheckOk;
using testing::CheckSays;
using testing::CheckValue;
using testing::Delete;
using testing::Entry;
using testing::LogOf;
using testing::Set;
using Kind = keystone::Effect::Kind;

namespace {

constexpr char kFirst[] = "000000000001.log";
constexpr uint64_t kYear = uint64_t{365} * 86'400'000;

// Notes what was held when it was last asked, and answers with what it was made with.
class Scripted : public Update {
 public:
  using Script = std::function<Effect(const Held&)>;

  explicit Scripted(Script script) : script_(std::move(script)) {}
  explicit Scripted(Kind kind) : Scripted([kind](const Held&) { return Effect{.kind = kind}; }) {}

  Effect Decide(const Held& held) override {
    asked++;
    exists = held.exists;
    value = held.value;
    attributes = held.attributes;
    sequence = held.sequence;
    return script_(held);
  }

  int asked = 0;
  bool exists = false;
  std::string value;
  Attributes attributes;
  uint64_t sequence = 0;

 private:
  const Script script_;
};

// Only looks.
class Look : public Scripted {
 public:
  Look() : Scripted(Kind::kNone) {}
};

// Adds letters to a value, as an APPEND would.
class Append : public Update {
 public:
  explicit Append(std::string_view more) : more_(more) {}

  Effect Decide(const Held& held) override {
    sum_ = std::string(held.value) + more_;
    return {.kind = Kind::kSet, .value = sum_, .attributes = held.attributes};
  }

 private:
  const std::string more_;
  std::string sum_;
};

Scripted Sets(std::string_view value, const Attributes& attributes = {}) {
  return Scripted([=](const Held&) {
    return Effect{.kind = Kind::kSet, .value = value, .attributes = attributes};
  });
}

// Keys and values, "x" a tombstone, "+" before the next of a group: "a=1+b=x c=2".
std::string LogText(const std::string& directory) {
  std::string text;
  for (const Entry& entry : LogOf(directory)) {
    if (entry.mark) continue;
    text += entry.key + "=" + (entry.tombstone ? "x" : entry.value);
    text += entry.goes_on ? '+' : ' ';
  }
  return text;
}

}  // namespace

TEST_GROUP_BASE(Update, testing::StoreTest) {
  Batch batch;
  Batch other;
  std::vector<Batch*> both{&batch, &other};  // of one round

  void setup() override { Open(); }

  void CheckLog(const char* text) const { STRCMP_EQUAL(text, LogText(scratch.path()).c_str()); }

  Attributes AttributesOf(std::string_view key) const {
    FoundValue found;
    CheckOk(store->Get(key, &found));
    return found.attributes();
  }

  uint64_t SequenceOf(std::string_view key) const {
    FoundValue found;
    CheckOk(store->Get(key, &found));
    return found.sequence();
  }

  void SetWith(std::string_view key, std::string_view value, const Attributes& attributes) const {
    Batch set;
    set.Set(key, value, attributes);
    CheckOk(store->Apply(&set));
  }
};

// ---- what is held

TEST(Update, AnAbsentKeyDoesNotExist) {
  Look look;
  batch.Change("key", &look);
  CheckOk(store->Apply(&batch));
  LONGS_EQUAL(1, look.asked);
  CHECK_FALSE(look.exists);
  LONGS_EQUAL(0, look.sequence);
}

TEST(Update, WhatTheLogHasIsHeldWithItsAttributesAndSequence) {
  const Attributes attributes{7, keystone::UnixTimeMs() + kYear};
  CheckOk(Set(*store, "another", "value"));
  SetWith("key", "value", attributes);
  Look look;
  batch.Change("key", &look);
  CheckOk(store->Apply(&batch));
  CHECK_TRUE(look.exists);
  STRCMP_EQUAL("value", look.value.c_str());
  CHECK_TRUE(look.attributes == attributes);
  LONGS_EQUAL(2, look.sequence);
}

TEST(Update, WhatEarlierOperationsOfTheBatchWroteIsHeld) {
  Append b("b");
  Append c("c");
  Look look;
  Look gone;
  Look back;
  batch.Set("key", "a", {.client_flags = 7});
  batch.Change("key", &b);
  batch.Change("key", &c);
  batch.Change("key", &look);
  batch.Delete("key");
  batch.Change("key", &gone);
  batch.Set("key", "d");
  batch.Change("key", &back);
  CheckOk(store->Apply(&batch));
  CHECK_TRUE(look.exists);
  STRCMP_EQUAL("abc", look.value.c_str());
  LONGS_EQUAL(7, look.attributes.client_flags);
  LONGS_EQUAL(0, look.sequence);
  CHECK_FALSE(gone.exists);
  STRCMP_EQUAL("d", back.value.c_str());
  CHECK_TRUE(back.attributes.empty());
  CheckLog("key=a+key=ab+key=abc+key=x+key=d ");
}

TEST(Update, WhatEarlierBatchesOfTheRoundWroteIsHeld) {
  CheckOk(Set(*store, "key", "a"));
  Append b("b");
  Append c("c");
  Append d("d");
  Batch third;
  batch.Change("key", &b);
  other.Change("key", &c);
  third.Change("key", &d);
  both.push_back(&third);
  store->Apply(both);
  for (const Batch* each : both) CheckOk(each->status());
  LONGS_EQUAL(1, faults::Count(Call::kPwritev) - 1);  // the first was of the set
  CheckValue(*store, "key", "abcd");
}

TEST(Update, OfABatchThatFailedNothingIsHeld) {
  CheckOk(Set(*store, "key", "a"));
  Scripted too_large = Sets(std::string_view("x", keystone::kMaxValueSize + 1));
  Batch first;
  Append b("b");
  first.Change("key", &b);
  batch.Set("key", "lost");
  batch.Set("new", "lost");
  batch.Delete("key");
  batch.Change("another", &too_large);
  Append c("c");
  Look fresh;
  other.Change("key", &c);
  other.Change("new", &fresh);
  both.insert(both.begin(), &first);
  store->Apply(both);
  CHECK_EQUAL(Code::kInvalid, batch.status().code());
  CheckOk(other.status());
  CHECK_FALSE(fresh.exists);
  CheckValue(*store, "key", "abc");
  LONGS_EQUAL(4, store->Stats().write_errors);
}

TEST(Update, AValueCanMoveToAnotherKey) {
  const std::string large(10000, 'l');
  for (const std::string& value : {std::string("small"), large}) {
    CheckOk(Set(*store, "from", value));
    std::string_view moved;
    Scripted take([&](const Held& held) {
      moved = held.value;
      return Effect{.kind = Kind::kDelete};
    });
    Scripted put([&](const Held&) { return Effect{.kind = Kind::kSet, .value = moved}; });
    batch.Clear();
    batch.Change("from", &take);
    batch.Change("to", &put);
    CheckOk(store->Apply(&batch));
    CheckValue(*store, "from", "(none)");
    CheckValue(*store, "to", value);
  }
}

TEST(Update, ManyThreadsAddUpWithoutLosingAny) {
  constexpr int kThreads = 4;
  constexpr int kTurns = 200;
  Open(FsyncPolicy::kNo, 16u << 10);
  std::atomic<int> failed{0};
  testing::RunThreads(kThreads, [&](int) {
    for (int turn = 0; turn < kTurns; turn++) {
      std::string sum;
      Scripted add([&](const Held& held) {
        sum = std::to_string((held.exists ? std::stoi(std::string(held.value)) : 0) + 1);
        return Effect{.kind = Kind::kSet, .value = sum};
      });
      Batch adds;
      adds.Change("sum", &add);
      if (turn % 3 == 0) adds.Change("sum", &add);
      if (!store->Apply(&adds).ok()) failed++;
    }
  });
  LONGS_EQUAL(0, failed);
  CheckValue(*store, "sum", std::to_string(kThreads * (kTurns + (kTurns + 2) / 3)));
}

// ---- what is done

TEST(Update, ItSetsAndDeletesAsItHasDecided) {
  CheckOk(Set(*store, "gone", "value"));
  Scripted set = Sets("value", {.client_flags = 9});
  Scripted remove(Kind::kDelete);
  Look look;
  batch.Change("key", &set);
  batch.Change("gone", &remove);
  batch.Change("gone", &look);
  CheckOk(store->Apply(&batch));
  CHECK_TRUE(batch.operations()[0].took_effect);
  CHECK_TRUE(batch.operations()[1].took_effect);
  CHECK_FALSE(batch.operations()[2].took_effect);
  CHECK_FALSE(look.exists);
  CheckLog("gone=value key=value+gone=x ");
  LONGS_EQUAL(9, AttributesOf("key").client_flags);
}

TEST(Update, WithoutEffectNothingIsWritten) {
  Open(FsyncPolicy::kAlways, testing::kSmallSegment);
  CheckOk(Set(*store, "key", std::string(3900, 'v')));
  faults::Clear();
  Look look;
  Scripted remove(Kind::kDelete);
  const std::string long_key(1000, 'k');  // its record would need another segment
  batch.Change("key", &look);
  batch.Change(long_key, &remove);
  batch.Delete(long_key);
  CheckOk(store->Apply(&batch));
  for (const Operation& operation : batch.operations()) CHECK_FALSE(operation.took_effect);
  LONGS_EQUAL(0, faults::Count(Call::kPwritev));
  LONGS_EQUAL(0, faults::Count(Call::kFdatasync));
  LONGS_EQUAL(1, store->Stats().segments);
}

TEST(Update, WhatTookNoEffectIsNotInTheGroup) {
  Look look;
  Scripted set = Sets("1");
  batch.Set("a", "1");
  batch.Change("b", &look);
  batch.Change("c", &set);
  batch.Delete("d");
  CheckOk(store->Apply(&batch));
  CheckLog("a=1+c=1 ");
}

TEST(Update, ABatchThatIsAppliedAgainIsDecidedAnew) {
  Scripted toggle([](const Held& held) {
    return Effect{.kind = held.exists ? Kind::kDelete : Kind::kSet, .value = "1"};
  });
  Scripted guard(
      [](const Held& held) { return Effect{.kind = held.exists ? Kind::kSkip : Kind::kNone}; });
  batch.Change("key", &guard, 1);
  batch.Set("other", "1");
  batch.Change("key", &toggle);
  for (const char* value : {"1", "(none)", "1"}) {
    CheckOk(store->Apply(&batch));
    CheckValue(*store, "key", value);
    CHECK_EQUAL(std::string_view(value) == "1", batch.operations()[1].took_effect);
    CHECK_EQUAL(std::string_view(value) != "1", batch.operations()[1].skipped);
  }
  CheckLog("other=1+key=1 key=x other=1+key=1 ");
}

TEST(Update, AValueOverTheLimitsMakesItsBatchFailAlone) {
  Scripted too_large = Sets(std::string_view("x", keystone::kMaxValueSize + 1));
  batch.Set("a", "1");
  batch.Change("b", &too_large);
  other.Set("c", "1");
  store->Apply(both);
  CHECK_EQUAL(Code::kInvalid, batch.status().code());
  CheckOk(other.status());
  CheckLog("c=1 ");
}

TEST(Update, WithoutMemoryItsBatchFailsAlone) {
  Scripted greedy([](const Held&) -> Effect { throw std::bad_alloc(); });
  batch.Set("a", "1");
  batch.Change("b", &greedy);
  other.Set("c", "1");
  store->Apply(both);
  CHECK_EQUAL(Code::kSystem, batch.status().code());
  CheckOk(other.status());
  CHECK_FALSE(store->Stats().read_only);
  CheckLog("c=1 ");
}

TEST(Update, SumsOfAnySizeFindTheirRoom) {
  Open(FsyncPolicy::kAlways, testing::kSmallSegment);
  std::vector<std::unique_ptr<Append>> appends;
  for (int i = 0; i < 20; i++) {
    appends.push_back(std::make_unique<Append>(std::string(997, 'a')));
    batch.Change("key", appends.back().get());
  }
  CheckOk(store->Apply(&batch));
  CheckValue(*store, "key", std::string(20 * 997, 'a'));
  CheckOk(Set(*store, "other", "value"));
  store.reset();
  Open();
  CheckValue(*store, "key", std::string(20 * 997, 'a'));
}

// ---- guards

TEST(Update, AGuardThatSkipsTakesTheNextOnesOut) {
  CheckOk(Set(*store, "there", "1"));
  Scripted guard(Kind::kSkip);
  Scripted skipped = Sets("2");
  Look look;
  batch.Change("there", &guard, 3);
  batch.Set("a", "2");
  batch.Delete("there");
  batch.Change("b", &skipped);
  batch.Set("c", "2");
  batch.Change("a", &look);
  CheckOk(store->Apply(&batch));
  const std::vector<Operation>& operations = batch.operations();
  CHECK_FALSE(operations[0].skipped);
  for (int i = 0; i < 4; i++) CHECK_FALSE(operations[i].took_effect);
  for (int i = 1; i < 4; i++) CHECK_TRUE(operations[i].skipped);
  CHECK_TRUE(operations[4].took_effect);
  CHECK_FALSE(operations[4].skipped);
  LONGS_EQUAL(0, skipped.asked);
  CHECK_FALSE(look.exists);
  CheckLog("there=1 c=2 ");
}

TEST(Update, AGuardThatDoesNotSkipChangesNothing) {
  for (const Kind kind : {Kind::kNone, Kind::kSet, Kind::kDelete}) {
    CheckOk(Set(*store, "key", "1"));
    Scripted guard(kind);
    batch.Clear();
    batch.Change("key", &guard, 1);
    batch.Set("a", "1");
    CheckOk(store->Apply(&batch));
    CHECK_FALSE(batch.operations()[1].skipped);
    CHECK_TRUE(batch.operations()[1].took_effect);
  }
}

TEST(Update, AGuardThatIsSkippedGuardsNothing) {
  Scripted first(Kind::kSkip);
  Scripted second(Kind::kSkip);
  batch.Change("x", &first, 2);
  batch.Change("y", &second, 2);
  batch.Set("a", "1");
  batch.Set("b", "1");
  CheckOk(store->Apply(&batch));
  LONGS_EQUAL(0, second.asked);
  CheckLog("b=1 ");
}

TEST(Update, AGuardCanSkipTheRestOfItsBatchButNoOther) {
  Scripted guard(Kind::kSkip);
  batch.Set("a", "1");
  batch.Change("x", &guard, 1000);
  batch.Set("b", "1");
  other.Set("c", "1");
  store->Apply(both);
  CheckOk(batch.status());
  CheckOk(other.status());
  CheckLog("a=1 c=1 ");
}

TEST(Update, OfGuardsInARowEachOneCounts) {
  CheckOk(Set(*store, "second", "1"));
  const auto if_absent = [](const Held& held) {
    return Effect{.kind = held.exists ? Kind::kSkip : Kind::kNone};
  };
  Scripted first(if_absent);
  Scripted second(if_absent);
  batch.Change("first", &first, 3);
  batch.Change("second", &second, 2);
  batch.Set("first", "2");
  batch.Set("second", "2");
  CheckOk(store->Apply(&batch));
  LONGS_EQUAL(1, second.asked);
  CheckLog("second=1 ");
  CheckOk(Delete(*store, "second"));
  CheckOk(store->Apply(&batch));
  CheckLog("second=1 second=x first=2+second=2 ");
}

// ---- what has expired

TEST(Update, WhatHasExpiredDoesNotExist) {
  const uint64_t now = keystone::UnixTimeMs();
  SetWith("over", "value", {.expires_at_ms = now});
  SetWith("later", "value", {.expires_at_ms = now + kYear});
  Look over;
  Look later;
  Look again;
  batch.Change("over", &over);
  batch.Change("later", &later);
  batch.Set("later", "value", {.expires_at_ms = now});
  batch.Change("later", &again);
  CheckOk(store->Apply(&batch));
  CHECK_FALSE(over.exists);
  STRCMP_EQUAL("", over.value.c_str());
  CHECK_TRUE(over.attributes.empty());
  LONGS_EQUAL(0, over.sequence);
  CHECK_TRUE(later.exists);
  CHECK_FALSE(again.exists);
}

TEST(Update, WhatExpiresInTheCourseOfTimeDoesNotExistThen) {
  SetWith("key", "value", {.expires_at_ms = keystone::UnixTimeMs() + kYear});
  faults::ShiftClock(static_cast<int64_t>(2 * kYear));
  Look look;
  batch.Change("key", &look);
  CheckOk(store->Apply(&batch));
  CHECK_FALSE(look.exists);
}

// A clock that is set back, or a restart with such a one, shall not bring it back.
TEST(Update, ToDeleteWhatHasExpiredTakesNoEffectAndIsWritten) {
  const Attributes over{.expires_at_ms = 1};
  SetWith("a", "1", over);
  SetWith("b", "1", over);
  Scripted remove(Kind::kDelete);
  batch.Delete("a");
  batch.Change("b", &remove);
  batch.Set("c", "1", over);
  batch.Delete("c");
  for (int i = 0; i < 2; i++) {  // once the others are gone, there is nothing left to write of them
    CheckOk(store->Apply(&batch));
    for (const size_t n : {0, 1, 3}) CHECK_FALSE(batch.operations()[n].took_effect);
  }
  CheckLog("a=1 b=1 a=x+b=x+c=1+c=x c=1+c=x ");
}

TEST(Update, ADamagedValueThatSaysItHasExpiredIsDeletedAsIfItHadNot) {
  SetWith("key", "value", {.client_flags = 1});
  testing::FlipByte(scratch.File(kFirst), keystone::kSegmentHeaderSize + 24 + 4);  // expires_at_ms
  batch.Delete("key");
  CheckOk(store->Apply(&batch));
  CHECK_TRUE(batch.operations()[0].took_effect);
}

// ---- damage

TEST(Update, ADamagedValueIsNotUsedAndFailsItsBatchAlone) {
  CheckOk(Set(*store, "damaged", "value"));
  testing::FlipByte(scratch.File(kFirst), keystone::kSegmentHeaderSize + 24 + 7);
  Look look;
  batch.Set("a", "1");
  batch.Change("damaged", &look);
  other.Set("b", "1");
  store->Apply(both);
  CHECK_EQUAL(Code::kCorrupt, batch.status().code());
  CheckSays("the value of 'damaged', sequence 1, is damaged on disk", batch.status());
  LONGS_EQUAL(0, look.asked);
  CheckOk(other.status());
  CheckValue(*store, "a", "(none)");
  CheckOk(Delete(*store, "damaged"));
}

// ---- a full disk

TEST(Update, ThatHasToBeWrittenTwiceIsDecidedAgain) {
  CheckOk(Set(*store, "there", "1"));
  Look look;
  Scripted remove([](const Held& held) {
    return Effect{.kind = held.exists && held.value == "1" ? Kind::kDelete : Kind::kNone};
  });
  batch.Set("key", "refused");
  other.Change("key", &look);
  other.Change("there", &remove);
  faults::Fail(Call::kFallocate, ENOSPC);
  faults::FailOnce(Call::kPwritev, ENOSPC);
  store->Apply(both);
  CHECK_EQUAL(Code::kNoSpace, batch.status().code());
  CheckOk(other.status());
  LONGS_EQUAL(2, look.asked);
  CHECK_FALSE(look.exists);
  CHECK_TRUE(other.operations()[1].took_effect);
  CheckValue(*store, "there", "(none)");
}

TEST(Update, OnAFullDiskWhatOnlyDeletesOrWritesNothingGoesOn) {
  for (const char* key : {"a", "b", "c"}) CheckOk(Set(*store, key, "1"));
  faults::Fail(Call::kFallocate, ENOSPC);
  faults::FailOnce(Call::kPwritev, ENOSPC);
  CheckOk(Delete(*store, "a"));  // lets the reserve go
  Scripted remove(Kind::kDelete);
  Append append("2");
  Look look;
  batch.Change("b", &remove);
  batch.Change("c", &look);
  CheckOk(store->Apply(&batch));
  batch.Clear();
  batch.Delete("c");
  batch.Change("c", &append);
  other.Change("c", &look);
  store->Apply(both);
  CHECK_EQUAL(Code::kNoSpace, batch.status().code());
  CheckOk(other.status());
  STRCMP_EQUAL("1", look.value.c_str());  // what was refused was not held
  CheckLog("a=1 b=1 c=1 a=x b=x ");
}

TEST(Update, WhatWritesNothingNeedsNoRoomOnAFullDisk) {
  CheckOk(Set(*store, "key", "1"));
  Look look;
  batch.Set("key", "2");
  other.Change("key", &look);
  faults::FailOnce(Call::kPwritev, ENOSPC);
  store->Apply(both);
  CHECK_EQUAL(Code::kNoSpace, batch.status().code());
  CheckOk(other.status());
  STRCMP_EQUAL("1", look.value.c_str());
  CheckOk(Set(*store, "key", "3"));  // the reserve was not let go
}

// ---- attributes

TEST(Update, AttributesLastAsLongAsTheirValue) {
  const Attributes attributes{0xFFFFFFFF, keystone::UnixTimeMs() + kYear};
  Open(FsyncPolicy::kNo, testing::kSmallSegment);
  SetWith("key", "value", attributes);
  SetWith("flags", "value", {.client_flags = 1});
  CheckOk(Set(*store, "plain", "value"));
  const uint64_t sequence = SequenceOf("key");
  LONGS_EQUAL(1, sequence);
  const auto check = [&] {
    CHECK_TRUE(AttributesOf("key") == attributes);
    LONGS_EQUAL(1, AttributesOf("flags").client_flags);
    CHECK_TRUE(AttributesOf("plain").empty());
    LONGS_EQUAL(sequence, SequenceOf("key"));
  };
  check();
  const std::string filler(3900, 'f');
  CheckOk(Set(*store, "filler", filler));  // begins another segment
  CheckOk(store->Close());
  CHECK_TRUE(scratch.Has("000000000001.hint"));
  Open(FsyncPolicy::kNo, testing::kSmallSegment);
  check();
  for (const auto mode :
       {keystone::CompactionMode::kOnline, keystone::CompactionMode::kStopTheWorld}) {
    CheckOk(Set(*store, "filler", filler));
    CheckOk(store->Compact(mode));
    check();
  }
  Open(FsyncPolicy::kNo, testing::kSmallSegment);
  check();
  LONGS_EQUAL(4, store->Count());
  CheckOk(Set(*store, "key", "value"));
  CHECK_TRUE(AttributesOf("key").empty());
  CHECK_TRUE(SequenceOf("key") > sequence);
}

TEST(Update, AttributesAreAmongTheBytesOfTheLog) {
  SetWith("key", "value", {.client_flags = 1});
  LONGS_EQUAL(24 + 12 + 8, store->Stats().live_bytes);
  LONGS_EQUAL(0, store->Stats().stale_bytes);
  CheckOk(Set(*store, "key", "value"));
  LONGS_EQUAL(24 + 8, store->Stats().live_bytes);
  LONGS_EQUAL(24 + 12 + 8, store->Stats().stale_bytes);
}
