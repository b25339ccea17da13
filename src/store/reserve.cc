#include "store/reserve.h"

#include <fcntl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>

#include "base/file.h"

namespace keystone {

namespace {

constexpr unsigned long long kPrintableSize = Reserve::kSizeBytes;

// Of the disk, or of what one file may have: it may pass.
bool IsForWantOfRoom(const Status& status) {
  return status.code() == Code::kNoSpace || status.code() == Code::kFileLimit;
}

// All of it, not a hole.
Status Allocate(int fd, const std::string& path) {
  int error = EINTR;
  while (error == EINTR) {
    error = ::posix_fallocate(fd, 0, static_cast<off_t>(Reserve::kSizeBytes));
  }
  return error == 0 ? Status::Ok() : Status::FromErrno("allocate", path, error);
}

}  // namespace

Reserve::Reserve(const std::string& directory, const Log* log)
    : directory_(directory), path_(directory + "/" + kReserveName), log_(log) {}

void Reserve::Open() {
  const std::lock_guard lock(mutex_);
  bool existed = false;
  const Status status = Take(&existed);
  if (status.ok()) {
    state_ = State::kHeld;
    return;
  }
  const bool full = IsForWantOfRoom(status);
  if (full && existed) {
    state_ = State::kReleased;
    log_->Write(Priority::kError, "%s: the disk is full: SET is refused until there is room",
                status.message().c_str());
    return;
  }
  state_ = full ? State::kMissing : State::kUnable;
  log_->Write(Priority::kWarning,
              "%s: no room is kept for a full disk: then there will be none to delete or compact",
              status.message().c_str());
}

// A file that is none is not left behind, unless it was there before: that one tells something.
Status Reserve::Take(bool* existed) const {
  *existed = ::access(path_.c_str(), F_OK) == 0;
  auto fd = OpenFile(path_, O_RDWR | O_CREAT);
  if (!fd.ok()) return fd.status();
  Status status = Allocate(fd.value().get(), path_);
  if (status.ok()) return status;
  if (*existed && IsForWantOfRoom(status)) {
    (void)Truncate(fd.value().get(), 0, path_);
  } else {
    (void)::unlink(path_.c_str());
  }
  return status;
}

bool Reserve::Release(const Status& why) {
  const std::lock_guard lock(mutex_);
  if (state_ != State::kHeld) return false;
  if (::truncate(path_.c_str(), 0) < 0) {
    log_->Write(Priority::kError, "%s",
                Status::FromErrno("truncate", path_, errno).message().c_str());
    state_ = State::kMissing;  // a person took it, perhaps
    return false;
  }
  state_ = State::kReleased;
  log_->Write(
      Priority::kError,
      "%s: deletes and compactions go on in the %llu bytes that %s has kept; SET is refused "
      "until there is room for them again",
      why.message().c_str(), kPrintableSize, path_.c_str());
  return true;
}

void Reserve::Retake(uint64_t others_bytes) {
  const std::lock_guard lock(mutex_);
  if (wanted() && HasRoom(others_bytes)) TakeAgain();
}

void Reserve::RetakeNow() {
  const std::lock_guard lock(mutex_);
  if (wanted()) TakeAgain();
}

void Reserve::TakeAgain() {
  bool existed = false;
  if (!Take(&existed).ok()) return;
  state_ = State::kHeld;
  log_->Write(Priority::kNotice, "%s: there is room again: %llu bytes are kept", path_.c_str(),
              kPrintableSize);
}

// Asked first, because a try would take all there is for a moment. An eighth more, so that it does
// not come and go with every write.
bool Reserve::HasRoom(uint64_t others_bytes) const {
  return FreeBytes() >= kSizeBytes + kSizeBytes / 8 + others_bytes;
}

uint64_t Reserve::FreeBytes() const {
  struct statvfs info {};
  if (::statvfs(directory_.c_str(), &info) < 0) return 0;
  const uint64_t blocks = ::geteuid() == 0 ? info.f_bfree : info.f_bavail;
  return blocks * info.f_frsize;
}

}  // namespace keystone
