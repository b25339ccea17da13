// Writes the hints of segments that take no more records, on a thread of its own.
//
// Beside clients it works a quarter of the time. A hint is NAME.hint.tmp until it is whole and
// synced. A failure is a line in the log and a hint less: the next start reads the segment instead.
//
// Threads: Add, Forget, Hold and Release from any; the rest from the owner. None of the four waits
// for a hint.
#ifndef KEYSTONE_STORE_HINT_WRITER_H_
#define KEYSTONE_STORE_HINT_WRITER_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/log.h"
#include "base/status.h"
#include "store/hint.h"
#include "store/hint_table.h"
#include "store/reserve.h"
#include "store/segment_set.h"

namespace keystone {

class HintWriter {
 public:
  // `seed` is that of the index's hash; borrows `reserve` and `log`.
  HintWriter(std::string directory, uint64_t seed, const Reserve* reserve, const Log* log);
  ~HintWriter();  // stops; hints that are not written by then are not made
  HintWriter(const HintWriter&) = delete;
  HintWriter& operator=(const HintWriter&) = delete;

  void Start();

  // Queues a segment that takes no more records, all of it on stable storage.
  void Add(std::shared_ptr<Segment> segment);

  // These segments are gone: takes away their hints, also those in the making.
  void Forget(const SegmentSet::List& segments);

  // Between the two nothing is written, and what was begun is begun again: a compaction that runs
  // may make it worthless.
  void Hold();
  void Release();

  // Writes the hint of `active` (null: of none), on stable storage as well, and then those that are
  // queued, at full speed. Begins none later than two seconds from now: the next start makes up
  // for what is left.
  void Finish(std::shared_ptr<Segment> active);

 private:
  using Clock = std::chrono::steady_clock;

  void Run();
  std::shared_ptr<Segment> Take();
  Status Write(const std::shared_ptr<Segment>& segment);
  Status WriteFile(const Segment& segment, HintTable* table, HintHeader* header,
                   const std::string& path);
  Status WriteBlocks(HintTable* table, HintHeader* header, int fd, const std::string& path);
  Status Keep(const std::string& temporary, const std::string& path);
  Status Pause();
  void Stop();

  const std::string directory_;
  const uint64_t seed_;
  const Reserve* const reserve_;
  const Log* const log_;

  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Segment>> queue_;  // guarded by mutex_
  std::shared_ptr<Segment> current_;            // guarded by mutex_; null: none is being written
  bool forgotten_ = false;                      // guarded by mutex_; the current one is given up
  bool held_ = false;                           // guarded by mutex_
  bool stops_ = false;                          // guarded by mutex_
  bool finishes_ = false;                       // guarded by mutex_
  Clock::time_point last_begin_;                // guarded by mutex_; where it finishes

  Clock::time_point resumed_;  // the thread's own
  std::thread thread_;
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_HINT_WRITER_H_
