#include "store/segment_set.h"

namespace keystone {

Status SegmentSet::CheckRoom(uint32_t number) const {
  if (table_[number % kMaxSegments].load(std::memory_order_relaxed) == nullptr) return Status::Ok();
  return {Code::kNoSpace, "too many segments: " + std::to_string(kMaxSegments) +
                              " is the limit; compact, or raise segment-size"};
}

void SegmentSet::Add(std::shared_ptr<Segment> segment) {
  table_[segment->number() % kMaxSegments].store(segment.get(), std::memory_order_release);
  const std::lock_guard lock(mutex_);
  segments_.push_back(std::move(segment));
}

void SegmentSet::Replace(List segments) {
  const std::lock_guard lock(mutex_);
  for (const auto& segment : segments_) table_[segment->number() % kMaxSegments] = nullptr;
  segments_ = std::move(segments);
  for (const auto& segment : segments_) {
    table_[segment->number() % kMaxSegments] = segment.get();
  }
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
