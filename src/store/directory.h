// The data directory: its lock, its MANIFEST, its files.
//
// Load, StartNew and manifest() belong to one thread, before others come; the rest is thread-safe.
// The MANIFEST's mutex is held while it is replaced: those who rotate and those who compact take
// turns. The lock (flock on LOCK) is held for the object's life and vanishes with the process.
#ifndef KEYSTONE_STORE_DIRECTORY_H_
#define KEYSTONE_STORE_DIRECTORY_H_

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/status.h"
#include "store/manifest.h"
#include "store/segment.h"

namespace keystone {

// A manifest for a new store, with a random id and seed and no segment.
Result<Manifest> NewManifest();

class Directory {
 public:
  // What a directory's files are, by their names; sorted.
  struct Files {
    std::vector<uint64_t> segments;      // numbers
    std::vector<uint64_t> hints;         // numbers of their segments
    std::vector<std::string> temporary;  // *.tmp
  };

  // Makes the directory (0700) where it is missing, checks owner and mode (kPermission), locks it
  // (kRunning: somebody else holds it).
  static Result<std::unique_ptr<Directory>> OpenOrCreate(const std::string& path);

  // The same for an offline tool: makes nothing, takes any owner.
  static Result<std::unique_ptr<Directory>> OpenExisting(const std::string& path);

  Result<Files> ListFiles() const;

  // The MANIFEST as it was last read or committed: for who is alone with it.
  const Manifest& manifest() const { return manifest_; }

  // Reads the MANIFEST. kNotFound: there is none.
  Status Load();

  // A manifest for a new store, not yet on disk.
  Status StartNew();

  // Puts a MANIFEST in place that names `segments`: the one commit point. Where it fails without
  // the old MANIFEST being surely still there, the code is kReadOnly: nothing may be written and no
  // segment be removed until a restart has looked.
  Status Commit(std::vector<uint64_t> segments);
  // As Commit, with one segment more, the active one.
  Status CommitAppended(uint64_t number);
  // As Commit, with `now` in place of the first ones, which are `old`.
  Status CommitReplaced(const std::vector<uint64_t>& old, const std::vector<uint64_t>& now);

  // A new segment of the next free number, under its temporary name.
  Result<std::shared_ptr<Segment>> CreateSegment(uint64_t first_sequence, uint64_t capacity_bytes);
  void SkipNumbersTo(uint64_t highest);  // numbers up to it are taken

  Status Sync() const;
  // Puts the directory's own name on stable storage, where its parent may be opened at all.
  Status SyncName() const;
  std::string Path(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  Directory(std::string path, Fd self, Fd lock)
      : path_(std::move(path)), self_(std::move(self)), lock_(std::move(lock)) {}
  static Result<std::unique_ptr<Directory>> Lock(const std::string& path, int open_flags);
  Status CommitLocked(std::vector<uint64_t> segments);

  const std::string path_;
  const Fd self_;  // so that a sync needs no descriptor
  const Fd lock_;
  std::mutex mutex_;                      // guards manifest_.segments
  Manifest manifest_;                     // constant after the start, but for the segments
  std::atomic<uint64_t> last_number_{0};  // of all segments ever made
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_DIRECTORY_H_
