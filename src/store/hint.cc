#include "store/hint.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <boost/endian/conversion.hpp>
#include <cerrno>
#include <cstring>

#include "base/crc32.h"
#include "base/file.h"
#include "store/record.h"

namespace keystone {

namespace {

using boost::endian::load_little_u16;
using boost::endian::load_little_u32;
using boost::endian::load_little_u64;
using boost::endian::store_little_u16;
using boost::endian::store_little_u32;
using boost::endian::store_little_u64;

constexpr std::string_view kMagic = "KEYSHINT";
constexpr uint32_t kVersion = 2;
constexpr std::string_view kSuffix = ".hint";
constexpr std::string_view kLogSuffix = ".log";
constexpr size_t kDirectory = 96;
constexpr size_t kDirectoryEntrySize = 16;
constexpr size_t kHeaderCrc = kDirectory + kHintShards * kDirectoryEntrySize;
constexpr uint64_t kMaxBlockSize = uint64_t{1} << 48;  // the sum of all can be computed
constexpr size_t kSegmentHeaderCrc = 60;
constexpr uint16_t kTombstoneFlag = 1;
constexpr uint16_t kAttributesFlag = 2;

Status Damaged(const std::string& what) { return {Code::kCorrupt, what}; }

const unsigned char* Bytes(const char* bytes) {
  return reinterpret_cast<const unsigned char*>(bytes);
}

HintEntry DecodeEntry(const unsigned char* p, uint32_t ordinal) {
  const uint16_t flags = load_little_u16(p + 18);
  return {.tag = load_little_u32(p),
          .ordinal = ordinal,
          .offset = load_little_u64(p + 8),
          .size_bytes = load_little_u32(p + 4),
          .key_size = load_little_u16(p + 16),
          .tombstone = (flags & kTombstoneFlag) != 0,
          .has_attributes = (flags & kAttributesFlag) != 0};
}

// A record of that place and sizes can be in the first `covered_bytes` of a segment.
bool IsPossible(const HintEntry& entry, uint64_t covered_bytes) {
  const uint64_t without_value =
      kRecordHeaderSize + (entry.has_attributes ? kAttributesSize : 0) + entry.key_size;
  return entry.key_size > 0 && entry.offset >= kSegmentHeaderSize &&
         entry.offset <= covered_bytes && entry.size_bytes <= covered_bytes - entry.offset &&
         (entry.tombstone ? entry.size_bytes == without_value : entry.size_bytes >= without_value);
}

}  // namespace

uint64_t HintHeader::entries() const {
  uint64_t count = 0;
  for (const Block& block : blocks) count += block.entries;
  return count;
}

uint64_t HintHeader::file_size() const {
  uint64_t size_bytes = kHintHeaderSize;
  for (const Block& block : blocks) size_bytes += block.size_bytes;
  return size_bytes;
}

uint64_t HintedKey::expires_at_ms() const {
  return entry.has_attributes ? load_little_u64(Bytes(expiry().data())) : 0;
}

std::string HintName(uint64_t number) {
  std::string name = SegmentName(number);
  name.resize(name.size() - kLogSuffix.size());
  return name.append(kSuffix);
}

std::optional<uint64_t> HintNumber(std::string_view name) {
  if (!name.ends_with(kSuffix)) return std::nullopt;
  name.remove_suffix(kSuffix.size());
  return SegmentNumber(std::string(name).append(kLogSuffix));
}

void BindHint(const Segment& segment, HintHeader* header) {
  const auto* bytes = Bytes(segment.bytes().data());
  header->number = segment.number();
  header->store_id = segment.header().store_id;
  header->segment_crc = load_little_u32(bytes + kSegmentHeaderCrc);
  header->last_bytes =
      header->last_sequence == 0 ? 0 : load_little_u64(bytes + header->last_offset);
}

std::string EncodeHintHeader(const HintHeader& header) {
  std::string bytes(kHintHeaderSize, '\0');
  auto* p = reinterpret_cast<unsigned char*>(bytes.data());
  std::memcpy(p, kMagic.data(), kMagic.size());
  store_little_u32(p + 8, kVersion);
  store_little_u64(p + 16, header.number);
  std::memcpy(p + 24, header.store_id.data(), header.store_id.size());
  store_little_u64(p + 40, header.seed);
  store_little_u64(p + 48, header.covered_bytes);
  store_little_u64(p + 56, header.records);
  store_little_u64(p + 64, header.last_sequence);
  store_little_u64(p + 72, header.last_offset);
  store_little_u64(p + 80, header.last_bytes);
  store_little_u32(p + 88, header.segment_crc);
  unsigned char* block_p = p + kDirectory;
  for (const HintHeader::Block& block : header.blocks) {
    store_little_u64(block_p, block.size_bytes);
    store_little_u32(block_p + 8, block.entries);
    store_little_u32(block_p + 12, block.crc);
    block_p += kDirectoryEntrySize;
  }
  store_little_u32(p + kHeaderCrc, Crc32({bytes.data(), kHeaderCrc}));
  return bytes;
}

Result<HintHeader> DecodeHintHeader(std::string_view bytes) {
  if (bytes.size() < kHintHeaderSize) return Damaged("shorter than a hint's header");
  if (!bytes.starts_with(kMagic)) return Damaged("not a keystonelight hint");
  const auto* p = Bytes(bytes.data());
  // The version first: another one may have its checksum elsewhere.
  if (load_little_u32(p + 8) != kVersion) {
    return Damaged("hint format version " + std::to_string(load_little_u32(p + 8)) +
                   " is not known here (this program reads 2)");
  }
  if (load_little_u32(p + kHeaderCrc) != Crc32(bytes.substr(0, kHeaderCrc))) {
    return Damaged("header checksum does not match");
  }
  if (load_little_u32(p + 12) != 0 || load_little_u32(p + 92) != 0 ||
      load_little_u32(p + kHeaderCrc + 4) != 0) {
    return Damaged("hint flags are not known here");
  }
  HintHeader header;
  header.number = load_little_u64(p + 16);
  std::memcpy(header.store_id.data(), p + 24, header.store_id.size());
  header.seed = load_little_u64(p + 40);
  header.covered_bytes = load_little_u64(p + 48);
  header.records = load_little_u64(p + 56);
  header.last_sequence = load_little_u64(p + 64);
  header.last_offset = load_little_u64(p + 72);
  header.last_bytes = load_little_u64(p + 80);
  header.segment_crc = load_little_u32(p + 88);
  const unsigned char* block_p = p + kDirectory;
  for (HintHeader::Block& block : header.blocks) {
    block.size_bytes = load_little_u64(block_p);
    block.entries = load_little_u32(block_p + 8);
    block.crc = load_little_u32(block_p + 12);
    if (block.size_bytes > kMaxBlockSize) return Damaged("tells of a block larger than any file");
    block_p += kDirectoryEntrySize;
  }
  return header;
}

Status CheckHint(const HintHeader& header, const Segment& segment, uint64_t seed) {
  HintHeader bound = header;
  if (header.number != segment.number()) return Damaged("made for another segment");
  if (header.store_id != segment.header().store_id) return Damaged("made for another store");
  if (header.seed != seed) return Damaged("made with another seed");
  const std::string_view bytes = segment.bytes();
  if (header.covered_bytes < kSegmentHeaderSize || header.covered_bytes > bytes.size()) {
    return Damaged("tells of more than the segment has");
  }
  uint64_t end = kSegmentHeaderSize;
  if (header.last_sequence != 0) {
    RecordView last;
    if (header.last_offset < kSegmentHeaderSize || header.last_offset >= header.covered_bytes ||
        segment.Read(header.last_offset, &last) != RecordState::kValid ||
        last.sequence != header.last_sequence || last.sequence > kMaxSequence) {
      return Damaged("the segment has changed since");
    }
    end = header.last_offset + last.size_bytes();
  }
  BindHint(segment, &bound);
  if (end != header.covered_bytes || bound.last_bytes != header.last_bytes ||
      bound.segment_crc != header.segment_crc) {
    return Damaged("the segment has changed since");
  }
  return Status::Ok();
}

void AppendHintEntry(const HintedKey& key, std::string* block) {
  const HintEntry& entry = key.entry;
  unsigned char p[kHintEntrySize];
  store_little_u32(p, entry.tag);
  store_little_u32(p + 4, entry.size_bytes);
  store_little_u64(p + 8, entry.offset);
  store_little_u16(p + 16, entry.key_size);
  store_little_u16(p + 18, static_cast<uint16_t>((entry.tombstone ? kTombstoneFlag : 0) |
                                                 (entry.has_attributes ? kAttributesFlag : 0)));
  block->append(reinterpret_cast<const char*>(p), sizeof p);
  block->append(key.expiry()).append(key.key());
}

bool ParseHintBlock(std::string_view bytes, uint32_t entries, uint64_t covered_bytes,
                    uint32_t ordinal, std::vector<HintedKey>* keys) {
  HintEntry last;
  for (uint32_t i = 0; i < entries; i++) {
    if (bytes.size() < kHintEntrySize) return false;
    const HintEntry entry = DecodeEntry(Bytes(bytes.data()), ordinal);
    bytes.remove_prefix(kHintEntrySize);
    const size_t expiry_size = entry.has_attributes ? kHintExpirySize : 0;
    if ((i > 0 && !(last < entry)) || !IsPossible(entry, covered_bytes)) return false;
    if (bytes.size() < expiry_size + entry.key_size) return false;
    keys->push_back({entry, bytes.data() + expiry_size});
    bytes.remove_prefix(expiry_size + entry.key_size);
    last = entry;
  }
  return bytes.empty();
}

HintFile::HintFile(std::string path, const HintHeader& header)
    : path_(std::move(path)), header_(header) {
  uint64_t offset = kHintHeaderSize;
  for (size_t shard = 0; shard < kHintShards; shard++) {
    offsets_[shard] = offset;
    offset += header_.blocks[shard].size_bytes;
  }
}

Result<HintFile> HintFile::Open(const std::string& directory, const Segment& segment,
                                uint64_t seed) {
  std::string path = directory + "/" + HintName(segment.number());
  if (::access(path.c_str(), F_OK) != 0 && errno == ENOENT) return Status::NotFound();
  auto fd = OpenFile(path, O_RDONLY);
  if (!fd.ok()) return fd.status();
  auto size = FileSize(fd.value().get(), path);
  if (!size.ok()) return size.status();
  char bytes[kHintHeaderSize];
  const size_t header_size = std::min<uint64_t>(size.value(), sizeof bytes);
  Status status = ReadAt(fd.value().get(), bytes, header_size, 0, path);
  if (!status.ok()) return status;
  auto header = DecodeHintHeader({bytes, header_size});
  if (!header.ok()) return Damaged(path + ": " + header.status().message());
  if (header.value().file_size() != size.value()) {
    return Damaged(path + ": has " + std::to_string(size.value()) + " bytes, not " +
                   std::to_string(header.value().file_size()));
  }
  if (status = CheckHint(header.value(), segment, seed); !status.ok()) {
    return Damaged(path + ": " + status.message());
  }
  return HintFile(std::move(path), header.value());
}

Status HintFile::ReadShard(size_t shard, uint32_t ordinal, char* buffer,
                           std::vector<HintedKey>* keys) const {
  const HintHeader::Block& block = header_.blocks[shard];
  if (block.size_bytes == 0 && block.entries == 0) return Status::Ok();
  auto fd = OpenFile(path_, O_RDONLY);
  if (!fd.ok()) return fd.status();
  Status status = ReadAt(fd.value().get(), buffer, block.size_bytes, offsets_[shard], path_);
  if (!status.ok()) return status;
  const std::string_view bytes(buffer, block.size_bytes);
  if (Crc32(bytes) != block.crc) {
    return Damaged(path_ + ": offset " + std::to_string(offsets_[shard]) +
                   ": block checksum does not match");
  }
  if (!ParseHintBlock(bytes, block.entries, header_.covered_bytes, ordinal, keys)) {
    return Damaged(path_ + ": offset " + std::to_string(offsets_[shard]) +
                   ": entries that no segment has");
  }
  return Status::Ok();
}

}  // namespace keystone
