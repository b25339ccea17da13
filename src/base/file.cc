#include "base/file.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <memory>

namespace keystone {

namespace {

// Repeats a system call for as long as a signal interrupts it.
template <class Call>
auto Uninterrupted(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

// Drops the first `done` bytes from `pieces`.
std::span<iovec> Advance(std::span<iovec> pieces, size_t done) {
  while (!pieces.empty() && done >= pieces.front().iov_len) {
    done -= pieces.front().iov_len;
    pieces = pieces.subspan(1);
  }
  if (!pieces.empty()) {
    pieces.front().iov_base = static_cast<char*>(pieces.front().iov_base) + done;
    pieces.front().iov_len -= done;
  }
  return pieces;
}

}  // namespace

Result<Fd> OpenFile(const std::string& path, int flags, mode_t mode) {
  const int fd = Uninterrupted([&] { return ::open(path.c_str(), flags | O_CLOEXEC, mode); });
  if (fd < 0) return Status::FromErrno(flags & O_CREAT ? "create" : "open", path, errno);
  return Fd(fd);
}

namespace {

// pwrite where that does: to import a vector costs the kernel a tenth of a short write's time.
ssize_t WriteSome(int fd, std::span<const iovec> pieces, off_t offset) {
  if (pieces.size() == 1) return ::pwrite(fd, pieces[0].iov_base, pieces[0].iov_len, offset);
  const int count = static_cast<int>(std::min<size_t>(pieces.size(), IOV_MAX));
  return ::pwritev(fd, pieces.data(), count, offset);
}

}  // namespace

Status WriteAt(int fd, std::span<iovec> pieces, uint64_t offset, std::string_view path) {
  pieces = Advance(pieces, 0);
  while (!pieces.empty()) {
    const ssize_t n =
        Uninterrupted([&] { return WriteSome(fd, pieces, static_cast<off_t>(offset)); });
    if (n < 0) return Status::FromErrno("write", path, errno);
    if (n == 0) return Status::FromErrno("write", path, EIO);
    offset += static_cast<uint64_t>(n);
    pieces = Advance(pieces, static_cast<size_t>(n));
  }
  return Status::Ok();
}

Status WriteAll(int fd, std::string_view bytes, std::string_view path) {
  while (!bytes.empty()) {
    const ssize_t n = Uninterrupted([&] { return ::write(fd, bytes.data(), bytes.size()); });
    if (n < 0) return Status::FromErrno("write", path, errno);
    if (n == 0) return Status::FromErrno("write", path, EIO);
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return Status::Ok();
}

Status ReadAt(int fd, char* buffer, size_t size_bytes, uint64_t offset, std::string_view path) {
  while (size_bytes > 0) {
    const ssize_t n =
        Uninterrupted([&] { return ::pread(fd, buffer, size_bytes, static_cast<off_t>(offset)); });
    if (n < 0) return Status::FromErrno("read", path, errno);
    if (n == 0) return {Code::kCorrupt, "read " + std::string(path) + ": the file ends too early"};
    buffer += n;
    size_bytes -= static_cast<size_t>(n);
    offset += static_cast<uint64_t>(n);
  }
  return Status::Ok();
}

Status SyncData(int fd, std::string_view path) {
  if (Uninterrupted([&] { return ::fdatasync(fd); }) < 0) {
    return Status::FromErrno("fdatasync", path, errno);
  }
  return Status::Ok();
}

Status SyncFile(int fd, std::string_view path) {
  if (Uninterrupted([&] { return ::fsync(fd); }) < 0) {
    return Status::FromErrno("fsync", path, errno);
  }
  return Status::Ok();
}

Result<Fd> OpenDirectory(const std::string& path) { return OpenFile(path, O_RDONLY | O_DIRECTORY); }

void StartWriteback(int fd, uint64_t offset, uint64_t size_bytes) {
#ifdef SYNC_FILE_RANGE_WRITE
  (void)::sync_file_range(fd, static_cast<off64_t>(offset), static_cast<off64_t>(size_bytes),
                          SYNC_FILE_RANGE_WRITE);
#endif
}

Status Truncate(int fd, uint64_t size_bytes, std::string_view path) {
  if (Uninterrupted([&] { return ::ftruncate(fd, static_cast<off_t>(size_bytes)); }) < 0) {
    return Status::FromErrno("truncate", path, errno);
  }
  return Status::Ok();
}

Status Rename(const std::string& from, const std::string& to) {
  if (::rename(from.c_str(), to.c_str()) < 0) return Status::FromErrno("rename to", to, errno);
  return Status::Ok();
}

Status RemoveFile(const std::string& path) {
  if (::unlink(path.c_str()) < 0) return Status::FromErrno("remove", path, errno);
  return Status::Ok();
}

Result<uint64_t> FileSize(int fd, std::string_view path) {
  struct stat info {};
  if (::fstat(fd, &info) < 0) return Status::FromErrno("stat", path, errno);
  return static_cast<uint64_t>(info.st_size);
}

Result<std::string> ReadSmallFile(const std::string& path, uint64_t limit_bytes) {
  auto fd = OpenFile(path, O_RDONLY);
  if (!fd.ok()) return fd.status();
  std::string content;
  char chunk[4096];
  for (;;) {
    const ssize_t n = Uninterrupted([&] { return ::read(fd.value().get(), chunk, sizeof chunk); });
    if (n < 0) return Status::FromErrno("read", path, errno);
    if (n == 0) return content;
    content.append(chunk, static_cast<size_t>(n));
    if (content.size() > limit_bytes) {
      return Status(Code::kInvalid,
                    "read " + path + ": larger than " + std::to_string(limit_bytes) + " bytes");
    }
  }
}

Status ReplaceFile(const std::string& directory, const std::string& name, std::string_view content,
                   bool* renamed) {
  *renamed = false;
  // Opened first: to be out of descriptors between the rename and the sync would leave doubt.
  auto parent = OpenDirectory(directory);
  if (!parent.ok()) return parent.status();
  const std::string path = directory + "/" + name;
  const std::string temporary = path + ".tmp";
  auto fd = OpenFile(temporary, O_WRONLY | O_CREAT | O_TRUNC);
  if (!fd.ok()) return fd.status();
  Status status = WriteAll(fd.value().get(), content, temporary);
  if (status.ok()) status = SyncFile(fd.value().get(), temporary);
  if (status.ok()) status = Rename(temporary, path);
  if (!status.ok()) {
    (void)::unlink(temporary.c_str());
    return status;
  }
  *renamed = true;
  return SyncFile(parent.value().get(), directory);
}

Result<std::vector<std::string>> ListDirectory(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> directory(::opendir(path.c_str()), ::closedir);
  if (!directory) return Status::FromErrno("open", path, errno);
  std::vector<std::string> names;
  errno = 0;
  while (const dirent* entry = ::readdir(directory.get())) {
    const std::string name = entry->d_name;
    if (name != "." && name != "..") names.push_back(name);
    errno = 0;
  }
  if (errno != 0) return Status::FromErrno("read directory", path, errno);
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace keystone
