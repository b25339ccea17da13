#include "store/segment_watch.h"

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "base/file.h"
#include "store/scanner.h"

namespace keystone {

namespace {

constexpr uint64_t kLastBytes = 64;

SegmentWatch::Verdict Gone(const std::string& what) {
  return {{Code::kIo, what}, "compact: what is in it is there for as long as the daemon runs"};
}

SegmentWatch::Verdict Cut(const std::string& what) {
  return {{Code::kIo, what}, "stop the daemon, run keystone-log check, and look for a backup"};
}

// File systems may keep zeros as holes: then there are good records around them.
bool HasOwnHole(const Segment& segment, int fd, uint64_t from, uint64_t to) {
#ifdef SEEK_HOLE
  const off_t hole = ::lseek(fd, static_cast<off_t>(from), SEEK_HOLE);
  if (hole < 0 || static_cast<uint64_t>(hole) >= to) return false;
  const ScanEnd end =
      ScanGroupsFrom(from, segment.bytes().substr(0, to), segment.header().first_sequence, true,
                     [](std::span<const PlacedRecord>) { return true; });
  return end.kind != ScanEnd::Kind::kEnd;
#else
  return false;
#endif
}

}  // namespace

SegmentWatch::Verdict SegmentWatch::Look(const Segment& segment, int fd, uint64_t appended_bytes) {
  const std::string& path = segment.path();
  struct stat opened {};
  struct stat named {};
  if (::fstat(fd, &opened) < 0) return Gone(Status::FromErrno("stat", path, errno).message());
  if (opened.st_nlink == 0) return Gone(path + " was removed by another program");
  if (::stat(path.c_str(), &named) < 0) {
    return Gone(Status::FromErrno("stat", path, errno).message());
  }
  if (named.st_ino != opened.st_ino || named.st_dev != opened.st_dev) {
    return Gone(path + " was replaced by another program");
  }
  const auto size = static_cast<uint64_t>(opened.st_size);
  if (size < appended_bytes) {
    return Cut(path + " was cut to " + std::to_string(size) + " bytes by another program, " +
               std::to_string(appended_bytes - size) + " are lost");
  }
  if (Status status = CheckContent(segment, fd, appended_bytes); !status.ok()) {
    return Cut(status.message());
  }
  return {};
}

// Reads the file, not the mapping, where that may have been cut just now.
Status SegmentWatch::CheckContent(const Segment& segment, int fd, uint64_t appended_bytes) {
  const std::string& path = segment.path();
  if (number_ != segment.number()) {
    number_ = segment.number();
    appended_bytes_ = kSegmentHeaderSize;
    last_bytes_.clear();
  }
  std::string bytes(last_bytes_.size(), '\0');
  const uint64_t offset = appended_bytes_ - bytes.size();
  Status status = ReadAt(fd, bytes.data(), bytes.size(), offset, path);
  if (!status.ok()) return status;
  if (bytes != last_bytes_ || HasOwnHole(segment, fd, appended_bytes_, appended_bytes)) {
    return {Code::kIo, path + " was cut or changed by another program meanwhile"};
  }
  appended_bytes_ = appended_bytes;
  last_bytes_.assign(std::min(kLastBytes, appended_bytes), '\0');
  return ReadAt(fd, last_bytes_.data(), last_bytes_.size(), appended_bytes - last_bytes_.size(),
                path);
}

}  // namespace keystone
