#include "store/segment.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/endian/conversion.hpp>
#include <cerrno>
#include <cstring>
#include <limits>
#include <vector>

#include "base/crc32.h"
#include "base/file.h"

namespace keystone {

namespace {

using boost::endian::load_little_u32;
using boost::endian::load_little_u64;
using boost::endian::store_little_u32;
using boost::endian::store_little_u64;

constexpr std::string_view kMagic = "KEYSTONE";
constexpr uint32_t kVersion = 1;
constexpr size_t kReserveBytes = 256 * 1024;

Status Damaged(const std::string& what) { return {Code::kCorrupt, what}; }

}  // namespace

void EncodeSegmentHeader(const SegmentHeader& header, char* out) {
  std::memset(out, 0, kSegmentHeaderSize);
  std::memcpy(out, kMagic.data(), kMagic.size());
  auto* p = reinterpret_cast<unsigned char*>(out);
  store_little_u32(p + 8, kVersion);
  store_little_u64(p + 16, header.number);
  std::memcpy(p + 24, header.store_id.data(), header.store_id.size());
  store_little_u64(p + 40, header.first_sequence);
  store_little_u64(p + 48, header.created_ms);
  store_little_u32(p + 60, Crc32({out, 60}));
}

bool SegmentHeaderIsIntact(std::string_view bytes) {
  return bytes.size() >= kSegmentHeaderSize && bytes.starts_with(kMagic) &&
         Crc32(bytes.substr(0, 60)) ==
             load_little_u32(reinterpret_cast<const unsigned char*>(bytes.data()) + 60);
}

Result<SegmentHeader> DecodeSegmentHeader(std::string_view bytes) {
  if (bytes.size() < kSegmentHeaderSize) return Damaged("shorter than a segment header");
  const auto* p = reinterpret_cast<const unsigned char*>(bytes.data());
  if (!bytes.starts_with(kMagic)) return Damaged("not a keystonelight segment");
  if (Crc32(bytes.substr(0, 60)) != load_little_u32(p + 60)) {
    return Damaged("segment header checksum does not match");
  }
  if (load_little_u32(p + 8) != kVersion) {
    return Damaged("segment format version " + std::to_string(load_little_u32(p + 8)) +
                   " is not known here (this program reads 1)");
  }
  if (load_little_u32(p + 12) != 0 || load_little_u32(p + 56) != 0) {
    return Damaged("segment header flags are not known here");
  }
  SegmentHeader header;
  header.number = load_little_u64(p + 16);
  std::memcpy(header.store_id.data(), p + 24, header.store_id.size());
  header.first_sequence = load_little_u64(p + 40);
  header.created_ms = load_little_u64(p + 48);
  if (header.first_sequence > kMaxSequence + 1) {
    return Damaged("sequence number that no store reaches");
  }
  return header;
}

Result<std::shared_ptr<Segment>> Segment::Create(const std::string& directory,
                                                 const SegmentHeader& header,
                                                 uint64_t capacity_bytes) {
  const std::string path = directory + "/" + SegmentName(header.number);
  if (header.number > std::numeric_limits<uint32_t>::max()) {
    return Status(Code::kSystem, "create " + path + ": segment numbers are used up");
  }
  std::shared_ptr<Segment> segment(new Segment(header, path));
  segment->temporary_path_ = path + ".tmp";
  auto fd = OpenFile(segment->temporary_path_, O_RDWR | O_CREAT | O_TRUNC);
  if (!fd.ok()) return fd.status();
  auto mapping = Mapping::Map(fd.value().get(), std::max(capacity_bytes, kSegmentHeaderSize), path);
  if (!mapping.ok()) return mapping.status();
  segment->mapping_ = std::move(mapping.value());
  segment->writer_ = std::make_shared<const Fd>(std::move(fd.value()));
  char bytes[kSegmentHeaderSize];
  EncodeSegmentHeader(header, bytes);
  iovec piece{bytes, sizeof bytes};
  if (Status status = segment->Append({&piece, 1}, sizeof bytes); !status.ok()) return status;
  return segment;
}

Result<std::shared_ptr<Segment>> Segment::Open(const std::string& directory, uint64_t number,
                                               const StoreId& store_id, Access access,
                                               uint64_t capacity_bytes) {
  SegmentHeader header;
  header.number = number;
  std::shared_ptr<Segment> segment(new Segment(header, directory + "/" + SegmentName(number)));
  const int flags = access == Access::kAppend ? O_RDWR : O_RDONLY;
  auto fd = OpenFile(segment->path_, flags);
  if (!fd.ok()) {
    const bool missing = ::access(segment->path_.c_str(), F_OK) != 0 && errno == ENOENT;
    return missing ? fd.status().As(Code::kCorrupt) : fd.status();
  }
  Status status = segment->MapAndCheck(fd.value().get(), number, store_id, capacity_bytes);
  if (!status.ok()) return status;
  if (access == Access::kAppend) {
    segment->writer_ = std::make_shared<const Fd>(std::move(fd.value()));
  }
  return segment;
}

Status Segment::MapAndCheck(int fd, uint64_t number, const StoreId& store_id,
                            uint64_t capacity_bytes) {
  auto size = FileSize(fd, path_);
  if (!size.ok()) return size.status();
  if (size.value() < kSegmentHeaderSize) {
    return Damaged(path_ + ": offset 0: shorter than a segment header");
  }
  auto mapping = Mapping::Map(fd, std::max(capacity_bytes, size.value()), path_);
  if (!mapping.ok()) return mapping.status();
  mapping_ = std::move(mapping.value());
  size_ = size.value();
  auto header = DecodeSegmentHeader(bytes());
  if (!header.ok()) return Damaged(path_ + ": offset 0: " + header.status().message());
  header_ = header.value();
  if (header_.number != number || number > std::numeric_limits<uint32_t>::max()) {
    return Damaged(path_ + ": offset 16: bears segment number " + std::to_string(header_.number));
  }
  if (header_.store_id != store_id) {
    return Damaged(path_ + ": offset 24: bears the id of another store");
  }
  return Status::Ok();
}

Segment::~Segment() {
  if (!temporary_path_.empty()) Remove();
}

void Segment::Remove() {
  (void)::unlink(temporary_path_.empty() ? path_.c_str() : temporary_path_.c_str());
  temporary_path_.clear();
}

Status Segment::Append(std::span<iovec> pieces, uint64_t size_bytes) {
  const uint64_t offset = size_.load(std::memory_order_relaxed);
  if (size_bytes > mapping_.size() - offset) {
    return {Code::kNoSpace, "append " + path_ + ": the segment is full"};
  }
  Status status = WriteAt(writer_->get(), pieces, offset, path_);
  if (status.ok()) {
    size_.store(offset + size_bytes, std::memory_order_release);
    return status;
  }
  if (Status cut = Truncate(writer_->get(), offset, path_); !cut.ok()) {
    return {Code::kReadOnly, status.message() + "; " + cut.message()};
  }
  reserved_end_ = 0;
  return status;
}

// Zeros are no records, so it is no harm if they get to the disk without what was to be in front.
// Where there is no room for them, this segment does without.
Status Segment::AppendAndReserve(std::span<iovec> pieces, uint64_t size_bytes) {
  static constexpr std::array<char, kReserveBytes> kZeros{};
  const uint64_t end = size() + size_bytes;
  if (end <= reserved_end_ || end + kReserveBytes > mapping_.size()) {
    return Append(pieces, size_bytes);
  }
  std::vector<iovec> with_zeros(pieces.begin(), pieces.end());
  with_zeros.push_back({const_cast<char*>(kZeros.data()), kZeros.size()});
  if (Status status = WriteAt(writer_->get(), with_zeros, size(), path_); !status.ok()) {
    reserved_end_ = std::numeric_limits<uint64_t>::max();
    return Append(pieces, size_bytes);
  }
  reserved_end_ = end + kReserveBytes;
  size_.store(end, std::memory_order_release);
  return Status::Ok();
}

Status Segment::CutReserve() { return reserved_end_ > size() ? CutTo(size()) : Status::Ok(); }

Status Segment::CutTo(uint64_t size_bytes) {
  size_.store(size_bytes, std::memory_order_release);
  Status status = Truncate(writer_->get(), size_bytes, path_);
  if (status.ok()) reserved_end_ = 0;
  return status;
}

Status Segment::CheckReadable() const {
  if (mapping_.faults() == 0) return Status::Ok();
  return {Code::kIo, "read " + path_ + ": Input/output error, or the file was cut: " +
                         std::to_string(mapping_.faults()) + " pages of it can't be read"};
}

Status Segment::CheckFollows(uint64_t last_sequence) const {
  RecordView first;
  if (Read(kSegmentHeaderSize, &first) != RecordState::kValid || first.sequence > last_sequence) {
    return Status::Ok();
  }
  return Damaged(path_ + ": offset " + std::to_string(kSegmentHeaderSize) + ": sequence number " +
                 std::to_string(first.sequence) + " behind " + std::to_string(last_sequence) +
                 " in the segments before it");
}

Status Segment::Finish() {
  if (Status status = SyncFile(writer_->get(), temporary_path_); !status.ok()) return status;
  if (Status status = Rename(temporary_path_, path_); !status.ok()) return status;
  temporary_path_.clear();
  return Status::Ok();
}

}  // namespace keystone
