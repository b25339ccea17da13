#include "store/compactor.h"

#include <algorithm>
#include <thread>
#include <utility>

namespace keystone {

namespace {

constexpr size_t kWindowRecords = size_t{1} << 19;
constexpr size_t kItemsAhead = 8;

Status Stopped() { return {Code::kCancelled, "compaction stopped on request"}; }

}  // namespace

// In turns so short that a client which waits for the processor hardly notices.
void Pace::Step(unsigned pieces) {
  constexpr unsigned kPiecesALook = 64;  // at the clock
  constexpr std::chrono::microseconds kTurn{250};
  if (share_percent_ >= kAllOfIt || cancelled() || (pieces_ += pieces) < kPiecesALook) return;
  pieces_ = 0;
  const auto worked = Clock::now() - worked_since_;
  if (worked < kTurn) return;
  std::this_thread::sleep_for(worked * (kAllOfIt - share_percent_) / share_percent_);
  worked_since_ = Clock::now();
}

Compactor::Compactor(Directory* directory, Index* index, Gate* gate, uint64_t segment_size_bytes,
                     uint64_t now_ms, const std::atomic<bool>* cancelled, unsigned share_percent)
    : index_(index),
      gate_(gate),
      now_ms_(now_ms),
      pace_(cancelled, share_percent),
      out_(directory, segment_size_bytes) {}

Status Compactor::Copy(const SegmentSet::List& sources) {
  return UnlessOutOfMemory([&] {
    sources_ = sources;
    return CopyAll();
  });
}

Status Compactor::CopyAll() {
  for (const auto& source : sources_) {
    if (Status status = CopySegment(*source); !status.ok()) return status;
  }
  if (Status status = out_.Finish(); !status.ok()) return status;
  // What was good when it was looked at may have been zeros when it was written.
  for (const auto& source : sources_) {
    if (Status status = source->CheckReadable(); !status.ok()) return status;
  }
  return pace_.cancelled() ? Stopped() : Status::Ok();
}

Status Compactor::CopySegment(const Segment& source) {
  Status status;
  const auto visit = [&](std::span<const PlacedRecord> group) {
    for (const PlacedRecord& placed : group) See(placed);
    if (pace_.cancelled()) status = Stopped();
    if (status.ok() && window_.size() >= kWindowRecords) status = CopyWindow(source);
    return status.ok();
  };
  const ScanEnd end = ScanGroups(source.bytes(), source.header().first_sequence, true, visit);
  if (status.ok()) status = CopyWindow(source);
  if (!status.ok()) return status;
  if (end.kind == ScanEnd::Kind::kEnd) return Status::Ok();
  if (Status readable = source.CheckReadable(); !readable.ok()) return readable;
  const bool zeros = end.kind == ScanEnd::Kind::kZeros;
  return {Code::kCorrupt, source.path() + ": offset " +
                              std::to_string(zeros ? end.offset : end.damage_offset) + ": " +
                              (zeros ? "zeros where records were" : end.reason) +
                              "; run keystone-log check"};
}

bool Compactor::IsExpired(const RecordView& record) const {
  return record.attributes().ExpiredBy(now_ms_);
}

void Compactor::See(const PlacedRecord& placed) {
  const RecordView& record = placed.record;
  if (!record.is_sync_mark() && !record.tombstone && !IsExpired(record)) {
    const uint64_t position = index_->Position(record.key);
    questions_[Index::ShardAt(position)].push_back(
        {Index::TagAt(position), static_cast<uint32_t>(window_.size()), placed.offset});
  }
  window_.push_back(
      {placed.offset, static_cast<uint32_t>(record.size_bytes()), record.group_goes_on()});
  pace_.Step();
}

// What is added points into the source: it is written before that is left.
Status Compactor::CopyWindow(const Segment& source) {
  AskIndex(source);
  for (size_t first = 0; first < window_.size();) {
    size_t count = 1;
    while (window_[first + count - 1].group_goes_on) count++;
    if (Status status = CopyGroup(source, first, count); !status.ok()) return status;
    first += count;
    pace_.Step();
  }
  copied_.insert(copied_.end(), live_.begin(), live_.end());
  window_.clear();
  return out_.Flush();
}

void Compactor::AskIndex(const Segment& source) {
  live_.assign(window_.size(), false);
  for (size_t shard = 0; shard < questions_.size(); shard++) {
    InShortPasses(&questions_[shard], [&](const Question& question, const Question& ahead) {
      index_->PrefetchPosition(Index::PositionOf(shard, ahead.tag));
      live_[question.number] = index_->Points(Index::PositionOf(shard, question.tag),
                                              {source.number(), question.offset});
    });
  }
}

// Calls work(item, an item ahead) for all, inside the gate, and empties `items`. Whoever closes the
// gate or drains it waits for some dozens only, and never for the pace.
template <class Item, class Work>
void Compactor::InShortPasses(std::vector<Item>* items, Work work) {
  constexpr size_t kItemsAPass = 64;
  for (size_t begin = 0; begin < items->size(); begin += kItemsAPass) {
    const size_t end = std::min(begin + kItemsAPass, items->size());
    {
      const Gate::Pass pass(gate_);
      for (size_t i = begin; i < end; i++) {
        work((*items)[i], (*items)[std::min(i + kItemsAhead, items->size() - 1)]);
      }
    }
    pace_.Step(static_cast<unsigned>(end - begin));
  }
  items->clear();
}

Status Compactor::CopyGroup(const Segment& source, size_t first, size_t count) {
  const auto begin = live_.begin() + static_cast<ptrdiff_t>(first);
  const auto end = begin + static_cast<ptrdiff_t>(count);
  if (std::find(begin, end, false) == end) return CopyWhole(source, first, count);
  for (size_t i = first; i < first + count; i++) {
    if (!live_[i]) continue;
    if (Status status = CopySingle(source, window_[i]); !status.ok()) return status;
  }
  return Status::Ok();
}

Status Compactor::CopyWhole(const Segment& source, size_t first, size_t count) {
  const Seen& last = window_[first + count - 1];
  const uint64_t start = window_[first].offset;
  const uint64_t size_bytes = last.offset + last.size_bytes - start;
  RecordView record;
  (void)source.Read(start, &record);  // it was good just now
  return out_.AddWhole(source.bytes().substr(start, size_bytes), record.sequence).status();
}

Status Compactor::CopySingle(const Segment& source, const Seen& seen) {
  RecordView record;
  (void)source.Read(seen.offset, &record);  // it was good just now
  return out_.AddSingle(record).status();
}

Status Compactor::Relocate() {
  return UnlessOutOfMemory([this] { return RelocateAll(); });
}

Status Compactor::RelocateAll() {
  for (const auto& source : sources_) {
    if (Status status = RelocateSegment(*source); !status.ok()) return status;
  }
  return Status::Ok();
}

// The outputs hold what was copied in the order of the sources, without a gap.
Status Compactor::RelocateSegment(const Segment& source) {
  const auto visit = [&](std::span<const PlacedRecord> group) {
    for (const PlacedRecord& placed : group) {
      if (records_walked_ == copied_.size()) return false;
      if (copied_[records_walked_++]) {
        Move(placed);
      } else if (IsExpired(placed.record)) {
        Leave(placed);
      }
    }
    if (moves_count_ + expired_.size() >= kWindowRecords) RelocateWindow(source);
    return true;
  };
  const ScanEnd end = ScanGroups(source.bytes(), source.header().first_sequence, false, visit);
  RelocateWindow(source);
  if (end.kind == ScanEnd::Kind::kEnd) return Status::Ok();
  return {Code::kCorrupt, source.path() + ": offset " + std::to_string(end.damage_offset) +
                              ": was damaged during a compaction"};
}

void Compactor::Move(const PlacedRecord& placed) {
  const Location now = NextPlace(placed.record.size_bytes());
  const uint64_t position = index_->Position(placed.record.key);
  moves_[Index::ShardAt(position)].push_back(
      {Index::TagAt(position), now.segment, placed.offset, now.offset});
  moves_count_++;
  pace_.Step();
}

void Compactor::Leave(const PlacedRecord& placed) {
  const RecordView& record = placed.record;
  expired_.push_back(
      {index_->Position(record.key), placed.offset, {record.expires_at_ms, record.size_bytes()}});
  pace_.Step();
}

void Compactor::RelocateWindow(const Segment& source) {
  for (size_t shard = 0; shard < moves_.size(); shard++) {
    InShortPasses(&moves_[shard], [&](const Moved& move, const Moved& ahead) {
      index_->PrefetchPosition(Index::PositionOf(shard, ahead.tag));
      index_->Relocate(Index::PositionOf(shard, move.tag), {source.number(), move.old_offset},
                       {move.new_segment, move.new_offset});
    });
  }
  moves_count_ = 0;
  InShortPasses(&expired_, [&](const Expired& expired, const Expired& ahead) {
    index_->PrefetchPosition(ahead.position);
    index_->Drop(expired.position, {source.number(), expired.offset}, expired.record);
  });
}

Location Compactor::NextPlace(uint64_t size_bytes) {
  if (output_offset_ == outputs()[output_]->size()) {
    output_++;
    output_offset_ = kSegmentHeaderSize;
  }
  return {outputs()[output_]->number(), std::exchange(output_offset_, output_offset_ + size_bytes)};
}

}  // namespace keystone
