#include "store/manifest.h"

#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cinttypes>
#include <cstdio>

#include "base/crc32.h"
#include "base/escape.h"
#include "base/file.h"

namespace keystone {

namespace {

constexpr std::string_view kFirstLine = "keystonelight-manifest ";
constexpr uint64_t kVersion = 1;
constexpr size_t kNameDigits = 12;
constexpr std::string_view kLogSuffix = ".log";

std::string Hex(uint64_t value, int digits) {
  char text[32];
  std::snprintf(text, sizeof text, "%0*" PRIx64, digits, value);
  return text;
}

std::string Digits(uint64_t number) {
  char text[32];
  std::snprintf(text, sizeof text, "%012" PRIu64, number);
  return text;
}

// The number that is all of `text`, which has exactly `width` digits.
std::optional<uint64_t> Number(std::string_view text, int base, size_t width) {
  uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value, base);
  if (text.size() != width || error != std::errc() || stop != end) return std::nullopt;
  return value;
}

std::optional<StoreId> ParseStoreId(std::string_view text) {
  StoreId id;
  if (text.size() != 2 * id.size()) return std::nullopt;
  for (size_t i = 0; i < id.size(); i++) {
    const auto byte = Number(text.substr(2 * i, 2), 16, 2);
    if (!byte) return std::nullopt;
    id[i] = static_cast<unsigned char>(*byte);
  }
  return id;
}

Status Damaged(const std::string& what) {
  return {Code::kCorrupt, std::string(kManifestName) + ": " + what};
}

// Takes lines from the front of a text.
class Lines {
 public:
  explicit Lines(std::string_view text) : rest_(text) {}

  // What follows `word` on the next line; nothing, and nothing is taken, where that line is
  // another.
  std::optional<std::string_view> Take(std::string_view word) {
    const size_t end = rest_.find('\n');
    if (end == rest_.npos || !rest_.starts_with(word)) return std::nullopt;
    const std::string_view value = rest_.substr(word.size(), end - word.size());
    rest_.remove_prefix(end + 1);
    return value;
  }
  bool empty() const { return rest_.empty(); }

 private:
  std::string_view rest_;
};

Status CheckCrc(std::string_view text) {
  constexpr size_t kCrcLine = 15;  // "crc32 b68df8f7\n"
  if (text.size() < kCrcLine) return Damaged("too short");
  const std::string_view last = text.substr(text.size() - kCrcLine);
  const auto crc = Number(last.substr(6, 8), 16, 8);
  if (!last.starts_with("crc32 ") || !last.ends_with("\n") || !crc) {
    return Damaged("the last line is not its checksum");
  }
  if (Crc32(text.substr(0, text.size() - kCrcLine)) != *crc) {
    return Damaged("checksum does not match");
  }
  return Status::Ok();
}

Status ParseSegments(Lines* lines, Manifest* manifest) {
  while (const auto text = lines->Take("segment ")) {
    const auto number = Number(*text, 10, kNameDigits);
    if (!number || *number == 0) return Damaged("bad segment number");
    if (std::find(manifest->segments.begin(), manifest->segments.end(), *number) !=
        manifest->segments.end()) {
      return Damaged("names segment " + std::string(*text) + " twice");
    }
    manifest->segments.push_back(*number);
  }
  if (manifest->segments.empty()) return Damaged("names no segment");
  return Status::Ok();
}

}  // namespace

std::string EncodeManifest(const Manifest& manifest) {
  std::string text(kFirstLine);
  text += std::to_string(kVersion) + "\nstore ";
  for (const unsigned char byte : manifest.store_id) text += Hex(byte, 2);
  text += "\nseed " + Hex(manifest.seed, 16) + "\n";
  for (const uint64_t number : manifest.segments) text += "segment " + Digits(number) + "\n";
  text += "crc32 " + Hex(Crc32(text), 8) + "\n";
  return text;
}

Result<Manifest> ParseManifest(std::string_view text) {
  Lines lines(text);
  const auto version = lines.Take(kFirstLine);
  if (!version) return Damaged("not a keystonelight manifest");
  if (*version != std::to_string(kVersion)) {
    return Damaged("format version " + Escape(*version) +
                   " is not known here (this program reads 1)");
  }
  if (Status status = CheckCrc(text); !status.ok()) return status;
  Manifest manifest;
  const auto store = lines.Take("store ");
  const auto id = store ? ParseStoreId(*store) : std::nullopt;
  const auto seed = lines.Take("seed ");
  const auto seed_number = seed ? Number(*seed, 16, 16) : std::nullopt;
  if (!id || !seed_number) return Damaged("bad store or seed line");
  manifest.store_id = *id;
  manifest.seed = *seed_number;
  if (Status status = ParseSegments(&lines, &manifest); !status.ok()) return status;
  if (!lines.Take("crc32 ") || !lines.empty()) return Damaged("a line that is not known here");
  // Upper-case hex, say, would mean the same, but was not written here.
  if (EncodeManifest(manifest) != text) return Damaged("not as it was written");
  return manifest;
}

bool ManifestIsIntact(std::string_view text) {
  return text.starts_with(kFirstLine) && CheckCrc(text).ok();
}

Result<Manifest> LoadManifest(const std::string& directory) {
  const std::string path = directory + "/" + kManifestName;
  if (::access(path.c_str(), F_OK) != 0 && errno == ENOENT) return Status::NotFound();
  auto text = ReadSmallFile(path, kMaxManifestSize);
  if (!text.ok()) return text.status();
  return ParseManifest(text.value());
}

std::string SegmentName(uint64_t number) { return Digits(number) + std::string(kLogSuffix); }

std::optional<uint64_t> SegmentNumber(std::string_view name) {
  if (!name.ends_with(kLogSuffix)) return std::nullopt;
  name.remove_suffix(kLogSuffix.size());
  const auto number = Number(name, 10, kNameDigits);
  return number && *number > 0 ? number : std::nullopt;
}

}  // namespace keystone
