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

namespace keystone {

struct Operation {
  enum class Kind : uint8_t { kSet, kDelete };

  Kind kind = Kind::kSet;
  std::string_view key;    // 1 to kMaxKeySize bytes
  std::string_view value;  // at most kMaxValueSize bytes; empty for kDelete

  // Set by Store::Apply where it returned Ok: a kSet always takes effect, a kDelete only where its
  // key existed.
  bool took_effect = false;
  uint32_t body_crc = 0;  // used between preparation and commit
};

class Batch {
 public:
  void Set(std::string_view key, std::string_view value) {
    operations_.push_back({.kind = Operation::Kind::kSet, .key = key, .value = value});
  }
  void Delete(std::string_view key) {
    operations_.push_back({.kind = Operation::Kind::kDelete, .key = key, .value = {}});
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
