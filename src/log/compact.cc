#include "log/compact.h"

#include <sys/stat.h>

#include <algorithm>
#include <chrono>
#include <future>

#include "base/file.h"
#include "base/log.h"
#include "log/check.h"
#include "store/store.h"

namespace keystone {

namespace {

constexpr std::chrono::milliseconds kInterval{100};

// Bytes of segments, finished ones or not, with numbers above `number`; 0 where nobody can tell.
uint64_t BytesBehind(const std::string& directory, uint64_t number) {
  const auto names = ListDirectory(directory);
  if (!names.ok()) return 0;
  uint64_t bytes = 0;
  for (const std::string& name : names.value()) {
    struct stat info {};
    if (SegmentNumber(name.substr(0, kSegmentNameSize)).value_or(0) > number &&
        ::stat(std::string(directory).append("/").append(name).c_str(), &info) == 0) {
      bytes += static_cast<uint64_t>(info.st_size);
    }
  }
  return bytes;
}

uint64_t LastNumber(const std::string& directory) {
  const auto names = ListDirectory(directory);
  uint64_t last = 0;
  if (!names.ok()) return last;
  for (const std::string& name : names.value()) {
    last = std::max(last, SegmentNumber(name).value_or(0));
  }
  return last;
}

Status CompactBesideProgress(Store* store, const std::string& directory,
                             const CompactionProgress& progress) {
  const uint64_t total = store->Stats().live_bytes;
  const uint64_t last_number = LastNumber(directory);
  std::future<Status> compaction;
  try {
    compaction = std::async(std::launch::async,
                            [&] { return store->Compact(CompactionMode::kStopTheWorld); });
  } catch (const std::system_error& error) {
    return {Code::kSystem, std::string("start a thread: ") + error.what()};
  }
  while (compaction.wait_for(kInterval) != std::future_status::ready) {
    progress(CompactionStep::kWrite, std::min(total, BytesBehind(directory, last_number)), total);
  }
  return compaction.get();
}

}  // namespace

Status Compact(const std::string& directory, const CompactionProgress& progress,
               std::string* summary) {
  // The store would begin a new one.
  if (Status status = LoadListedSegments(directory).status(); !status.ok()) return status;
  StoreOptions options;
  options.directory = directory;
  options.fsync = FsyncPolicy::kNo;
  auto store = Store::Open(
      options, Log(Log::Sink::kStderr, Priority::kWarning), [&](const RecoveryProgress& recovery) {
        progress(CompactionStep::kRead, recovery.bytes_done, recovery.bytes_total);
        return true;
      });
  if (!store.ok()) return store.status();
  const uint64_t bytes_before = store.value()->Stats().log_bytes;
  Status status = CompactBesideProgress(store.value().get(), directory, progress);
  const StoreStats after = store.value()->Stats();
  const Status closed = store.value()->Close();
  *summary = directory + ": " + std::to_string(after.keys) + " keys, " +
             std::to_string(bytes_before) + " bytes before, " + std::to_string(after.log_bytes) +
             " bytes now";
  return status.ok() ? closed : status;
}

}  // namespace keystone
