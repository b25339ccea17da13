#include "base/thread.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>

namespace keystone {

void BlockSignals() {
  sigset_t others;
  sigfillset(&others);
  sigdelset(&others, SIGBUS);
  ::pthread_sigmask(SIG_SETMASK, &others, nullptr);
}

void BecomeBatchThread() {
#ifdef SCHED_BATCH
  const sched_param parameters{};
  (void)::pthread_setschedparam(::pthread_self(), SCHED_BATCH, &parameters);
#endif
}

}  // namespace keystone
