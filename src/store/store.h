// The store: keys and values in an append-only log, an index in memory.
//
// The facade that everything outside src/store uses. Thread-safe: any number of threads may call
// any method, but Open, Close and the destructor, which belong to the owner. Errors name the file
// concerned. What a reader sees is as durable as the fsync policy promises (keystone-log(5)).
#ifndef KEYSTONE_STORE_STORE_H_
#define KEYSTONE_STORE_STORE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/status.h"
#include "store/attributes.h"
#include "store/batch.h"
#include "store/deferral.h"
#include "store/gate.h"

namespace keystone {

enum class FsyncPolicy { kAlways, kEverySecond, kNo };
enum class CompactionMode { kStopTheWorld, kOnline };

struct StoreOptions {
  std::string directory;  // made (0700) where it does not exist
  FsyncPolicy fsync = FsyncPolicy::kEverySecond;
  uint64_t segment_size_bytes = uint64_t{256} << 20;  // a group over it has a segment to itself
};

// Numbers of a running store; sizes in bytes, times in microseconds.
struct StoreStats {
  uint64_t keys = 0;
  uint64_t keys_expiring = 0;  // of them, those that will expire
  uint64_t expired = 0;        // records, since the start, those found so then included
  uint64_t segments = 0;
  uint64_t log_bytes = 0;    // all segment files together
  uint64_t live_bytes = 0;   // records that are the newest of their key, and have not expired
  uint64_t stale_bytes = 0;  // all other records: what a compaction reclaims
  uint64_t index_bytes = 0;
  FsyncPolicy fsync_policy = FsyncPolicy::kEverySecond;
  uint64_t fsyncs = 0;
  uint64_t fsync_last_us = 0;
  uint64_t write_errors = 0;  // writes answered with an error
  uint64_t compactions = 0;
  bool compaction_running = false;
  uint64_t compaction_last_us = 0;
  uint64_t compaction_last_pause_us = 0;    // of the world; 0 after one online
  uint64_t compaction_reclaimed_bytes = 0;  // since the start
  uint64_t recovery_us = 0;
  uint64_t recovered_records = 0;
  uint64_t recovered_truncated_bytes = 0;
  bool read_only = false;  // writes are refused; the log says why
};

struct RecoveryProgress {
  uint64_t bytes_done = 0;
  uint64_t bytes_total = 0;
  uint64_t records = 0;
};

// Called about once a second during recovery; false stops it (Open then returns kCancelled).
using RecoveryCallback = std::function<bool(const RecoveryProgress&)>;

// A value found by Get: a view of the log, kept in place until this object goes. A thread that
// holds one must not call the store before it has let it go (see Gate).
class FoundValue {
 public:
  std::string_view value() const { return value_; }
  const Attributes& attributes() const { return attributes_; }

  // Of the record: every write of the key makes it greater. The same after a restart or a
  // compaction.
  uint64_t sequence() const { return sequence_; }

  // To be asked once the value was used. True: a part of it could not be read any more, and was
  // zeros meanwhile; only where the process has outlived that (SIGBUS).
  bool spoilt() const;

 private:
  friend class Store;
  Gate::Pass pass_;
  uint32_t segment_ = 0;  // its number
  std::string_view value_;
  Attributes attributes_;
  uint64_t sequence_ = 0;
  std::string_view body_;  // of its record
  uint32_t body_crc_ = 0;
  uint64_t faults_before_ = 0;
};

class Segment;

// A value that stays in place, whatever becomes of its key: its segment's file is kept mapped, and
// so on the disk, until this object goes. May be held across calls of the store, and over I/O.
class PinnedValue {
 public:
  std::string_view value() const { return value_; }
  bool spoilt() const;  // see FoundValue

 private:
  friend class Store;
  std::shared_ptr<const Segment> segment_;
  std::string_view value_;
  std::string_view body_;
  uint32_t body_crc_ = 0;
  uint64_t faults_before_ = 0;
};

struct ScanResult {
  uint64_t next_cursor = 0;  // 0: the scan is complete
  std::vector<std::string> keys;
};

// Keys from `start` to `end`, both included, byte by byte, that begin with `prefix`.
struct KeyRange {
  std::string_view start{};
  std::optional<std::string_view> end{};  // none: to the last one
  std::string_view prefix{};
  size_t limit = 0;  // only the first so many; 0: all
};

// What has expired does not exist: no call finds it. In the figures of Count and Stats it is gone
// less than a second later.
class Store {
 public:
  // Locks and recovers the directory. kRunning: another process holds it. kCorrupt: damage that no
  // crash explains; nothing was changed. kPermission: an owner or mode that can't be trusted.
  static Result<std::unique_ptr<Store>> Open(const StoreOptions& options, const Log& log,
                                             const RecoveryCallback& progress = {});
  ~Store();  // closes, ignoring errors
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  // kNotFound, or kCorrupt where the record's CRC does not match: such a value is never served.
  // kIo: it can't be read.
  Status Get(std::string_view key, FoundValue* found);
  Status Exists(std::string_view key);

  // Keeps a found value without the gate, which pays for large ones.
  PinnedValue Pin(FoundValue found);

  // A hint that Get will be called for these keys soon: starts to load what it will read.
  void Prefetch(std::span<const std::string_view> keys);

  // Commits the whole batch or nothing, sets took_effect of each operation, and returns when it is
  // as durable as the policy says and visible to all. kNoSpace or kFileLimit: nothing written,
  // later writes may work again. kReadOnly: the store takes no writes, since what is on disk is not
  // certain (see Health), and the batch does not only look; nothing of it is kept, unless its own
  // sync failed or memory ran out before the index learnt of it: then it may be there after a
  // restart, whole. kInvalid: a key is empty, or a key or value larger than a record can hold.
  // kCorrupt or kIo: an update needs a value that is damaged or can't be read. kSystem: out of
  // memory, descriptors or segments, nothing written.
  Status Apply(Batch* batch);

  // The same for several batches, in their order; each succeeds or fails for itself, which its
  // status tells. As many as possible share one write, and under `always` one sync.
  void Apply(std::span<Batch* const> batches);

  // The same for one batch, under `always` without waiting where others commit already. True: it is
  // applied. False: it will be, by one of them, who then calls the deferral's function, perhaps
  // before this returns; until that the batch and what it points to must stay as they are.
  bool ApplyOrDefer(Batch* batch, Deferral* deferral);

  uint64_t Count() const;

  // Up to about `count` keys from `cursor` (0: the start) on, in no particular order, those that
  // begin with `prefix` only. Every key that exists during the whole scan is returned at least
  // once; cursors stay good whatever is written meanwhile, and across restarts.
  Status Scan(uint64_t cursor, size_t count, std::string_view prefix, ScanResult* result);

  // The keys of a range, in order. There is no index in that order: all keys of the store are read,
  // however few are wanted, some millions a second where the log is in memory; the longer a value,
  // the more of the disk is touched where it is not. With a limit the memory is that of so many
  // keys. Writes go on meanwhile: a key that comes or goes may or may not be among them. kCorrupt,
  // kIo: a key is damaged or can't be read. kSystem: out of memory.
  Status Range(const KeyRange& range, std::vector<std::string>* keys);

  // Any key, about as likely one as another. kNotFound: there is none.
  Status RandomKey(std::string* key);

  // Returns when everything applied so far is on stable storage.
  Status Sync();

  // Rewrites the log with live records only. kStopTheWorld: as fast as it goes, while all others
  // wait. kOnline: beside them, at a gentle pace; a store that is read-only stops the world all the
  // same. kBusy: one is running. kCancelled: CancelCompaction was called. The old log serves on
  // after any error, after kReadOnly for reads only: then a restart finds the old log or the new
  // one, which hold the same.
  Status Compact(CompactionMode mode);
  void CancelCompaction();  // and refuses later ones
  bool compacting() const;  // costs next to nothing

  // Takes all keys away, for good once it returns: after a crash before that, all are still there
  // or none. Waits until everybody else is done, and stops a compaction that runs. Sequences go on.
  // kReadOnly: it is not certain what a restart will find, all or nothing; or the store was so
  // already, for a reason that this does not cure. After any other error nothing has changed.
  Status Clear();

  StoreStats Stats() const;

  // Syncs and closes. The store must not be used afterwards.
  Status Close();

 private:
  struct Parts;
  explicit Store(std::unique_ptr<Parts> parts);

  std::unique_ptr<Parts> parts_;
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_STORE_H_
