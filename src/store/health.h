// Whether a store may be written to, and if not, why: it is read-only where what is on disk is not
// certain, or not what the store has written.
//
// A compaction into new files is the cure, unless the index itself can't be trusted: then only a
// restart is.
//
// Thread-safe. Check and what makes it read-only never throw: where memory runs out, their texts
// are cut short.
#ifndef KEYSTONE_STORE_HEALTH_H_
#define KEYSTONE_STORE_HEALTH_H_

#include <atomic>
#include <mutex>
#include <string>

#include "base/log.h"
#include "base/status.h"

namespace keystone {

class Health {
 public:
  explicit Health(const Log* log) : log_(log) {}

  // Ok, or the error for whoever wants to write (kReadOnly).
  Status Check() const;

  // Refuses writes from now on, and returns the error for them. The first reason counts, and its
  // way out, a literal for people.
  Status BecomeReadOnly(const Status& why, const char* way_out = "compact, or restart the daemon");

  // The same, and no compaction may cure it: the index does not say what the log does.
  Status BecomeReadOnlyForGood(const Status& why);
  Status CheckCurable() const;

  // All there is has been written to new files, and synced. Nothing where that is no cure.
  void Cure();

  bool read_only() const { return read_only_.load(std::memory_order_acquire); }

 private:
  Status BecomeReadOnlyLocked(const Status& why, const char* way_out);
  void Keep(const std::string& reason);  // with mutex_
  Status Error() const;

  const Log* const log_;
  mutable std::mutex mutex_;
  std::string reason_;                  // guarded by mutex_
  const char* way_out_ = "";            // guarded by mutex_
  bool incurable_ = false;              // guarded by mutex_; but by a restart
  std::atomic<bool> read_only_{false};  // written with mutex_
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_HEALTH_H_
