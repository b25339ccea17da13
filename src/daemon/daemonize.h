// Leaves the terminal: fork, setsid, fork, and a verdict for whoever started the daemon.
//
// The process that was started waits until the daemon serves or has failed, and exits with the
// daemon's own verdict. All of this happens before any thread exists.
#ifndef KEYSTONE_DAEMON_DAEMONIZE_H_
#define KEYSTONE_DAEMON_DAEMONIZE_H_

#include <optional>
#include <utility>

#include "base/fd.h"
#include "base/status.h"

namespace keystone {

// Opens /dev/null on each of the descriptors 0 to 2 that is closed, so that no file or socket can
// get one of these numbers and receive what is meant for the terminal. To be called before
// anything else opens a descriptor.
Status SecureStandardFds();

// The daemon's one answer to the process that waits for it. Going without one is an answer too:
// the daemon has died.
class Verdict {
 public:
  // Nobody waits: --foreground, where the log goes to the same stderr.
  Verdict() = default;
  // Takes the pipe's write end, and /dev/null.
  Verdict(Fd pipe, Fd null) : pipe_(std::move(pipe)), null_(std::move(null)) {}

  // The daemon serves. Lets go of the terminal: descriptors 0 to 2 become /dev/null.
  void Ready();
  // It does not, and this is why.
  void Failed(const Status& status);

 private:
  Fd pipe_;
  Fd null_;
};

struct Detached {
  // Set in the processes that end now: what they exit with.
  std::optional<int> exit_code;
  // In the daemon, which goes on.
  Verdict verdict;
};

// Returns in the daemon, and in the two processes left behind; in the first one only once the
// verdict is in and its message, if any, is on stderr. An error is the first process's own.
//
// Closes all descriptors but 0 to 2: a lock or a pipe of whoever started the daemon must not be
// held for its whole life. So it has to come before anything is opened that is to stay.
Result<Detached> Detach();

// The same surroundings wherever the daemon was started: directory /, umask 027, an allocator that
// gives large blocks back. To be called before any thread exists.
Status SettleProcess();

}  // namespace keystone

#endif  // KEYSTONE_DAEMON_DAEMONIZE_H_
