#include "store/live_records.h"

#include <algorithm>
#include <atomic>
#include <bit>

#include "store/workers.h"

namespace keystone {

namespace {

constexpr size_t kEntriesABucket = 256;  // sorted within the nearest cache
constexpr size_t kBucketsATask = 64;

// The log, cut into stretches of one length. Each has a bucket of entries: how many, at first.
class Buckets {
 public:
  Buckets(const SegmentSet::List& segments, size_t entries) : firsts_(SegmentSet::kTableSize) {
    uint64_t bytes = 0;
    for (const auto& segment : segments) bytes += segment->size();
    shift_ = static_cast<unsigned>(std::bit_width(bytes / (entries / kEntriesABucket + 1)));
    size_t count = 0;
    for (const auto& segment : segments) {
      FirstOf(segment->number()) = count;
      count += (segment->size() >> shift_) + 1;
    }
    buckets_ = std::vector<std::atomic<size_t>>(count);
  }

  // The segment's first bucket. SegmentSet has no two with the same place in such a table.
  size_t& FirstOf(uint32_t segment) { return firsts_[segment % SegmentSet::kTableSize]; }

  std::atomic<size_t>& operator[](size_t i) { return buckets_[i]; }
  std::atomic<size_t>& At(Location where) {
    return buckets_[FirstOf(where.segment) + (where.offset >> shift_)];
  }
  size_t size() const { return buckets_.size(); }

 private:
  unsigned shift_ = 0;
  std::vector<size_t> firsts_;
  std::vector<std::atomic<size_t>> buckets_;
};

template <class Visit>
Status EachEntry(const Index& index, size_t workers, Visit visit) {
  std::vector<std::vector<NumberedLocation>> shards(workers);
  const auto task = [&](size_t worker, size_t shard) {
    auto& entries = shards[worker];
    entries.clear();
    index.ListShard(shard, &entries);
    for (const NumberedLocation& entry : entries) {
      visit(Index::SlotOf(shard, entry.number), entry.where);
    }
    return Status::Ok();
  };
  return RunTasks(Index::kShards, workers, task, [] {});
}

}  // namespace

// A bucket sort: counted, put into the buckets, and sorted there.
Status LiveRecords::Collect(const Index& index, const SegmentSet::List& segments, size_t workers) {
  Buckets buckets(segments, index.size());
  const auto count = [&](Index::Slot, Location where) {
    buckets.At(where).fetch_add(1, std::memory_order_relaxed);
  };
  if (Status status = EachEntry(index, workers, count); !status.ok()) return status;

  size_t total = 0;
  for (size_t i = 0; i < buckets.size(); i++) total += buckets[i].exchange(total);
  for (const auto& segment : segments)
    begins_.push_back(buckets[buckets.FirstOf(segment->number())]);
  begins_.push_back(total);

  entries_ = std::make_unique_for_overwrite<Entry[]>(total);
  const auto put = [&](Index::Slot slot, Location where) {
    entries_[buckets.At(where).fetch_add(1, std::memory_order_relaxed)] = {slot, where.offset};
  };
  if (Status status = EachEntry(index, workers, put); !status.ok()) return status;

  // Each bucket has gone on to where the next one began.
  const auto sort = [&](size_t, size_t task) {
    const size_t first = task * kBucketsATask;
    size_t begin = first == 0 ? 0 : buckets[first - 1].load();
    for (size_t i = first; i < std::min(first + kBucketsATask, buckets.size()); i++) {
      const size_t end = buckets[i];
      std::sort(&entries_[begin], &entries_[end],
                [](const Entry& a, const Entry& b) { return a.offset < b.offset; });
      begin = end;
    }
    return Status::Ok();
  };
  return RunTasks(buckets.size() / kBucketsATask + 1, workers, sort, [] {});
}

}  // namespace keystone
