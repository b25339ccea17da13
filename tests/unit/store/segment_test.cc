#include "store/segment.h"

#include <sys/stat.h>

#include <boost/endian/conversion.hpp>
#include <cerrno>
#include <memory>
#include <string>

#include "base/crc32.h"
#include "faults.h"
#include "scratch.h"
#include "store/testing.h"

using faults::Call;
using keystone::Code;
using keystone::DecodeSegmentHeader;
using keystone::kSegmentHeaderSize;
using keystone::RecordState;
using keystone::RecordView;
using keystone::Segment;
using keystone::SegmentHeader;
using keystone::Status;
using testing::CheckOk;
using testing::CheckSays;
using testing::EncodeSet;
using testing::Flipped;
using testing::SegmentBytes;
using testing::SomeId;

namespace {

constexpr char kName[] = "000000000001.log";
constexpr char kTemporary[] = "000000000001.log.tmp";

SegmentHeader Header() {
  return {.number = 12345678,
          .store_id = SomeId(),
          .first_sequence = 0x0102030405060708,
          .created_ms = 0x1112131415161718};
}

std::string Encoded(const SegmentHeader& header) {
  std::string bytes(kSegmentHeaderSize, '\0');
  keystone::EncodeSegmentHeader(header, bytes.data());
  return bytes;
}

// The header with another byte at `at` and its CRC made right again.
std::string Resigned(size_t at) {
  std::string bytes = Flipped(Encoded(Header()), at);
  boost::endian::store_little_u32(reinterpret_cast<unsigned char*>(bytes.data()) + 60,
                                  keystone::Crc32({bytes.data(), 60}));
  return bytes;
}

void CheckRefused(std::string_view bytes, const char* reason) {
  const auto header = DecodeSegmentHeader(bytes);
  CHECK_EQUAL(Code::kCorrupt, header.status().code());
  CheckSays(reason, header.status());
}

Status Append(Segment& segment, std::string bytes) {
  iovec piece{bytes.data(), bytes.size()};
  return segment.Append({&piece, 1}, bytes.size());
}

}  // namespace

TEST_GROUP(SegmentHeader){};

// The expected bytes come from Python's struct and zlib.
TEST(SegmentHeader, EveryFieldIsAtItsPlace) {
  STRCMP_EQUAL(
      "4b455953544f4e45"                  // KEYSTONE
      "01000000"                          // format version
      "00000000"                          // flags
      "4e61bc0000000000"                  // segment number
      "0102030405060708090a0b0c0d0e0f10"  // store id
      "0807060504030201"                  // first sequence
      "1817161514131211"                  // created
      "00000000"
      "8d27eb94",
      testing::Hex(Encoded(Header())).c_str());
}

TEST(SegmentHeader, ComesBackAsItWasWritten) {
  const auto header = DecodeSegmentHeader(Encoded(Header()));
  CheckOk(header.status());
  CHECK_TRUE(header.value().number == Header().number);
  CHECK_TRUE(header.value().store_id == Header().store_id);
  CHECK_TRUE(header.value().first_sequence == Header().first_sequence);
  CHECK_TRUE(header.value().created_ms == Header().created_ms);
}

TEST(SegmentHeader, ATruncationAtEveryLengthIsFound) {
  for (size_t size = 0; size < kSegmentHeaderSize; size++) {
    CheckRefused(Encoded(Header()).substr(0, size), "shorter than a segment header");
  }
}

TEST(SegmentHeader, AnyFlippedBitIsFound) {
  for (size_t at = 0; at < kSegmentHeaderSize; at++) {
    const char* reason = at < 8 ? "not a keystonelight segment" : "checksum does not match";
    for (int bit = 0; bit < 8; bit++)
      CheckRefused(Flipped(Encoded(Header()), at, 1 << bit), reason);
  }
}

TEST(SegmentHeader, AVersionOfTheFutureIsRefusedByName) {
  CheckRefused(Resigned(8), "segment format version 254 is not known here");
}

TEST(SegmentHeader, FlagsOfTheFutureAreRefusedByName) {
  CheckRefused(Resigned(12), "segment header flags are not known here");
  CheckRefused(Resigned(56), "segment header flags are not known here");
}

TEST_GROUP(Segment) {
  Scratch scratch;
  std::shared_ptr<Segment> segment;

  void teardown() override {
    faults::Clear();
    segment.reset();
  }

  void Create(uint64_t capacity_bytes = 4096) {
    auto created = Segment::Create(
        scratch.path(), {.number = 1, .store_id = SomeId(), .first_sequence = 1, .created_ms = 0},
        capacity_bytes);
    CheckOk(created.status());
    segment = std::move(created.value());
  }

  Status Open(uint64_t number = 1, Segment::Access access = Segment::Access::kReadOnly,
              uint64_t capacity_bytes = 0) {
    auto opened = Segment::Open(scratch.path(), number, SomeId(), access, capacity_bytes);
    if (opened.ok()) segment = std::move(opened.value());
    return opened.status();
  }

  void CheckOpenRefused(const std::string& bytes, const char* reason) {
    scratch.Write(kName, bytes);
    const Status status = Open();
    CHECK_EQUAL(Code::kCorrupt, status.code());
    CheckSays(scratch.File(kName), status);
    CheckSays(reason, status);
  }
};

TEST(Segment, HasATemporaryNameUntilItIsFinished) {
  Create();
  CHECK_TRUE(scratch.Has(kTemporary));
  CHECK_FALSE(scratch.Has(kName));
  CheckOk(segment->Finish());
  CHECK_FALSE(scratch.Has(kTemporary));
  CHECK_TRUE(scratch.Has(kName));
  segment.reset();
  CHECK_TRUE(scratch.Has(kName));
}

TEST(Segment, BeginsWithItsHeaderAndIsPrivate) {
  Create();
  CHECK_TRUE(scratch.Read(kTemporary) == SegmentBytes(1, ""));
  LONGS_EQUAL(kSegmentHeaderSize, segment->size());
  struct stat info {};
  LONGS_EQUAL(0, ::stat(scratch.File(kTemporary).c_str(), &info));
  LONGS_EQUAL(0600, info.st_mode & 07777);
}

TEST(Segment, OneThatGoesBeforeItIsFinishedTakesItsFileAlong) {
  Create();
  segment.reset();
  CHECK_TRUE(testing::FilesIn(scratch.path()).empty());
}

TEST(Segment, AFailedHeaderWriteLeavesNoFile) {
  faults::FailOnce(Call::kPwritev, ENOSPC);
  const auto created = Segment::Create(scratch.path(), {.number = 1}, 4096);
  CHECK_EQUAL(Code::kNoSpace, created.status().code());
  CHECK_TRUE(testing::FilesIn(scratch.path()).empty());
}

TEST(Segment, AFailedSyncKeepsTheTemporaryName) {
  Create();
  faults::FailOnce(Call::kFsync, EIO);
  CHECK_EQUAL(Code::kIo, segment->Finish().code());
  CHECK_FALSE(scratch.Has(kName));
  segment.reset();
  CHECK_TRUE(testing::FilesIn(scratch.path()).empty());
}

TEST(Segment, AFailedRenameKeepsTheTemporaryName) {
  Create();
  faults::FailOnce(Call::kRename, EIO);
  CHECK_EQUAL(Code::kIo, segment->Finish().code());
  segment.reset();
  CHECK_TRUE(testing::FilesIn(scratch.path()).empty());
}

TEST(Segment, RemoveTakesTheFileAwayUnderEitherNameAndLeavesTheBytesReadable) {
  Create();
  CheckOk(Append(*segment, EncodeSet(1, "key", "value")));
  CheckOk(segment->Finish());
  segment->Remove();
  CHECK_TRUE(testing::FilesIn(scratch.path()).empty());
  RecordView record;
  CHECK_EQUAL(RecordState::kValid, segment->Read(kSegmentHeaderSize, &record));
  CHECK_TRUE(record.value == "value");
}

TEST(Segment, NumbersBeyondThoseOfALocationAreRefused) {
  const auto created = Segment::Create(scratch.path(), {.number = uint64_t{1} << 32}, 4096);
  CHECK_EQUAL(Code::kSystem, created.status().code());
}

TEST(Segment, WhatWasAppendedIsReadAtItsOffset) {
  Create();
  const std::string first = EncodeSet(1, "a", "1");
  CheckOk(Append(*segment, first));
  CheckOk(Append(*segment, EncodeSet(2, "b", "2")));
  RecordView record;
  CHECK_EQUAL(RecordState::kValid, segment->Read(kSegmentHeaderSize + first.size(), &record));
  CHECK_TRUE(record.key == "b");
  CHECK_EQUAL(RecordState::kTruncated, segment->Read(segment->size(), &record));
  CHECK_EQUAL(RecordState::kTruncated, segment->Read(segment->size() + 1, &record));
}

TEST(Segment, AnAppendOfSeveralPiecesIsOneWrite) {
  Create();
  std::string bytes = EncodeSet(1, "key", "value");
  std::vector<iovec> pieces{{bytes.data(), 10}, {bytes.data() + 10, bytes.size() - 10}};
  faults::Clear();
  CheckOk(segment->Append(pieces, bytes.size()));
  LONGS_EQUAL(1, faults::Count(Call::kPwritev));
  CHECK_TRUE(scratch.Read(kTemporary) == SegmentBytes(1, bytes));
}

TEST(Segment, AnAppendOverTheCapacityWritesNothing) {
  Create(kSegmentHeaderSize + 26);
  CHECK_EQUAL(Code::kNoSpace, Append(*segment, EncodeSet(1, "a", "12")).code());
  LONGS_EQUAL(kSegmentHeaderSize, segment->size());
  CheckOk(Append(*segment, EncodeSet(1, "a", "1")));
  CHECK_EQUAL(Code::kNoSpace, Append(*segment, "x").code());
}

TEST(Segment, ARefusedAppendLeavesNothingAndTheNextOneWorks) {
  Create();
  faults::FailOnce(Call::kPwritev, ENOSPC);
  const Status status = Append(*segment, EncodeSet(1, "lost", "value"));
  CHECK_EQUAL(Code::kNoSpace, status.code());
  CheckSays(kName, status);
  const std::string kept = EncodeSet(1, "kept", "value");
  CheckOk(Append(*segment, kept));
  CHECK_TRUE(scratch.Read(kTemporary) == SegmentBytes(1, kept));
}

TEST(Segment, ATornAppendIsCutBack) {
  Create();
  faults::TearNextWrite(EIO);
  CHECK_EQUAL(Code::kIo, Append(*segment, EncodeSet(1, "lost", "value")).code());
  CHECK_TRUE(scratch.Read(kTemporary) == SegmentBytes(1, ""));
  LONGS_EQUAL(kSegmentHeaderSize, segment->size());
}

TEST(Segment, ATornAppendThatCantBeCutBackIsTheLastOne) {
  Create();
  faults::TearNextWrite(ENOSPC);
  faults::FailOnce(Call::kFtruncate, EIO);
  const Status status = Append(*segment, EncodeSet(1, "lost", "value"));
  CHECK_EQUAL(Code::kReadOnly, status.code());
  CheckSays("No space left on device", status);
  CheckSays("truncate", status);
  LONGS_EQUAL(kSegmentHeaderSize, segment->size());
}

TEST(Segment, CutToShortensTheFile) {
  Create();
  const std::string first = EncodeSet(1, "a", "1");
  CheckOk(Append(*segment, first + EncodeSet(2, "b", "2")));
  CheckOk(segment->CutTo(kSegmentHeaderSize + first.size()));
  CHECK_TRUE(scratch.Read(kTemporary) == SegmentBytes(1, first));
  LONGS_EQUAL(kSegmentHeaderSize + first.size(), segment->size());
}

TEST(Segment, SealGivesTheDescriptorBackAndReadsGoOn) {
  Create();
  CheckOk(Append(*segment, EncodeSet(1, "key", "value")));
  CHECK_TRUE(segment->writer() != nullptr);
  segment->Seal();
  CHECK_TRUE(segment->writer() == nullptr);
  RecordView record;
  CHECK_EQUAL(RecordState::kValid, segment->Read(kSegmentHeaderSize, &record));
}

TEST(Segment, OpenedForAppendItGrowsToItsCapacity) {
  const std::string first = EncodeSet(1, "a", "1");
  scratch.Write(kName, SegmentBytes(1, first));
  CheckOk(Open(1, Segment::Access::kAppend, 4096));
  LONGS_EQUAL(4096, segment->capacity());
  const std::string second = EncodeSet(2, "b", "2");
  CheckOk(Append(*segment, second));
  CHECK_TRUE(scratch.Read(kName) == SegmentBytes(1, first + second));
}

TEST(Segment, OpenedForReadingItHasNoWriter) {
  scratch.Write(kName, SegmentBytes(1, EncodeSet(1, "a", "1")));
  CheckOk(Open());
  CHECK_TRUE(segment->writer() == nullptr);
  STRCMP_EQUAL(kName, segment->name().c_str());
  LONGS_EQUAL(scratch.Read(kName).size(), segment->size());
}

TEST(Segment, AMissingFileIsDamage) {
  const Status status = Open();
  CHECK_EQUAL(Code::kCorrupt, status.code());
  CheckSays("No such file or directory", status);
}

TEST(Segment, AFileShorterThanAHeaderIsRefusedAtEveryLength) {
  for (size_t size = 0; size < kSegmentHeaderSize; size++) {
    CheckOpenRefused(SegmentBytes(1, "").substr(0, size), "shorter than a segment header");
  }
}

TEST(Segment, ADamagedHeaderIsRefused) {
  CheckOpenRefused(Flipped(SegmentBytes(1, ""), 0), "not a keystonelight segment");
  CheckOpenRefused(Flipped(SegmentBytes(1, ""), 20), "checksum does not match");
}

TEST(Segment, AnotherNumberThanItsNameSaysIsRefused) {
  CheckOpenRefused(SegmentBytes(2, ""), "bears segment number 2");
}

TEST(Segment, AnotherStoresIdIsRefused) {
  keystone::StoreId other = SomeId();
  other[15]++;
  CheckOpenRefused(SegmentBytes(1, "", 1, other), "bears the id of another store");
}
