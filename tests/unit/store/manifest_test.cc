#include "store/manifest.h"

#include <cstdio>
#include <string>

#include "base/crc32.h"
#include "scratch.h"
#include "store/testing.h"

using keystone::Code;
using keystone::Manifest;
using keystone::ParseManifest;
using testing::CheckOk;
using testing::CheckSays;

namespace {

// The example of keystone-log(5), byte for byte.
constexpr char kExample[] =
    "keystonelight-manifest 1\n"
    "store 0f1e2d3c4b5a69788796a5b4c3d2e1f0\n"
    "seed 9e3779b97f4a7c15\n"
    "segment 000000000001\n"
    "crc32 b68df8f7\n";

Manifest Example() {
  Manifest manifest;
  manifest.store_id = {0x0f, 0x1e, 0x2d, 0x3c, 0x4b, 0x5a, 0x69, 0x78,
                       0x87, 0x96, 0xa5, 0xb4, 0xc3, 0xd2, 0xe1, 0xf0};
  manifest.seed = 0x9e3779b97f4a7c15;
  manifest.segments = {1};
  return manifest;
}

// `lines` with their CRC behind them.
std::string Signed(const std::string& lines) {
  char crc[32];
  std::snprintf(crc, sizeof crc, "crc32 %08x\n", keystone::Crc32(lines));
  return lines + crc;
}

const std::string kHead =
    "keystonelight-manifest 1\n"
    "store 0f1e2d3c4b5a69788796a5b4c3d2e1f0\n"
    "seed 9e3779b97f4a7c15\n";

void CheckRefused(const std::string& text, const char* reason) {
  const auto manifest = ParseManifest(text);
  CHECK_EQUAL(Code::kCorrupt, manifest.status().code());
  CheckSays(reason, manifest.status());
}

}  // namespace

TEST_GROUP(Manifest) { Scratch scratch; };

TEST(Manifest, IsWrittenAsDocumented) {
  STRCMP_EQUAL(kExample, keystone::EncodeManifest(Example()).c_str());
}

TEST(Manifest, TheDocumentedExampleIsRead) {
  const auto manifest = ParseManifest(kExample);
  CheckOk(manifest.status());
  CHECK_TRUE(manifest.value().store_id == Example().store_id);
  CHECK_TRUE(manifest.value().seed == Example().seed);
  CHECK_TRUE(manifest.value().segments == Example().segments);
}

TEST(Manifest, SegmentsKeepTheirOrder) {
  Manifest manifest = Example();
  manifest.segments = {7, 3, 999999999999, 8};
  const auto again = ParseManifest(keystone::EncodeManifest(manifest));
  CheckOk(again.status());
  CHECK_TRUE(again.value().segments == manifest.segments);
}

TEST(Manifest, AnyFlippedBitIsRefused) {
  for (size_t at = 0; at + 1 < sizeof kExample; at++) {
    for (int bit = 0; bit < 8; bit++) {
      const auto manifest = ParseManifest(testing::Flipped(kExample, at, 1 << bit));
      CHECK_EQUAL(Code::kCorrupt, manifest.status().code());
    }
  }
}

TEST(Manifest, ATruncationAtEveryLengthIsRefused) {
  const std::string text = kExample;
  for (size_t size = 0; size < text.size(); size++) {
    CHECK_EQUAL(Code::kCorrupt, ParseManifest(text.substr(0, size)).status().code());
  }
}

TEST(Manifest, TrailingBytesAreRefused) {
  for (const char* more : {"\n", "x", "segment 000000000002\n", "crc32 b68df8f7\n"}) {
    CHECK_EQUAL(Code::kCorrupt, ParseManifest(std::string(kExample) + more).status().code());
  }
}

TEST(Manifest, AVersionOfTheFutureIsRefusedByName) {
  CheckRefused(Signed("keystonelight-manifest 2\nwhat nobody knows yet\n"),
               "format version 2 is not known here");
}

TEST(Manifest, AnotherFileIsRefused) {
  CheckRefused("", "not a keystonelight manifest");
  CheckRefused("#!/bin/sh\n", "not a keystonelight manifest");
}

TEST(Manifest, AWrongCrcIsRefused) {
  CheckRefused(kHead + "segment 000000000001\ncrc32 00000000\n", "checksum does not match");
  CheckRefused(kHead + "segment 000000000001\n", "the last line is not its checksum");
}

TEST(Manifest, ADuplicateSegmentIsRefused) {
  CheckRefused(Signed(kHead + "segment 000000000001\nsegment 000000000001\n"),
               "names segment 000000000001 twice");
}

TEST(Manifest, WithoutASegmentItIsRefused) { CheckRefused(Signed(kHead), "names no segment"); }

TEST(Manifest, BadSegmentNumbersAreRefused) {
  for (const char* number :
       {"000000000000", "1", "0000000000001", "00000000000a", "-00000000001", " 00000000001", ""}) {
    CheckRefused(Signed(kHead + "segment " + number + "\n"), "bad segment number");
  }
}

TEST(Manifest, AnUnknownLineIsRefused) {
  CheckRefused(Signed(kHead + "segment 000000000001\ncolour blue\n"),
               "a line that is not known here");
}

TEST(Manifest, BadStoreAndSeedLinesAreRefused) {
  const std::string version = "keystonelight-manifest 1\n";
  const std::string store = "store 0f1e2d3c4b5a69788796a5b4c3d2e1f0\n";
  const std::string seed = "seed 9e3779b97f4a7c15\n";
  const std::string segment = "segment 000000000001\n";
  CheckRefused(Signed(version + seed + segment), "bad store or seed line");
  CheckRefused(Signed(version + store + segment), "bad store or seed line");
  CheckRefused(Signed(version + "store 0f\n" + seed + segment), "bad store or seed line");
  CheckRefused(Signed(version + store + "seed 15\n" + segment), "bad store or seed line");
}

TEST(Manifest, IsLoadedFromItsDirectory) {
  CHECK_EQUAL(Code::kNotFound, keystone::LoadManifest(scratch.path()).status().code());
  scratch.Write("MANIFEST", kExample);
  CheckOk(keystone::LoadManifest(scratch.path()).status());
  scratch.Write("MANIFEST", "");
  CHECK_EQUAL(Code::kCorrupt, keystone::LoadManifest(scratch.path()).status().code());
}

TEST(Manifest, SegmentNamesAndNumbersBelongTogether) {
  for (const uint64_t number : {uint64_t{1}, uint64_t{4294967295}, uint64_t{999999999999}}) {
    const auto again = keystone::SegmentNumber(keystone::SegmentName(number));
    CHECK_TRUE(again == number);
  }
  STRCMP_EQUAL("000000000042.log", keystone::SegmentName(42).c_str());
}

TEST(Manifest, OtherNamesAreNoSegments) {
  for (const char* name :
       {"", ".log", "1.log", "000000000000.log", "0000000000001.log", "00000000000x.log",
        "000000000001.log.tmp", "000000000001.log.cut-64", "000000000001.hint", "MANIFEST",
        "-00000000001.log", "000000000001.LOG"}) {
    CHECK_FALSE(keystone::SegmentNumber(name).has_value());
  }
}
