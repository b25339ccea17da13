// Room on the disk that is kept for the way out of a full one: RESERVE, a file of a few MiB in the
// data directory.
//
// Where the disk is full, what makes room (deletes, a compaction) lets go of it, and goes on in the
// room that is free then. Until there is room to take it back, nobody else may write: sets are
// refused, and no hints are made. The file says so to the next process, too: where it is there, but
// shorter, it was let go.
//
// Thread-safe. The mutex is held while the file is changed, which takes no time to speak of.
#ifndef KEYSTONE_STORE_RESERVE_H_
#define KEYSTONE_STORE_RESERVE_H_

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>

#include "base/log.h"
#include "base/status.h"

namespace keystone {

inline constexpr char kReserveName[] = "RESERVE";

class Reserve {
 public:
  static constexpr uint64_t kSizeBytes = uint64_t{4} << 20;

  // Borrows `log`.
  Reserve(const std::string& directory, const Log* log);

  // At the start: takes the room where the file is missing or short. Where it can't, that is a line
  // in the log.
  void Open();

  // Lets go of it because of `why`. True: there is room that was not there before.
  bool Release(const Status& why);

  // True where what is free and the reserve together hold `bytes`, as far as the file system tells:
  // it says nothing of a user's quota.
  bool MakesRoomFor(uint64_t bytes) const { return FreeBytes() + kSizeBytes >= bytes; }

  // Takes it again, where there is room for an eighth more and for `others_bytes`: to be called now
  // and then. They are what somebody may still need who works in the room that was let go.
  void Retake(uint64_t others_bytes = 0);

  // Takes it again if it can: by who has worked in that room, and is done.
  void RetakeNow();

  // True from Release until it could be taken again.
  bool released() const { return state_.load(std::memory_order_relaxed) == State::kReleased; }

 private:
  enum class State {
    kMissing,   // there was no room for it
    kUnable,    // the file system can't keep room
    kHeld,      // it is there
    kReleased,  // it was there, and will be again
  };

  Status Take(bool* existed) const;
  void TakeAgain();  // with mutex_
  uint64_t FreeBytes() const;
  bool HasRoom(uint64_t others_bytes) const;
  bool wanted() const { return state_ == State::kReleased || state_ == State::kMissing; }

  const std::string directory_;
  const std::string path_;
  const Log* const log_;
  std::mutex mutex_;
  std::atomic<State> state_{State::kMissing};  // written with mutex_
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_RESERVE_H_
