// What the operations of a round come to, each by what its key holds at its place of the log: that
// is in the index, or among what was decided before it.
//
// The leader's own object: one thread at a time, which has passed the gate.
#ifndef KEYSTONE_STORE_DECIDER_H_
#define KEYSTONE_STORE_DECIDER_H_

#include <cstdint>
#include <functional>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/status.h"
#include "store/batch.h"
#include "store/index.h"
#include "store/segment_set.h"
#include "store/update.h"

namespace keystone {

class Decider {
 public:
  // Borrows all. `on_expired` is called where an update finds that its key has expired, and leaves
  // it so.
  using OnExpired = std::function<void(std::string_view key)>;
  Decider(const SegmentSet* segments, const Index* index, const OnExpired* on_expired)
      : segments_(segments), index_(index), on_expired_(on_expired) {}

  // Begins a round: what was decided before counts no more.
  void Start();

  // Fills in what a batch that is prepared comes to, by the index and what was decided since Start.
  // Where it can't be decided it is as if it had not been there: kCorrupt or kIo, what an update
  // needs is damaged; kInvalid, what it sets is over the log's limits; kSystem, out of memory.
  // The batch stays where it is until the next Start.
  Status Decide(Batch* batch);

  // Takes the last batch back: what it came to does not count for those behind it.
  void Undo();

 private:
  // What a key holds: a record that has expired is stored, but does not exist.
  struct Found {
    bool is_stored = false;
    Held held;
  };

  // The last operation on a key that is written, and which it was before.
  struct Change {
    const Operation** latest;
    const Operation* before;
  };

  Status DecideAll(std::vector<Operation>* operations);
  Status DecideDelete(Operation* operation);
  Status DecideUpdate(Operation* operation, bool* skips);
  bool FindDecided(std::string_view key, Found* found);
  Status FindStored(const Operation& operation, Found* found);
  static bool IsToBeIntact(Needs needs, bool has_expired);
  bool IsExpired(const Attributes& attributes);
  void Note(const Operation* operation);

  const SegmentSet* const segments_;
  const Index* const index_;
  const OnExpired* const on_expired_;
  std::unordered_map<std::string_view, const Operation*> latest_;  // by key; null: none
  std::vector<Change> changes_;                                    // by the last batch
  uint64_t now_ms_ = 0;                                            // 0: not asked for yet
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_DECIDER_H_
