// A MANIFEST's text: parsed by itself, and at the start of a store that has segments 1 to 3.
//
//   0  1  choices, below
//   1     the text
#include "store/manifest.h"

#include <cinttypes>
#include <cstdio>

#include "base/crc32.h"
#include "store_files.h"

using namespace fuzz;
using namespace keystone;

namespace {

enum Choice : uint8_t {
  kMend = 1,  // ends with the right checksum
  kOpen = 2,
};

constexpr size_t kMostBytes = 64 << 10;

std::string WithCrc(std::string_view text) {
  char line[32];
  std::snprintf(line, sizeof line, "crc32 %08" PRIx32 "\n", Crc32(text));
  return std::string(text) + line;
}

void CheckParsed(const Manifest& manifest, std::string_view text) {
  Require(!manifest.segments.empty(), "a MANIFEST names a segment");
  Require(EncodeManifest(manifest) == text, "there is one text for a MANIFEST");
}

void CheckOpen(std::string_view text) {
  const Scratch scratch;
  std::string segments[3];
  for (uint64_t i = 0; i < 3; i++) {
    const std::string key = "key" + std::to_string(i + 1);
    segments[i] = SegmentBytes(i + 1, i + 1, Record(i + 1, key, "value"));
    scratch.Write(SegmentName(i + 1), segments[i]);
  }
  scratch.Write(kManifestName, text);
  auto store = Open(scratch);
  if (!store.ok()) {
    Require(store.status().code() == Code::kCorrupt, "a refusal says: corrupt");
    Require(scratch.Read(kManifestName) == text, "a MANIFEST that is refused is left alone");
    for (uint64_t i = 0; i < 3; i++) {
      Require(scratch.Read(SegmentName(i + 1)) == segments[i], "so are the segments");
    }
    return;
  }
  const auto manifest = ParseManifest(text);
  Require(manifest.ok(), "only a good MANIFEST opens a store");
  Contents expected;
  for (const uint64_t number : manifest.value().segments) {
    expected["key" + std::to_string(number)] = "value";
  }
  Require(ContentsOf(*store.value()) == expected, "the store holds the segments that it names");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size > kMostBytes) return 0;
  Input input(data, size);
  const uint8_t choice = input.Byte();
  const std::string text =
      (choice & kMend) != 0 ? WithCrc(input.Rest()) : std::string(input.Rest());
  const auto manifest = ParseManifest(text);
  if (manifest.ok()) {
    CheckParsed(manifest.value(), text);
  } else {
    Require(manifest.status().code() == Code::kCorrupt, "a bad MANIFEST is corrupt");
  }
  if ((choice & kOpen) != 0) CheckOpen(text);
  return 0;
}
