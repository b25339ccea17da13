#include "store/segment_watch.h"

#include <fcntl.h>
#include <unistd.h>

#include <memory>
#include <string>

#include "scratch.h"
#include "store/testing.h"

using keystone::Code;
using keystone::Segment;
using keystone::SegmentWatch;
using testing::CheckOk;
using testing::CheckSays;
using testing::EncodeSet;
using testing::SegmentBytes;
using testing::SomeId;

namespace {

constexpr char kFirst[] = "000000000001.log";

}  // namespace

TEST_GROUP(SegmentWatch) {
  Scratch scratch;
  std::shared_ptr<Segment> segment;
  SegmentWatch watch;
  uint64_t sequence = 0;

  void setup() override {
    scratch.Write(kFirst, SegmentBytes(1, {}));
    auto opened = Segment::Open(scratch.path(), 1, SomeId(), Segment::Access::kAppend, 1u << 20);
    CheckOk(opened.status());
    segment = opened.value();
    Append("first");
    CheckOk(Look());
  }

  void Append(const std::string& value) {
    std::string record = EncodeSet(++sequence, "key", value);
    iovec piece{record.data(), record.size()};
    CheckOk(segment->Append({&piece, 1}, record.size()));
  }

  keystone::Status Look() {
    return watch.Look(*segment, segment->writer()->get(), segment->size()).status;
  }

  void CheckFinds(std::string_view what) {
    const auto [status, way_out] = watch.Look(*segment, segment->writer()->get(), segment->size());
    CHECK_EQUAL(Code::kIo, status.code());
    CheckSays(scratch.File(kFirst), status);
    CheckSays(what, status);
    CHECK_TRUE(way_out[0] != '\0');
  }

  void CutTo(uint64_t size) const {
    LONGS_EQUAL(0, ::truncate(scratch.File(kFirst).c_str(), static_cast<off_t>(size)));
  }
};

TEST(SegmentWatch, FindsNothingWhereNobodyWasThere) {
  CheckOk(Look());
  for (const size_t size : {1, 100, 100000}) {
    Append(std::string(size, 'v'));
    CheckOk(Look());
  }
}

TEST(SegmentWatch, FindsNothingInZerosThatAreWrittenAhead) {
  std::string record = EncodeSet(++sequence, "key", "value");
  iovec piece{record.data(), record.size()};
  CheckOk(segment->AppendAndReserve({&piece, 1}, record.size()));
  CheckOk(Look());
  Append("value");
  CheckOk(Look());
}

TEST(SegmentWatch, FindsTheFileRemoved) {
  LONGS_EQUAL(0, ::unlink(scratch.File(kFirst).c_str()));
  CheckFinds("was removed");
}

TEST(SegmentWatch, FindsAnotherFileInItsPlace) {
  scratch.Write("copy", scratch.Read(kFirst));
  LONGS_EQUAL(0, ::link(scratch.File(kFirst).c_str(), scratch.File("kept").c_str()));
  LONGS_EQUAL(0, ::rename(scratch.File("copy").c_str(), scratch.File(kFirst).c_str()));
  CheckFinds("was replaced");
}

TEST(SegmentWatch, FindsTheFileMovedAway) {
  LONGS_EQUAL(0, ::rename(scratch.File(kFirst).c_str(), scratch.File("away").c_str()));
  CheckFinds("No such file");
}

TEST(SegmentWatch, FindsTheFileCut) {
  CutTo(segment->size() - 1);
  CheckFinds("was cut to");
}

TEST(SegmentWatch, FindsACutThatAppendsHaveHidden) {
  CutTo(segment->size() - 3);
  Append("second");
  CheckFinds("was cut or changed");
}

TEST(SegmentWatch, FindsAHoleInWhatWasAppendedSince) {
  const uint64_t end = segment->size();
  Append(std::string(100000, 'v'));
  CutTo(end + 10);
  Append("third");
  CheckFinds("was cut or changed");
}

TEST(SegmentWatch, FindsAHoleThatWasThereBeforeTheFirstLook) {
  Append(std::string(100000, 'v'));
  CutTo(keystone::kSegmentHeaderSize + 10);
  Append("third");
  watch = SegmentWatch();
  CheckFinds("was cut or changed");
}

TEST(SegmentWatch, AHoleInAValueOfZerosIsNone) {
  const uint64_t end = segment->size();
  Append(std::string(100000, '\0'));
  if (::fallocate(segment->writer()->get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                  static_cast<off_t>(end + 1000), 90000) < 0) {
    return;  // not every file system can
  }
  CheckOk(Look());
}

TEST(SegmentWatch, AnotherSegmentIsLookedAtAnew) {
  scratch.Write("000000000002.log", SegmentBytes(2, {}));
  auto opened = Segment::Open(scratch.path(), 2, SomeId(), Segment::Access::kAppend, 1u << 20);
  CheckOk(opened.status());
  segment = opened.value();
  CheckOk(Look());
}
