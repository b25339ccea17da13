#include "store/record.h"

#include <boost/endian/conversion.hpp>

#include "base/crc32.h"

namespace keystone {

namespace {

using boost::endian::load_little_u16;
using boost::endian::load_little_u32;
using boost::endian::load_little_u64;
using boost::endian::store_little_u16;
using boost::endian::store_little_u32;
using boost::endian::store_little_u64;

const unsigned char* Unsigned(std::string_view bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

unsigned char* Unsigned(char* bytes) { return reinterpret_cast<unsigned char*>(bytes); }

bool SizesArePossible(uint16_t flags, size_t key_size, uint32_t value_size) {
  if ((flags & kSyncMark) != 0) return flags == kSyncMark && key_size == 0 && value_size == 8;
  return key_size > 0 && (value_size == kTombstone || value_size <= kMaxValueSize);
}

}  // namespace

std::string_view Describe(RecordState state) {
  switch (state) {
    case RecordState::kValid:
      return "intact";
    case RecordState::kTruncated:
      return "the file ends inside a record";
    case RecordState::kBadHeader:
      return "header checksum does not match";
    case RecordState::kBadBody:
      return "body checksum does not match";
    case RecordState::kUnknownFlag:
      return "unknown record flag, written by a newer version";
  }
  return "unknown";
}

RecordState DecodeHeader(std::string_view bytes, RecordView* record) {
  if (bytes.size() < kRecordHeaderSize) return RecordState::kTruncated;
  const unsigned char* p = Unsigned(bytes);
  if (Crc32(bytes.substr(4, 20)) != load_little_u32(p)) return RecordState::kBadHeader;
  const uint16_t flags = load_little_u16(p + 22);
  const size_t key_size = load_little_u16(p + 20);
  const uint32_t value_size = load_little_u32(p + 16);
  if ((flags & ~kKnownFlags) != 0) return RecordState::kUnknownFlag;
  if (!SizesArePossible(flags, key_size, value_size)) return RecordState::kBadHeader;

  const size_t attributes_size = (flags & kHasAttributes) != 0 ? kAttributesSize : 0;
  const size_t value_bytes = value_size == kTombstone ? 0 : value_size;
  const size_t body_size = attributes_size + key_size + value_bytes;
  record->sequence = load_little_u64(p + 8);
  record->flags = flags;
  record->tombstone = value_size == kTombstone;
  record->body_crc = load_little_u32(p + 4);
  record->body = bytes.substr(kRecordHeaderSize, body_size);
  if (record->body.size() < body_size) return RecordState::kTruncated;
  record->client_flags = attributes_size != 0 ? load_little_u32(p + kRecordHeaderSize) : 0;
  record->expires_at_ms = attributes_size != 0 ? load_little_u64(p + kRecordHeaderSize + 4) : 0;
  record->key = record->body.substr(attributes_size, key_size);
  record->value = record->body.substr(attributes_size + key_size);
  return RecordState::kValid;
}

bool BodyIsIntact(const RecordView& record) { return Crc32(record.body) == record.body_crc; }

RecordState DecodeRecord(std::string_view bytes, RecordView* record) {
  const RecordState state = DecodeHeader(bytes, record);
  if (state == RecordState::kValid && !BodyIsIntact(*record)) return RecordState::kBadBody;
  return state;
}

uint64_t SyncMarkOffset(const RecordView& mark) { return load_little_u64(Unsigned(mark.value)); }

size_t RecordSize(std::string_view key, std::string_view value, const Attributes& attributes) {
  const size_t attributes_size = attributes.empty() ? 0 : kAttributesSize;
  return kRecordHeaderSize + attributes_size + key.size() + value.size();
}

size_t TombstoneSize(std::string_view key) { return kRecordHeaderSize + key.size(); }

uint32_t BodyCrc(std::string_view key, std::string_view value, const Attributes& attributes) {
  if (attributes.empty()) return Crc32(value, Crc32(key));
  char bytes[kAttributesSize];
  EncodeAttributes(attributes, bytes);
  return Crc32(value, Crc32(key, Crc32({bytes, sizeof bytes})));
}

void EncodeHeader(uint64_t sequence, uint32_t value_size, size_t key_size, uint16_t flags,
                  uint32_t body_crc, char* out) {
  unsigned char* p = Unsigned(out);
  store_little_u32(p + 4, body_crc);
  store_little_u64(p + 8, sequence);
  store_little_u32(p + 16, value_size);
  store_little_u16(p + 20, static_cast<uint16_t>(key_size));
  store_little_u16(p + 22, flags);
  store_little_u32(p, Crc32({out + 4, 20}));
}

void EncodeAttributes(const Attributes& attributes, char* out) {
  store_little_u32(Unsigned(out), attributes.client_flags);
  store_little_u64(Unsigned(out) + 4, attributes.expires_at_ms);
}

void EncodeSyncMark(uint64_t sequence, uint64_t offset, char* out) {
  store_little_u64(Unsigned(out) + kRecordHeaderSize, offset);
  EncodeHeader(sequence, 8, 0, kSyncMark, Crc32({out + kRecordHeaderSize, 8}), out);
}

}  // namespace keystone
