#include "store/live_records.h"

#include <algorithm>
#include <bit>
#include <utility>

#include "store/workers.h"

namespace keystone {

namespace {

constexpr size_t kEntriesABucket = 256;  // sorted within the nearest cache
constexpr size_t kBucketsATask = 64;

// The log, cut into stretches of one length. Each has a bucket of entries: how many, at first, then
// where the next one goes. Every worker has counters of its own: shared ones would make it wait for
// each entry to be in memory before the next.
class Buckets {
 public:
  Buckets(const SegmentSet::List& segments, size_t entries, size_t workers)
      : firsts_(SegmentSet::kTableSize) {
    uint64_t bytes = 0;
    for (const auto& segment : segments) bytes += segment->size();
    shift_ = static_cast<unsigned>(std::bit_width(bytes / (entries / kEntriesABucket + 1)));
    for (const auto& segment : segments) {
      FirstOf(segment->number()) = size_;
      size_ += (segment->size() >> shift_) + 1;
    }
    counters_.assign(workers, std::vector<size_t>(size_));
  }

  // The segment's first bucket. SegmentSet has no two with the same place in such a table.
  size_t& FirstOf(uint32_t segment) { return firsts_[segment % SegmentSet::kTableSize]; }

  size_t& At(size_t worker, Location where) {
    return counters_[worker][FirstOf(where.segment) + (where.offset >> shift_)];
  }

  // From how many there are to where they go; returns how many there are in all.
  size_t Place() {
    size_t total = 0;
    for (size_t i = 0; i < size_; i++) {
      for (auto& counters : counters_) total += std::exchange(counters[i], total);
    }
    return total;
  }

  // Where bucket i ends, once all entries are in their places: the last worker's go last.
  size_t End(size_t i) const { return counters_.back()[i]; }
  // Where it begins, before any entry is.
  size_t Begin(size_t i) const { return counters_.front()[i]; }
  size_t size() const { return size_; }

 private:
  unsigned shift_ = 0;
  size_t size_ = 0;
  std::vector<size_t> firsts_;
  std::vector<std::vector<size_t>> counters_;
};

// Calls visit(worker, slot, where) for all. A worker has the same shards each time.
template <class Visit>
Status EachEntry(const Index& index, size_t workers, Visit visit) {
  const auto task = [&](size_t, size_t worker) {
    std::vector<NumberedLocation> entries;
    for (size_t shard = worker; shard < Index::kShards; shard += workers) {
      entries.clear();
      index.ListShard(shard, &entries);
      for (const NumberedLocation& entry : entries) {
        visit(worker, Index::SlotOf(shard, entry.number), entry.where);
      }
    }
    return Status::Ok();
  };
  return RunTasks(workers, workers, task, [] {});
}

}  // namespace

// A bucket sort: counted, put into the buckets, and sorted there.
Status LiveRecords::Collect(const Index& index, const SegmentSet::List& segments, size_t workers) {
  Buckets buckets(segments, index.size(), workers);
  const auto count = [&](size_t worker, Index::Slot, Location where) {
    buckets.At(worker, where)++;
  };
  if (Status status = EachEntry(index, workers, count); !status.ok()) return status;

  const size_t total = buckets.Place();
  for (const auto& segment : segments) {
    begins_.push_back(buckets.Begin(buckets.FirstOf(segment->number())));
  }
  begins_.push_back(total);

  entries_ = std::make_unique_for_overwrite<Entry[]>(total);
  const auto put = [&](size_t worker, Index::Slot slot, Location where) {
    entries_[buckets.At(worker, where)++] = {slot, where.offset};
  };
  if (Status status = EachEntry(index, workers, put); !status.ok()) return status;

  const auto sort = [&](size_t, size_t task) {
    const size_t first = task * kBucketsATask;
    size_t begin = first == 0 ? 0 : buckets.End(first - 1);
    for (size_t i = first; i < std::min(first + kBucketsATask, buckets.size()); i++) {
      const size_t end = buckets.End(i);
      std::sort(&entries_[begin], &entries_[end],
                [](const Entry& a, const Entry& b) { return a.offset < b.offset; });
      begin = end;
    }
    return Status::Ok();
  };
  return RunTasks(buckets.size() / kBucketsATask + 1, workers, sort, [] {});
}

}  // namespace keystone
