// Deletes for good what somebody has found to have expired, so that neither a clock that is set
// back nor a restart shows it again.
//
// Once a second, by tombstones: only of keys that do not exist then, but are stored. What nobody
// looks for is not written; a compaction leaves it out. What is found beyond a bound is forgotten,
// until it is found again.
#ifndef KEYSTONE_STORE_REAPER_H_
#define KEYSTONE_STORE_REAPER_H_

#include <cstddef>
#include <functional>
#include <mutex>
#include <set>
#include <span>
#include <string>
#include <string_view>

#include "store/batch.h"

namespace keystone {

class Reaper {
 public:
  // A second's keys, and their bytes.
  static constexpr size_t kMostKeys = 65536;
  static constexpr size_t kMostBytes = size_t{8} << 20;

  // `key` was found to hold a record that has expired. Any thread.
  void Note(std::string_view key);

  // Has `apply` delete what was noted so far, some hundred batches at a time. What could not be
  // written is tried again the next time. One thread at a time.
  using Apply = std::function<void(std::span<Batch* const>)>;
  void Reap(const Apply& apply);

 private:
  using Keys = std::set<std::string, std::less<>>;

  Keys Take();

  std::mutex mutex_;
  Keys found_;        // guarded by mutex_
  size_t bytes_ = 0;  // guarded by mutex_; of found_
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_REAPER_H_
