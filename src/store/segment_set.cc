#include "store/segment_set.h"

#include <utility>

namespace keystone {

// Makes room, so that Add can't fail.
Status SegmentSet::CheckRoom(uint32_t number) {
  {
    const std::lock_guard lock(mutex_);
    segments_.reserve(segments_.size() + 1);
  }
  if (HasPlaceFor(number) && Count() < kMaxSegments) return Status::Ok();
  return {Code::kNoSpace, "too many segments: " + std::to_string(kMaxSegments) +
                              " is the limit; compact, or raise segment-size"};
}

void SegmentSet::Add(std::shared_ptr<Segment> segment) {
  table_[segment->number() % kTableSize].store(segment.get(), std::memory_order_release);
  const std::lock_guard lock(mutex_);
  segments_.push_back(std::move(segment));
}

void SegmentSet::Swap(const List& old, const List& now, List room) {
  for (const auto& segment : now) {
    table_[segment->number() % kTableSize].store(segment.get(), std::memory_order_release);
  }
  room.assign(now.begin(), now.end());
  const std::lock_guard lock(mutex_);
  room.insert(room.end(), segments_.begin() + static_cast<ptrdiff_t>(old.size()), segments_.end());
  segments_.swap(room);
}

void SegmentSet::Forget(const List& old) {
  for (const auto& segment : old) table_[segment->number() % kTableSize] = nullptr;
}

std::vector<uint64_t> SegmentSet::Numbers(const List& segments) {
  std::vector<uint64_t> numbers;
  for (const auto& segment : segments) numbers.push_back(segment->number());
  return numbers;
}

SegmentSet::List SegmentSet::All() const {
  const std::lock_guard lock(mutex_);
  return segments_;
}

std::shared_ptr<Segment> SegmentSet::active() const {
  const std::lock_guard lock(mutex_);
  return segments_.back();
}

size_t SegmentSet::Count() const {
  const std::lock_guard lock(mutex_);
  return segments_.size();
}

uint64_t SegmentSet::Bytes() const {
  const std::lock_guard lock(mutex_);
  uint64_t bytes = 0;
  for (const auto& segment : segments_) bytes += segment->size();
  return bytes;
}

}  // namespace keystone
