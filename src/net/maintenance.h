// The thread that compacts: when asked to, and by itself when much of the log is stale. It clears
// the store, too, when asked to.
//
// Thread-safe, but for Start and the destructor, which belong to the owner. Borrows the store and
// the log. One compaction at a time; a request while one runs is folded into it.
#ifndef KEYSTONE_NET_MAINTENANCE_H_
#define KEYSTONE_NET_MAINTENANCE_H_

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "base/status.h"
#include "store/store.h"

namespace keystone {

struct CompactionThreshold {
  unsigned stale_percent = 50;  // 0: never by itself
  uint64_t min_size_bytes = 0;  // of the log
};

// Whether so much is stale that a compaction pays. Pure.
bool CompactionPays(const StoreStats& stats, const CompactionThreshold& threshold);

class Maintenance {
 public:
  // `on_idle` is called on the maintenance thread, with the mutex held, when a compaction is over
  // and when the thread ends: it must be quick and not call back.
  Maintenance(Store* store, CompactionThreshold threshold, std::function<void()> on_idle);
  ~Maintenance();  // stops, and waits for a running compaction
  Maintenance(const Maintenance&) = delete;
  Maintenance& operator=(const Maintenance&) = delete;

  Status Start();  // kSystem: there is no thread for it

  // False: folded into the one that runs or is asked for already.
  bool RequestCompaction(CompactionMode mode);
  // Clears the store, which is nothing that the others are folded into.
  void RequestClear();
  // The thread ends after what it is doing. Does not wait.
  void RequestStop();

  bool busy() const;   // a compaction runs or is asked for
  bool ended() const;  // the thread uses nothing any more

 private:
  using Clock = std::chrono::steady_clock;

  enum class Work { kStop, kClear, kAsked, kCheck };  // kAsked: in the mode asked for

  void Run();
  Work WaitForWork();
  bool AutomaticIsDue() const;
  CompactionMode Begin();
  void Finish();
  void Compact(Work work, CompactionMode mode);

  Store* const store_;
  const CompactionThreshold threshold_;
  const std::function<void()> on_idle_;
  Clock::time_point automatic_after_{};  // maintenance thread only
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::optional<CompactionMode> requested_;  // guarded by mutex_
  bool clear_ = false;                       // guarded by mutex_; is asked for
  bool running_ = false;                     // guarded by mutex_
  bool stopping_ = false;                    // guarded by mutex_
  bool ended_ = true;                        // guarded by mutex_
  std::thread thread_;
};

}  // namespace keystone

#endif  // KEYSTONE_NET_MAINTENANCE_H_
