#include "store/compactor.h"

#include <algorithm>
#include <thread>
#include <utility>

namespace keystone {

namespace {

constexpr uint64_t kFlushBytes = uint64_t{1} << 20;
constexpr size_t kFlushPieces = 1024;  // what one write takes
constexpr size_t kRecordsAhead = 64;

}  // namespace

// In turns so short that a client which waits for the processor hardly notices.
void Pace::Step() {
  constexpr std::chrono::microseconds kTurn{250};
  if (share_percent_ >= kAllOfIt) return;
  const auto worked = Clock::now() - worked_since_;
  if (worked < kTurn) return;
  std::this_thread::sleep_for(worked * (kAllOfIt - share_percent_) / share_percent_);
  worked_since_ = Clock::now();
}

Compactor::Compactor(Directory* directory, Index* index, uint64_t segment_size_bytes, Pace* pace)
    : directory_(directory), index_(index), segment_size_bytes_(segment_size_bytes), pace_(pace) {}

Status Compactor::Copy(const SegmentSet::List& sources) {
  sources_ = sources;
  for (const auto& source : sources_) {
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
  if (pace_->cancelled()) return {Code::kCancelled, "compaction stopped on request"};
  pace_->Step();
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
  live_.clear();
  for (const PlacedRecord& placed : group) {
    const RecordView& record = placed.record;
    live_.push_back(!record.is_sync_mark() && !record.tombstone &&
                    index_->Points(record.key, {source.number(), placed.offset}));
  }
  copied_.insert(copied_.end(), live_.begin(), live_.end());
  if (std::find(live_.begin(), live_.end(), false) == live_.end()) {
    return CopyWhole(source, group);
  }
  for (size_t i = 0; i < group.size(); i++) {
    if (!live_[i]) continue;
    if (Status status = CopySingle(group[i]); !status.ok()) return status;
  }
  return Status::Ok();
}

Status Compactor::CopyWhole(const Segment& source, std::span<const PlacedRecord> group) {
  const uint64_t start = group.front().offset;
  const uint64_t size_bytes = group.back().offset + group.back().record.size_bytes() - start;
  Status status = MakeRoom(size_bytes, group.front().record.sequence);
  if (!status.ok()) return status;
  AddPiece(source.bytes().substr(start, size_bytes));
  return Status::Ok();
}

Status Compactor::CopySingle(const PlacedRecord& placed) {
  const RecordView& record = placed.record;
  Status status = MakeRoom(record.size_bytes(), record.sequence);
  if (!status.ok()) return status;
  Header& header = rewritten_.emplace_back();
  EncodeHeader(record.sequence, static_cast<uint32_t>(record.value.size()), record.key.size(),
               static_cast<uint16_t>(record.flags & ~kGroupGoesOn), record.body_crc, header.data());
  AddPiece({header.data(), header.size()});
  AddPiece(record.body);
  return Status::Ok();
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
    output->Seal();
  }
  return Status::Ok();
}

void Compactor::Relocate() {
  for (const auto& source : sources_) RelocateSegment(*source);
}

// The outputs hold what was copied in the order of the sources, without a gap.
void Compactor::RelocateSegment(const Segment& source) {
  const auto visit = [&](std::span<const PlacedRecord> group) {
    for (const PlacedRecord& placed : group) {
      if (!copied_[records_walked_++]) continue;
      moves_.push_back({placed.record.key,
                        {source.number(), placed.offset},
                        NextPlace(placed.record.size_bytes())});
      index_->PrefetchSlot(placed.record.key);
    }
    if (moves_.size() >= kRecordsAhead) RelocateAhead();
    return true;
  };
  ScanGroups(source.bytes(), source.header().first_sequence, false, visit);
  RelocateAhead();
}

void Compactor::RelocateAhead() {
  for (const Move& move : moves_) index_->Relocate(move.key, move.old, move.now);
  moves_.clear();
  pace_->Step();
}

Location Compactor::NextPlace(uint64_t size_bytes) {
  if (output_offset_ == outputs_[output_]->size()) {
    output_++;
    output_offset_ = kSegmentHeaderSize;
  }
  return {outputs_[output_]->number(), std::exchange(output_offset_, output_offset_ + size_bytes)};
}

}  // namespace keystone
