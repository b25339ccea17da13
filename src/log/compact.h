// keystone-log compact: what SIGHUP has a daemon do, without one.
//
// Through the store's facade, which locks the directory, recovers it like a start, and makes hints
// of what it has written.
#ifndef KEYSTONE_LOG_COMPACT_H_
#define KEYSTONE_LOG_COMPACT_H_

#include <cstdint>
#include <functional>
#include <string>

#include "base/status.h"

namespace keystone {

enum class CompactionStep { kRead, kWrite };

// Called now and then, on the thread that has called Compact; bytes.
using CompactionProgress = std::function<void(CompactionStep, uint64_t done, uint64_t total)>;

// Puts a line about what it did in `summary`. kCorrupt: there is no store, or a damaged one;
// nothing was changed. kRunning, kPermission and others as the store has it.
Status Compact(const std::string& directory, const CompactionProgress& progress,
               std::string* summary);

}  // namespace keystone

#endif  // KEYSTONE_LOG_COMPACT_H_
