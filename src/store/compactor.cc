#include "store/compactor.h"

#include <algorithm>

namespace keystone {

namespace {

constexpr uint64_t kFlushBytes = uint64_t{1} << 20;
constexpr size_t kFlushPieces = 1024;  // what one write takes
constexpr size_t kRecordsAhead = 64;

}  // namespace

Compactor::Compactor(Directory* directory, const Index* index, uint64_t segment_size_bytes,
                     const std::atomic<bool>* cancelled)
    : directory_(directory),
      index_(index),
      segment_size_bytes_(segment_size_bytes),
      cancelled_(cancelled) {}

Status Compactor::Copy(const SegmentSet::List& sources) {
  moves_.reserve(index_->size());
  for (const auto& source : sources) {
    if (Status status = CopySegment(*source); !status.ok()) return status;
  }
  return Flush();
}

Status Compactor::CopySegment(const Segment& source) {
  Status status;
  ahead_.clear();
  const ScanEnd end = ScanGroups(source.bytes(), source.header().first_sequence, true,
                                 [&](std::span<const PlacedRecord> group) {
                                   LookAhead(group);
                                   if (ahead_.size() >= kRecordsAhead) status = CopyAhead(source);
                                   return status.ok();
                                 });
  if (status.ok()) status = CopyAhead(source);
  if (!status.ok()) return status;
  if (end.kind == ScanEnd::Kind::kDamage) {
    return {Code::kCorrupt, source.path() + ": offset " + std::to_string(end.damage_offset) + ": " +
                                end.reason + "; run keystone-log check"};
  }
  return Flush();  // the pieces point into this source
}

// The index is looked at in no order that a processor could guess: what it would wait for is asked
// for some records before.
void Compactor::LookAhead(std::span<const PlacedRecord> group) {
  for (const PlacedRecord& placed : group) index_->PrefetchSlot(placed.record.key);
  ahead_.insert(ahead_.end(), group.begin(), group.end());
}

Status Compactor::CopyAhead(const Segment& source) {
  std::span<const PlacedRecord> rest = ahead_;
  while (!rest.empty()) {
    size_t count = 1;
    while (rest[count - 1].record.group_goes_on()) count++;
    if (Status status = CopyGroup(source, rest.first(count)); !status.ok()) return status;
    rest = rest.subspan(count);
  }
  ahead_.clear();
  return Status::Ok();
}

Status Compactor::CopyGroup(const Segment& source, std::span<const PlacedRecord> group) {
  if (cancelled_->load(std::memory_order_relaxed)) {
    return {Code::kCancelled, "compaction stopped on request"};
  }
  live_.clear();
  for (const PlacedRecord& placed : group) {
    const RecordView& record = placed.record;
    live_.push_back(!record.is_sync_mark() && !record.tombstone &&
                    index_->Points(record.key, {source.number(), placed.offset}));
  }
  if (std::find(live_.begin(), live_.end(), false) == live_.end()) {
    return CopyWhole(source, group);
  }
  for (size_t i = 0; i < group.size(); i++) {
    if (!live_[i]) continue;
    if (Status status = CopySingle(source, group[i]); !status.ok()) return status;
  }
  return Status::Ok();
}

Status Compactor::CopyWhole(const Segment& source, std::span<const PlacedRecord> group) {
  const uint64_t start = group.front().offset;
  const uint64_t size_bytes = group.back().offset + group.back().record.size_bytes() - start;
  Status status = MakeRoom(size_bytes, group.front().record.sequence);
  if (!status.ok()) return status;
  for (const PlacedRecord& placed : group) {
    Moved(source, placed, end_offset() + placed.offset - start);
  }
  AddPiece(source.bytes().substr(start, size_bytes));
  return Status::Ok();
}

Status Compactor::CopySingle(const Segment& source, const PlacedRecord& placed) {
  const RecordView& record = placed.record;
  Status status = MakeRoom(record.size_bytes(), record.sequence);
  if (!status.ok()) return status;
  Moved(source, placed, end_offset());
  Header& header = rewritten_.emplace_back();
  EncodeHeader(record.sequence, static_cast<uint32_t>(record.value.size()), record.key.size(),
               static_cast<uint16_t>(record.flags & ~kGroupGoesOn), record.body_crc, header.data());
  AddPiece({header.data(), header.size()});
  AddPiece(record.body);
  return Status::Ok();
}

void Compactor::Moved(const Segment& source, const PlacedRecord& placed, uint64_t offset) {
  moves_.push_back(
      {placed.record.key, {source.number(), placed.offset}, {outputs_.back()->number(), offset}});
}

Status Compactor::MakeRoom(uint64_t size_bytes, uint64_t first_sequence) {
  if (pending_bytes_ >= kFlushBytes || pieces_.size() + 2 > kFlushPieces) {
    if (Status status = Flush(); !status.ok()) return status;
  }
  if (!outputs_.empty() && end_offset() + size_bytes <= outputs_.back()->capacity()) {
    return Status::Ok();
  }
  if (Status status = Flush(); !status.ok()) return status;
  if (outputs_.size() + 1 >= SegmentSet::kMaxSegments) {
    return {Code::kNoSpace, "compaction: too many segments; raise segment-size"};
  }
  auto output = directory_->CreateSegment(
      first_sequence, std::max(segment_size_bytes_, kSegmentHeaderSize + size_bytes));
  if (!output.ok()) return output.status();
  outputs_.push_back(std::move(output.value()));
  return Status::Ok();
}

void Compactor::AddPiece(std::string_view bytes) {
  pending_bytes_ += bytes.size();
  if (!pieces_.empty()) {
    iovec& last = pieces_.back();
    if (static_cast<const char*>(last.iov_base) + last.iov_len == bytes.data()) {
      last.iov_len += bytes.size();
      return;
    }
  }
  pieces_.push_back({const_cast<char*>(bytes.data()), bytes.size()});
}

Status Compactor::Flush() {
  if (pieces_.empty()) return Status::Ok();
  Status status = outputs_.back()->Append(pieces_, pending_bytes_);
  pieces_.clear();
  rewritten_.clear();
  pending_bytes_ = 0;
  return status;
}

Status Compactor::Finish() {
  for (const auto& output : outputs_) {
    if (Status status = output->Finish(); !status.ok()) return status;
  }
  return Status::Ok();
}

}  // namespace keystone
