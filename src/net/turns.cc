#include "net/turns.h"

#include <array>
#include <exception>

#include "net/event_client.h"

namespace keystone {

namespace {

// How often a client may make the others of a pass wait for a commit.
constexpr int kMostCommits = 32;
constexpr int kMostSyncedCommits = 4;

// How many turns' keys are fetched at once.
constexpr size_t kTurnsAhead = 32;

// What a turn may hold on to for the next client.
constexpr size_t kKeptReplies = size_t{4} << 10;

}  // namespace

// Where each commit waits for the disk, many clients share one. Else few do: what the kernel has of
// them is still in the processor's cache when they are answered.
Turns::Turns(Store* store)
    : store_(store),
      syncs_(store->Stats().fsync_policy == FsyncPolicy::kAlways),
      arena_(std::make_unique_for_overwrite<char[]>(kArenaSize)),
      turns_(syncs_ ? kMostTurns : kMostUnsyncedTurns) {
  active_.reserve(turns_.size());
  writers_.reserve(turns_.size());
  batches_.reserve(turns_.size());
}

void Turns::Add(EventClient* client, size_t received) {
  Turn& turn = turns_[count_++];
  turn.client = client;
  turn.received = {arena_.get() + arena_used_, received};
  turn.used = 0;
  arena_used_ += received;
}

void Turns::TakeAll() {
  for (size_t i = 0; i < count_; i++) active_.push_back(&turns_[i]);
  for (int commits = 1; !active_.empty(); commits++) {
    Execute();
    Commit(commits == (syncs_ ? kMostSyncedCommits : kMostCommits));
  }
  count_ = 0;
  arena_used_ = 0;
}

// Who has nothing to commit need not wait for those who have.
void Turns::Execute() {
  for (size_t i = 0; i < active_.size(); i++) {
    if (i % kTurnsAhead == 0 && active_.size() > 1) FetchAhead(i);
    Turn* const turn = active_[i];
    if (!Try(turn, [this](Turn* t) { ExecuteOne(t); })) continue;
    if (turn->writes.empty()) {
      Finish(turn);
    } else {
      writers_.push_back(turn);
    }
  }
  active_.clear();
}

void Turns::ExecuteOne(Turn* turn) {
  turn->client->Execute(turn);
  const auto batches = turn->writes.batches();
  batches_.insert(batches_.end(), batches.begin(), batches.end());
}

// One client's look-up after the other's would wait for memory each time.
void Turns::FetchAhead(size_t first) {
  std::array<std::string_view, kTurnsAhead> keys;
  size_t count = 0;
  for (size_t i = first; i < active_.size() && i < first + kTurnsAhead; i++) {
    const std::string_view key = active_[i]->client->NextGet(*active_[i]);
    if (!key.empty()) keys[count++] = key;
  }
  if (count > 1) store_->Prefetch({keys.data(), count});
}

// Who has more to do behind its writes stays active, unless this was the pass's last commit.
void Turns::Commit(bool last) {
  if (!Apply()) writers_.clear();
  for (Turn* turn : writers_) {
    if (!Try(turn, [](Turn* t) { t->client->Committed(t); })) continue;
    if (!last && turn->client->GoesOn(*turn)) {
      active_.push_back(turn);
    } else {
      Finish(turn);
    }
  }
  writers_.clear();
  batches_.clear();
  if (batches_.capacity() > 2 * kMostTurns) decltype(batches_)().swap(batches_);
}

// False where nobody knows what came of the writes: then their clients are given up.
bool Turns::Apply() {
  try {
    if (!batches_.empty()) store_->Apply(batches_);
    return true;
  } catch (const std::exception& error) {
    for (Turn* turn : writers_) GiveUp(turn, error.what());
    return false;
  }
}

void Turns::Finish(Turn* turn) {
  if (Try(turn, [](Turn* t) { t->client->Finish(t); })) Reset(turn);
}

// False where the client had to be given up. No other suffers from that.
template <class Step>
bool Turns::Try(Turn* turn, const Step& step) {
  try {
    step(turn);
    return true;
  } catch (const std::exception& error) {
    GiveUp(turn, error.what());
    return false;
  }
}

void Turns::GiveUp(Turn* turn, const char* reason) {
  turn->client->Fail(reason);
  Reset(turn);
}

void Turns::Reset(Turn* turn) {
  turn->writes.Clear();
  turn->replies.clear();
  if (turn->replies.capacity() > kKeptReplies) std::string().swap(turn->replies);
}

}  // namespace keystone
