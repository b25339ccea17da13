#include "store/scanner.h"

#include <algorithm>
#include <vector>

#include "store/segment.h"

namespace keystone {

namespace {

bool AllZeros(std::string_view bytes) { return bytes.find_first_not_of('\0') == bytes.npos; }

class Scan {
 public:
  Scan(uint64_t offset, std::string_view bytes, uint64_t first_sequence, bool check_bodies)
      : bytes_(bytes), check_bodies_(check_bodies), lowest_sequence_(first_sequence) {
    end_.offset = std::min<uint64_t>(offset, bytes.size());
  }

  ScanEnd Run(const GroupVisitor& visit) {
    uint64_t offset = end_.offset;
    while (offset < bytes_.size()) {
      PlacedRecord placed{offset, {}};
      const std::string_view problem = ReadNext(&placed);
      if (!problem.empty()) return EndAt(offset, problem);
      offset += placed.record.size_bytes();
      group_.push_back(placed);
      if (placed.record.group_goes_on()) continue;
      if (!visit(group_)) return Ended(ScanEnd::Kind::kStopped);
      end_.records += group_.size();
      end_.last_sequence = placed.record.sequence;
      end_.offset = offset;
      group_.clear();
    }
    if (group_.empty()) return Ended(ScanEnd::Kind::kEnd);
    end_.incomplete = true;
    return EndAt(offset, "the file ends inside a group of records");
  }

 private:
  // Empty where the record is good, else what is wrong with it.
  std::string_view ReadNext(PlacedRecord* placed) {
    const std::string_view rest = bytes_.substr(placed->offset);
    const RecordState state =
        check_bodies_ ? DecodeRecord(rest, &placed->record) : DecodeHeader(rest, &placed->record);
    end_.unknown_flag = state == RecordState::kUnknownFlag;
    end_.incomplete = state == RecordState::kTruncated;
    if (state != RecordState::kValid) return Describe(state);
    if (placed->record.sequence < lowest_sequence_) return "sequence number goes backwards";
    if (placed->record.sequence > kMaxSequence) return "sequence number that no store reaches";
    if (placed->record.is_sync_mark() && !group_.empty()) return "sync mark inside a group";
    lowest_sequence_ = placed->record.sequence + 1;
    return {};
  }

  ScanEnd Ended(ScanEnd::Kind kind) {
    end_.kind = kind;
    return end_;
  }

  ScanEnd EndAt(uint64_t offset, std::string_view problem) {
    if (group_.empty() && AllZeros(bytes_.substr(offset))) return Ended(ScanEnd::Kind::kZeros);
    end_.damage_offset = offset;
    end_.reason = problem;
    return Ended(ScanEnd::Kind::kDamage);
  }

  const std::string_view bytes_;
  const bool check_bodies_;
  uint64_t lowest_sequence_;
  std::vector<PlacedRecord> group_;
  ScanEnd end_;
};

}  // namespace

ScanEnd ScanGroups(std::string_view bytes, uint64_t first_sequence, bool check_bodies,
                   const GroupVisitor& visit) {
  return ScanGroupsFrom(kSegmentHeaderSize, bytes, first_sequence, check_bodies, visit);
}

ScanEnd ScanGroupsFrom(uint64_t offset, std::string_view bytes, uint64_t first_sequence,
                       bool check_bodies, const GroupVisitor& visit) {
  return Scan(offset, bytes, first_sequence, check_bodies).Run(visit);
}

bool SyncMarkClaims(std::string_view bytes, uint64_t damage_offset, uint64_t place) {
  uint64_t offset = damage_offset;
  while (offset + kSyncMarkSize <= bytes.size()) {
    RecordView record;
    const RecordState state = DecodeHeader(bytes.substr(offset), &record);
    // A header that holds, of a record that passes the end: there is nothing behind it.
    if (state == RecordState::kTruncated && offset == damage_offset) return false;
    if (state != RecordState::kValid) {
      offset++;
      continue;
    }
    if (record.is_sync_mark() && BodyIsIntact(record)) {
      const uint64_t claimed = SyncMarkOffset(record);
      if (claimed > place && claimed <= offset) return true;
    }
    offset += record.size_bytes();
  }
  return false;
}

}  // namespace keystone
