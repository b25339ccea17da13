// One round of the group commit as bytes: the batches of all who wait, ready for one write.
//
// The leader's own object: one thread at a time. Large values are not copied: the pieces point at
// the caller's memory.
#ifndef KEYSTONE_STORE_ROUND_H_
#define KEYSTONE_STORE_ROUND_H_

#include <sys/uio.h>

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "store/batch.h"

namespace keystone {

struct BatchSize {
  uint64_t bytes = 0;         // on disk
  uint64_t copied_bytes = 0;  // of them, those that pass through the round's buffer
  bool is_open = false;       // deletes or updates, yet to be decided, may make it another one

  BatchSize& operator+=(const BatchSize& other);
};

// Of the record that `operation` comes to.
BatchSize SizeOf(const Operation& operation);

// Fills in what is certain of a batch's operations before their turn in the log, body CRCs
// included, and tells its size, in which an update counts as if it set an empty value. Any thread.
BatchSize Prepare(Batch* batch);

class Round {
 public:
  struct Placed {
    const Operation* operation;
    uint64_t offset;  // of its record in the segment
    uint32_t size_bytes;
  };

  // Starts a round at `offset` of the active segment, with room for `copied_bytes`.
  void Start(uint64_t sequence, uint64_t offset, uint64_t copied_bytes);

  void AddSyncMark(uint64_t synced_offset);

  // Encodes the operations that have is_written set, as one group.
  void AddGroup(const Batch& batch);

  bool empty() const { return placed_.empty(); }  // of groups: a mark alone is not worth a write
  std::span<iovec> pieces();                      // once; valid until the next Start
  uint64_t size_bytes() const { return offset_ - start_; }
  uint64_t next_sequence() const { return sequence_; }
  std::span<const Placed> placed() const { return placed_; }

 private:
  void AddRecord(const Operation& operation, bool group_goes_on);
  char* Copy(size_t size_bytes);  // room for bytes that are copied
  void Refer(std::string_view bytes);
  void CloseCopied();

  uint64_t sequence_ = 0;
  uint64_t start_ = 0;
  uint64_t offset_ = 0;
  std::vector<char> buffer_;  // never grows between Start and the write: pieces point into it
  size_t used_ = 0;
  size_t piece_start_ = 0;  // of what was copied since the last piece
  std::vector<iovec> pieces_;
  std::vector<Placed> placed_;
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_ROUND_H_
