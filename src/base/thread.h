// What a thread sets for itself, at its start.
//
// Thread-safe: each call concerns the calling thread only.
#ifndef KEYSTONE_BASE_THREAD_H_
#define KEYSTONE_BASE_THREAD_H_

namespace keystone {

// Leaves signals to the main thread, but SIGBUS: blocked, it would end the process (BusGuard).
void BlockSignals();

// For threads that many wake, and of which there may be more than processors. `batch`: being woken
// shall not interrupt who runs (SCHED_BATCH, where there is such a thing), so that more is done;
// else it may, so that nobody waits for long. Costs next to nothing where it is so already.
void SetBatchThread(bool batch);

}  // namespace keystone

#endif  // KEYSTONE_BASE_THREAD_H_
