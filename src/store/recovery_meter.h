// How far a recovery has come, counted by all its threads and told by one.
//
// Made by the thread that tells: about once a second it writes a log line and calls back. Advance
// and stopped: any thread.
#ifndef KEYSTONE_STORE_RECOVERY_METER_H_
#define KEYSTONE_STORE_RECOVERY_METER_H_

#include <atomic>
#include <cstdint>
#include <thread>

#include "base/log.h"
#include "base/status.h"
#include "store/store.h"

namespace keystone {

class RecoveryMeter {
 public:
  // Borrows log and callback.
  RecoveryMeter(uint64_t bytes_total, const Log* log, const RecoveryCallback* callback);

  // So much more is done; the thread that tells does so if it is time. kCancelled: stop.
  Status Advance(uint64_t bytes, uint64_t records);

  uint64_t duration_us() const;

 private:
  void Tell();

  const uint64_t bytes_total_;
  const Log* const log_;
  const RecoveryCallback* const callback_;
  const std::thread::id teller_;
  const uint64_t start_us_;
  uint64_t next_us_;  // the teller's
  std::atomic<uint64_t> bytes_{0};
  std::atomic<uint64_t> records_{0};
  std::atomic<bool> stopped_{false};
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_RECOVERY_METER_H_
