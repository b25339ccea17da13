#include "log/resync.h"

#include <boost/endian/conversion.hpp>
#include <optional>
#include <vector>

#include "base/crc32.h"
#include "store/record.h"
#include "store/segment.h"

namespace keystone {

namespace {

using boost::endian::load_little_u16;
using boost::endian::load_little_u32;

constexpr size_t kSmallestRecord = kRecordHeaderSize + 1;

const unsigned char* Unsigned(std::string_view bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

// The first place from `offset` on where an intact record begins, or bytes.size().
uint64_t FindRecord(std::string_view bytes, uint64_t offset, RecordView* record) {
  for (; offset + kRecordHeaderSize <= bytes.size(); offset++) {
    // Most other bytes have flags that no record has.
    if (bytes[offset + 23] != 0 || static_cast<unsigned char>(bytes[offset + 22]) > kKnownFlags)
      continue;
    if (DecodeRecord(bytes.substr(offset), record) == RecordState::kValid) return offset;
  }
  return bytes.size();
}

// What can be read of a header that does not hold.
struct Remains {
  uint32_t body_crc;
  uint64_t ends[2];  // where its sizes, without attributes and with them, say that the record ends

  Remains(std::string_view bytes, uint64_t offset) {
    const unsigned char* p = Unsigned(bytes.substr(offset));
    const uint32_t value_size = load_little_u32(p + 16);
    body_crc = load_little_u32(p + 4);
    ends[0] = offset + kRecordHeaderSize + load_little_u16(p + 20) +
              (value_size == kTombstone ? 0 : value_size);
    ends[1] = ends[0] + kAttributesSize;
  }
};

std::optional<uint64_t> EndBySizes(std::string_view bytes, uint64_t damaged, const Remains& remains,
                                   uint64_t lowest_sequence) {
  const uint64_t body = damaged + kRecordHeaderSize;
  for (const uint64_t end : remains.ends) {
    // A header of zeros would tell of an empty body, whose CRC is 0.
    if (end > body && end <= bytes.size() &&
        Crc32(bytes.substr(body, end - body)) == remains.body_crc) {
      return end;
    }
  }
  for (const uint64_t end : remains.ends) {
    RecordView record;
    if (end < bytes.size() && DecodeRecord(bytes.substr(end), &record) == RecordState::kValid &&
        record.sequence == lowest_sequence) {
      return end;
    }
  }
  return std::nullopt;
}

std::optional<uint64_t> EndByBodyCrc(std::string_view bytes, uint64_t damaged,
                                     const Remains& remains) {
  uint64_t summed = damaged + kRecordHeaderSize;
  uint32_t crc = 0;
  RecordView record;
  for (uint64_t offset = damaged + kSmallestRecord; offset < bytes.size(); offset++) {
    offset = FindRecord(bytes, offset, &record);
    crc = Crc32(bytes.substr(summed, offset - summed), crc);
    summed = offset;
    if (crc == remains.body_crc) return offset;
  }
  return std::nullopt;
}

// Records one behind the other, by their headers.
struct Chain {
  uint64_t begin = 0;
  uint64_t end = 0;
  uint64_t first_sequence = 0;
  uint64_t last_sequence = 0;
  uint64_t records = 0;
  bool follows_copy = false;
  bool goes_down = false;  // at `end` is a record with a lower sequence
  bool reaches_end = false;
};

// What a copy of a whole segment begins with.
bool FollowsSegmentHeader(std::string_view bytes, uint64_t offset) {
  return offset >= 2 * kSegmentHeaderSize &&
         DecodeSegmentHeader(bytes.substr(offset - kSegmentHeaderSize, kSegmentHeaderSize)).ok();
}

// A chain from `offset` on, where an intact record is. Members with sequences below `lowest`, and
// those behind a segment header, are no part of the log but of a copy in a value; and so is what
// continues them number by number.
Chain Follow(std::string_view bytes, uint64_t offset, uint64_t lowest) {
  Chain chain;
  RecordView record;
  RecordView last;
  uint64_t last_offset = offset;
  bool is_copy = FollowsSegmentHeader(bytes, offset);
  while (DecodeHeader(bytes.substr(offset), &record) == RecordState::kValid) {
    chain.goes_down = record.sequence <= last.sequence;
    if (chain.goes_down) break;
    const bool goes_on = last.sequence == 0 || record.sequence == last.sequence + 1;
    is_copy = record.sequence < lowest || (is_copy && goes_on);
    if (is_copy) {
      chain.follows_copy = true;
    } else {
      if (chain.records == 0) {
        chain.begin = offset;
        chain.first_sequence = record.sequence;
      }
      chain.records++;
      chain.last_sequence = record.sequence;
    }
    last = record;
    last_offset = offset;
    offset += record.size_bytes();
  }
  chain.end = offset;
  chain.reaches_end = offset == bytes.size() ||
                      bytes.substr(offset).find_first_not_of('\0') == std::string_view::npos;
  // A copy may end in the middle of a record, whose sizes then pass over what stands behind it.
  if (last_offset > chain.begin && !BodyIsIntact(last)) {
    chain.end = last_offset + 1;
    chain.goes_down = false;
  }
  return chain;
}

std::vector<Chain> FindChains(std::string_view bytes, uint64_t offset, const SequenceRange& range) {
  std::vector<Chain> chains;
  RecordView record;
  for (;;) {
    offset = FindRecord(bytes, offset, &record);
    if (offset >= bytes.size()) return chains;
    const Chain chain = Follow(bytes, offset, range.lowest);
    if (chain.records > 0 && !chain.goes_down && chain.last_sequence <= range.highest) {
      chains.push_back(chain);
    }
    offset = chain.end;
  }
}

// Between two chains at least one record is damaged.
bool Contradict(const Chain& before, const Chain& after) {
  return before.last_sequence + 1 >= after.first_sequence;
}

// Of two that contradict each other.
bool IsBetter(const Chain& a, const Chain& b) {
  if (a.reaches_end != b.reaches_end) return a.reaches_end;
  if (a.follows_copy != b.follows_copy) return b.follows_copy;
  return a.records > b.records;
}

}  // namespace

uint64_t FindNextRecord(std::string_view bytes, uint64_t damaged, const SequenceRange& range) {
  if (damaged + kRecordHeaderSize > bytes.size()) return bytes.size();
  const Remains remains(bytes, damaged);
  if (const auto end = EndBySizes(bytes, damaged, remains, range.lowest)) return *end;
  if (const auto end = EndByBodyCrc(bytes, damaged, remains)) return *end;
  std::vector<Chain> chains = FindChains(bytes, damaged + kSmallestRecord, range);
  if (chains.empty()) return bytes.size();
  Chain next = chains.back();
  for (chains.pop_back(); !chains.empty(); chains.pop_back()) {
    const Chain& before = chains.back();
    if (!Contradict(before, next) || !IsBetter(next, before)) next = before;
  }
  return next.begin;
}

}  // namespace keystone
