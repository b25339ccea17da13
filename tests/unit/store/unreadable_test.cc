// What can't be read: the file is cut under the store, which is SIGBUS like a bad sector.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include "base/bus_guard.h"
#include "scratch.h"
#include "store/hint_writer.h"
#include "store/segment_set.h"
#include "store/testing.h"
#include "store/verify.h"

using keystone::Code;
using keystone::CompactionMode;
using keystone::Effect;
using keystone::FoundValue;
using keystone::Held;
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
constexpr uint64_t kSegmentSize = 40000;  // has room for three of the values

// Does what a function says.
class Scripted : public keystone::Update {
 public:
  explicit Scripted(std::function<Effect(const Held&)> script) : script_(std::move(script)) {}
  Effect Decide(const Held& held) override { return script_(held); }

 private:
  const std::function<Effect(const Held&)> script_;
};

}  // namespace

TEST_GROUP(Unreadable) {
  Scratch scratch;
  std::unique_ptr<Store> store;
  struct sigaction before {};

  void setup() override {
    ::sigaction(SIGBUS, nullptr, &before);
    CheckOk(keystone::BusGuard::Install());
    store = testing::OpenStore(scratch.path(), keystone::FsyncPolicy::kNo, kSegmentSize);
    for (const char* key : {"in front", "cut", "also cut"}) {
      CheckOk(Set(*store, key, std::string(12000, 'v')));
    }
  }

  void teardown() override {
    store.reset();
    ::sigaction(SIGBUS, &before, nullptr);
  }

  // "in front" stays; of "cut" a part, of "also cut" nothing. What happens to a sealed segment is
  // not looked for once a second: it is found by who reads it.
  void Cut() const {
    CheckOk(Set(*store, "in another segment", std::string(12000, 'v')));
    LONGS_EQUAL(2, store->Stats().segments);
    CutActive();
  }
  void CutActive() const { LONGS_EQUAL(0, ::truncate(scratch.File(kFirst).c_str(), kLeft)); }

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

// Between the switch to the new log and the end of a compaction.
TEST(Unreadable, AValueInASegmentThatIsNoPartOfTheLogAnyMoreIsAnError) {
  const Scratch other;
  const std::string value(12000, 'v');
  keystone::SegmentSet segments;
  keystone::SegmentSet::List opened;
  for (const uint64_t number : {1, 2}) {
    const std::string bytes = testing::SegmentBytes(number, testing::EncodeSet(1, "cut", value));
    other.Write(keystone::SegmentName(number), bytes);
    auto segment = keystone::Segment::Open(other.path(), number, testing::SomeId(),
                                           keystone::Segment::Access::kReadOnly, 0);
    CheckOk(segment.status());
    opened.push_back(segment.value());
  }
  segments.Add(opened[0]);
  segments.Swap({opened[0]}, {opened[1]}, {});
  keystone::RecordView record;
  opened[0]->Read(keystone::kSegmentHeaderSize, &record);
  LONGS_EQUAL(0, ::truncate(other.File(kFirst).c_str(), 4096));
  CheckUnreadable(VerifyBody(segments, record, {1, keystone::kSegmentHeaderSize}));
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
  Cut();
  for (const CompactionMode mode : {CompactionMode::kStopTheWorld, CompactionMode::kOnline}) {
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

TEST(Unreadable, AValueThatIsLostBeforeItIsWrittenAgainIsNotWritten) {
  for (const size_t size : {4000, 12000}) {  // copied, and by reference
    store.reset();
    store = testing::OpenStore(scratch.path() + "/" + std::to_string(size));
    const std::string file = scratch.path() + "/" + std::to_string(size) + "/" + kFirst;
    for (int i = 0; i < 8; i++)
      CheckOk(Set(*store, "key" + std::to_string(i), std::string(size, 'v')));
    std::string_view lost;
    int asked = 0;
    Scripted take([&](const Held& held) {
      asked++;
      lost = held.value;
      LONGS_EQUAL(0, ::truncate(file.c_str(), 4096));
      return Effect{.kind = Effect::Kind::kNone};
    });
    Scripted put([&](const Held&) { return Effect{.kind = Effect::Kind::kSet, .value = lost}; });
    keystone::Batch batch;
    batch.Change("key7", &take);
    batch.Change("other", &put);
    CHECK_EQUAL(Code::kIo, store->Apply(&batch).code());
    LONGS_EQUAL(1, asked);
    CheckValue(*store, "other", "(none)");
  }
}

TEST(Unreadable, NoHintIsMade) {
  CutActive();
  CheckOk(store->Close());
  CHECK_FALSE(scratch.Has("000000000001.hint"));
}
