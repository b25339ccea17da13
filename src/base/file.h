// Files and directories, where EINTR, short reads and writes and directory syncs end.
//
// Thread-safe: no state. Every error names the operation, the path given and the reason. All
// descriptors are close-on-exec.
#ifndef KEYSTONE_BASE_FILE_H_
#define KEYSTONE_BASE_FILE_H_

#include <sys/types.h>
#include <sys/uio.h>

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/status.h"

namespace keystone {

Result<Fd> OpenFile(const std::string& path, int flags, mode_t mode = 0600);

// Writes all of `pieces` at `offset` with as few calls as the kernel takes; modifies `pieces`. On
// an error any part may have been written: the caller cuts it off.
Status WriteAt(int fd, std::span<iovec> pieces, uint64_t offset, std::string_view path);

// Writes all of `bytes` at the descriptor's own position.
Status WriteAll(int fd, std::string_view bytes, std::string_view path);

// Reads `size_bytes` from `offset` on; a file that ends before is an error (kCorrupt).
Status ReadAt(int fd, char* buffer, size_t size_bytes, uint64_t offset, std::string_view path);

Status SyncData(int fd, std::string_view path);     // fdatasync
Status SyncFile(int fd, std::string_view path);     // fsync
Result<Fd> OpenDirectory(const std::string& path);  // for SyncFile

// Has the kernel begin to write what was written there, where it can be asked to; waits for
// nothing.
void StartWriteback(int fd, uint64_t offset, uint64_t size_bytes);

Status Truncate(int fd, uint64_t size_bytes, std::string_view path);
Status Rename(const std::string& from, const std::string& to);
Status RemoveFile(const std::string& path);  // an absent file is an error
Result<uint64_t> FileSize(int fd, std::string_view path);

// The whole of a file that should be small; one over `limit_bytes` is an error.
Result<std::string> ReadSmallFile(const std::string& path, uint64_t limit_bytes);

// Puts `content` in place of directory/name so that a crash leaves the old file or the new one,
// and returns once the new one is on stable storage: name.tmp, fsync, rename, directory sync. Where
// that fails, `renamed` says whether the new file may be in place already.
Status ReplaceFile(const std::string& directory, const std::string& name, std::string_view content,
                   bool* renamed);

// Names in a directory, sorted, without "." and "..".
Result<std::vector<std::string>> ListDirectory(const std::string& path);

}  // namespace keystone

#endif  // KEYSTONE_BASE_FILE_H_
