// One pass of an event loop: what was received from many clients is executed, the writes of all are
// committed together, and the replies go out.
//
// The loop's thread only. In the steady state nothing is allocated: turns, their batches and their
// replies' memory are used again, and bytes are received into one arena.
#ifndef KEYSTONE_NET_TURNS_H_
#define KEYSTONE_NET_TURNS_H_

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "net/writes.h"
#include "store/store.h"

namespace keystone {

class EventClient;

// What one client has to do in this pass.
struct Turn {
  EventClient* client = nullptr;
  std::string_view received;  // in the arena; empty: the client has kept its input itself
  size_t used = 0;            // bytes of the input that are executed
  Writes writes;
  std::string replies;
};

class Turns {
 public:
  explicit Turns(Store* store);

  // While true, no more can be added: TakeAll comes first.
  bool full() const { return turns_.size() == count_ || kArenaSize - arena_used_ < kRoom; }

  // Where bytes of the next client may be received; not while full.
  std::span<char> Room() { return {arena_.get() + arena_used_, kRoom}; }

  // A turn for a client that has received so many bytes in Room, or with what it has kept.
  void Add(EventClient* client, size_t received);
  void Add(EventClient* client) { Add(client, 0); }

  // Lets every client execute what it has, within bounds, and finish its turn.
  void TakeAll();

 private:
  static constexpr size_t kMostTurns = 1024;
  static constexpr size_t kMostUnsyncedTurns = 64;
  static constexpr size_t kRoom = size_t{16} << 10;
  static constexpr size_t kArenaSize = size_t{1} << 20;

  void Execute();
  void ExecuteOne(Turn* turn);
  void FetchAhead(size_t first);
  void Commit(bool last);
  bool Apply();
  void Finish(Turn* turn);
  template <class Step>
  static bool Try(Turn* turn, const Step& step);
  static void GiveUp(Turn* turn, const char* reason);
  static void Reset(Turn* turn);

  Store* const store_;
  const bool syncs_;  // each commit
  const std::unique_ptr<char[]> arena_;
  size_t arena_used_ = 0;
  std::vector<Turn> turns_;  // the first count_ are in use
  size_t count_ = 0;
  std::vector<Turn*> active_;  // not finished
  std::vector<Turn*> writers_;
  std::vector<Batch*> batches_;  // of writers_
};

}  // namespace keystone

#endif  // KEYSTONE_NET_TURNS_H_
