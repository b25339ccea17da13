// Group commit: one leader appends and syncs for all who wait, then publishes to the index.
//
// A thread that has batches queues up with them. The first in the queue leads: it takes everybody
// who waits with it, decides their deletes and updates, encodes all groups, appends them with one
// write, syncs if the policy is `always`, points the index at them and wakes the others. Whoever
// comes meanwhile makes up the next round, which the same leader commits unless it has done so
// often enough. So the order of rounds is the order of the log is the order of visibility, and
// nobody reads what a crash could take back.
//
// An update counts as small until it is decided. Where what the round's come to is too much for one
// write, the round is written in parts, in its order: so what fails because somebody's value is
// large fails for that one alone.
//
// Where the disk is full, the reserve is let go for batches that only delete: what makes room.
//
// A sync mark goes ahead of a round's groups: under `always` each time, else when more of the
// segment is on stable storage than the last mark says.
//
// Threads: Submit, SubmitOrDefer, Sync and GetStats from any thread that has passed the gate;
// SyncDirty and WatchActive from the store's own; Seal, Sync and what tells or sets the read-only
// state from a compaction; the rest from the owner while nobody else is inside (start, compaction,
// close).
#ifndef KEYSTONE_STORE_COMMIT_H_
#define KEYSTONE_STORE_COMMIT_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <vector>

#include "base/log.h"
#include "base/status.h"
#include "store/batch.h"
#include "store/commit_queue.h"
#include "store/decider.h"
#include "store/directory.h"
#include "store/health.h"
#include "store/index.h"
#include "store/reserve.h"
#include "store/round.h"
#include "store/segment_set.h"
#include "store/segment_watch.h"

namespace keystone {

class Commit {
 public:
  struct Options {
    bool sync_each_round = false;  // fsync=always
    uint64_t segment_size_bytes = 0;
    // Called by the leader; must not wait.
    std::function<void(std::shared_ptr<Segment>)> on_seal;
    std::function<void(std::string_view key)> on_expired;  // an update found its key so
  };
  struct Stats {
    uint64_t fsyncs = 0;
    uint64_t fsync_last_us = 0;
    uint64_t write_errors = 0;
    bool read_only = false;
  };

  // Borrows everything for its whole life; segments->active() is where it goes on.
  Commit(const Options& options, Directory* directory, Reserve* reserve, SegmentSet* segments,
         Index* index, const Log* log, uint64_t next_sequence);

  // Commits those batches whose status is Ok, and sets it; see Store::Apply.
  void Submit(std::span<Batch* const> batches);

  // The same for one batch; see Store::ApplyOrDefer. `waiter` has on_served set.
  bool SubmitOrDefer(Batch* const* batch, Waiter* waiter);

  // Puts everything appended so far on stable storage. A failure turns the store read-only.
  Status Sync();

  // Sync, where there is anything new. For the once-a-second syncer.
  Status SyncDirty();

  // Turns the store read-only where another program has touched the active segment's file.
  void WatchActive(SegmentWatch* watch);

  // Ends the active segment, on stable storage, and begins another, unless it is empty: no
  // record is appended behind those that are there now. Takes its turn among those who Submit, and
  // may have to commit for them.
  Status Seal();

  // A compaction has put `active` in place of the old segments, all of it on stable storage: that
  // cures a failed sync.
  void Adopt(std::shared_ptr<Segment> active);

  // See Health.
  Status BecomeReadOnly(const Status& why) { return health_.BecomeReadOnly(why); }
  Status BecomeReadOnlyForGood(const Status& why) { return health_.BecomeReadOnlyForGood(why); }
  Status CheckCurable() const { return health_.CheckCurable(); }
  bool read_only() const { return health_.read_only(); }

  uint64_t next_sequence() const { return next_sequence_; }
  Stats GetStats() const;

 private:
  using Batches = std::span<Batch* const>;

  void WaitForTurn(Waiter* waiter);
  BatchSize Ready(Batch* batch);
  void PrefetchSlots(std::span<Batch* const> batches) const;
  void PrefetchRecords(const Batch& batch) const;
  void PrefetchSingles(const Waiter& waiter) const;
  void SubmitTogether(std::span<Batch* const> batches, const BatchSize& size);

  // The leader's, without mutex_. `batches` are what is left of a round, then its next part.
  void Serve(Waiter* round);
  bool Gather(const Waiter* round);
  size_t ServePart(Batches batches);
  Status ServeReads(Batches* batches, const Status& refusal);
  void Refuse(Batches batches, const Status& status);
  uint64_t SyncedOffset() const;
  Status WriteWithReserve(Batches* batches);
  static bool LeaveDeletes(Batches batches, const Status& status);
  static bool HasGood(Batches batches);
  Status SealActive();
  Status WritePart(Batches* batches, const Status* refusal, uint64_t* synced_offset);
  Status EncodePart(Batches* batches, const Status* refusal, uint64_t* synced_offset, bool* marks);
  BatchSize Decide(Batches* batches, const Status* refusal);
  BatchSize DecideOne(Batch* batch, const Status* refusal);
  Status Append();
  bool NeedsMark(uint64_t synced_offset) const;
  Status MakeRoom(uint64_t size_bytes, uint64_t* synced_offset);
  Status Rotate(uint64_t size_bytes);
  Status Install(Segment& segment);
  void Begin(std::shared_ptr<Segment> active);
  Status SyncRound(uint64_t round_start);
  Status Publish();
  void PublishOne(const Round::Placed& placed);
  void LogRefusals(const Status& status);

  Status SyncFile(const std::shared_ptr<Segment>& segment, const std::shared_ptr<const Fd>& fd);
  Status ReadOnlyError() const { return health_.Check(); }
  Status OutOfMemory() const;

  const Options options_;
  Directory* const directory_;
  Reserve* const reserve_;
  SegmentSet* const segments_;
  Index* const index_;
  const Log* const log_;
  Health health_;
  CommitQueue queue_;

  std::mutex sync_mutex_;  // held while a file is synced; taken before mutex_
  mutable std::mutex mutex_;
  uint64_t appended_offset_ = 0;     // guarded by mutex_; of the active segment
  uint64_t synced_offset_ = 0;       // guarded by mutex_; what is surely on stable storage
  std::shared_ptr<Segment> active_;  // guarded by mutex_; changed by the leader only

  // The leader's own.
  uint64_t next_sequence_;
  uint64_t marked_offset_ = 0;    // what the last sync mark of the active segment says
  std::vector<Batch*> gathered_;  // of the round
  BatchSize prepared_;            // of the round, before anything is decided
  Round round_;
  Decider decider_;
  bool refusing_ = false;  // the last part failed

  std::atomic<uint64_t> fsyncs_{0};
  std::atomic<uint64_t> fsync_last_us_{0};
  std::atomic<uint64_t> write_errors_{0};
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_COMMIT_H_
