// The compaction of a store: its steps in their order, from the seal to the removal of the old log.
//
// Stop-the-world: the gate is closed while everything is copied and switched. Online: the world
// turns on. The active segment is sealed, so that all there is to copy never changes; what is
// written meanwhile goes to newer segments, which stay behind the new ones in the MANIFEST. The
// index is moved record by record, each only where it still points at the old place, and the old
// segments go once nobody who might have found one is inside the gate. What has expired when it
// begins is not copied, and goes from the index in the same way.
//
// To clear the store is the same behind a closed gate, with nothing to copy.
//
// A crash before the MANIFEST is replaced leaves the old store, after it the new one.
//
// Thread-safe. Borrows everything for its whole life.
#ifndef KEYSTONE_STORE_COMPACTION_H_
#define KEYSTONE_STORE_COMPACTION_H_

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>

#include "base/log.h"
#include "base/status.h"
#include "store/commit.h"
#include "store/directory.h"
#include "store/gate.h"
#include "store/hint_writer.h"
#include "store/index.h"
#include "store/new_segments.h"
#include "store/reserve.h"
#include "store/segment_set.h"
#include "store/store.h"

namespace keystone {

class Compaction {
 public:
  struct Stats {
    bool running = false;
    uint64_t count = 0;
    uint64_t last_us = 0;
    uint64_t last_pause_us = 0;    // while the gate was closed; 0 after one online
    uint64_t reclaimed_bytes = 0;  // since the start
  };

  Compaction(uint64_t segment_size_bytes, Directory* directory, Reserve* reserve,
             SegmentSet* segments, Index* index, Commit* commit, Gate* gate, HintWriter* hints,
             const Log* log)
      : segment_size_bytes_(segment_size_bytes),
        directory_(directory),
        reserve_(reserve),
        segments_(segments),
        index_(index),
        commit_(commit),
        gate_(gate),
        hints_(hints),
        log_(log) {}

  // By a thread that is not inside the gate. kBusy: one is running. kCancelled: Cancel was called,
  // or Clear. The old log serves on after any error, after kReadOnly for reads only: then a restart
  // finds the old log or the new one. Where the disk is full, the reserve is let go if that makes
  // room enough. A store that is read-only is compacted stop-the-world, whatever was asked
  // for: that is the cure.
  Status Run(CompactionMode mode);

  // Takes all there is away, once a compaction that runs has been stopped. By a thread that is not
  // inside the gate. kCancelled: Cancel was called. After any error all is still there, but after
  // kReadOnly: then a restart finds all of it or nothing.
  Status Clear();

  // Stops a running one soon, and refuses later ones.
  void Cancel();

  // Room on the disk for the new files of one that begins now.
  uint64_t NeededBytes() const;

  bool running() const { return running_; }
  Stats GetStats() const;

 private:
  struct Outcome {
    uint64_t pause_us = 0;
    uint64_t reclaimed_bytes = 0;
  };

  bool BeginCompaction();
  Status BeginClear();
  void End();
  Status RunWithReserve(CompactionMode mode, Outcome* outcome);
  Status RunOne(CompactionMode mode, Outcome* outcome);
  template <class Work>
  Status BehindGate(const Work& work, Outcome* outcome);
  Status StopTheWorld(Outcome* outcome);
  Status Seal();
  Status Online(Outcome* outcome);
  Status MakeActive(NewSegments* segments);
  Status SwitchTo(const SegmentSet::List& now, const SegmentSet::List& old, bool* keep);
  Status Replace(const SegmentSet::List& old, const SegmentSet::List& now);
  void Remove(const SegmentSet::List& old);
  void MakeHints(const SegmentSet::List& outputs);
  Status SyncUnlessReadOnly();
  Status ClearWithReserve();
  Status ClearOnce();
  Status ClearAll(const SegmentSet::List& old);
  void Report(const Status& status, const Outcome& outcome, uint64_t total_us);

  const uint64_t segment_size_bytes_;
  Directory* const directory_;
  Reserve* const reserve_;
  SegmentSet* const segments_;
  Index* const index_;
  Commit* const commit_;
  Gate* const gate_;
  HintWriter* const hints_;
  const Log* const log_;

  SegmentSet::List kept_;  // old segments that are still read, after a failure
  std::mutex turn_mutex_;
  std::condition_variable ended_;       // with turn_mutex_: running_ is false
  bool closing_ = false;                // guarded by turn_mutex_; Cancel was called
  size_t clearers_ = 0;                 // guarded by turn_mutex_; who waits to clear
  std::atomic<bool> running_{false};    // written with turn_mutex_; of both kinds
  std::atomic<bool> cancelled_{false};  // written with turn_mutex_; what runs is to stop
  std::atomic<uint64_t> count_{0};
  std::atomic<uint64_t> last_us_{0};
  std::atomic<uint64_t> last_pause_us_{0};
  std::atomic<uint64_t> reclaimed_bytes_{0};
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_COMPACTION_H_
