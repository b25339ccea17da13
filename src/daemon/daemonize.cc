#include "daemon/daemonize.h"

#include <fcntl.h>
#include <malloc.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>

#include "base/file.h"
#include "config.h"

namespace keystone {

namespace {

constexpr char kNull[] = "/dev/null";
constexpr int kLargeBlockBytes = 256 * 1024;

// A verdict is one byte, the exit code, and the message behind it, until the end of the pipe.
void Send(int pipe, int exit_code, const std::string& message) {
  // Whoever waited may be gone; the daemon goes its way all the same.
  (void)WriteAll(pipe, static_cast<char>(exit_code) + message, "verdict pipe");
}

std::string ReadAll(int pipe) {
  std::string bytes;
  char chunk[512];
  for (;;) {
    const ssize_t n = ::read(pipe, chunk, sizeof chunk);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return bytes;
    bytes.append(chunk, static_cast<size_t>(n));
  }
}

int AwaitVerdict(int pipe) {
  std::string verdict = ReadAll(pipe);
  if (verdict.empty()) {
    verdict = static_cast<char>(ExitCode(Code::kSystem));
    verdict += "the daemon died before it served; the system log may say why";
  }
  const int exit_code = static_cast<unsigned char>(verdict.front());
  if (exit_code != 0) {
    (void)WriteAll(STDERR_FILENO, "keystoned: " + verdict.substr(1) + "\n", "stderr");
  }
  return exit_code;
}

void CloseAllButStandardFds() {
#ifdef HAVE_CLOSEFROM
  ::closefrom(STDERR_FILENO + 1);
#else
  const auto names = ListDirectory("/proc/self/fd");
  if (!names.ok()) return;
  for (const std::string& name : names.value()) {
    if (const int fd = std::atoi(name.c_str()); fd > STDERR_FILENO) ::close(fd);
  }
#endif
}

Status ForkFailed() { return Status::FromErrno("fork", "daemon", errno).As(Code::kSystem); }

// In the first process's child. A session of its own has no terminal, and its leader's child can
// never get one again.
Result<Detached> DetachChild(Verdict verdict) {
  pid_t child = ::setsid();
  if (child >= 0) child = ::fork();
  if (child < 0) {
    const Status status = ForkFailed();
    verdict.Failed(status);
    return Detached{ExitCode(status.code()), {}};
  }
  if (child > 0) return Detached{0, {}};
  return Detached{std::nullopt, std::move(verdict)};
}

}  // namespace

Status SecureStandardFds() {
  for (;;) {
    // The lowest free number: 0 to 2 as long as one of them is closed.
    const int fd = ::open(kNull, O_RDWR);
    if (fd < 0) return Status::FromErrno("open", kNull, errno);
    if (fd > STDERR_FILENO) {
      ::close(fd);
      return Status::Ok();
    }
  }
}

void Verdict::Ready() {
  if (!pipe_.valid()) return;
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) ::dup2(null_.get(), fd);
  null_.reset();
  Send(pipe_.get(), 0, {});
  pipe_.reset();
}

void Verdict::Failed(const Status& status) {
  if (!pipe_.valid()) return;
  Send(pipe_.get(), ExitCode(status.code()), status.message());
  pipe_.reset();
}

Result<Detached> Detach() {
  CloseAllButStandardFds();
  auto null = OpenFile(kNull, O_RDWR);
  if (!null.ok()) return null.status();
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) < 0) return Status::FromErrno("pipe", "for the verdict", errno);
  Fd read_end(ends[0]);
  Fd write_end(ends[1]);

  const pid_t child = ::fork();
  if (child < 0) return ForkFailed();
  if (child == 0) {
    read_end.reset();
    return DetachChild(Verdict(std::move(write_end), std::move(null.value())));
  }
  write_end.reset();
  return Detached{AwaitVerdict(read_end.get()), {}};
}

Status SettleProcess() {
#ifdef M_MMAP_THRESHOLD
  // glibc raises this threshold to the largest block ever freed, and keeps blocks below it: one
  // large value would cost its size for good.
  (void)::mallopt(M_MMAP_THRESHOLD, kLargeBlockBytes);
#endif
  ::umask(027);
  if (::chdir("/") < 0) return Status::FromErrno("chdir", "/", errno);
  return Status::Ok();
}

}  // namespace keystone
