// All connections of the daemon: how many, what they counted, and how to end them.
//
// Thread-safe. A connection's descriptor and counters belong to the registry from Join until its
// Membership goes; the descriptor is closed only once nobody can find it here any more, so a
// shutdown from another thread never hits a descriptor that was reused. The registry must outlive
// its memberships.
#ifndef KEYSTONE_NET_REGISTRY_H_
#define KEYSTONE_NET_REGISTRY_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <utility>

#include "base/fd.h"
#include "net/counters.h"
#include "net/request.h"

namespace keystone {

class Registry {
 private:
  struct Entry {
    Fd fd;
    Protocol protocol = Protocol::kLine;
    uint64_t id = 0;
    Counters counters;
  };
  using Entries = std::list<Entry>;

 public:
  // A connection's place. Used by one thread at a time. When it goes the socket is closed and its
  // counters join those of the ended; nothing of the registry is touched after that.
  class Membership {
   public:
    Membership() = default;
    Membership(Membership&& other) noexcept
        : registry_(std::exchange(other.registry_, nullptr)), entry_(other.entry_) {}
    Membership& operator=(Membership&& other) noexcept {
      std::swap(registry_, other.registry_);
      std::swap(entry_, other.entry_);
      return *this;
    }
    Membership(const Membership&) = delete;
    Membership& operator=(const Membership&) = delete;
    ~Membership() {
      if (registry_ != nullptr) registry_->Leave(entry_);
    }

    bool valid() const { return registry_ != nullptr; }
    int fd() const { return entry_->fd.get(); }
    Protocol protocol() const { return entry_->protocol; }
    uint64_t id() const { return entry_->id; }  // no other connection's, ever
    Counters* counters() const { return &entry_->counters; }

   private:
    friend class Registry;
    Membership(Registry* registry, Entries::iterator entry) : registry_(registry), entry_(entry) {}

    Registry* registry_ = nullptr;
    Entries::iterator entry_;
  };

  struct Totals {
    uint64_t current = 0;
    uint64_t total = 0;  // ever joined
    uint64_t rejected = 0;
  };

  // `on_empty` is called on the last connection's thread, with the mutex held: it must be quick and
  // not call back.
  Registry(size_t limit, std::function<void()> on_empty)
      : limit_(limit), on_empty_(std::move(on_empty)) {}

  // Takes the descriptor and returns a valid membership; takes nothing where `limit` is reached, or
  // after ShutdownReads.
  // `protocol` is what the client is expected to speak.
  Membership Join(Fd* fd, Protocol protocol = Protocol::kLine);
  void CountRejected();

  bool empty() const;
  Totals totals() const;
  // Adds what all connections, ended ones included, have counted to `sum`, the caller's own.
  void AddCounters(Counters* sum) const;

  // Makes every recv return: what has arrived is still read, then end of file. Nobody can join any
  // more.
  void ShutdownReads();
  // Makes every recv and send return.
  void CutAll();

 private:
  void Leave(Entries::iterator entry);
  void ShutdownAll(int how);

  const size_t limit_;
  const std::function<void()> on_empty_;
  mutable std::mutex mutex_;
  Entries entries_;        // guarded by mutex_
  Counters ended_;         // written with mutex_ held
  uint64_t total_ = 0;     // guarded by mutex_
  uint64_t rejected_ = 0;  // guarded by mutex_
  bool closed_ = false;    // guarded by mutex_
};

}  // namespace keystone

#endif  // KEYSTONE_NET_REGISTRY_H_
