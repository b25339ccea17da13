#include "daemon/pid_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "base/file.h"

namespace keystone {

namespace {

std::string Object(const std::string& path) { return "PID file " + path; }

bool HasDirectory(const std::string& path) {
  const std::string directory = path.substr(0, path.rfind('/') + 1);
  return ::access(directory.c_str(), F_OK) == 0;
}

// No O_TRUNC: the number in it is its holder's until we have the lock. No symbolic or hard link:
// root must not be led to write to another file by the user who owns the directory.
Result<Fd> Open(const std::string& path) {
  auto file = OpenFile(path, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0644);
  if (!file.ok()) {
    const bool cant_create = file.status().code() == Code::kIo || !HasDirectory(path);
    return cant_create ? file.status().As(Code::kCantCreate) : file.status();
  }
  struct stat info {};
  if (::fstat(file.value().get(), &info) < 0) return Status::FromErrno("stat", path, errno);
  if (!S_ISREG(info.st_mode) || info.st_nlink > 1) {
    return Status(Code::kCantCreate, Object(path) + ": not a plain file");
  }
  return file;
}

Status Locked(int fd, const std::string& path) {
  char text[16];
  const ssize_t size = ::pread(fd, text, sizeof text, 0);
  const std::string_view content(text, size > 0 ? static_cast<size_t>(size) : 0);
  const auto digits = content.substr(0, content.find_first_not_of("0123456789"));
  const std::string holder = digits.empty() ? "another process" : "process " + std::string(digits);
  return {Code::kRunning, Object(path) + ": already running, locked by " + holder};
}

// Whether `path` still names the open file: its last holder may have removed it meanwhile.
bool Names(const std::string& path, int fd) {
  struct stat named {};
  struct stat opened {};
  return ::lstat(path.c_str(), &named) == 0 && ::fstat(fd, &opened) == 0 &&
         named.st_dev == opened.st_dev && named.st_ino == opened.st_ino;
}

Status WritePid(int fd, const std::string& path) {
  Status status = Truncate(fd, 0, path);
  if (status.ok()) status = WriteAll(fd, std::to_string(::getpid()) + "\n", path);
  return status;
}

}  // namespace

Result<PidFile> PidFile::Create(const std::string& path) {
  for (;;) {
    auto file = Open(path);
    if (!file.ok()) return file.status();
    const int fd = file.value().get();
    if (::flock(fd, LOCK_EX | LOCK_NB) < 0) {
      if (errno == EWOULDBLOCK) return Locked(fd, path);
      return Status::FromErrno("lock", path, errno);
    }
    if (!Names(path, fd)) continue;
    PidFile pid_file(std::move(file.value()), path);
    const Status status = WritePid(fd, path);
    if (!status.ok()) return status;
    return pid_file;
  }
}

void PidFile::Remove() {
  if (!fd_.valid()) return;
  if (Names(path_, fd_.get()) && ::unlink(path_.c_str()) < 0) {
    // The lock goes all the same, so a number left behind would do no harm either.
    (void)Truncate(fd_.get(), 0, path_);
  }
  fd_.reset();
}

}  // namespace keystone
