#include "store/mover.h"

#include <atomic>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "scratch.h"
#include "store/live_records.h"
#include "store/new_segments.h"
#include "store/testing.h"

using keystone::Code;
using keystone::kGroupGoesOn;
using keystone::kSegmentHeaderSize;
using keystone::Location;
using keystone::RecordView;
using testing::CheckOk;
using testing::EncodeSet;

namespace {

constexpr uint64_t kSmall = 4096;

std::string Key(int i) { return "key" + std::to_string(i); }

}  // namespace

// Three segments of records, beside an index.
TEST_GROUP(Mover) {
  Scratch scratch;
  std::unique_ptr<keystone::Directory> directory;
  std::unique_ptr<keystone::SegmentSet> segments = std::make_unique<keystone::SegmentSet>();
  std::unique_ptr<keystone::Index> index = std::make_unique<keystone::Index>(segments.get(), 0);
  std::atomic<bool> cancelled{false};
  uint64_t sequence = 0;

  void setup() override {
    auto opened = keystone::Directory::OpenOrCreate(scratch.path());
    CheckOk(opened.status());
    directory = std::move(opened.value());
    CheckOk(directory->StartNew());
    AddSegment();
  }
  void teardown() override {
    index.reset();
    segments.reset();
    directory.reset();
  }

  void AddSegment() {
    auto segment = directory->CreateSegment(sequence + 1, 1u << 20);
    CheckOk(segment.status());
    CheckOk(segment.value()->Finish());
    segments->Add(segment.value());
  }

  Location Put(const std::string& key, uint16_t flags = 0) {
    const auto segment = segments->active();
    const Location where{segment->number(), segment->size()};
    std::string bytes = EncodeSet(++sequence, key, "value of " + key, flags);
    iovec piece{bytes.data(), bytes.size()};
    CheckOk(segment->Append({&piece, 1}, bytes.size()));
    CheckOk(index->Put(key, where, bytes.size()));
    return where;
  }

  // A third of the keys is written over in another segment.
  void Fill(int keys) {
    for (int i = 0; i < keys; i++) Put(Key(i));
    AddSegment();
    for (int i = 0; i < keys; i += 3) Put(Key(i));
    AddSegment();
  }

  keystone::Mover MakeMover(uint64_t now_ms = 0) {
    return {directory.get(), index.get(), kSmall, now_ms, &cancelled};
  }

  void MoveAll() {
    keystone::Mover mover = MakeMover();
    const auto old = segments->All();
    CheckOk(mover.Copy(old));
    segments->Swap(old, mover.outputs(), {});
    mover.Keep();
    mover.Relocate();
    segments->Forget(old);
    for (const auto& segment : old) segment->Remove();
  }

  void CheckFound(int keys) {
    LONGS_EQUAL(keys, index->size());
    for (int i = 0; i < keys; i++) {
      RecordView record;
      CheckOk(index->Find(Key(i), &record));
      CHECK_TRUE(record.value == "value of " + Key(i));
      CHECK_TRUE(BodyIsIntact(record));
    }
  }
};

TEST(Mover, LiveRecordsAreListedInTheOrderOfTheLog) {
  Fill(3000);
  const auto all = segments->All();
  for (const size_t workers : {1, 2, 3, 4}) {
    keystone::LiveRecords live;
    CheckOk(live.Collect(*index, all, workers));
    LONGS_EQUAL(3000, live.size());
    LONGS_EQUAL(0, live.begin(0));
    LONGS_EQUAL(2000, live.begin(1));
    LONGS_EQUAL(3000, live.begin(2));
    uint64_t last = 0;
    for (size_t i = 0; i < live.size(); i++) {
      RecordView record;
      CHECK_TRUE(all[i < 2000 ? 0 : 1]->Read(live[i].offset, &record) ==
                 keystone::RecordState::kValid);
      CHECK_TRUE(record.sequence > last);
      last = record.sequence;
    }
  }
}

TEST(Mover, OfNothingThereIsNothing) {
  keystone::LiveRecords live;
  CheckOk(live.Collect(*index, segments->All(), 2));
  LONGS_EQUAL(0, live.size());
  keystone::Mover mover = MakeMover();
  CheckOk(mover.Copy(segments->All()));
  CHECK_TRUE(mover.outputs().empty());
  mover.Relocate();
}

TEST(Mover, ThePlacesOfManySegmentsAreFound) {
  Fill(1000);
  MoveAll();
  CHECK_TRUE(segments->Count() > 8);
  CheckFound(1000);
  MoveAll();
  CheckFound(1000);
}

TEST(Mover, TheNewLogIsInTheOrderOfTheOldOne) {
  Fill(1000);
  MoveAll();
  uint64_t last = 0;
  for (const auto& segment : segments->All()) {
    CHECK_TRUE(segment->header().first_sequence > last);
    keystone::ScanGroups(segment->bytes(), last + 1, true,
                         [&](std::span<const keystone::PlacedRecord> group) {
                           last = group.back().record.sequence;
                           return true;
                         });
  }
  CHECK_TRUE(last > 0);
}

// Wherever the workers' shares would meet.
TEST(Mover, AGroupStaysInOneSegmentAndWhole) {
  for (const int before : {0, 1, 2, 3, 4, 5, 6}) {
    const int first = static_cast<int>(sequence);
    for (int i = 0; i < before; i++) Put(Key(first + i));
    for (int i = 0; i < 4; i++) Put(Key(first + before + i), i < 3 ? kGroupGoesOn : 0);
    MoveAll();
    AddSegment();
    CheckFound(static_cast<int>(sequence));
    for (const auto& segment : segments->All()) {
      const auto end = keystone::ScanGroups(segment->bytes(), 1, true, [](auto) { return true; });
      CHECK_TRUE(end.kind == keystone::ScanEnd::Kind::kEnd);
    }
  }
}

TEST(Mover, WhatHasExpiredIsLeftOutAndForgotten) {
  Fill(50);
  const auto segment = segments->active();
  const Location where{segment->number(), segment->size()};
  const keystone::Attributes attributes{.client_flags = 0, .expires_at_ms = 1000};
  std::string record(keystone::kRecordHeaderSize + keystone::kAttributesSize, '\0');
  keystone::EncodeHeader(++sequence, 1, 7, keystone::kHasAttributes,
                         keystone::BodyCrc("expires", "v", attributes), record.data());
  keystone::EncodeAttributes(attributes, record.data() + keystone::kRecordHeaderSize);
  record += "expiresv";
  iovec piece{record.data(), record.size()};
  CheckOk(segment->Append({&piece, 1}, record.size()));
  CheckOk(index->Put("expires", where, record.size(), 1000));
  keystone::Mover mover = MakeMover(1001);
  const auto old = segments->All();
  CheckOk(mover.Copy(old));
  segments->Swap(old, mover.outputs(), {});
  mover.Relocate();
  segments->Forget(old);
  CheckFound(50);
  RecordView found;
  CHECK_EQUAL(Code::kNotFound, index->Find("expires", &found).code());
}

TEST(Mover, DamageIsNeverCopied) {
  Put("key");
  testing::FlipByte(scratch.File("000000000001.log"), kSegmentHeaderSize + 24);
  keystone::Mover mover = MakeMover();
  const auto status = mover.Copy(segments->All());
  CHECK_EQUAL(Code::kCorrupt, status.code());
  testing::CheckSays("000000000001.log: offset 64: body checksum", status);
}

TEST(Mover, StopsOnRequest) {
  Fill(10);
  cancelled = true;
  CHECK_EQUAL(Code::kCancelled, MakeMover().Copy(segments->All()).code());
}

TEST(Mover, WhatIsNotKeptGoesWithIt) {
  Put("key");
  {
    keystone::Mover mover = MakeMover();
    CheckOk(mover.Copy(segments->All()));
    CHECK_TRUE(scratch.Has("000000000002.log"));
  }
  CHECK_FALSE(scratch.Has("000000000002.log"));
  CHECK_TRUE(scratch.Has("000000000001.log"));
}

TEST(Mover, WhatIsNotFinishedGoesWithIt) {
  Put("key");
  const char name[] = "000000000002.log.tmp";
  {
    keystone::NewSegments made(directory.get(), kSmall);
    RecordView record;
    CHECK_TRUE(segments->active()->Read(kSegmentHeaderSize, &record) ==
               keystone::RecordState::kValid);
    const auto place = made.AddSingle(record);
    LONGS_EQUAL(kSegmentHeaderSize, place.value());
    CheckOk(made.Flush());
    CHECK_TRUE(scratch.Has(name));
  }
  CHECK_FALSE(scratch.Has(name));
}

// Long pieces are written from where they are, short ones from a copy.
TEST(Mover, PiecesOfAllSizesArriveInTheirOrder) {
  std::string source;
  for (int i = 0; i < 300000; i++) source += std::to_string(i);
  std::string expected;
  keystone::NewSegments made(directory.get(), 1u << 22);
  size_t begin = 0;
  for (size_t size = 1; begin + size < source.size(); begin += size + 1, size = size * 5 / 4 + 1) {
    if (size > 100000) size = 1;
    const std::string_view piece = std::string_view(source).substr(begin, size);
    LONGS_EQUAL(kSegmentHeaderSize + expected.size(), made.AddWhole(piece, 1).value());
    expected += piece;
  }
  CheckOk(made.Finish());
  LONGS_EQUAL(1, made.all().size());
  CHECK_TRUE(made.all()[0]->bytes().substr(kSegmentHeaderSize) == expected);
}
