// The data directory: its lock, its MANIFEST, its files.
//
// Owned by one thread at a time (recovery, then the commit leader, or a compaction with the gate
// closed). The lock (flock on LOCK) is held for the object's life and vanishes with the process.
#ifndef KEYSTONE_STORE_DIRECTORY_H_
#define KEYSTONE_STORE_DIRECTORY_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/status.h"
#include "store/manifest.h"
#include "store/segment.h"

namespace keystone {

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

  // The MANIFEST as it was last read or committed.
  const Manifest& manifest() const { return manifest_; }

  // Reads the MANIFEST. kNotFound: there is none.
  Status Load();

  // A manifest for a new store, with a random id and seed, not yet on disk.
  Status StartNew();

  // Puts a MANIFEST in place that names `segments`: the one commit point. Where it fails without
  // the old MANIFEST being surely still there, the code is kReadOnly: nothing may be written and no
  // segment be removed until a restart has looked.
  Status Commit(std::vector<uint64_t> segments);

  // A new segment of the next free number, under its temporary name.
  Result<std::shared_ptr<Segment>> CreateSegment(uint64_t first_sequence, uint64_t capacity_bytes);
  void SkipNumbersTo(uint64_t highest);  // numbers up to it are taken

  Status Sync() const;
  std::string Path(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  Directory(std::string path, Fd lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  static Result<std::unique_ptr<Directory>> Lock(const std::string& path, int open_flags);

  const std::string path_;
  const Fd lock_;
  Manifest manifest_;
  uint64_t last_number_ = 0;
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_DIRECTORY_H_
