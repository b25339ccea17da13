// One file of the log: a 64-byte header, then records without padding.
//
//   0   8  "KEYSTONE"
//   8   4  format version, 1
//   12  4  flags, 0
//   16  8  segment number, as in the file's name
//   24  16 store id, as in the MANIFEST
//   40  8  sequence of the first record that may be in it
//   48  8  created, Unix time in ms (for people)
//   56  4  0
//   60  4  CRC-32 of bytes 0-59
//
// Threads: one writer at a time calls what appends, cuts, finishes or seals; any thread may read
// records below size(). Bytes that were published never change and are never cut off, so a view of
// them stays good for as long as the segment lives.
#ifndef KEYSTONE_STORE_SEGMENT_H_
#define KEYSTONE_STORE_SEGMENT_H_

#include <sys/uio.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/fd.h"
#include "base/file.h"
#include "base/mapping.h"
#include "base/status.h"
#include "store/manifest.h"
#include "store/record.h"

namespace keystone {

inline constexpr size_t kSegmentHeaderSize = 64;

struct SegmentHeader {
  uint64_t number = 0;
  StoreId store_id{};
  uint64_t first_sequence = 1;
  uint64_t created_ms = 0;
};

// Writes kSegmentHeaderSize bytes to `out`.
void EncodeSegmentHeader(const SegmentHeader& header, char* out);

// kCorrupt says what is wrong.
Result<SegmentHeader> DecodeSegmentHeader(std::string_view bytes);

// Whether it is a header of some version, and as it was written.
bool SegmentHeaderIsIntact(std::string_view bytes);

class Segment : public std::enable_shared_from_this<Segment> {
 public:
  enum class Access { kReadOnly, kAppend };

  // A new segment under NAME.tmp, for up to `capacity_bytes`, header included. It gets its name
  // from Finish; one that goes before that takes its file with it.
  static Result<std::shared_ptr<Segment>> Create(const std::string& directory,
                                                 const SegmentHeader& header,
                                                 uint64_t capacity_bytes);

  // An existing segment. Its header must bear `number` and `store_id` (else kCorrupt); a missing
  // file is kCorrupt, too. With kAppend it may grow to `capacity_bytes`.
  static Result<std::shared_ptr<Segment>> Open(const std::string& directory, uint64_t number,
                                               const StoreId& store_id, Access access,
                                               uint64_t capacity_bytes);
  ~Segment();
  Segment(const Segment&) = delete;
  Segment& operator=(const Segment&) = delete;

  // Appends all of `pieces` (modified), `size_bytes` together. On an error nothing was appended:
  // what had been written is cut off. If even that fails the code is kReadOnly: the file must not
  // be written again.
  Status Append(std::span<iovec> pieces, uint64_t size_bytes);

  // As Append, and where the file has to grow for it, it grows by some zeros more: the syncs of the
  // appends that will go there then have no metadata to write.
  Status AppendAndReserve(std::span<iovec> pieces, uint64_t size_bytes);

  // Cuts off the zeros behind the last record. A sealed segment has none.
  Status CutReserve();

  // Has the kernel begin to write the bytes from `offset` on.
  void StartWriteback(uint64_t offset) const {
    keystone::StartWriteback(writer_->get(), offset, size() - offset);
  }

  // Cuts the file to `size_bytes`, a border between groups. Recovery, or a failed sync.
  Status CutTo(uint64_t size_bytes);

  // Syncs the file and gives it its name. The directory is the caller's to sync.
  Status Finish();

  // Takes the file away, whatever its name; mappings of it stay good.
  void Remove();

  // No more appends: gives the descriptor back. The caller has synced.
  void Seal() { writer_.reset(); }

  // The descriptor for appends, for a sync by another thread; null once sealed. Writer only.
  std::shared_ptr<const Fd> writer() const { return writer_; }

  // The record at `offset`: its header is checked, its body is not.
  RecordState Read(uint64_t offset, RecordView* record) const {
    const uint64_t size = size_.load(std::memory_order_acquire);
    if (offset >= size) return RecordState::kTruncated;
    return DecodeHeader({mapping_.data() + offset, size - offset}, record);
  }

  // kIo where bytes could not be read so far: they look like zeros (see BusGuard).
  Status CheckReadable() const;

  // kCorrupt where the first record, if there is one, does not come behind `last_sequence`, that of
  // the segments before: files of different times stand side by side.
  Status CheckFollows(uint64_t last_sequence) const;

  std::string_view bytes() const { return {mapping_.data(), size()}; }
  uint64_t size() const { return size_.load(std::memory_order_acquire); }
  uint64_t capacity() const { return mapping_.size(); }
  const SegmentHeader& header() const { return header_; }
  uint32_t number() const { return static_cast<uint32_t>(header_.number); }
  const std::string& path() const { return path_; }
  std::string name() const { return SegmentName(header_.number); }

 private:
  Segment(const SegmentHeader& header, std::string path)
      : header_(header), path_(std::move(path)) {}
  Status MapAndCheck(int fd, uint64_t number, const StoreId& store_id, uint64_t capacity_bytes);

  // Constant after Create or Open.
  SegmentHeader header_;
  const std::string path_;  // the final one
  Mapping mapping_;

  std::shared_ptr<const Fd> writer_;
  std::string temporary_path_;  // empty once the file has its name
  std::atomic<uint64_t> size_{0};
  uint64_t reserved_end_ = 0;  // up to where zeros may follow size(); the writer's
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_SEGMENT_H_
