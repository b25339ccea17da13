#include "store/directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <new>
#include <utility>

#include "base/file.h"
#include "store/hint.h"

namespace keystone {

namespace {

constexpr char kLockName[] = "LOCK";

Status MakeIfMissing(const std::string& path) {
  if (::mkdir(path.c_str(), 0700) == 0 || errno == EEXIST) return Status::Ok();
  return Status::FromErrno("create data directory", path, errno).As(Code::kCantCreate);
}

// A directory that others can write to could be changed under the daemon's feet. It is refused,
// not mended: the administrator should know.
Status CheckTrust(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) < 0) return Status::FromErrno("stat", path, errno);
  const std::string where = "data directory " + path + ": ";
  if (!S_ISDIR(info.st_mode)) return {Code::kCantCreate, where + "not a directory"};
  if (info.st_uid != ::geteuid()) {
    return {Code::kPermission, where + "belongs to user id " + std::to_string(info.st_uid) +
                                   ", not to " + std::to_string(::geteuid()) +
                                   " who runs this; chown it, or start as its owner"};
  }
  if ((info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return {Code::kPermission, where + "others may write to it; chmod 700 it"};
  }
  return Status::Ok();
}

uint64_t NowMs() {
  using std::chrono::system_clock;
  const auto now = system_clock::now().time_since_epoch();
  return static_cast<uint64_t>(std::chrono::duration_cast<std::chrono::milliseconds>(now).count());
}

}  // namespace

Result<std::unique_ptr<Directory>> Directory::OpenOrCreate(const std::string& path) {
  if (Status status = MakeIfMissing(path); !status.ok()) return status;
  if (Status status = CheckTrust(path); !status.ok()) return status;
  return Lock(path, O_RDWR | O_CREAT);
}

Result<std::unique_ptr<Directory>> Directory::OpenExisting(const std::string& path) {
  return Lock(path, O_RDONLY);
}

Result<std::unique_ptr<Directory>> Directory::Lock(const std::string& path, int open_flags) {
  auto self = OpenDirectory(path);
  if (!self.ok()) return self.status();
  auto fd = OpenFile(path + "/" + kLockName, open_flags);
  if (!fd.ok()) return fd.status();
  if (::flock(fd.value().get(), LOCK_EX | LOCK_NB) < 0) {
    if (errno != EWOULDBLOCK) return Status::FromErrno("lock", path + "/" + kLockName, errno);
    return Status(Code::kRunning, "data directory " + path + ": another process holds it");
  }
  return std::unique_ptr<Directory>(
      new Directory(path, std::move(self.value()), std::move(fd.value())));
}

Result<Directory::Files> Directory::ListFiles() const {
  auto names = ListDirectory(path_);
  if (!names.ok()) return names.status();
  Files files;
  for (const std::string& name : names.value()) {
    if (name.ends_with(".tmp")) files.temporary.push_back(name);
    if (const auto number = SegmentNumber(name)) files.segments.push_back(*number);
    if (const auto number = HintNumber(name)) files.hints.push_back(*number);
  }
  return files;
}

Status Directory::Load() {
  auto manifest = LoadManifest(path_);
  if (!manifest.ok()) return manifest.status();
  manifest_ = std::move(manifest.value());
  SkipNumbersTo(*std::max_element(manifest_.segments.begin(), manifest_.segments.end()));
  return Status::Ok();
}

Result<Manifest> NewManifest() {
  unsigned char random[sizeof(StoreId) + sizeof(uint64_t)];
  if (::getrandom(random, sizeof random, 0) != static_cast<ssize_t>(sizeof random)) {
    return Status::FromErrno("read", "random bytes", errno).As(Code::kSystem);
  }
  Manifest manifest;
  std::copy_n(random, manifest.store_id.size(), manifest.store_id.begin());
  for (size_t i = sizeof(StoreId); i < sizeof random; i++) {
    manifest.seed = manifest.seed << 8 | random[i];
  }
  return manifest;
}

Status Directory::StartNew() {
  auto manifest = NewManifest();
  if (manifest.ok()) manifest_ = std::move(manifest.value());
  return manifest.status();
}

Status Directory::Commit(std::vector<uint64_t> segments) {
  const std::lock_guard lock(mutex_);
  return CommitLocked(std::move(segments));
}

Status Directory::CommitAppended(uint64_t number) {
  const std::lock_guard lock(mutex_);
  std::vector<uint64_t> segments = manifest_.segments;
  segments.push_back(number);
  return CommitLocked(std::move(segments));
}

Status Directory::CommitReplaced(const std::vector<uint64_t>& old,
                                 const std::vector<uint64_t>& now) {
  const std::lock_guard lock(mutex_);
  std::vector<uint64_t> segments = now;
  segments.insert(segments.end(), manifest_.segments.begin() + static_cast<ptrdiff_t>(old.size()),
                  manifest_.segments.end());
  return CommitLocked(std::move(segments));
}

Status Directory::CommitLocked(std::vector<uint64_t> segments) {
  bool renamed = false;
  try {
    Manifest next = manifest_;
    next.segments = std::move(segments);
    Status status = ReplaceFile(path_, kManifestName, EncodeManifest(next), &renamed);
    if (status.ok()) manifest_.segments = std::move(next.segments);
    return !status.ok() && renamed ? status.As(Code::kReadOnly) : status;
  } catch (const std::bad_alloc&) {
    return Status::OutOfMemory(renamed ? Code::kReadOnly : Code::kSystem);
  }
}

Result<std::shared_ptr<Segment>> Directory::CreateSegment(uint64_t first_sequence,
                                                          uint64_t capacity_bytes) {
  SegmentHeader header;
  header.number = ++last_number_;
  header.store_id = manifest_.store_id;
  header.first_sequence = first_sequence;
  header.created_ms = NowMs();
  auto segment = Segment::Create(path_, header, capacity_bytes);
  // A number that was not used is the next one's, unless somebody else has taken one meanwhile.
  uint64_t number = header.number;
  if (!segment.ok()) last_number_.compare_exchange_strong(number, header.number - 1);
  return segment;
}

void Directory::SkipNumbersTo(uint64_t highest) {
  last_number_ = std::max(last_number_.load(), highest);
}

Status Directory::Sync() const { return SyncFile(self_.get(), path_); }

Status Directory::SyncName() const {
  const std::string parent = path_ + "/..";
  auto fd = OpenDirectory(parent);
  if (fd.status().code() == Code::kPermission) return Status::Ok();
  return fd.ok() ? SyncFile(fd.value().get(), parent) : fd.status();
}

}  // namespace keystone
