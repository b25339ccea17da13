// A client's transaction: requests that wait for their commit, and the keys that must not have
// changed by then.
//
// Requests are kept as the bytes that they came in, and parsed again at the commit: an expiry
// counts from there. One thread at a time.
#ifndef KEYSTONE_NET_TRANSACTION_H_
#define KEYSTONE_NET_TRANSACTION_H_

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "net/line.h"
#include "net/request.h"
#include "net/writes.h"

namespace keystone {

// A request that outlives what was received.
struct KeptRequest {
  KeptRequest(Protocol by, std::string_view received) : protocol(by), bytes(received) {}
  KeptRequest(const KeptRequest&) = delete;
  KeptRequest& operator=(const KeptRequest&) = delete;

  const Protocol protocol;
  const std::string bytes;
  DecodedBytes decoded;
  std::vector<std::string_view> words;
  Request request;     // once parsed; points at the others
  Status refused;      // why it can't be parsed
  uint32_t first = 0;  // of its operations, once they are queued
  uint32_t count = 0;
};

class Transaction {
 public:
  struct Watched {
    std::string key;
    uint64_t sequence;  // of its record; 0: there was no such key
  };

  bool begun() const { return begun_; }
  void Begin() { begun_ = true; }

  // A request in it was refused, so nothing of it will be done.
  void Spoil() { spoilt_ = true; }
  bool spoilt() const { return spoilt_; }

  // One of its requests is executed behind its commit: what it sees must be no later writes.
  void NoteExecuted() { executes_ = true; }
  bool executes() const { return executes_; }

  // A request of so many words. kInvalid: with it, all would take more than `limit` bytes, those of
  // what their words become included.
  Status Add(Protocol protocol, std::string_view bytes, size_t words, size_t limit);
  std::deque<KeptRequest>& requests() { return requests_; }
  size_t bytes() const { return bytes_; }  // that count for the limit

  // kInvalid: as Add.
  Status Watch(std::string_view key, uint64_t sequence, size_t limit);
  void Unwatch();

  // Operations that make all behind them take no effect where a watched key has changed. Their
  // count; what they guard is told once it is there.
  size_t QueueGuards(Writes* writes) const;
  static void Guard(size_t guards, Writes* writes);

 private:
  Status Charge(size_t bytes, size_t limit);

  bool begun_ = false;
  bool spoilt_ = false;
  bool executes_ = false;
  size_t bytes_ = 0;
  std::deque<KeptRequest> requests_;
  std::vector<Watched> watched_;
};

}  // namespace keystone

#endif  // KEYSTONE_NET_TRANSACTION_H_
