// The layer between the store and the kernel that tests put there when they are linked
// (-Wl,--wrap): production code has no hooks. It records what is done to the files below one
// directory, and makes the n-th call of a kind fail. All calls are really made but those that fail.
//
// Thread-safe. One directory is watched at a time, and calls on other files pass through.
#ifndef KEYSTONE_TESTS_CRASH_DISK_H_
#define KEYSTONE_TESTS_CRASH_DISK_H_

#include <cstddef>
#include <functional>
#include <string>

#include "journal.h"

namespace crash {

// Watches `root` from now on. `before`: the journal of how the files that are there came to be.
void Watch(const std::string& root, Journal before = {});

// Ends that, and returns `before` and all that was done since.
Journal StopWatching();

void Mark(Event::Kind kind, uint64_t number);

// Which calls fail. Calls on hints, which a thread in the background makes whenever it likes, count
// for themselves.
struct Fault {
  enum class Call {
    kOpen,
    kMakeDirectory,
    kLock,
    kList,  // opendir, and each readdir
    kLook,  // stat, fstat, access, statvfs
    kRead,
    kWrite,
    kAllocate,
    kResize,
    kSync,
    kRename,
    kUnlink,
    kMap,
    kPages,   // memory from mmap
    kRandom,  // getrandom
    kThread,  // the start of one
  };
  enum class How {
    kOnce,        // with `error`
    kFromThenOn,  // with `error`
    kShort,       // once; it reads or writes half, which is no error
    kTorn,        // it writes half, and the next one fails with `error`
  };

  Call call;
  int error = 0;
  How how = How::kOnce;
  size_t skip = 0;  // so many calls of this kind go well before
  bool of_hints = false;
};

// From now on, in place of any other.
void Inject(const Fault& fault);
void SuspendFaults(bool suspended);  // no call counts meanwhile
// No more faults. True where there has been one.
bool StopFaults();

// To be called after each event by the thread that caused it, but for events that it causes itself;
// several threads may be at it. Returns once nobody is in the one before, as StopWatching does.
void AfterEach(std::function<void(const Event&)> visit);

}  // namespace crash

#endif  // KEYSTONE_TESTS_CRASH_DISK_H_
