#include "log/check.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <span>
#include <utility>

#include "base/file.h"
#include "log/check_hint.h"
#include "store/hint.h"

namespace keystone {

namespace {

// Where the next group that can be read may begin, behind the invalid record at `offset`.
uint64_t NextGroup(std::string_view bytes, uint64_t offset, uint64_t lowest_sequence) {
  RecordView record;
  // As long as headers hold, they lead to the end of the group.
  while (DecodeHeader(bytes.substr(offset), &record) == RecordState::kValid) {
    offset += record.size_bytes();
    if (!record.group_goes_on()) return offset;
  }
  // Then only a record that is valid as a whole shows where one begins.
  for (; offset < bytes.size(); ++offset) {
    if (DecodeRecord(bytes.substr(offset), &record) == RecordState::kValid &&
        record.sequence >= lowest_sequence) {
      return offset;
    }
  }
  return offset;
}

class Walk {
 public:
  Walk(const Segment& segment, bool active, const GroupVisitor& visit)
      : bytes_(segment.bytes()),
        active_(active),
        visit_(visit),
        lowest_sequence_(segment.header().first_sequence) {}

  SegmentReport Run() {
    uint64_t offset = kSegmentHeaderSize;
    while (offset < bytes_.size()) {
      const ScanEnd end = ScanFrom(offset);
      report_.records += end.records;
      report_.last_sequence = std::max(report_.last_sequence, end.last_sequence);
      lowest_sequence_ = std::max(lowest_sequence_, end.last_sequence + 1);
      if (IsTheEnd(end)) break;
      offset = StepOver(end);
    }
    return std::move(report_);
  }

 private:
  // ScanGroups passes over a segment header first: here, whatever stands before `offset`.
  ScanEnd ScanFrom(uint64_t offset) {
    const uint64_t shift = offset - kSegmentHeaderSize;
    ScanEnd end = ScanGroups(bytes_.substr(shift), lowest_sequence_, true,
                             [&](std::span<const PlacedRecord> group) {
                               EndDamage(group.front().record.sequence);
                               return Visit(group, shift);
                             });
    end.offset += shift;
    end.damage_offset += shift;
    return end;
  }

  bool Visit(std::span<const PlacedRecord> group, uint64_t shift) {
    if (shift == 0) return visit_(group);
    std::vector<PlacedRecord> shifted(group.begin(), group.end());
    for (PlacedRecord& placed : shifted) placed.offset += shift;
    return visit_(shifted);
  }

  // Recovery's rule: of the active segment's end, what no sync mark claims may be torn.
  bool IsTheEnd(const ScanEnd& end) {
    if (end.kind == ScanEnd::Kind::kEnd || end.kind == ScanEnd::Kind::kStopped) return true;
    if (!active_) return false;
    if (end.kind == ScanEnd::Kind::kZeros) return true;
    if (end.unknown_flag || SyncMarkClaims(bytes_, end.damage_offset, end.offset)) return false;
    report_.tail_offset = end.offset;
    report_.tail_bytes = bytes_.size() - end.offset;
    report_.tail_is_damaged = !end.incomplete;
    report_.tail_reason = end.reason;
    return true;
  }

  uint64_t StepOver(const ScanEnd& end) {
    Damage damage;
    damage.lost_from = end.offset;
    damage.first_sequence = lowest_sequence_;
    if (end.kind == ScanEnd::Kind::kZeros) {
      damage.offset = end.offset;
      damage.reason = "zeros where records were";
      damage.lost_to = bytes_.size();
    } else {
      damage.offset = end.damage_offset;
      damage.reason = end.reason;
      damage.lost_to = NextGroup(bytes_, end.damage_offset, lowest_sequence_);
    }
    report_.damages.push_back(damage);
    return damage.lost_to;
  }

  // The first group behind a damage tells which sequences it took.
  void EndDamage(uint64_t sequence) {
    if (report_.damages.empty() || report_.damages.back().last_sequence != 0) return;
    report_.damages.back().last_sequence = sequence - 1;
  }

  const std::string_view bytes_;
  const bool active_;
  const GroupVisitor& visit_;
  uint64_t lowest_sequence_;
  SegmentReport report_;
};

// A first segment without a record is what a crash in the very first start leaves.
bool IsUnused(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 &&
         static_cast<uint64_t>(info.st_size) <= kSegmentHeaderSize;
}

class Checker {
 public:
  explicit Checker(std::string directory) : directory_(std::move(directory)) {}

  Status Run() {
    auto manifest = LoadListedSegments(directory_);
    if (!manifest.ok()) return manifest.status();
    manifest_ = std::move(manifest.value());
    for (const uint64_t number : manifest_.segments) {
      if (Status status = CheckListed(number); !status.ok()) return status;
    }
    if (Status status = CheckOthers(); !status.ok()) return status;
    if (problems_ == 0) return Status::Ok();
    return {Code::kCorrupt, directory_ + ": " + std::to_string(problems_) +
                                (problems_ == 1 ? " problem" : " problems") +
                                ", see the lines above"};
  }

 private:
  Status CheckListed(uint64_t number) {
    auto segment = Open(number);
    if (segment.ok()) {
      const bool active = number == manifest_.segments.back();
      if (Status order = CheckOrder(*segment.value()); !order.ok()) return order;
      const HintReport hint = CheckHintOf(directory_, segment.value(), manifest_.seed);
      Status status = Print(SegmentName(number) + ": " + Verdict(*segment.value(), active, hint));
      if (status.ok()) status = segment.value()->CheckReadable();
      return status.ok() ? PrintProblem(number, hint) : status;
    }
    if (segment.status().code() != Code::kCorrupt) return segment.status();
    ++problems_;
    return Print(segment.status().message() + "; lost: all of it");
  }

  // A start refuses it, though nothing of the segment itself is damaged.
  Status CheckOrder(const Segment& segment) {
    const Status order = segment.CheckFollows(last_sequence_);
    if (order.ok()) return order;
    ++problems_;
    return Print(order.message());
  }

  // A line; further ones where there is more than one thing to say.
  std::string Verdict(const Segment& segment, bool active, const HintReport& hint) {
    const SegmentReport report =
        WalkSegment(segment, active, [](std::span<const PlacedRecord>) { return true; });
    last_sequence_ = std::max(last_sequence_, report.last_sequence);
    problems_ += report.damages.size() + (report.tail_is_damaged ? 1 : 0);
    std::string text;
    for (const Damage& damage : report.damages) {
      text += (text.empty() ? "" : "\n" + segment.name() + ": ") + Describe(damage);
    }
    if (report.tail_bytes > 0) {
      text += (text.empty() ? "" : "\n" + segment.name() + ": ") + DescribeTail(report);
    }
    return std::to_string(report.records) + " records, " + std::to_string(segment.size()) +
           " bytes: " + (text.empty() ? Whole(hint) : text);
  }

  static std::string Whole(const HintReport& hint) {
    return hint.keys.empty() ? "whole" : "whole, and its hint of " + hint.keys;
  }

  // That is told, but is no problem of the log's: a start does without, and makes a new one.
  static Status PrintProblem(uint64_t number, const HintReport& hint) {
    if (hint.problem.empty()) return Status::Ok();
    return Print(HintName(number) + ": not good: " + hint.problem +
                 "; no data is lost, the next start makes it anew");
  }

  // Files that a start would remove; a segment among them must be this store's own.
  Status CheckOthers() {
    auto names = ListDirectory(directory_);
    if (!names.ok()) return names.status();
    Status status;
    for (const std::string& name : names.value()) {
      const auto number = SegmentNumber(name);
      if (name.ends_with(".tmp")) status = Print(name + ": left over, will be removed at start");
      if (number && !IsListed(*number)) status = CheckUnlisted(name, *number);
      const auto hint = HintNumber(name);
      if (hint && !IsListed(*hint)) {
        status =
            Print(name + ": left over, of no segment in the MANIFEST, will be removed at start");
      }
      if (!status.ok()) return status;
    }
    return status;
  }

  Status CheckUnlisted(const std::string& name, uint64_t number) {
    auto segment = Open(number);
    if (segment.ok()) {
      return Print(name + ": left over, not in the MANIFEST, will be removed at start");
    }
    if (segment.status().code() != Code::kCorrupt) return segment.status();
    ++problems_;
    return Print(segment.status().message() + "; not in the MANIFEST: move it away");
  }

  bool IsListed(uint64_t number) const {
    return std::find(manifest_.segments.begin(), manifest_.segments.end(), number) !=
           manifest_.segments.end();
  }

  Result<std::shared_ptr<Segment>> Open(uint64_t number) const {
    return Segment::Open(directory_, number, manifest_.store_id, Segment::Access::kReadOnly, 0);
  }

  static Status Print(const std::string& line) {
    return WriteAll(STDOUT_FILENO, line + "\n", "standard output");
  }

  const std::string directory_;
  Manifest manifest_;
  uint64_t last_sequence_ = 0;  // of the segments so far
  size_t problems_ = 0;
};

}  // namespace

std::string Describe(const Damage& damage) {
  std::string text = "damaged at offset " + std::to_string(damage.offset) + ": " + damage.reason +
                     "; lost: " + std::to_string(damage.lost_to - damage.lost_from) +
                     " bytes from offset " + std::to_string(damage.lost_from);
  if (damage.last_sequence == 0) {
    return text + ", sequences from " + std::to_string(damage.first_sequence) + " on";
  }
  if (damage.last_sequence < damage.first_sequence) return text + ", no sequence";
  text += ", sequences " + std::to_string(damage.first_sequence) + " to " +
          std::to_string(damage.last_sequence);
  return text;
}

std::string DescribeTail(const SegmentReport& report) {
  return "torn tail: " + std::to_string(report.tail_bytes) + " bytes at offset " +
         std::to_string(report.tail_offset) + " (" + report.tail_reason + "), will be cut at start";
}

SegmentReport WalkSegment(const Segment& segment, bool active, const GroupVisitor& visit) {
  return Walk(segment, active, visit).Run();
}

Result<Manifest> LoadListedSegments(const std::string& directory) {
  auto manifest = LoadManifest(directory);
  if (manifest.ok()) return manifest;
  if (manifest.status().code() == Code::kCorrupt) {
    return Status(Code::kCorrupt, directory + "/" + manifest.status().message());
  }
  if (manifest.status().code() != Code::kNotFound) return manifest;
  auto names = ListDirectory(directory);
  if (!names.ok()) return names.status();
  const auto is_segment = [](const std::string& name) { return SegmentNumber(name).has_value(); };
  if (std::none_of(names.value().begin(), names.value().end(), is_segment)) {
    return Status(Code::kCorrupt, directory + ": there is no store in it");
  }
  const auto in_use =
      std::find_if(names.value().begin(), names.value().end(), [&](const std::string& name) {
        const auto number = SegmentNumber(name);
        return number && (number != 1 || !IsUnused(directory + "/" + name));
      });
  if (in_use == names.value().end()) return Manifest();
  const std::string path = directory + "/" + kManifestName;
  return Status(Code::kCorrupt, path + ": missing beside " + *in_use);
}

Status Check(const std::string& directory) { return Checker(directory).Run(); }

}  // namespace keystone
