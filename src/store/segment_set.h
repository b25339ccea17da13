// The open segments of a store: in replay order for those who walk the log, by number for those who
// follow a location.
//
// Find: any thread that has passed the gate, without a lock. The rest: any thread. A segment stays
// findable until Forget, which is for when nobody looks for it any more.
#ifndef KEYSTONE_STORE_SEGMENT_SET_H_
#define KEYSTONE_STORE_SEGMENT_SET_H_

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "base/status.h"
#include "store/segment.h"

namespace keystone {

class SegmentSet {
 public:
  using List = std::vector<std::shared_ptr<Segment>>;

  // Segments at once: the kernel lets a process map about 65 000 files. With segments of the
  // default 256 MiB that is 8 TiB.
  static constexpr size_t kMaxSegments = 32768;

  // Old and new ones of a compaction. The numbers of all differ modulo this.
  static constexpr size_t kTableSize = 2 * kMaxSegments;

  // Null where there is none of that number.
  const Segment* Find(uint32_t number) const {
    const Segment* segment = table_[number % kTableSize].load(std::memory_order_acquire);
    return segment != nullptr && segment->number() == number ? segment : nullptr;
  }

  // kNoSpace where a segment of that number can't be added because there are too many.
  Status CheckRoom(uint32_t number);
  // True where one of that number could be found beside those that can be found now.
  bool HasPlaceFor(uint32_t number) const {
    return table_[number % kTableSize].load(std::memory_order_relaxed) == nullptr;
  }

  // Puts a segment behind the others: the active one from now on. CheckRoom was Ok.
  void Add(std::shared_ptr<Segment> segment);

  // Puts `now` in front of the others, in place of the first ones, which are `old`; they can still
  // be found. HasPlaceFor each was true. `room`, empty, has the capacity for the new order.
  void Swap(const List& old, const List& now, List room);

  // `old`, not in the order any more, can't be found any more either.
  void Forget(const List& old);

  static std::vector<uint64_t> Numbers(const List& segments);

  List All() const;
  std::shared_ptr<Segment> active() const;  // the last one; there is always one after recovery
  size_t Count() const;
  uint64_t Bytes() const;  // all files together

 private:
  std::array<std::atomic<const Segment*>, kTableSize> table_{};
  mutable std::mutex mutex_;
  List segments_;  // guarded by mutex_
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_SEGMENT_SET_H_
