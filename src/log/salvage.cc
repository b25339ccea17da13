#include "log/salvage.h"

#include <algorithm>
#include <optional>
#include <span>
#include <utility>

#include "store/scanner.h"
#include "store/segment.h"

namespace keystone {

namespace {

bool AllZeros(std::string_view bytes) { return bytes.find_first_not_of('\0') == bytes.npos; }

class Salvager {
 public:
  Salvager(std::string_view bytes, bool active, const SequenceRange& range)
      : bytes_(bytes), active_(active), range_(range) {
    salvage_.next_sequence = range.lowest;
  }

  Salvage Run() {
    uint64_t offset = std::min<uint64_t>(kSegmentHeaderSize, bytes_.size());
    while (offset < bytes_.size() && !ended_) offset = Step(offset);
    if (!ended_ && group_.records > 0) EndInsideGroup();
    salvage_.tail_offset = offset;
    BoundLastLosses();
    if (tail_ && !SyncMarkClaims(bytes_, tail_->damage, tail_->begin)) LeaveTail();
    return std::move(salvage_);
  }

 private:
  // From the first damage on behind which no group is whole.
  struct Tail {
    uint64_t begin = 0;  // of the group that is damaged
    uint64_t damage = 0;
    bool is_cut = false;  // by the end of the file; else bytes of it are wrong
    size_t lost = 0;      // what was lost and kept before
    size_t kept = 0;
    uint64_t records = 0;
  };

  // Takes what begins at `offset`, the end of a record, and returns where the next begins.
  uint64_t Step(uint64_t offset) {
    RecordView record;
    const RecordState state = DecodeRecord(bytes_.substr(offset), &record);
    if (state == RecordState::kValid) return TakeRecord(offset, record);
    if (state == RecordState::kBadBody) return LoseBody(offset, record);
    if (state == RecordState::kUnknownFlag) {
      salvage_.newer_record = offset;
      ended_ = true;
      return offset;
    }
    if (AllZeros(bytes_.substr(offset))) return MeetZeros(offset);
    return state == RecordState::kTruncated ? LoseTruncated(offset) : LoseHeader(offset);
  }

  uint64_t TakeRecord(uint64_t offset, const RecordView& record) {
    const uint64_t end = offset + record.size_bytes();
    if (const std::string_view problem = ProblemOf(record.sequence); !problem.empty()) {
      BreakGroup(offset);
      Lose(offset, end, problem);
      return end;
    }
    if (record.is_sync_mark() && group_.records > 0) {
      BreakGroup(offset);
      Lose(offset, offset, "sync mark inside a group");
    }
    EndLoss(record.sequence);
    if (salvage_.first_sequence == 0) salvage_.first_sequence = record.sequence;
    salvage_.next_sequence = record.sequence + 1;
    if (group_.records == 0) group_.begin = offset;
    group_.end = end;
    group_.records++;
    if (record.group_goes_on()) return end;
    KeepGroup(true);
    if (!record.is_sync_mark() || ClaimsTail(offset, record)) tail_.reset();
    return end;
  }

  // Empty where the sequence is one that can stand here.
  std::string_view ProblemOf(uint64_t sequence) const {
    if (sequence < salvage_.next_sequence) return "sequence number goes backwards";
    if (sequence > kMaxSequence) return "sequence number that no store reaches";
    if (sequence > range_.highest) return "sequence number of a later segment";
    return {};
  }

  uint64_t LoseBody(uint64_t offset, const RecordView& record) {
    const uint64_t end = offset + record.size_bytes();
    const bool is_possible = ProblemOf(record.sequence).empty();
    BreakGroup(offset);
    if (is_possible) EndLoss(record.sequence);
    Lose(offset, end, Describe(RecordState::kBadBody));
    if (!is_possible) return end;
    LostBytes& lost = salvage_.lost.back();
    lost.first_sequence = lost.last_sequence = record.sequence;
    if (!record.is_sync_mark()) lost.key = record.key;
    salvage_.next_sequence = record.sequence + 1;
    return end;
  }

  // There is nothing behind it.
  uint64_t LoseTruncated(uint64_t offset) {
    BreakGroup(offset, true);
    Lose(offset, bytes_.size(), Describe(RecordState::kTruncated));
    return bytes_.size();
  }

  // Space that was kept ready. Only the active segment has it.
  uint64_t MeetZeros(uint64_t offset) {
    if (group_.records > 0) EndInsideGroup();
    if (active_) {
      ended_ = true;
      return offset;
    }
    Lose(offset, bytes_.size(), "zeros where records were");
    return bytes_.size();
  }

  uint64_t LoseHeader(uint64_t offset) {
    BreakGroup(offset);
    // The damaged record has a sequence, too.
    const uint64_t end =
        FindNextRecord(bytes_, offset, {salvage_.next_sequence + 1, range_.highest});
    Lose(offset, end, Describe(RecordState::kBadHeader));
    return end;
  }

  void EndInsideGroup() {
    const uint64_t end = group_.end;
    BreakGroup(end, end == bytes_.size());
    Lose(end, end, "the file ends inside a group of records");
  }

  // At `damage`, which may begin a torn tail.
  void BreakGroup(uint64_t damage, bool is_cut = false) {
    if (active_ && !tail_) {
      tail_ = {.begin = group_.records > 0 ? group_.begin : damage,
               .damage = damage,
               .is_cut = is_cut,
               .lost = salvage_.lost.size(),
               .kept = salvage_.kept.size(),
               .records = salvage_.records};
    }
    if (group_.records > 0) KeepGroup(false);
  }

  bool ClaimsTail(uint64_t offset, const RecordView& mark) const {
    const uint64_t claimed = SyncMarkOffset(mark);
    return tail_ && claimed > tail_->begin && claimed <= offset;
  }

  // Recovery cuts it, and what it has of a group was never promised to anybody. That it is cut is
  // no loss; wrong bytes are told as one, since they can have been good records.
  void LeaveTail() {
    salvage_.tail_offset = tail_->begin;
    salvage_.tail_is_torn = true;
    salvage_.kept.resize(tail_->kept);
    salvage_.records = tail_->records;
    if (tail_->is_cut) salvage_.lost.resize(tail_->lost);
  }

  void KeepGroup(bool whole) {
    group_.whole_groups = whole;
    salvage_.records += group_.records;
    KeptRun* last = salvage_.kept.empty() ? nullptr : &salvage_.kept.back();
    if (whole && last != nullptr && last->end == group_.begin && last->whole_groups) {
      last->end = group_.end;
      last->records += group_.records;
    } else {
      salvage_.kept.push_back(group_);
    }
    group_ = KeptRun();
  }

  void Lose(uint64_t begin, uint64_t end, std::string_view reason) {
    LostBytes lost;
    lost.begin = begin;
    lost.end = end;
    lost.reason = reason;
    lost.first_sequence = salvage_.next_sequence;
    if (begin == end) lost.last_sequence = lost.first_sequence - 1;
    salvage_.lost.push_back(std::move(lost));
  }

  // The next record whose header holds tells which sequences the damage before it took.
  void EndLoss(uint64_t sequence) {
    for (LostBytes& lost : OpenLosses()) lost.last_sequence = sequence - 1;
  }

  // At the end of the file nothing tells how many records were lost, but how many can have been.
  void BoundLastLosses() {
    salvage_.unused_sequence = salvage_.next_sequence;
    for (LostBytes& lost : OpenLosses()) {
      if (range_.highest != SequenceRange().highest) lost.last_sequence = range_.highest;
      salvage_.unused_sequence += (lost.end - lost.begin) / (kRecordHeaderSize + 1) + 1;
    }
    salvage_.unused_sequence = std::min(salvage_.unused_sequence, kMaxSequence + 1);
  }

  // Those at the end, of which the last sequence is not known.
  std::span<LostBytes> OpenLosses() {
    size_t open = 0;
    while (open < salvage_.lost.size() && salvage_.lost.rbegin()[open].last_sequence == 0) open++;
    return std::span(salvage_.lost).last(open);
  }

  const std::string_view bytes_;
  const bool active_;
  const SequenceRange range_;
  KeptRun group_;  // records of a group that has not ended
  std::optional<Tail> tail_;
  bool ended_ = false;
  Salvage salvage_;
};

}  // namespace

Salvage SalvageRecords(std::string_view bytes, bool active, const SequenceRange& range) {
  return Salvager(bytes, active, range).Run();
}

}  // namespace keystone
