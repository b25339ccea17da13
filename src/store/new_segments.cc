#include "store/new_segments.h"

#include <algorithm>
#include <utility>

namespace keystone {

namespace {

constexpr uint64_t kWritebackBytes = uint64_t{8} << 20;
constexpr size_t kOpenSegments = 16;

}  // namespace

NewSegments::~NewSegments() {
  if (kept_) return;
  for (const auto& segment : segments_) segment->Remove();
}

Result<uint64_t> NewSegments::AddWhole(std::string_view bytes, uint64_t first_sequence) {
  auto offset = MakeRoom(bytes.size(), first_sequence);
  if (offset.ok()) gather_.Add(bytes);
  return offset;
}

Result<uint64_t> NewSegments::AddSingle(const RecordView& record) {
  auto offset = MakeRoom(record.size_bytes(), record.sequence);
  if (offset.ok()) gather_.AddSingle(record);
  return offset;
}

// Where the next one begins.
Result<uint64_t> NewSegments::MakeRoom(uint64_t size_bytes, uint64_t first_sequence) {
  if (gather_.full()) {
    if (Status status = Flush(); !status.ok()) return status;
  }
  if (!segments_.empty()) {
    const uint64_t end = segments_.back()->size() + gather_.bytes();
    if (end + size_bytes <= segments_.back()->capacity()) return end;
  }
  if (Status status = Flush(); !status.ok()) return status;
  if (segments_.size() + 1 >= SegmentSet::kMaxSegments) {
    return Status(Code::kSystem, "compaction: too many segments; raise segment-size");
  }
  // So that a big log does not take all descriptors. The older ones are on the disk by now.
  if (segments_.size() >= kOpenSegments) {
    if (Status status = FinishOne(segments_.size() - kOpenSegments); !status.ok()) return status;
  }
  if (Status status = Begin(first_sequence, size_bytes); !status.ok()) return status;
  return kSegmentHeaderSize;
}

Status NewSegments::AddEmpty(uint64_t first_sequence) { return Begin(first_sequence, 0); }

// For at least so many bytes of records.
Status NewSegments::Begin(uint64_t first_sequence, uint64_t size_bytes) {
  auto segment = directory_->CreateSegment(
      first_sequence, std::max(segment_size_bytes_, kSegmentHeaderSize + size_bytes));
  if (!segment.ok()) return segment.status();
  segments_.push_back(std::move(segment.value()));
  writeback_offset_ = 0;
  return Status::Ok();
}

Status NewSegments::Flush() {
  if (segments_.empty()) return Status::Ok();
  Status status = gather_.Flush(segments_.back().get());
  // So that the disk works meanwhile, and the sync has less to wait for.
  const Segment& last = *segments_.back();
  if (status.ok() && last.size() - writeback_offset_ >= kWritebackBytes) {
    last.StartWriteback(std::exchange(writeback_offset_, last.size()));
  }
  return status;
}

Status NewSegments::Finish() {
  if (Status status = Flush(); !status.ok()) return status;
  for (size_t i = finished_; i < segments_.size(); i++) {
    if (Status status = FinishOne(i); !status.ok()) return status;
  }
  return Status::Ok();
}

Status NewSegments::FinishOne(size_t number) {
  if (Status status = segments_[number]->Finish(); !status.ok()) return status;
  segments_[number]->Seal();
  finished_ = number + 1;
  return Status::Ok();
}

}  // namespace keystone
