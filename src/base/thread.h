// What a thread sets for itself, at its start.
//
// Thread-safe: each call concerns the calling thread only.
#ifndef KEYSTONE_BASE_THREAD_H_
#define KEYSTONE_BASE_THREAD_H_

namespace keystone {

// Signals are the main thread's.
void BlockSignals();

// Being woken shall not interrupt who runs (SCHED_BATCH, where there is such a thing): for threads
// that many wake, and of which there may be more than processors.
void BecomeBatchThread();

}  // namespace keystone

#endif  // KEYSTONE_BASE_THREAD_H_
