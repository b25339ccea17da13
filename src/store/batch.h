// Writes that are committed together, as one atomic group of the log.
//
// Owned and used by one thread at a time. Keys and values are views: what they point to must stay
// until Store::Apply has returned.
#ifndef KEYSTONE_STORE_BATCH_H_
#define KEYSTONE_STORE_BATCH_H_

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "store/update.h"

namespace keystone {

struct Operation {
  enum class Kind : uint8_t { kSet, kDelete, kUpdate };

  Kind kind = Kind::kSet;
  std::string_view key;         // 1 to kMaxKeySize bytes
  std::string_view value{};     // at most kMaxValueSize bytes; of a kSet, or what an update set
  Attributes attributes{};      // likewise
  Update* update = nullptr;     // of a kUpdate; decides what it does
  uint32_t guards = 0;          // of a kUpdate: how many of the next operations its kSkip concerns
  Needs needs = Needs::kValue;  // of a kUpdate
  bool looks = false;           // of a kUpdate: it never writes

  // Set by Store::Apply where it returned Ok: a kSet always takes effect, a kDelete only where its
  // key existed, a kUpdate as it has decided (to delete a key that does not exist is nothing), none
  // of what is skipped.
  bool took_effect = false;
  bool skipped = false;  // by a guard before it; an update that is skipped was not asked

  // Used between preparation and commit.
  bool is_written = false;  // the log gets a record of it
  bool deletes = false;     // and that is a tombstone
  uint32_t body_crc = 0;
};

class Batch {
 public:
  void Set(std::string_view key, std::string_view value, const Attributes& attributes = {}) {
    operations_.push_back(
        {.kind = Operation::Kind::kSet, .key = key, .value = value, .attributes = attributes});
  }
  void Delete(std::string_view key) {
    operations_.push_back({.kind = Operation::Kind::kDelete, .key = key});
  }
  // `update` must stay until Store::Apply has returned.
  void Change(std::string_view key, Update* update, uint32_t guards = 0,
              Needs needs = Needs::kValue) {
    operations_.push_back({.kind = Operation::Kind::kUpdate,
                           .key = key,
                           .update = update,
                           .guards = guards,
                           .needs = needs});
  }
  // `update` never sets or deletes: a batch of nothing else is answered by a store that is
  // read-only, too.
  void Look(std::string_view key, Update* update, Needs needs = Needs::kValue) {
    operations_.push_back({.kind = Operation::Kind::kUpdate,
                           .key = key,
                           .update = update,
                           .needs = needs,
                           .looks = true});
  }
  // Keeps the memory for the next batch.
  void Clear() { operations_.clear(); }

  bool empty() const { return operations_.empty(); }
  std::vector<Operation>& operations() { return operations_; }
  const std::vector<Operation>& operations() const { return operations_; }

  // What Store::Apply came to.
  const Status& status() const { return status_; }
  void set_status(Status status) { status_ = std::move(status); }

 private:
  std::vector<Operation> operations_;
  Status status_;
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_BATCH_H_
