// keystone-log repair: makes a damaged store one that starts, with all records that are intact.
//
// In this order, so that a crash anywhere leaves what another repair can finish:
//
//   1. what is kept of each damaged segment goes to new segments, which are synced;
//   2. damaged files are renamed to NAME.damaged, which nothing reads but a later repair;
//   3. the MANIFEST is replaced: the commit point;
//   4. hints of what was moved away are removed.
//
// Before 3 a MANIFEST names files that have been moved: a repair looks for them there. Nothing is
// removed but hints, which are derived. A torn tail that only lacks its end, and what an
// interrupted compaction has left, are no damage, and the next start's to deal with.
#ifndef KEYSTONE_LOG_REPAIR_H_
#define KEYSTONE_LOG_REPAIR_H_

#include <functional>
#include <string>

#include "base/status.h"

namespace keystone {

// Takes a line for people, without its end.
using Teller = std::function<void(const std::string&)>;

// The directory must be locked, or for a dry run be nobody's. Tells what is damaged and lost and
// what was done. Ok: the store is whole. kCorrupt: a dry run has found damage, or there is no store
// that could be repaired. kIo, kNoSpace and others: not finished, to be tried again.
Status Repair(const std::string& directory, bool dry_run, const Teller& tell);

}  // namespace keystone

#endif  // KEYSTONE_LOG_REPAIR_H_
