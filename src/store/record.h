// Record <-> bytes. Pure: no I/O, no state; any thread.
//
// The format, in little-endian (keystone-log(5)):
//
//   0   4  header_crc   CRC-32 of bytes 4-23
//   4   4  body_crc     CRC-32 of all that follows byte 24
//   8   8  sequence     1, 2, 3 ... in commit order, never reused
//   16  4  value_size   bytes; 0xFFFFFFFF is a tombstone
//   20  2  key_size     bytes, 1-65535; 0 only in a sync mark
//   22  2  flags
//   24     [client_flags 4, expires_at_ms 8] key value
//
// The header has a CRC of its own so that damage in a body does not hide where the next record is.
#ifndef KEYSTONE_STORE_RECORD_H_
#define KEYSTONE_STORE_RECORD_H_

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "store/attributes.h"

namespace keystone {

inline constexpr size_t kRecordHeaderSize = 24;
inline constexpr size_t kAttributesSize = 12;
inline constexpr size_t kSyncMarkSize = kRecordHeaderSize + 8;
inline constexpr uint32_t kTombstone = 0xFFFFFFFF;
inline constexpr size_t kMaxKeySize = 65535;
inline constexpr size_t kMaxValueSize = size_t{1} << 30;

// Of a record: writes behind it are refused. No store gets there, or near 2^64.
inline constexpr uint64_t kMaxSequence = uint64_t{1} << 62;

enum RecordFlags : uint16_t {
  kGroupGoesOn = 1,    // the next record belongs to the same atomic group
  kHasAttributes = 2,  // client_flags and expires_at_ms stand before the key
  kSyncMark = 4,       // not a key: the value says what was on stable storage
};
inline constexpr uint16_t kKnownFlags = kGroupGoesOn | kHasAttributes | kSyncMark;

// A decoded record. The views point into the bytes it was decoded from.
struct RecordView {
  uint64_t sequence = 0;
  uint16_t flags = 0;
  bool tombstone = false;
  uint32_t client_flags = 0;
  uint64_t expires_at_ms = 0;
  uint32_t body_crc = 0;
  std::string_view key;
  std::string_view value;
  std::string_view body;  // attributes, key and value: what body_crc covers

  bool group_goes_on() const { return (flags & kGroupGoesOn) != 0; }
  bool is_sync_mark() const { return (flags & kSyncMark) != 0; }
  Attributes attributes() const { return {client_flags, expires_at_ms}; }
  size_t size_bytes() const { return kRecordHeaderSize + body.size(); }
};

enum class RecordState {
  kValid,
  kTruncated,    // the bytes end inside the record
  kBadHeader,    // header CRC, or sizes that no record has
  kBadBody,      // body CRC; the header holds, so the next record's place is known
  kUnknownFlag,  // the header holds, but a newer version wrote it
};

// One line for people: "header checksum does not match".
std::string_view Describe(RecordState state);

// Reads the record at the start of `bytes` without looking at the body's CRC: where it is kValid,
// sizes and views can be trusted, the body not yet.
RecordState DecodeHeader(std::string_view bytes, RecordView* record);

bool BodyIsIntact(const RecordView& record);

// DecodeHeader and BodyIsIntact.
RecordState DecodeRecord(std::string_view bytes, RecordView* record);

// The offset that a sync mark carries: all bytes of its segment before it were on stable storage.
uint64_t SyncMarkOffset(const RecordView& mark);

// Bytes that a record takes on disk. One without attributes has no room for them.
size_t RecordSize(std::string_view key, std::string_view value, const Attributes& attributes = {});
size_t TombstoneSize(std::string_view key);

uint32_t BodyCrc(std::string_view key, std::string_view value, const Attributes& attributes = {});

// Writes the 24 bytes of a header to `out`. `value_size` is kTombstone for a tombstone.
void EncodeHeader(uint64_t sequence, uint32_t value_size, size_t key_size, uint16_t flags,
                  uint32_t body_crc, char* out);

// Writes the kAttributesSize bytes that stand before the key to `out`.
void EncodeAttributes(const Attributes& attributes, char* out);

// Writes the kSyncMarkSize bytes of a sync mark to `out`.
void EncodeSyncMark(uint64_t sequence, uint64_t offset, char* out);

}  // namespace keystone

#endif  // KEYSTONE_STORE_RECORD_H_
