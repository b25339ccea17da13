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

uint64_t BytesOf(const Operation& operation) {
  return operation.deletes ? TombstoneSize(operation.key)
                           : RecordSize(operation.key, operation.value, operation.attributes);
}

}  // namespace

BatchSize& BatchSize::operator+=(const BatchSize& other) {
  bytes += other.bytes;
  copied_bytes += other.copied_bytes;
  is_open = is_open || other.is_open;
  return *this;
}

BatchSize SizeOf(const Operation& operation) {
  const uint64_t bytes = BytesOf(operation);
  const uint64_t referred = operation.value.size() > kCopyLimit ? operation.value.size() : 0;
  return {.bytes = bytes, .copied_bytes = bytes - referred};
}

BatchSize Prepare(Batch* batch) {
  BatchSize size;
  for (Operation& operation : batch->operations()) {
    if (operation.kind == Operation::Kind::kUpdate) {
      operation.value = {};
      operation.attributes = {};
    } else {
      operation.body_crc = BodyCrc(operation.key, operation.value, operation.attributes);
    }
    const bool is_set = operation.kind == Operation::Kind::kSet;
    operation.took_effect = operation.is_written = is_set;
    operation.skipped = false;
    operation.deletes = operation.kind == Operation::Kind::kDelete;
    size += SizeOf(operation);
    size.is_open = size.is_open || !is_set;
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
  const auto is_written = [](const Operation& operation) { return operation.is_written; };
  auto next = std::find_if(operations.begin(), operations.end(), is_written);
  while (next != operations.end()) {
    const Operation& operation = *next;
    next = std::find_if(next + 1, operations.end(), is_written);
    AddRecord(operation, next != operations.end());
  }
}

void Round::AddRecord(const Operation& operation, bool group_goes_on) {
  const auto value_size = static_cast<uint32_t>(operation.value.size());
  const size_t attributes_size = operation.attributes.empty() ? 0 : kAttributesSize;
  const std::string_view key = operation.key;
  char* out = Copy(kRecordHeaderSize + attributes_size + key.size());
  const int flags =
      (group_goes_on ? kGroupGoesOn : 0) | (attributes_size != 0 ? kHasAttributes : 0);
  EncodeHeader(sequence_++, operation.deletes ? kTombstone : value_size, key.size(),
               static_cast<uint16_t>(flags), operation.body_crc, out);
  if (attributes_size != 0) EncodeAttributes(operation.attributes, out + kRecordHeaderSize);
  std::memcpy(out + kRecordHeaderSize + attributes_size, key.data(), key.size());
  if (operation.value.size() > kCopyLimit) {
    Refer(operation.value);
  } else if (!operation.value.empty()) {
    std::memcpy(Copy(operation.value.size()), operation.value.data(), operation.value.size());
  }
  const uint64_t size_bytes = BytesOf(operation);
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
