#include "daemon/signal_pipe.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace keystone {

namespace {

constexpr int kCaught[] = {SIGHUP, SIGTERM, SIGINT, SIGUSR1};
constexpr int kIgnored[] = {SIGPIPE, SIGXFSZ};

// The one thing that a handler can reach.
std::atomic<int> handler_fd{-1};
static_assert(std::atomic<int>::is_always_lock_free);

void WriteSignal(int fd, int signal) {
  const auto byte = static_cast<unsigned char>(signal);
  // A full pipe is woken already.
  const ssize_t ignored = ::write(fd, &byte, 1);
  (void)ignored;
}

extern "C" void OnSignal(int signal) {
  const int saved = errno;
  WriteSignal(handler_fd.load(), signal);
  errno = saved;
}

Status Install(int signal, void (*handler)(int)) {
  struct sigaction action {};
  action.sa_handler = handler;
  action.sa_flags = SA_RESTART;
  sigfillset(&action.sa_mask);
  if (::sigaction(signal, &action, nullptr) < 0) {
    return Status::FromErrno("sigaction", std::to_string(signal), errno);
  }
  return Status::Ok();
}

// The caller may have started us with some of them blocked.
void UnblockCaught() {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : kCaught) sigaddset(&set, signal);
  ::pthread_sigmask(SIG_UNBLOCK, &set, nullptr);
}

}  // namespace

Result<SignalPipe> SignalPipe::Create() {
  int ends[2];
  if (::pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0) {
    return Status::FromErrno("pipe", "for signals", errno);
  }
  SignalPipe pipe{Fd(ends[0]), Fd(ends[1])};
  handler_fd = ends[1];
  for (const int signal : kCaught) {
    if (Status status = Install(signal, OnSignal); !status.ok()) return status;
  }
  for (const int signal : kIgnored) {
    if (Status status = Install(signal, SIG_IGN); !status.ok()) return status;
  }
  UnblockCaught();
  return pipe;
}

SignalPipe::~SignalPipe() {
  // The handlers stay, but find no pipe: a late signal is ignored.
  if (write_end_.valid()) handler_fd = -1;
}

std::vector<int> SignalPipe::Drain() {
  std::vector<int> signals;
  unsigned char bytes[64];
  for (;;) {
    const ssize_t n = ::read(read_fd(), bytes, sizeof bytes);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return signals;
    signals.insert(signals.end(), bytes, bytes + n);
  }
}

void SignalPipe::Put(int signal) { WriteSignal(write_end_.get(), signal); }

}  // namespace keystone
