#include "base/thread.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

#include <utility>

namespace keystone {

void BlockSignals() {
  sigset_t others;
  sigfillset(&others);
  sigdelset(&others, SIGBUS);
  ::pthread_sigmask(SIG_SETMASK, &others, nullptr);
}

void SetBatchThread(bool batch) {
#ifdef SCHED_BATCH
  thread_local bool is_batch = false;
  if (batch == std::exchange(is_batch, batch)) return;
  const sched_param parameters{};
  const int policy = batch ? SCHED_BATCH : SCHED_OTHER;
  (void)::pthread_setschedparam(::pthread_self(), policy, &parameters);
#endif
}

}  // namespace keystone
