// Signals as bytes in a pipe, so that a loop can wait for them: the self-pipe trick.
//
// HUP, TERM, INT and USR1 are caught, each byte is a signal's number; PIPE and XFSZ are ignored,
// since EPIPE and EFBIG are handled where they occur. A handler writes one byte and keeps errno.
// When the pipe is full, further signals are lost: the ones in it are not yet acted upon.
#ifndef KEYSTONE_DAEMON_SIGNAL_PIPE_H_
#define KEYSTONE_DAEMON_SIGNAL_PIPE_H_

#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/status.h"

namespace keystone {

class SignalPipe {
 public:
  // Installs the handlers. One object at a time in a process, outliving all threads but main's.
  static Result<SignalPipe> Create();

  SignalPipe(SignalPipe&&) = default;
  SignalPipe& operator=(SignalPipe&&) = delete;
  ~SignalPipe();

  int read_fd() const { return read_end_.get(); }  // non-blocking

  // Takes all that has come so far, oldest first; never waits.
  std::vector<int> Drain();

  // Puts a signal back for a later reader.
  void Put(int signal);

 private:
  SignalPipe(Fd read_end, Fd write_end)
      : read_end_(std::move(read_end)), write_end_(std::move(write_end)) {}

  Fd read_end_;
  Fd write_end_;
};

}  // namespace keystone

#endif  // KEYSTONE_DAEMON_SIGNAL_PIPE_H_
