#include "store/mover.h"

#include <algorithm>
#include <string>
#include <utility>

#include "store/new_segments.h"
#include "store/record.h"
#include "store/workers.h"

namespace keystone {

namespace {

constexpr size_t kRecordsAhead = 8;
constexpr size_t kSlotsAhead = 16;

const char* BeginOf(const RecordView& record) { return record.body.data() - kRecordHeaderSize; }
const char* EndOf(const RecordView& record) { return record.body.data() + record.body.size(); }

Status Stopped() { return {Code::kCancelled, "compaction stopped on request"}; }

// The index points at a value there.
Status ReadLive(const Segment& segment, uint64_t offset, RecordView* record) {
  RecordState state = segment.Read(offset, record);
  if (state == RecordState::kValid && !BodyIsIntact(*record)) state = RecordState::kBadBody;
  if (state == RecordState::kValid && !record->tombstone && !record->is_sync_mark()) {
    return Status::Ok();
  }
  if (Status status = segment.CheckReadable(); !status.ok()) return status;
  const std::string_view why =
      state == RecordState::kValid ? "no value where one should be" : Describe(state);
  return {Code::kCorrupt, segment.path() + ": offset " + std::to_string(offset) + ": " +
                              std::string(why) + "; run keystone-log check"};
}

}  // namespace

// A worker's share of the live records. Their offsets become those in its new segments; 0 stands
// for one that has expired.
class Mover::Part {
 public:
  Part(Mover* mover, size_t begin, size_t end)
      : mover_(*mover),
        live_(mover->live_),
        begin_(begin),
        end_(end),
        out_(mover->directory_, mover->segment_size_bytes_) {}

  Status Copy();
  void Relocate() const;
  void DropExpired() const;  // once all parts are relocated
  const SegmentSet::List& outputs() const { return out_.all(); }
  void Keep() { out_.Keep(); }

 private:
  struct Expired {
    uint64_t position = 0;
    Location where;
    Expiring record;
  };

  Status CopyFrom(const Segment& source, size_t begin, size_t end);
  Status Take(const Segment& source, size_t entry);
  Status PutGroup(size_t next);
  Status PutSingles(size_t next);

  Mover& mover_;
  LiveRecords& live_;
  const size_t begin_;
  const size_t end_;
  NewSegments out_;
  std::vector<RecordView> group_;  // neighbours, each of which says that its group goes on
  std::vector<Expired> expired_;
};

Status Mover::Part::Copy() {
  for (size_t i = 0; i < mover_.old_.size(); i++) {
    const size_t begin = std::max(begin_, live_.begin(i));
    const size_t end = std::min(end_, live_.begin(i + 1));
    if (begin >= end) continue;
    if (Status status = CopyFrom(*mover_.old_[i], begin, end); !status.ok()) return status;
  }
  return out_.Finish();
}

Status Mover::Part::CopyFrom(const Segment& source, size_t begin, size_t end) {
  for (size_t i = begin; i < end; i++) {
    if (mover_.cancelled_->load(std::memory_order_relaxed)) return Stopped();
    const size_t ahead = std::min(i + kRecordsAhead, end - 1);
    __builtin_prefetch(source.bytes().data() + live_[ahead].offset);
    if (Status status = Take(source, i); !status.ok()) return status;
  }
  return PutSingles(end);
}

// Where a member of the group is dead or has expired, the others are singles.
Status Mover::Part::Take(const Segment& source, size_t entry) {
  RecordView record;
  const uint64_t offset = live_[entry].offset;
  if (Status status = ReadLive(source, offset, &record); !status.ok()) return status;
  const bool expired = record.attributes().ExpiredBy(mover_.now_ms_);
  if (!group_.empty() && (expired || EndOf(group_.back()) != BeginOf(record))) {
    if (Status status = PutSingles(entry); !status.ok()) return status;
  }
  if (expired) {
    expired_.push_back({mover_.index_->Position(record.key),
                        {source.number(), offset},
                        {record.expires_at_ms, record.size_bytes()}});
    live_[entry].offset = 0;
    return Status::Ok();
  }
  group_.push_back(record);
  return record.group_goes_on() ? Status::Ok() : PutGroup(entry + 1);
}

// The group's entries are those before `next`.
Status Mover::Part::PutGroup(size_t next) {
  const char* const begin = BeginOf(group_.front());
  const auto size_bytes = static_cast<size_t>(EndOf(group_.back()) - begin);
  auto place = out_.AddWhole({begin, size_bytes}, group_.front().sequence);
  if (!place.ok()) return place.status();
  uint64_t offset = place.value();
  for (size_t i = 0; i < group_.size(); i++) {
    live_[next - group_.size() + i].offset = offset;
    offset += group_[i].size_bytes();
  }
  group_.clear();
  return Status::Ok();
}

Status Mover::Part::PutSingles(size_t next) {
  for (size_t i = 0; i < group_.size(); i++) {
    auto place = out_.AddSingle(group_[i]);
    if (!place.ok()) return place.status();
    live_[next - group_.size() + i].offset = place.value();
  }
  group_.clear();
  return Status::Ok();
}

// Offsets rise within a segment.
void Mover::Part::Relocate() const {
  size_t output = 0;
  uint64_t last = 0;
  for (size_t i = begin_; i < end_; i++) {
    mover_.index_->PrefetchSlot(live_[std::min(i + kSlotsAhead, end_ - 1)].slot);
    const uint64_t offset = live_[i].offset;
    if (offset == 0) continue;
    if (offset <= std::exchange(last, offset)) output++;
    mover_.index_->SetSlot(live_[i].slot, {outputs()[output]->number(), offset});
  }
}

void Mover::Part::DropExpired() const {
  for (const Expired& expired : expired_) {
    mover_.index_->Drop(expired.position, expired.where, expired.record);
  }
}

Mover::Mover(Directory* directory, Index* index, uint64_t segment_size_bytes, uint64_t now_ms,
             const std::atomic<bool>* cancelled)
    : directory_(directory),
      index_(index),
      segment_size_bytes_(segment_size_bytes),
      now_ms_(now_ms),
      cancelled_(cancelled) {}

Mover::~Mover() = default;

Status Mover::Copy(const SegmentSet::List& old) {
  if (*cancelled_) return Stopped();
  return UnlessOutOfMemory([&] {
    old_ = old;
    return CopyAll();
  });
}

Status Mover::CopyAll() {
  if (Status status = live_.Collect(*index_, old_, WorkerCount()); !status.ok()) return status;
  Divide(WorkerCount());
  const auto copy = [&](size_t, size_t i) { return parts_[i]->Copy(); };
  Status status = RunTasks(parts_.size(), parts_.size(), copy, [] {});
  // What was good when it was looked at may have been zeros when it was written.
  for (const auto& segment : old_) {
    if (Status readable = segment->CheckReadable(); !readable.ok()) return readable;
  }
  return status;
}

// As many records for each, but no group for two.
void Mover::Divide(size_t count) {
  size_t begin = 0;
  for (size_t i = 1; i <= count; i++) {
    size_t end = std::max(begin, live_.size() * i / count);
    while (!CanBeginAt(end)) end++;
    parts_.push_back(std::make_unique<Part>(this, begin, end));
    begin = end;
  }
}

// The one before is not of the same group, as far as it can be told: what is damaged is found when
// it is copied.
bool Mover::CanBeginAt(size_t entry) const {
  if (entry == 0 || entry == live_.size()) return true;
  size_t segment = 0;
  while (live_.begin(segment + 1) <= entry) segment++;
  if (live_.begin(segment) == entry) return true;
  RecordView before;
  const uint64_t offset = live_[entry - 1].offset;
  return old_[segment]->Read(offset, &before) != RecordState::kValid || !before.group_goes_on() ||
         offset + before.size_bytes() != live_[entry].offset;
}

SegmentSet::List Mover::outputs() const {
  SegmentSet::List outputs;
  for (const auto& part : parts_) {
    outputs.insert(outputs.end(), part->outputs().begin(), part->outputs().end());
  }
  return outputs;
}

void Mover::Keep() {
  for (const auto& part : parts_) part->Keep();
}

// What expired goes last: to drop one moves its neighbours in the index.
void Mover::Relocate() {
  const auto relocate = [&](size_t, size_t i) {
    parts_[i]->Relocate();
    return Status::Ok();
  };
  (void)RunTasks(parts_.size(), parts_.size(), relocate, [] {});
  for (const auto& part : parts_) part->DropExpired();
}

}  // namespace keystone
