// Numbered tasks on several threads.
//
// Thread-safe: no state.
#ifndef KEYSTONE_STORE_WORKERS_H_
#define KEYSTONE_STORE_WORKERS_H_

#include <cstddef>
#include <functional>

#include "base/status.h"

namespace keystone {

// How many threads a recovery or a compaction behind the closed gate uses: as many as there are
// processors, but not more than four, which a disk can hardly keep busy.
size_t WorkerCount();

// Runs task(worker, 0) ... task(worker, count - 1) on this thread, which is worker 0, and on up to
// `workers` - 1 others, fewer where there is no room for threads. Tasks begin in their order. Those
// behind one that has failed may be left out, so the result, the error of the first task that
// failed, does not depend on timing. Calls `idle` often while this thread waits for the others.
Status RunTasks(size_t count, size_t workers, const std::function<Status(size_t, size_t)>& task,
                const std::function<void()>& idle);

}  // namespace keystone

#endif  // KEYSTONE_STORE_WORKERS_H_
