#include "store/round.h"

#include <algorithm>
#include <cstring>

#include "store/record.h"

namespace keystone {

namespace {

// From this size on, another piece costs less than a copy.
constexpr size_t kCopyLimit = 4096;

// A buffer above it is given back after its round.
constexpr size_t kKeptBuffer = size_t{1} << 20;

uint64_t SizeOf(const Operation& operation) {
  return operation.kind == Operation::Kind::kSet ? RecordSize(operation.key, operation.value)
                                                 : TombstoneSize(operation.key);
}

}  // namespace

BatchSize Prepare(Batch* batch) {
  BatchSize size;
  for (Operation& operation : batch->operations()) {
    operation.body_crc = BodyCrc(operation.key, operation.value);
    const uint64_t bytes = SizeOf(operation);
    const uint64_t referred = operation.value.size() > kCopyLimit ? operation.value.size() : 0;
    size.bytes += bytes;
    size.copied_bytes += bytes - referred;
  }
  return size;
}

void Round::Start(uint64_t sequence, uint64_t offset, uint64_t copied_bytes) {
  sequence_ = sequence;
  start_ = offset_ = offset;
  if (buffer_.size() > kKeptBuffer) buffer_ = {};
  if (buffer_.size() < copied_bytes) buffer_.resize(copied_bytes);
  used_ = piece_start_ = 0;
  pieces_.clear();
  placed_.clear();
}

void Round::AddSyncMark(uint64_t synced_offset) {
  EncodeSyncMark(sequence_++, synced_offset, Copy(kSyncMarkSize));
  offset_ += kSyncMarkSize;
}

void Round::AddGroup(const Batch& batch) {
  const auto& operations = batch.operations();
  const auto effective = [](const Operation& operation) { return operation.took_effect; };
  auto next = std::find_if(operations.begin(), operations.end(), effective);
  while (next != operations.end()) {
    const Operation& operation = *next;
    next = std::find_if(next + 1, operations.end(), effective);
    AddRecord(operation, next != operations.end());
  }
}

void Round::AddRecord(const Operation& operation, bool group_goes_on) {
  const bool is_set = operation.kind == Operation::Kind::kSet;
  const auto value_size = is_set ? static_cast<uint32_t>(operation.value.size()) : kTombstone;
  const std::string_view key = operation.key;
  char* out = Copy(kRecordHeaderSize + key.size());
  EncodeHeader(sequence_++, value_size, key.size(), group_goes_on ? kGroupGoesOn : 0,
               operation.body_crc, out);
  std::memcpy(out + kRecordHeaderSize, key.data(), key.size());
  if (operation.value.size() > kCopyLimit) {
    Refer(operation.value);
  } else if (!operation.value.empty()) {
    std::memcpy(Copy(operation.value.size()), operation.value.data(), operation.value.size());
  }
  const uint64_t size_bytes = SizeOf(operation);
  placed_.push_back({&operation, offset_, static_cast<uint32_t>(size_bytes)});
  offset_ += size_bytes;
}

char* Round::Copy(size_t size_bytes) {
  char* room = buffer_.data() + used_;
  used_ += size_bytes;
  return room;
}

void Round::CloseCopied() {
  if (used_ == piece_start_) return;
  pieces_.push_back({buffer_.data() + piece_start_, used_ - piece_start_});
  piece_start_ = used_;
}

void Round::Refer(std::string_view bytes) {
  CloseCopied();
  pieces_.push_back({const_cast<char*>(bytes.data()), bytes.size()});
}

std::span<iovec> Round::pieces() {
  CloseCopied();
  return pieces_;
}

}  // namespace keystone
