#include "store/gather.h"

#include <algorithm>
#include <array>

namespace keystone {

namespace {

constexpr uint64_t kMostBytes = uint64_t{512} << 10;
constexpr size_t kMostPieces = 1024;  // what one write takes
constexpr size_t kShort = 4096;
// For what is added as long as it is not full.
constexpr size_t kCopiesSize = kMostBytes + 2 * kShort;

}  // namespace

void Gather::Add(std::string_view bytes) {
  bytes_ += bytes.size();
  if (run_.data() + run_.size() == bytes.data()) {
    run_ = {run_.data(), run_.size() + bytes.size()};
    return;
  }
  EndRun();
  run_ = bytes;
}

void Gather::AddSingle(const RecordView& record) {
  EndRun();
  const auto value_size = static_cast<uint32_t>(record.value.size());
  std::array<char, kRecordHeaderSize> header;
  EncodeHeader(record.sequence, record.tombstone ? kTombstone : value_size, record.key.size(),
               static_cast<uint16_t>(record.flags & ~kGroupGoesOn), record.body_crc, header.data());
  run_ = {header.data(), header.size()};
  EndRun();
  bytes_ += header.size();
  Add(record.body);
}

void Gather::EndRun() {
  if (run_.size() > kShort) {
    pieces_.push_back({const_cast<char*>(run_.data()), run_.size()});
  } else if (!run_.empty()) {
    if (copies_ == nullptr) copies_ = std::make_unique_for_overwrite<char[]>(kCopiesSize);
    char* const copy = copies_.get() + copied_bytes_;
    std::copy(run_.begin(), run_.end(), copy);
    copied_bytes_ += run_.size();
    if (!pieces_.empty() &&
        static_cast<char*>(pieces_.back().iov_base) + pieces_.back().iov_len == copy) {
      pieces_.back().iov_len += run_.size();
    } else {
      pieces_.push_back({copy, run_.size()});
    }
  }
  run_ = {};
}

// A record is two pieces at most. What a full one may still be given is short or held by reference.
bool Gather::full() const { return bytes_ >= kMostBytes || pieces_.size() + 3 > kMostPieces; }

Status Gather::Flush(Segment* segment) {
  EndRun();
  if (pieces_.empty()) return Status::Ok();
  Status status = segment->Append(pieces_, bytes_);
  pieces_.clear();
  copied_bytes_ = 0;
  bytes_ = 0;
  return status;
}

}  // namespace keystone
