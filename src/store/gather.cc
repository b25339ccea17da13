#include "store/gather.h"

namespace keystone {

namespace {

constexpr uint64_t kMostBytes = uint64_t{1} << 20;
constexpr size_t kMostPieces = 1024;  // what one write takes

}  // namespace

void Gather::Add(std::string_view bytes) {
  bytes_ += bytes.size();
  if (!pieces_.empty()) {
    iovec& last = pieces_.back();
    if (static_cast<const char*>(last.iov_base) + last.iov_len == bytes.data()) {
      last.iov_len += bytes.size();
      return;
    }
  }
  pieces_.push_back({const_cast<char*>(bytes.data()), bytes.size()});
}

void Gather::AddSingle(const RecordView& record) {
  const auto value_size = static_cast<uint32_t>(record.value.size());
  Header& header = headers_.emplace_back();
  EncodeHeader(record.sequence, record.tombstone ? kTombstone : value_size, record.key.size(),
               static_cast<uint16_t>(record.flags & ~kGroupGoesOn), record.body_crc, header.data());
  Add({header.data(), header.size()});
  Add(record.body);
}

// A record is two pieces at most.
bool Gather::full() const { return bytes_ >= kMostBytes || pieces_.size() + 2 > kMostPieces; }

Status Gather::Flush(Segment* segment) {
  if (pieces_.empty()) return Status::Ok();
  Status status = segment->Append(pieces_, bytes_);
  pieces_.clear();
  headers_.clear();
  bytes_ = 0;
  return status;
}

}  // namespace keystone
