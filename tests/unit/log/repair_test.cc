#include "log/repair.h"

#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "base/bus_guard.h"
#include "faults.h"
#include "scratch.h"
#include "store/manifest.h"
#include "store/testing.h"

using faults::Call;
using keystone::kGroupGoesOn;
using keystone::kManifestName;
using keystone::SegmentName;
using testing::CheckOk;
using testing::Code;
using testing::EncodeSet;
using testing::Entry;
using testing::FilesIn;
using testing::FlipByte;
using testing::LogOf;
using testing::SegmentBytes;
using testing::SomeId;
using testing::Status;

namespace {

// A scratch directory with a store of three segments: two damaged records, in the first segment's
// group and in the active one.
TEST_GROUP(RepairOfAStore) {
  Scratch scratch;
  std::vector<std::string> lines;

  void setup() override { MakeDamaged(); }
  void teardown() override { faults::Clear(); }

  void MakeDamaged() {
    for (const std::string& name : FilesIn(scratch.path())) {
      ::unlink(scratch.File(name).c_str());
    }
    Write(1,
          EncodeSet(1, "a", "1", kGroupGoesOn) + EncodeSet(2, "b", "2", kGroupGoesOn) +
              EncodeSet(3, "c", "3"),
          1);
    Write(2, EncodeSet(4, "d", "4"), 4);
    Write(3, EncodeSet(5, "e", "5") + EncodeSet(6, "f", "6") + EncodeSet(7, "g", "7"), 5);
    WriteManifest({1, 2, 3});
    FlipByte(scratch.File(SegmentName(1)), 64 + 26);
    FlipByte(scratch.File(SegmentName(3)), 64 + 26);
  }

  void Write(uint64_t number, const std::string& records, uint64_t first_sequence) const {
    scratch.Write(SegmentName(number), SegmentBytes(number, records, first_sequence));
  }

  void WriteManifest(const std::vector<uint64_t>& segments) const {
    scratch.Write(kManifestName, keystone::EncodeManifest(
                                     {.store_id = SomeId(), .seed = 1, .segments = segments}));
  }

  Status Repair(bool dry_run = false) {
    lines.clear();
    return keystone::Repair(scratch.path(), dry_run,
                            [&](const std::string& line) { lines.push_back(line); });
  }

  // "acdeg": the keys of all records, in replay order.
  std::string Keys() const {
    std::string keys;
    for (const Entry& entry : LogOf(scratch.path())) keys += entry.key;
    return keys;
  }

  void CheckRepaired() {
    STRCMP_EQUAL("acdeg", Keys().c_str());
    CheckOk(Repair(true));
    auto store = testing::OpenStore(scratch.path());
    testing::CheckValue(*store, "c", "3");
    testing::CheckValue(*store, "b", "(none)");
    LONGS_EQUAL(5, store->Count());
  }
};

}  // namespace

TEST(RepairOfAStore, KeepsWhatIsIntact) {
  CheckOk(Repair());
  CheckRepaired();
}

TEST(RepairOfAStore, DryRunChangesNothing) {
  const auto before = FilesIn(scratch.path());
  CHECK_EQUAL(Code::kCorrupt, Repair(true).code());
  CHECK_TRUE(before == FilesIn(scratch.path()));
}

TEST(RepairOfAStore, RestOfAGroupStandsAlone) {
  CheckOk(Repair());
  CHECK_FALSE(LogOf(scratch.path())[0].goes_on);
}

TEST(RepairOfAStore, EveryFailedCallLeavesWhatAnotherRepairFinishes) {
  size_t failures = 0;
  for (const Call call : {Call::kPwritev, Call::kFsync, Call::kRename}) {
    for (size_t skip = 0;; skip++) {
      MakeDamaged();
      faults::FailOnce(call, EIO, skip);
      const Status status = Repair();
      faults::Clear();
      if (status.ok()) break;
      failures++;
      CHECK_EQUAL(Code::kIo, status.code());
      CheckOk(Repair());
      CheckRepaired();
      CHECK_TRUE(scratch.Has(SegmentName(1) + ".damaged"));
      CHECK_TRUE(scratch.Has(SegmentName(3) + ".damaged"));
    }
  }
  CHECK_TRUE(failures > 15);
}

TEST(RepairOfAStore, NothingIsChangedWhereThereIsNoRoom) {
  const auto before = FilesIn(scratch.path());
  for (size_t skip = 0; skip < 3; skip++) {
    faults::Fail(Call::kPwritev, ENOSPC, skip);
    CHECK_EQUAL(Code::kNoSpace, Repair().code());
    faults::Clear();
    CHECK_TRUE(before == FilesIn(scratch.path()));
  }
}

TEST(RepairOfAStore, MovedFilesAreReadAgainWhileTheManifestNamesThem) {
  CHECK_EQUAL(0, ::rename(scratch.File(SegmentName(1)).c_str(),
                          scratch.File(SegmentName(1) + ".damaged").c_str()));
  CheckOk(Repair());
  CheckRepaired();
}

TEST(RepairOfAStore, MovedFilesAreLeftAloneOnceTheManifestDoesNotNameThem) {
  CheckOk(Repair());
  const auto before = FilesIn(scratch.path());
  CheckOk(Repair());
  CHECK_TRUE(before == FilesIn(scratch.path()));
  CHECK_TRUE(scratch.Has(SegmentName(1) + ".damaged"));
  CHECK_TRUE(scratch.Has(SegmentName(3) + ".damaged"));
}

TEST(RepairOfAStore, HintsOfWhatWasMovedAreRemoved) {
  scratch.Write(keystone::HintName(1), "a hint");
  scratch.Write(keystone::HintName(2), "a hint");
  CheckOk(Repair());
  CHECK_FALSE(scratch.Has(keystone::HintName(1)));
  CHECK_TRUE(scratch.Has(keystone::HintName(2)));
}

TEST(RepairOfAStore, LostManifestIsMadeOfTheSegmentsAndKeepsTheStoresId) {
  ::unlink(scratch.File(kManifestName).c_str());
  CheckOk(Repair());
  CheckRepaired();
  CHECK_TRUE(keystone::LoadManifest(scratch.path()).value().store_id == SomeId());
}

TEST(RepairOfAStore, ImpossibleSequencesTakeNoOtherRecordsAway) {
  const std::string good = EncodeSet(2, "b", "2") + EncodeSet(3, "c", "3");
  Write(2, EncodeSet(4, "d", "4"), 4);
  Write(3, EncodeSet(5, "e", "5") + EncodeSet(6, "f", "6"), 5);
  for (const uint64_t sequence : {uint64_t{6}, keystone::kMaxSequence + 5, UINT64_MAX}) {
    for (const bool last : {false, true}) {
      const std::string impossible = EncodeSet(sequence, "x", "1");
      Write(1, last ? good + impossible : impossible + good, 1);
      WriteManifest({1, 2, 3});
      CheckOk(Repair());
      STRCMP_EQUAL("bcdef", Keys().c_str());
      STRCMP_CONTAINS("sequence number", lines.front().c_str());
      LONGS_EQUAL(5, testing::OpenStore(scratch.path())->Count());
    }
  }
}

// The file is cut between the survey and the writing, which is SIGBUS like a bad sector.
TEST(RepairOfAStore, WhatCantBeReadAnyMoreIsAnErrorAndNothingIsChanged) {
  struct sigaction before_it {};
  ::sigaction(SIGBUS, nullptr, &before_it);
  CheckOk(keystone::BusGuard::Install());
  constexpr off_t kLeft = 16384;
  // The first: the page that is gone has headers. The second: bodies.
  for (const size_t size : {size_t{100}, size_t{60000}}) {
    std::string records;
    for (uint64_t n = 1; records.size() < 60000; n++) {
      records += EncodeSet(n, "k", std::string(size, 'v'));
    }
    MakeDamaged();
    Write(1, records, 1);
    Write(2, EncodeSet(4000, "d", "4"), 4000);
    Write(3, EncodeSet(5000, "e", "5"), 5000);
    scratch.Write(SegmentName(1), SegmentBytes(1, records + EncodeSet(2000, "x", "1") + "x"));
    const auto files = FilesIn(scratch.path());
    const Status status = keystone::Repair(scratch.path(), false, [&](const std::string&) {
      LONGS_EQUAL(0, ::truncate(scratch.File(SegmentName(1)).c_str(), kLeft));
    });
    CHECK_EQUAL(Code::kIo, status.code());
    CHECK_TRUE(files == FilesIn(scratch.path()));
  }
  ::sigaction(SIGBUS, &before_it, nullptr);
}

TEST(RepairOfAStore, LastOfManyMovedFilesIsTheOneOfTheHighestNumber) {
  const std::string aside = SegmentName(1) + ".damaged";
  for (const std::string& older : {aside, aside + ".2", aside + ".9", aside + ".of-somebody"}) {
    scratch.Write(older, SegmentBytes(1, EncodeSet(1, "older", "1")));
  }
  CHECK_EQUAL(0,
              ::rename(scratch.File(SegmentName(1)).c_str(), scratch.File(aside + ".10").c_str()));
  CheckOk(Repair());
  CheckRepaired();
}

TEST(RepairOfAStore, SegmentsThatOverlapAcrossAnEmptyOneAreMerged) {
  Write(1, EncodeSet(1, "a", "1") + EncodeSet(3, "c", "3") + EncodeSet(4, "d", "4"), 1);
  Write(2, {}, 2);
  Write(3, EncodeSet(3, "c", "3") + EncodeSet(5, "e", "5") + EncodeSet(7, "g", "7"), 3);
  ::unlink(scratch.File(kManifestName).c_str());
  CheckOk(Repair());
  CheckRepaired();
}

TEST(RepairOfAStore, FilesOfAHigherNumberAreNotOverwritten) {
  scratch.Write(SegmentName(9) + ".damaged", "evidence");
  CheckOk(Repair());
  const auto manifest = keystone::LoadManifest(scratch.path());
  CheckOk(manifest.status());
  CHECK_TRUE(manifest.value().segments.front() > 9);
}

TEST(RepairOfAStore, CopiesOfAnUnfinishedCompactionAreMergedWhereTheManifestIsLost) {
  Write(4, EncodeSet(3, "c", "3") + EncodeSet(4, "d", "4") + EncodeSet(5, "e", "5"), 3);
  ::unlink(scratch.File(kManifestName).c_str());
  CheckOk(Repair());
  CheckRepaired();
}

// ---- the order of sequences

TEST(RepairOfAStore, SegmentsInAnotherOrderThanTheirSequencesArePutInThat) {
  Write(1, EncodeSet(1, "a", "1") + EncodeSet(3, "c", "3"), 1);
  Write(2, EncodeSet(4, "d", "4"), 4);
  Write(3, EncodeSet(5, "e", "5") + EncodeSet(7, "g", "7"), 5);
  WriteManifest({2, 1, 3});
  CHECK_EQUAL(Code::kCorrupt, testing::OpenError(scratch.path()).code());
  CheckOk(Repair());
  STRCMP_EQUAL("MANIFEST: names segments in another order than that of their sequences",
               lines[0].c_str());
  CHECK_TRUE(scratch.Has("MANIFEST.damaged"));
  CheckRepaired();
}

TEST(RepairOfAStore, SegmentsInAnotherOrderThatOverlapAreMerged) {
  Write(1, EncodeSet(4, "d", "4") + EncodeSet(5, "e", "5"), 4);
  Write(2, EncodeSet(1, "a", "1") + EncodeSet(3, "c", "3") + EncodeSet(5, "e", "5"), 1);
  Write(3, EncodeSet(7, "g", "7"), 7);
  WriteManifest({1, 2, 3});
  CHECK_EQUAL(Code::kCorrupt, testing::OpenError(scratch.path()).code());
  CheckOk(Repair());
  CheckRepaired();
}

// Of the earlier one, which its successor has taken over from.
TEST(RepairOfAStore, WhatPassesTheFirstSequenceOfTheNextSegmentIsLost) {
  Write(1, EncodeSet(1, "a", "1") + EncodeSet(3, "c", "3") + EncodeSet(4, "b", "2"), 1);
  Write(2, EncodeSet(4, "d", "4"), 4);
  Write(3, EncodeSet(5, "e", "5") + EncodeSet(7, "g", "7"), 5);
  WriteManifest({1, 2, 3});
  CHECK_EQUAL(Code::kCorrupt, testing::OpenError(scratch.path()).code());
  CheckOk(Repair());
  STRCMP_CONTAINS("sequence number of a later segment", lines[0].c_str());
  CheckRepaired();
}
