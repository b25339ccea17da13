// Walks the records of a segment, group by group, and says where and why the walk ended.
//
// Pure: reads bytes, decides nothing. Recovery, compaction and keystone-log draw their own
// conclusions from the same walk.
#ifndef KEYSTONE_STORE_SCANNER_H_
#define KEYSTONE_STORE_SCANNER_H_

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "store/record.h"

namespace keystone {

struct PlacedRecord {
  uint64_t offset = 0;  // in the segment's file
  RecordView record;
};

// A whole group, or a single sync mark. False ends the walk.
using GroupVisitor = std::function<bool(std::span<const PlacedRecord>)>;

struct ScanEnd {
  enum class Kind {
    kEnd,      // the last record ends where the file does
    kZeros,    // nothing but zeros from here on: preallocated space
    kDamage,   // an invalid record, or the file ends inside a group
    kStopped,  // the visitor said so
  };

  Kind kind = Kind::kEnd;
  uint64_t offset = 0;         // where the last whole group ends
  uint64_t damage_offset = 0;  // kDamage: of the record that is invalid or missing
  std::string reason;          // kDamage: for people
  bool unknown_flag = false;   // kDamage: not damage but a newer version's record
  bool incomplete = false;     // kDamage: what there is may be good, but the file ends in it
  uint64_t records = 0;        // in whole groups
  uint64_t last_sequence = 0;  // 0: no record
};

// Walks `bytes`, a segment's file from its first byte on; its header is not looked at again.
// Sequences must rise from at least `first_sequence`. With `check_bodies` false only headers are
// checked.
ScanEnd ScanGroups(std::string_view bytes, uint64_t first_sequence, bool check_bodies,
                   const GroupVisitor& visit);

// The same from `offset` on, the end of a group.
ScanEnd ScanGroupsFrom(uint64_t offset, std::string_view bytes, uint64_t first_sequence,
                       bool check_bodies, const GroupVisitor& visit);

// True where, behind the damage at `damage_offset`, a valid sync mark claims that bytes beyond
// `place` were on stable storage. Records whose header holds are stepped over whole, so that a
// value can't pass for a mark.
bool SyncMarkClaims(std::string_view bytes, uint64_t damage_offset, uint64_t place);

}  // namespace keystone

#endif  // KEYSTONE_STORE_SCANNER_H_
