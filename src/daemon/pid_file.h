// The daemon's PID file, and the lock on it that keeps a second daemon out.
//
// A file that nobody locks is stale, whatever number it holds: it is taken over, and no signal is
// ever sent to find out. The lock is held until the object goes. Belongs to one thread.
#ifndef KEYSTONE_DAEMON_PID_FILE_H_
#define KEYSTONE_DAEMON_PID_FILE_H_

#include <string>
#include <utility>

#include "base/fd.h"
#include "base/status.h"

namespace keystone {

class PidFile {
 public:
  // No file at all.
  PidFile() = default;

  // Makes or takes over the file, locks it and writes this process's id. `path` is absolute. To be
  // called after the last fork. kRunning: another process has the lock; the message names the file
  // and the id in it. kCantCreate: its directory is missing.
  static Result<PidFile> Create(const std::string& path);

  PidFile(PidFile&& other) noexcept : fd_(std::move(other.fd_)), path_(std::move(other.path_)) {}
  PidFile& operator=(PidFile&&) = delete;
  ~PidFile() { Remove(); }

  // Removes the file, unless it is another's by now, and lets go of the lock. Where the directory
  // does not let this user remove it, the file is emptied.
  void Remove();

 private:
  PidFile(Fd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}

  Fd fd_;
  std::string path_;
};

}  // namespace keystone

#endif  // KEYSTONE_DAEMON_PID_FILE_H_
