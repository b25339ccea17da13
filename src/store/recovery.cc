#include "store/recovery.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>

#include "base/escape.h"
#include "base/file.h"

namespace keystone {

namespace {

constexpr uint64_t kReportIntervalUs = 1'000'000;
constexpr uint64_t kLookIntervalBytes = 256 * 1024;  // between two looks at the clock

uint64_t NowUs() {
  using std::chrono::steady_clock;
  const auto now = steady_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(now).count());
}

unsigned long long Printable(uint64_t number) { return number; }

// A file that does not exist yet, so that no older evidence is overwritten.
Result<Fd> CreateBeside(const std::string& path, std::string* taken_path) {
  for (int attempt = 0;; attempt++) {
    *taken_path = attempt == 0 ? path : path + "." + std::to_string(attempt);
    auto fd = OpenFile(*taken_path, O_WRONLY | O_CREAT | O_EXCL);
    if (fd.ok() || errno != EEXIST) return fd;
  }
}

}  // namespace

Recovery::Recovery(Directory* directory, uint64_t segment_size_bytes, SegmentSet* segments,
                   const Log* log, const RecoveryCallback* progress)
    : directory_(directory),
      segment_size_bytes_(segment_size_bytes),
      segments_(segments),
      log_(log),
      progress_(progress) {}

Status Recovery::OpenDirectory() {
  Status status = directory_->Load();
  if (status.code() == Code::kCorrupt) {
    return {Code::kCorrupt, directory_->path() + "/" + status.message() +
                                "; no crash explains it: run keystone-log check " +
                                directory_->path() + ", then keystone-log repair or a backup"};
  }
  if (status.code() != Code::kNotFound) return status;
  if (Status none = CheckNoSegments(); !none.ok()) return none;
  return StartNewStore();
}

// A lone first segment without a record is what a crash in the middle of the very first start
// leaves; any other segment without a MANIFEST is somebody's data.
Status Recovery::CheckNoSegments() {
  auto files = directory_->ListFiles();
  if (!files.ok()) return files.status();
  const std::vector<uint64_t>& numbers = files.value().segments;
  if (numbers.empty()) return Status::Ok();
  const std::string path = directory_->Path(SegmentName(numbers.front()));
  if (numbers == std::vector<uint64_t>{1}) {
    auto fd = OpenFile(path, O_RDONLY);
    if (!fd.ok()) return fd.status();
    auto size = FileSize(fd.value().get(), path);
    if (!size.ok()) return size.status();
    if (size.value() <= kSegmentHeaderSize) return RemoveFile(path);
  }
  return {Code::kCorrupt, directory_->Path(kManifestName) + ": missing beside " + path +
                              "; bring it back from a backup, or run keystone-log check " +
                              directory_->path()};
}

Status Recovery::StartNewStore() {
  if (Status status = directory_->StartNew(); !status.ok()) return status;
  auto segment = directory_->CreateSegment(1, segment_size_bytes_);
  if (!segment.ok()) return segment.status();
  if (Status status = segment.value()->Finish(); !status.ok()) return status;
  if (Status status = directory_->Sync(); !status.ok()) return status;
  log_->Write(Priority::kNotice, "new store in %s", directory_->path().c_str());
  return directory_->Commit({segment.value()->number()});
}

Status Recovery::Replay(Index* index, Recovered* recovered) {
  const uint64_t start_us = NowUs();
  next_report_us_ = start_us + kReportIntervalUs;
  if (Status status = OpenSegments(); !status.ok()) return status;
  if (Status status = FindLeftovers(); !status.ok()) return status;
  const SegmentSet::List segments = segments_->All();
  for (const auto& segment : segments) {
    const bool active = segment == segments.back();
    if (Status status = ReplaySegment(segment.get(), active, index); !status.ok()) return status;
    bytes_done_ += segment->size();
  }
  if (Status status = RemoveLeftovers(); !status.ok()) return status;
  // What is served from now on is what the next crash must not take back.
  const Segment& active = *segments.back();
  if (Status status = SyncData(active.writer()->get(), active.path()); !status.ok()) return status;
  recovered_.duration_us = NowUs() - start_us;
  *recovered = recovered_;
  log_->Write(Priority::kNotice,
              "recovered %llu records, %llu keys, %llu bytes in %zu segments in %.3f s",
              Printable(recovered_.records), Printable(index->size()), Printable(bytes_done_),
              segments.size(), static_cast<double>(recovered_.duration_us) / 1e6);
  return Status::Ok();
}

Status Recovery::OpenSegments() {
  const Manifest& manifest = directory_->manifest();
  for (const uint64_t number : manifest.segments) {
    const bool active = number == manifest.segments.back();
    auto segment = Segment::Open(directory_->path(), number, manifest.store_id,
                                 active ? Segment::Access::kAppend : Segment::Access::kReadOnly,
                                 active ? segment_size_bytes_ : 0);
    if (!segment.ok()) {
      Status status = segment.status();
      if (status.code() != Code::kCorrupt) return status;
      return {Code::kCorrupt, status.message() +
                                  "; the MANIFEST names it: run keystone-log check " +
                                  directory_->path() + ", then keystone-log repair or a backup"};
    }
    if (Status status = segments_->CheckRoom(segment.value()->number()); !status.ok()) {
      return status;
    }
    bytes_total_ += segment.value()->size();
    segments_->Add(std::move(segment.value()));
  }
  return Status::Ok();
}

Status Recovery::ReplaySegment(Segment* segment, bool active, Index* index) {
  const std::string_view bytes = segment->bytes();
  (void)::madvise(const_cast<char*>(bytes.data()), bytes.size(), MADV_SEQUENTIAL);
  const uint64_t first_sequence = segment->header().first_sequence;
  Status status;
  const ScanEnd end =
      ScanGroups(bytes, first_sequence, true, [&](std::span<const PlacedRecord> group) {
        status = Apply(*segment, group, index);
        return status.ok();
      });
  (void)::madvise(const_cast<char*>(bytes.data()), bytes.size(), MADV_NORMAL);
  if (!status.ok()) return status;
  recovered_.next_sequence =
      std::max({recovered_.next_sequence, end.last_sequence + 1, first_sequence});
  return EndSegment(segment, active, end);
}

Status Recovery::Apply(const Segment& segment, std::span<const PlacedRecord> group, Index* index) {
  for (const PlacedRecord& placed : group) {
    const RecordView& record = placed.record;
    recovered_.records++;
    if (record.is_sync_mark()) continue;
    Status status = record.tombstone ? index->Erase(record.key)
                                     : index->Put(record.key, {segment.number(), placed.offset},
                                                  record.size_bytes());
    if (!status.ok() && status.code() != Code::kNotFound) return status;
  }
  const uint64_t end = bytes_done_ + group.back().offset + group.back().record.size_bytes();
  if (end < next_look_) return Status::Ok();
  next_look_ = end + kLookIntervalBytes;
  return Report(end) ? Status::Ok() : Status(Code::kCancelled, "recovery stopped on request");
}

bool Recovery::Report(uint64_t bytes_done) {
  const uint64_t now_us = NowUs();
  if (now_us < next_report_us_) return true;
  next_report_us_ = now_us + kReportIntervalUs;
  const RecoveryProgress progress{
      .bytes_done = bytes_done, .bytes_total = bytes_total_, .records = recovered_.records};
  log_->Write(Priority::kInfo, "recovering: %llu of %llu bytes, %llu records",
              Printable(progress.bytes_done), Printable(progress.bytes_total),
              Printable(progress.records));
  return !*progress_ || (*progress_)(progress);
}

Status Recovery::EndSegment(Segment* segment, bool active, const ScanEnd& end) {
  if (end.kind == ScanEnd::Kind::kEnd) return Status::Ok();
  const bool damaged = end.kind == ScanEnd::Kind::kDamage;
  if (!active || end.unknown_flag ||
      (damaged && SyncMarkClaims(segment->bytes(), end.damage_offset, end.offset))) {
    return Refuse(*segment, end);
  }
  if (damaged) return CutTail(segment, end);
  return segment->CutTo(end.offset);  // zeros: space that was kept ready, and never used
}

Status Recovery::Refuse(const Segment& segment, const ScanEnd& end) const {
  const bool damaged = end.kind == ScanEnd::Kind::kDamage;
  return {Code::kCorrupt,
          segment.path() + ": offset " + std::to_string(damaged ? end.damage_offset : end.offset) +
              ": " + (damaged ? end.reason : "zeros where records were on stable storage") +
              "; no crash explains it: run keystone-log check " + directory_->path() +
              ", then keystone-log repair or a backup"};
}

// The cut bytes are copied aside and synced before the segment is cut.
Status Recovery::CutTail(Segment* segment, const ScanEnd& end) {
  const std::string_view tail = segment->bytes().substr(end.offset);
  std::string path;
  auto fd = CreateBeside(segment->path() + ".cut-" + std::to_string(end.offset), &path);
  if (!fd.ok()) return fd.status();
  Status status = WriteAll(fd.value().get(), tail, path);
  if (status.ok()) status = SyncFile(fd.value().get(), path);
  if (status.ok()) status = directory_->Sync();
  if (!status.ok()) {
    (void)::unlink(path.c_str());  // the segment still has the bytes
    return status;
  }
  recovered_.truncated_bytes += tail.size();
  log_->Write(Priority::kWarning, "%s: cut %zu bytes at offset %llu (%s); they are kept in %s",
              segment->path().c_str(), tail.size(), Printable(end.offset), end.reason.c_str(),
              path.c_str());
  return segment->CutTo(end.offset);
}

// What an interrupted rotation or compaction left. A file that is named like a segment but is none
// of this store's was put there by somebody: it stays, and the start is refused.
Status Recovery::FindLeftovers() {
  auto files = directory_->ListFiles();
  if (!files.ok()) return files.status();
  leftovers_ = files.value().temporary;
  const Manifest& manifest = directory_->manifest();
  for (const uint64_t number : files.value().segments) {
    if (std::find(manifest.segments.begin(), manifest.segments.end(), number) !=
        manifest.segments.end()) {
      continue;
    }
    auto segment =
        Segment::Open(directory_->path(), number, manifest.store_id, Segment::Access::kReadOnly, 0);
    if (!segment.ok()) {
      return {segment.status().code(),
              segment.status().message() +
                  "; the MANIFEST does not name it: move it away, or run keystone-log check " +
                  directory_->path()};
    }
    leftovers_.push_back(SegmentName(number));
  }
  return Status::Ok();
}

Status Recovery::RemoveLeftovers() {
  for (const std::string& name : leftovers_) {
    if (Status status = RemoveFile(directory_->Path(name)); !status.ok()) return status;
    log_->Write(Priority::kNotice,
                "removed %s: left by an interrupted start, rotation or compaction",
                directory_->Path(name).c_str());
  }
  return leftovers_.empty() ? Status::Ok() : directory_->Sync();
}

}  // namespace keystone
