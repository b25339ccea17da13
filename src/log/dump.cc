#include "log/dump.h"

#include <unistd.h>

#include <cstdio>
#include <span>

#include "base/base64.h"
#include "base/file.h"
#include "log/check.h"
#include "store/manifest.h"
#include "store/segment.h"

namespace keystone {

namespace {

constexpr size_t kFlushSize = 65536;

// How long the UTF-8 sequence is that a byte begins; 0: it begins none.
size_t SequenceSize(unsigned char lead) {
  if (lead < 0x80) return 1;
  if (lead >= 0xc2 && lead <= 0xdf) return 2;
  if (lead >= 0xe0 && lead <= 0xef) return 3;
  return lead >= 0xf0 && lead <= 0xf4 ? 4 : 0;
}

// Some lead bytes narrow the range of the second byte: overlong forms, surrogates, above U+10FFFF.
bool IsSecondByte(unsigned char lead, unsigned char second) {
  const unsigned char low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  const unsigned char high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  return second >= low && second <= high;
}

void AppendString(std::string_view text, std::string* out) {
  *out += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      *out += '\\';
      *out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(c));
      *out += escaped;
    } else {
      *out += c;
    }
  }
  *out += '"';
}

void AppendBytes(const char* name, std::string_view bytes, std::string* out) {
  const bool text = IsUtf8(bytes);
  out->append(",\"").append(name).append(text ? "\":" : "_base64\":");
  if (text) {
    AppendString(bytes, out);
  } else {
    *out += '"';
    AppendBase64(bytes, out);
    *out += '"';
  }
}

void AppendNumber(const char* name, uint64_t number, std::string* out) {
  out->append(",\"").append(name).append("\":").append(std::to_string(number));
}

class Dumper {
 public:
  explicit Dumper(std::string directory) : directory_(std::move(directory)) {}

  Status Run() {
    auto manifest = LoadListedSegments(directory_);
    if (!manifest.ok()) return manifest.status();
    for (const uint64_t number : manifest.value().segments) {
      if (Status status = DumpSegment(manifest.value(), number); !status.ok()) return status;
    }
    if (Status status = Flush(); !status.ok()) return status;
    if (!damaged_) return Status::Ok();
    return {Code::kCorrupt, directory_ + ": the log is damaged: not all of it was printed"};
  }

 private:
  Status DumpSegment(const Manifest& manifest, uint64_t number) {
    auto segment =
        Segment::Open(directory_, number, manifest.store_id, Segment::Access::kReadOnly, 0);
    if (!segment.ok()) {
      if (segment.status().code() != Code::kCorrupt) return segment.status();
      Complain(segment.status().message());
      damaged_ = true;
      return Status::Ok();
    }
    Status status;
    const SegmentReport report = WalkSegment(*segment.value(), number == manifest.segments.back(),
                                             [&](std::span<const PlacedRecord> group) {
                                               for (const PlacedRecord& placed : group)
                                                 AppendJson(number, placed, &buffer_);
                                               if (buffer_.size() >= kFlushSize) status = Flush();
                                               return status.ok();
                                             });
    Tell(segment.value()->path(), report);
    return status.ok() ? segment.value()->CheckReadable() : status;
  }

  void Tell(const std::string& path, const SegmentReport& report) {
    for (const Damage& damage : report.damages) Complain(path + ": " + Describe(damage));
    if (report.tail_bytes > 0) Complain(path + ": " + DescribeTail(report));
    damaged_ = damaged_ || !report.damages.empty() || report.tail_is_damaged;
  }

  static void Complain(const std::string& text) {
    std::fprintf(stderr, "keystone-log: %s\n", text.c_str());
  }

  Status Flush() {
    const Status status = WriteAll(STDOUT_FILENO, buffer_, "standard output");
    buffer_.clear();
    return status;
  }

  const std::string directory_;
  std::string buffer_;  // lines that are not written yet
  bool damaged_ = false;
};

}  // namespace

bool IsUtf8(std::string_view bytes) {
  while (!bytes.empty()) {
    const auto lead = static_cast<unsigned char>(bytes[0]);
    const size_t size = SequenceSize(lead);
    if (size == 0 || size > bytes.size()) return false;
    if (size > 1 && !IsSecondByte(lead, static_cast<unsigned char>(bytes[1]))) return false;
    for (size_t i = 2; i < size; ++i) {
      if ((static_cast<unsigned char>(bytes[i]) & 0xc0) != 0x80) return false;
    }
    bytes.remove_prefix(size);
  }
  return true;
}

void AppendJson(uint64_t segment, const PlacedRecord& placed, std::string* out) {
  const RecordView& record = placed.record;
  out->append("{\"sequence\":").append(std::to_string(record.sequence));
  if (record.is_sync_mark()) {
    out->append(",\"op\":\"sync_mark\"");
    AppendNumber("synced_offset", SyncMarkOffset(record), out);
  } else {
    out->append(record.tombstone ? ",\"op\":\"delete\"" : ",\"op\":\"set\"");
    AppendBytes("key", record.key, out);
    if (!record.tombstone) AppendBytes("value", record.value, out);
    if (record.client_flags != 0) AppendNumber("client_flags", record.client_flags, out);
    if (record.expires_at_ms != 0) AppendNumber("expires_at_ms", record.expires_at_ms, out);
  }
  AppendNumber("segment", segment, out);
  AppendNumber("offset", placed.offset, out);
  out->append("}\n");
}

Status Dump(const std::string& directory) { return Dumper(directory).Run(); }

}  // namespace keystone
