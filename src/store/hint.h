// A hint: what recovery needs of a segment, without the values. NNNNNNNNNNNN.hint beside
// NNNNNNNNNNNN.log; derived, so it may be missing, and one that is not good is as none.
//
// The last operation of each key in the segment's first `covered` bytes, in the order of the index:
// by shard, then by tag; then by offset. In little-endian:
//
//   0    8  "KEYSHINT"
//   8    4  format version, 2
//   12   4  flags, 0
//   16   8  segment number, as in the file's name
//   24   16 store id, as in the MANIFEST
//   40   8  seed of the index's hash, as in the MANIFEST
//   48   8  covered: bytes of the segment that the hint tells of, up to the end of a group
//   56   8  records in them, sync marks and overwritten ones, too
//   64   8  sequence of the last of these records; 0: there is none
//   72   8  its offset
//   80   8  its first 8 bytes
//   88   4  CRC-32 in the segment's header
//   92   4  0
//   96      directory, 16 bytes for each of the 256 shards: size 8, entries 4, CRC-32 of the block
//   4192 4  CRC-32 of bytes 0-4191
//   4196 4  0
//   4200    the shards' blocks, one behind the other, to the end of the file
//
// An entry of a block:
//
//   0   4  tag: bits 24-55 of the key's hash; its bits 56-63 are the shard
//   4   4  size of the record, bytes
//   8   8  offset of the record
//   16  2  key_size
//   18  2  flags: bit 0 a tombstone, bit 1 the record has attributes
//   20     [expires_at_ms 8] key: the first only where the record has attributes
//
// Version 1 did not have expires_at_ms. As any other version it is not used, and made anew.
//
// The CRCs are per block so that threads can read and check in parallel. A file has to be as long
// as the directory says. What ties a hint to its segment is, beside number and id, the CRC of the
// segment's header and the last record: a segment that was cut and has grown again differs there.
#ifndef KEYSTONE_STORE_HINT_H_
#define KEYSTONE_STORE_HINT_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "store/manifest.h"
#include "store/segment.h"

namespace keystone {

inline constexpr size_t kHintShards = 256;
inline constexpr size_t kHintHeaderSize = 4200;
inline constexpr size_t kHintEntrySize = 20;  // and the expiry of a record with attributes, the key
inline constexpr size_t kHintExpirySize = 8;

// The last operation of a key, without the key.
struct HintEntry {
  uint32_t tag = 0;
  uint32_t ordinal = 0;  // of the segment in replay order; not on disk
  uint64_t offset = 0;
  uint32_t size_bytes = 0;  // of the record
  uint16_t key_size = 0;
  bool tombstone = false;
  bool has_attributes = false;

  bool operator==(const HintEntry&) const = default;

  // By position in the index, then by age: the oldest first.
  bool operator<(const HintEntry& other) const {
    if (tag != other.tag) return tag < other.tag;
    return ordinal != other.ordinal ? ordinal < other.ordinal : offset < other.offset;
  }
};

// An entry and its key, which is somebody else's. Where the record has attributes, in a hint as in
// the record itself, expires_at_ms stands before the key: so neither takes memory here.
struct HintedKey {
  HintEntry entry;
  const char* key_bytes = nullptr;

  std::string_view key() const { return {key_bytes, entry.key_size}; }
  std::string_view expiry() const {
    return entry.has_attributes ? std::string_view(key_bytes - kHintExpirySize, kHintExpirySize)
                                : std::string_view();
  }
  uint64_t expires_at_ms() const;
};

struct HintHeader {
  struct Block {
    uint64_t size_bytes = 0;
    uint32_t entries = 0;
    uint32_t crc = 0;
  };

  uint64_t number = 0;
  StoreId store_id{};
  uint64_t seed = 0;
  uint64_t covered_bytes = 0;
  uint64_t records = 0;
  uint64_t last_sequence = 0;
  uint64_t last_offset = 0;
  uint64_t last_bytes = 0;  // the first 8 of the last record
  uint32_t segment_crc = 0;
  std::array<Block, kHintShards> blocks{};

  uint64_t entries() const;
  uint64_t file_size() const;
};

// "000000000001.hint" of 1, and back; nothing for any other name.
std::string HintName(uint64_t number);
std::optional<uint64_t> HintNumber(std::string_view name);

// Fills in number and segment_crc from `segment`, and last_bytes at last_offset. Pure.
void BindHint(const Segment& segment, HintHeader* header);

std::string EncodeHintHeader(const HintHeader& header);  // kHintHeaderSize bytes

// kCorrupt says what is wrong.
Result<HintHeader> DecodeHintHeader(std::string_view bytes);

// Why the hint is not one of the first bytes of `segment`; Ok where it is.
Status CheckHint(const HintHeader& header, const Segment& segment, uint64_t seed);

void AppendHintEntry(const HintedKey& key, std::string* block);

// Appends a block's entries, whose keys stay in `bytes`; false where they are none of a hint that
// covers `covered_bytes`.
bool ParseHintBlock(std::string_view bytes, uint32_t entries, uint64_t covered_bytes,
                    uint32_t ordinal, std::vector<HintedKey>* keys);

// A hint on disk whose header is good. Holds no descriptor, since a store may have more hints than
// a process may open files. Immutable; any thread may read.
class HintFile {
 public:
  // The hint of `segment`. kNotFound: it has none; anything else says why it can't be used.
  static Result<HintFile> Open(const std::string& directory, const Segment& segment, uint64_t seed);

  // Reads a shard's block into `buffer`, header().blocks[shard].size_bytes long, and appends its
  // entries, whose keys stay there. kCorrupt: it is not what was written. kIo.
  Status ReadShard(size_t shard, uint32_t ordinal, char* buffer,
                   std::vector<HintedKey>* keys) const;

  const HintHeader& header() const { return header_; }
  const std::string& path() const { return path_; }

 private:
  HintFile(std::string path, const HintHeader& header);

  std::string path_;
  HintHeader header_;
  std::array<uint64_t, kHintShards> offsets_;  // of the blocks
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_HINT_H_
