#include "store/decider.h"

#include "base/clock.h"
#include "store/record.h"
#include "store/verify.h"

namespace keystone {

namespace {

// A map that was big once takes as long to clear for ever, even when it is empty.
template <class Map>
void Empty(Map* map) {
  constexpr size_t kKeptBuckets = 1024;
  if (map->bucket_count() > kKeptBuckets) {
    *map = Map();
  } else if (!map->empty()) {
    map->clear();
  }
}

}  // namespace

void Decider::Start() {
  constexpr size_t kKeptChanges = 1024;
  Empty(&latest_);
  if (changes_.capacity() > kKeptChanges) changes_ = {};
  changes_.clear();
  now_ms_ = 0;
}

Status Decider::Decide(Batch* batch) {
  changes_.clear();
  Status status = UnlessOutOfMemory([&] { return DecideAll(&batch->operations()); });
  if (!status.ok()) Undo();
  return status;
}

void Decider::Undo() {
  for (auto change = changes_.rbegin(); change != changes_.rend(); ++change) {
    *change->latest = change->before;
  }
  changes_.clear();
}

Status Decider::DecideAll(std::vector<Operation>* operations) {
  size_t skipped_end = 0;
  for (size_t i = 0; i < operations->size(); i++) {
    Operation& operation = (*operations)[i];
    operation.took_effect = operation.is_written = false;
    operation.skipped = i < skipped_end;
    if (operation.skipped) continue;
    Status status;
    bool skips = false;
    switch (operation.kind) {
      case Operation::Kind::kSet:
        operation.took_effect = operation.is_written = true;
        break;
      case Operation::Kind::kDelete:
        status = DecideDelete(&operation);
        break;
      case Operation::Kind::kUpdate:
        status = DecideUpdate(&operation, &skips);
        break;
    }
    if (!status.ok()) return status;
    if (skips) skipped_end = i + 1 + operation.guards;
    if (operation.is_written) Note(&operation);
  }
  return Status::Ok();
}

// Needs nothing of a value that is damaged. But that such a record has expired is not believed.
Status Decider::DecideDelete(Operation* operation) {
  Found found;
  if (!FindDecided(operation->key, &found)) {
    RecordView record;
    Status status = index_->Find(operation->key, &record);
    if (!status.ok() && status.code() != Code::kNotFound) return status;
    found.is_stored = status.ok();
    found.held.exists = status.ok() && !(IsExpired(record.attributes()) && BodyIsIntact(record));
  }
  operation->took_effect = found.held.exists;
  operation->is_written = found.is_stored;
  return Status::Ok();
}

Status Decider::DecideUpdate(Operation* operation, bool* skips) {
  Found found;
  if (!FindDecided(operation->key, &found)) {
    if (Status status = FindStored(*operation, &found); !status.ok()) return status;
  }
  const Effect effect = operation->update->Decide(found.held);
  const bool sets = effect.kind == Effect::Kind::kSet;
  operation->deletes = effect.kind == Effect::Kind::kDelete;
  operation->took_effect = sets || (operation->deletes && found.held.exists);
  operation->is_written = sets || (operation->deletes && found.is_stored);
  operation->value = sets ? effect.value : std::string_view();
  operation->attributes = sets ? effect.attributes : Attributes();
  *skips = effect.kind == Effect::Kind::kSkip;
  const bool has_expired = found.is_stored && !found.held.exists;
  if (has_expired && !operation->is_written && *on_expired_) (*on_expired_)(operation->key);
  if (operation->value.size() > kMaxValueSize) {
    return {Code::kInvalid, "the new value is over the log's limits"};
  }
  operation->body_crc = BodyCrc(operation->key, operation->value, operation->attributes);
  return Status::Ok();
}

// False where no operation before this one has set or deleted the key.
bool Decider::FindDecided(std::string_view key, Found* found) {
  const auto entry = latest_.find(key);
  if (entry == latest_.end() || entry->second == nullptr) return false;
  const Operation& latest = *entry->second;
  found->is_stored = !latest.deletes;
  found->held.exists = found->is_stored && !IsExpired(latest.attributes);
  if (found->held.exists) {
    found->held.value = latest.value;
    found->held.attributes = latest.attributes;
  }
  return true;
}

Status Decider::FindStored(const Operation& operation, Found* found) {
  RecordView record;
  Location where;
  Status status = index_->Find(operation.key, &record, &where);
  if (status.code() == Code::kNotFound) return Status::Ok();
  if (!status.ok()) return status;
  const bool has_expired = IsExpired(record.attributes());
  if (IsToBeIntact(operation.needs, has_expired)) status = VerifyBody(*segments_, record, where);
  if (!status.ok()) return status;
  found->is_stored = true;
  if (has_expired) return Status::Ok();
  found->held.exists = true;
  found->held.sequence = record.sequence;
  if (operation.needs == Needs::kValue) {
    found->held.value = record.value;
    found->held.attributes = record.attributes();
  }
  return Status::Ok();
}

// The body's CRC covers the time of expiry, too, and takes reading all of the value.
bool Decider::IsToBeIntact(Needs needs, bool has_expired) {
  return needs == Needs::kValue || (needs == Needs::kPresence && has_expired);
}

// All of a round at the same time, which is asked for only where something is to expire.
bool Decider::IsExpired(const Attributes& attributes) {
  if (attributes.expires_at_ms == 0) return false;
  if (now_ms_ == 0) now_ms_ = UnixTimeMs();
  return attributes.ExpiredBy(now_ms_);
}

// Where memory runs out nothing has changed.
void Decider::Note(const Operation* operation) {
  const Operation*& latest = latest_[operation->key];
  changes_.push_back({&latest, latest});
  latest = operation;
}

}  // namespace keystone
