// The writes that a session has queued and not answered yet: their operations, and what is to be
// said of them once they have been committed.
//
// One thread at a time. What requests point at must stay until Clear.
#ifndef KEYSTONE_NET_WRITES_H_
#define KEYSTONE_NET_WRITES_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
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
    return change_(held, this);
  }

  const Request& request() const { return request_; }
  Reply* reply() { return &reply_; }
  // An update before it, of the same request, which it goes on with.
  KeyUpdate* source() const { return source_; }
  void set_source(KeyUpdate* source) { source_ = source; }
  // What the effect's or the reply's value may point at.
  std::string* bytes() { return &bytes_; }
  // Room in them for a copy of so much. False where all copies together would take too much memory:
  // then the reply says so, and nothing is to be done.
  bool MakeRoom(size_t size);

 private:
  friend class Writes;

  Request request_;
  const Change change_;
  size_t* room_ = nullptr;  // that the copies of all share
  size_t taken_ = 0;        // of it
  KeyUpdate* source_ = nullptr;
  Reply reply_;
  std::string bytes_;
};

// A request whose operations are in the batch.
struct PendingReply {
  const Command* command = nullptr;
  uint32_t first = 0;  // operation
  uint32_t count = 0;  // of operations
  uint32_t parts = 0;  // of a transaction: how many of the next replies are its own
  Protocol protocol = Protocol::kLine;
  uint8_t verb = 0;
  bool silent = false;
};

class Writes {
 public:
  void Set(std::string_view key, std::string_view value, const Attributes& attributes) {
    batch_.Set(key, value, attributes);
  }
  void Delete(std::string_view key) { batch_.Delete(key); }
  // The next `guards` operations take no effect where `change` answers kSkip.
  KeyUpdate* Change(std::string_view key, KeyUpdate::Change change, const Request& request,
                    uint32_t guards = 0, Needs needs = Needs::kValue) {
    KeyUpdate* const update = &updates_.emplace_back(change, request);
    update->room_ = &room_;
    batch_.Change(key, update, guards, needs);
    return update;
  }
  // The same where a copy of the key's value is made.
  void ChangeWithCopy(std::string_view key, KeyUpdate::Change change, const Request& request) {
    Change(key, change, request);
    copies_++;
  }
  // The same where the value is written again as it is.
  KeyUpdate* ChangeByRewrite(std::string_view key, KeyUpdate::Change change,
                             const Request& request) {
    rewrites_++;
    return Change(key, change, request);
  }
  void Expect(const PendingReply& reply) { replies_.push_back(reply); }

  bool empty() const { return replies_.empty(); }
  Batch& batch() { return batch_; }
  const Batch& batch() const { return batch_; }
  const std::vector<PendingReply>& replies() const { return replies_; }
  size_t operations() const { return batch_.operations().size(); }

  // How many bytes all copies may take, to be set while it is empty; and how many there are.
  void SetRoom(size_t room) { room_ = room; }
  size_t copies() const { return copies_; }
  size_t rewrites() const { return rewrites_; }

  void Clear();  // keeps some of the memory for the next

 private:
  Batch batch_;
  std::deque<KeyUpdate> updates_;
  std::vector<PendingReply> replies_;
  size_t room_ = 0;
  size_t copies_ = 0;
  size_t rewrites_ = 0;
};

}  // namespace keystone

#endif  // KEYSTONE_NET_WRITES_H_
