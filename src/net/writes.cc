#include "net/writes.h"

#include "net/command.h"

namespace keystone {

namespace {

// What an idle client may hold on to.
constexpr size_t kKeptOperations = 64;
constexpr size_t kKeptText = 1024;

}  // namespace

bool KeyUpdate::MakeRoom(size_t size) {
  if (size > *room_) {
    reply_ = Reply();
    reply_.status = {Code::kInvalid, "too much is read at once: split the transaction"};
    return false;
  }
  taken_ += size;
  *room_ -= size;
  return true;
}

bool KeyUpdate::ReplyWithCopy(std::string_view value) {
  if (!MakeRoom(value.size())) return false;
  reply_.copy = std::make_unique<const std::string>(value);
  reply_.value = *reply_.copy;
  return true;
}

bool Writes::is_small() const {
  return replies_.size() == 1 && operations() == 1 && copies_ == 0 && text_.empty() &&
         replies_.front().command->role != Command::Role::kCommit;
}

void Writes::StartGroup() {
  if (replies_.empty() || replies_.back().batch != &batch()) return;
  grouped_ += batch().operations().size();
  groups_.emplace_back();
}

std::span<Batch* const> Writes::batches() {
  batches_.clear();
  for (Batch& group : groups_) {
    if (!group.empty()) batches_.push_back(&group);
  }
  return batches_;
}

void Writes::Clear() {
  copies_ = rewrites_ = grouped_ = 0;
  text_.clear();
  replies_.clear();
  if (!updates_.empty()) std::deque<KeyUpdate>().swap(updates_);
  groups_.resize(1);
  batch().Clear();
  batch().set_status(Status::Ok());
  if (batch().operations().capacity() > kKeptOperations) batch() = Batch();
  if (batches_.capacity() > kKeptOperations) std::vector<Batch*>().swap(batches_);
  if (text_.capacity() > kKeptText) std::string().swap(text_);
  if (replies_.capacity() > kKeptOperations) std::vector<PendingReply>().swap(replies_);
}

}  // namespace keystone
