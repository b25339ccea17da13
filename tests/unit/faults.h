// Makes system calls fail, by replacing them when a test program is linked (-Wl,--wrap): production
// code has no hooks. Thread-safe.
//
// Calls on hints (*.hint.tmp), which a thread in the background makes whenever it likes, are
// neither counted nor failed but by FailForHints.
#ifndef KEYSTONE_TESTS_UNIT_FAULTS_H_
#define KEYSTONE_TESTS_UNIT_FAULTS_H_

#include <cstddef>
#include <cstdint>

namespace faults {

enum class Call { kFdatasync, kFsync, kPwritev, kRename, kFtruncate, kFallocate, kCount };

// The call after `skip` further ones fails with `error`, and all after it until Clear().
void Fail(Call call, int error, size_t skip = 0);

// As Fail, but only once.
void FailOnce(Call call, int error, size_t skip = 0);

// As Fail, for calls on hints; they go on failing until Clear().
void FailForHints(Call call, int error, size_t skip = 0);

// The next pwritev writes half of what it was given, the one after it fails with `error`.
void TearNextWrite(int error);

// The next fdatasync waits until LetSyncGo, and fails with `error` then; 0: it is like any other.
void HoldNextSync(int error);
bool SyncIsHeld();
void LetSyncGo();  // and holds no other

// What statvfs says is free, until Clear().
void SetFreeBytes(uint64_t bytes);

// The system's time of day is so much later, or earlier, until Clear(). See base/clock.h for what
// follows that.
void ShiftClock(int64_t ms);

// Calls since the last Clear, failed ones included.
size_t Count(Call call);

// No more faults; the counts start from 0.
void Clear();

}  // namespace faults

#endif  // KEYSTONE_TESTS_UNIT_FAULTS_H_
