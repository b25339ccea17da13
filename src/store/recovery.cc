#include "store/recovery.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/file.h"
#include "store/hint.h"
#include "store/recovery_meter.h"
#include "store/replay.h"

namespace keystone {

namespace {

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

Recovery::Recovery(Directory* directory, Reserve* reserve, uint64_t segment_size_bytes,
                   SegmentSet* segments, const Log* log, const RecoveryCallback* progress)
    : directory_(directory),
      reserve_(reserve),
      segment_size_bytes_(segment_size_bytes),
      segments_(segments),
      log_(log),
      progress_(progress) {}

Status Recovery::OpenDirectory() {
  Status status = directory_->Load();
  if (status.code() == Code::kCorrupt) {
    return {Code::kCorrupt, directory_->path() + "/" + status.message() +
                                "; no crash explains it: " + HowToRepair(directory_->path())};
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
  return {Code::kCorrupt, directory_->Path(kManifestName) + ": missing beside " + path + "; " +
                              HowToRepair(directory_->path())};
}

Status Recovery::StartNewStore() {
  if (Status status = directory_->StartNew(); !status.ok()) return status;
  // Whoever made the directory, now or in a start that was interrupted.
  if (Status status = directory_->SyncName(); !status.ok()) return status;
  auto segment = directory_->CreateSegment(1, segment_size_bytes_);
  if (!segment.ok()) return segment.status();
  if (Status status = segment.value()->Finish(); !status.ok()) return status;
  if (Status status = directory_->Sync(); !status.ok()) return status;
  log_->Write(Priority::kNotice, "new store in %s", directory_->path().c_str());
  return directory_->Commit({segment.value()->number()});
}

Status Recovery::Replay(Index* index, Recovered* recovered) {
  if (Status status = OpenSegments(); !status.ok()) return status;
  if (Status status = FindLeftovers(); !status.ok()) return status;
  const SegmentSet::List segments = segments_->All();
  Segment& active = *segments.back();
  const uint64_t bytes = segments_->Bytes();
  RecoveryMeter meter(bytes, log_, progress_);
  keystone::Replay replay(directory_->path(), &segments, directory_->manifest().seed, log_, &meter);
  const Status replayed = replay.Run(index);
  // What can't be read looks like zeros, and is no reason to cut anything.
  if (Status status = CheckReadable(segments); !status.ok()) return status;
  if (!replayed.ok()) return replayed;

  // A process that was killed may have left the MANIFEST to the kernel only. Nothing of what an
  // older one names may go before this one is on stable storage, and nothing be acknowledged.
  if (Status status = directory_->Sync(); !status.ok()) return status;
  // The leftovers first: on a full disk they are the room for what is cut.
  if (Status status = RemoveLeftovers(); !status.ok()) return status;
  if (Status status = EndSegment(&active, replay.active_end()); !status.ok()) return status;
  if (Status status = RemoveHints(replay.WithBadHint()); !status.ok()) return status;
  // What is served from now on is what the next crash must not take back.
  if (Status status = SyncData(active.writer()->get(), active.path()); !status.ok()) return status;
  recovered_.records = replay.records();
  recovered_.next_sequence = replay.next_sequence();
  recovered_.without_hint = replay.WithoutHint();
  recovered_.duration_us = meter.duration_us();
  log_->Write(Priority::kNotice,
              "recovered %llu records, %llu keys, %llu bytes in %zu segments, %zu of them by "
              "hints, in %.3f s",
              Printable(recovered_.records), Printable(index->size()), Printable(bytes),
              segments.size(), replay.hints_used(),
              static_cast<double>(recovered_.duration_us) / 1e6);
  *recovered = std::move(recovered_);
  return Status::Ok();
}

Status Recovery::CheckReadable(const SegmentSet::List& segments) {
  for (const auto& segment : segments) {
    if (Status status = segment->CheckReadable(); !status.ok()) return status;
  }
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
      return {Code::kCorrupt,
              status.message() + "; the MANIFEST names it: " + HowToRepair(directory_->path())};
    }
    if (Status status = segments_->CheckRoom(segment.value()->number()); !status.ok()) {
      return status;
    }
    segments_->Add(std::move(segment.value()));
  }
  return Status::Ok();
}

Status Recovery::EndSegment(Segment* segment, const ScanEnd& end) {
  if (end.kind == ScanEnd::Kind::kEnd) return Status::Ok();
  if (end.kind == ScanEnd::Kind::kDamage) return CutTail(segment, end);
  return segment->CutTo(end.offset);  // zeros: space that was kept ready, and never used
}

// The cut bytes are copied aside and synced before the segment is cut; on a full disk in the room
// of the reserve, which the cut gives back.
Status Recovery::CutTail(Segment* segment, const ScanEnd& end) {
  const std::string_view tail = segment->bytes().substr(end.offset);
  const std::string wanted_path = segment->path() + ".cut-" + std::to_string(end.offset);
  std::string path;
  Status status = KeepAside(tail, wanted_path, &path);
  if (status.code() == Code::kNoSpace) {
    reserve_->Open();
    if (reserve_->Release(status)) status = KeepAside(tail, wanted_path, &path);
    if (!status.ok()) reserve_->RetakeNow();
  }
  if (!status.ok()) return status;
  recovered_.truncated_bytes += tail.size();
  log_->Write(Priority::kWarning, "%s: cut %zu bytes at offset %llu (%s); they are kept in %s",
              segment->path().c_str(), tail.size(), Printable(end.offset), end.reason.c_str(),
              path.c_str());
  return segment->CutTo(end.offset);
}

Status Recovery::KeepAside(std::string_view tail, const std::string& wanted_path,
                           std::string* path) {
  auto fd = CreateBeside(wanted_path, path);
  if (!fd.ok()) return fd.status();
  Status status = WriteAll(fd.value().get(), tail, *path);
  if (status.ok()) status = SyncFile(fd.value().get(), *path);
  if (status.ok()) status = directory_->Sync();
  if (!status.ok()) (void)::unlink(path->c_str());  // the segment still has the bytes
  return status;
}

// What an interrupted rotation or compaction left. A file that is named like a segment but is none
// of this store's was put there by somebody: it stays, and the start is refused.
Status Recovery::FindLeftovers() {
  auto files = directory_->ListFiles();
  if (!files.ok()) return files.status();
  leftovers_ = files.value().temporary;
  for (const uint64_t number : files.value().segments) {
    if (IsListed(number)) continue;
    auto segment = Segment::Open(directory_->path(), number, directory_->manifest().store_id,
                                 Segment::Access::kReadOnly, 0);
    if (!segment.ok()) {
      return {segment.status().code(),
              segment.status().message() +
                  "; the MANIFEST does not name it: move it away, or run keystone-log check " +
                  directory_->path()};
    }
    leftovers_.push_back(SegmentName(number));
  }
  for (const uint64_t number : files.value().hints) {
    if (!IsListed(number)) leftovers_.push_back(HintName(number));
  }
  return Status::Ok();
}

bool Recovery::IsListed(uint64_t number) const {
  const std::vector<uint64_t>& listed = directory_->manifest().segments;
  return std::find(listed.begin(), listed.end(), number) != listed.end();
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

// That of the active segment may tell of bytes that were cut off, and that others will stand in
// place of. What can't be removed is not used the next time either.
Status Recovery::RemoveHints(const SegmentSet::List& segments) {
  for (const auto& segment : segments) {
    Status status = RemoveFile(directory_->Path(HintName(segment->number())));
    if (!status.ok()) log_->Write(Priority::kWarning, "%s", status.message().c_str());
  }
  return segments.empty() ? Status::Ok() : directory_->Sync();
}

}  // namespace keystone
