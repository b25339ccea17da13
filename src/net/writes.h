// The writes that a session has queued and not answered yet: their operations, in groups of which
// each is committed as a whole, and what is to be said of them once they have been.
//
// One thread at a time. What requests point at must stay until Clear.
#ifndef KEYSTONE_NET_WRITES_H_
#define KEYSTONE_NET_WRITES_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/reply.h"
#include "net/request.h"
#include "store/batch.h"
#include "store/update.h"

namespace keystone {

// A command on one key that is decided where its group is ordered. It leaves its reply here.
class KeyUpdate final : public Update {
 public:
  using Change = Effect (*)(const Held& held, KeyUpdate* update);

  // Of the request's words nothing is left when `change` is called.
  KeyUpdate(Change change, const Request& request) : request_(request), change_(change) {
    request_.words = {};
  }

  Effect Decide(const Held& held) override {
    reply_ = Reply();
    *room_ += std::exchange(taken_, 0);  // by an earlier try
    return change_(held, this);
  }

  const Request& request() const { return request_; }
  Reply* reply() { return &reply_; }
  // An update before it, of the same request, which it goes on with.
  KeyUpdate* source() const { return source_; }
  void set_source(KeyUpdate* source) { source_ = source; }
  // What the effect's value may point at.
  std::string* bytes() { return &bytes_; }
  // Takes the room for a copy of so much, or to rewrite it. False where all together would take too
  // much memory, or of the log: then the reply says so, and nothing is to be done.
  bool MakeRoom(size_t size);
  // Gives the reply a copy of the value, which goes with it. False as MakeRoom.
  bool ReplyWithCopy(std::string_view value);

 private:
  friend class Writes;

  Request request_;
  const Change change_;
  size_t* room_ = nullptr;  // that the copies of all share, or what all rewrite
  size_t taken_ = 0;        // of it
  KeyUpdate* source_ = nullptr;
  Reply reply_;
  std::string bytes_;
};

// A request whose operations are in a batch.
struct PendingReply {
  const Command* command = nullptr;
  const Batch* batch = nullptr;
  uint32_t first = 0;   // operation
  uint32_t count = 0;   // of operations; of a transaction, those that guard it
  uint32_t behind = 0;  // where in text() begins what is said behind it
  Protocol protocol = Protocol::kLine;
  uint8_t verb = 0;
  bool silent = false;
};

class Writes {
 public:
  Writes() = default;
  Writes(const Writes&) = delete;
  Writes& operator=(const Writes&) = delete;

  // What is queued from here on is a group of its own.
  void StartGroup();

  void Set(std::string_view key, std::string_view value, const Attributes& attributes) {
    batch().Set(key, value, attributes);
  }
  void Delete(std::string_view key) { batch().Delete(key); }
  // The next `guards` operations take no effect where `change` answers kSkip.
  KeyUpdate* Change(std::string_view key, KeyUpdate::Change change, const Request& request,
                    uint32_t guards = 0, Needs needs = Needs::kValue) {
    KeyUpdate* const update = NewUpdate(change, request);
    batch().Change(key, update, guards, needs);
    return update;
  }
  // A read at its place among the writes.
  void Look(std::string_view key, KeyUpdate::Change look, const Request& request,
            Needs needs = Needs::kValue) {
    batch().Look(key, NewUpdate(look, request), needs);
  }
  // The same where a copy of the key's value is made.
  void LookWithCopy(std::string_view key, KeyUpdate::Change look, const Request& request) {
    Look(key, look, request);
    copies_++;
  }
  // A change for which a copy of the key's value is made.
  void ChangeWithCopy(std::string_view key, KeyUpdate::Change change, const Request& request) {
    Change(key, change, request);
    copies_++;
  }
  // One that writes the value again as it is.
  KeyUpdate* ChangeByRewrite(std::string_view key, KeyUpdate::Change change,
                             const Request& request) {
    rewrites_++;
    KeyUpdate* const update = Change(key, change, request);
    update->room_ = &rewrite_room_;
    return update;
  }
  // Its operations are in the group that is being queued.
  void Expect(PendingReply reply) {
    reply.batch = &batch();
    reply.behind = static_cast<uint32_t>(text_.size());
    replies_.push_back(reply);
  }
  // Replies that need not wait for a commit go here, to be sent behind the last one that has to.
  std::string* mutable_text() { return &text_; }
  const std::string& text() const { return text_; }

  bool empty() const { return replies_.empty(); }
  const std::vector<PendingReply>& replies() const { return replies_; }
  Batch& batch() { return groups_.back(); }  // the group that is being queued
  // All groups, to be applied together; none where nothing is to be written.
  std::span<Batch* const> batches();
  // One operation, of a command whose reply is short and made of nothing else: no transaction,
  // which may have looked at more.
  bool is_small() const;
  size_t operations() const { return grouped_ + groups_.back().operations().size(); }

  // How many bytes all copies may take, and all rewritten values, to be set while it is empty; what
  // the copies do take, once they are made; and how many there are.
  void SetRoom(size_t copies, size_t rewrites) {
    room_ = most_room_ = copies;
    rewrite_room_ = rewrites;
  }
  size_t copied_bytes() const { return most_room_ - room_; }
  size_t copies() const { return copies_; }
  size_t rewrites() const { return rewrites_; }

  void Clear();  // keeps some of the memory for the next

 private:
  KeyUpdate* NewUpdate(KeyUpdate::Change change, const Request& request) {
    KeyUpdate* const update = &updates_.emplace_back(change, request);
    update->room_ = &room_;
    return update;
  }

  std::list<Batch> groups_{1};
  std::vector<Batch*> batches_;
  size_t grouped_ = 0;  // operations of all groups but the last
  std::deque<KeyUpdate> updates_;
  std::vector<PendingReply> replies_;
  std::string text_;
  size_t room_ = 0;
  size_t most_room_ = 0;
  size_t rewrite_room_ = 0;
  size_t copies_ = 0;
  size_t rewrites_ = 0;
};

}  // namespace keystone

#endif  // KEYSTONE_NET_WRITES_H_
