#include "base/thread.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

namespace keystone {

void BlockSignals() {
  sigset_t all;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, nullptr);
}

void BecomeBatchThread() {
#ifdef SCHED_BATCH
  const sched_param parameters{};
  (void)pthread_setschedparam(pthread_self(), SCHED_BATCH, &parameters);
#endif
}

}  // namespace keystone
