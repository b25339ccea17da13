// The way in: all listening sockets, from which any number of threads accept.
//
// They share an epoll instance. Of those that wait in Accept, the kernel wakes one for a client,
// the last that came to wait, and the next only once that one has accepted: nobody has to hand a
// client over, and nobody is woken for nothing. An event loop watches fd() instead, and has to
// share it with the other loops, all of which are woken.
//
// Thread-safe, but for Add, Listen and the destructor: before other threads use it, and after.
// Borrows registry and log.
#ifndef KEYSTONE_NET_ACCEPTOR_H_
#define KEYSTONE_NET_ACCEPTOR_H_

#include <atomic>
#include <chrono>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/log.h"
#include "base/status.h"
#include "net/listener.h"
#include "net/once_a_minute.h"
#include "net/registry.h"
#include "net/request.h"

namespace keystone {

class Acceptor {
 public:
  // `on_pause` is called on the thread that accepts, when a socket can't be accepted from for want
  // of descriptors or memory: call Resume a little later.
  Acceptor(Registry* registry, const Log* log, std::function<void()> on_pause);
  ~Acceptor();
  Acceptor(const Acceptor&) = delete;
  Acceptor& operator=(const Acceptor&) = delete;

  // A socket of clients that are expected to speak `protocol`.
  void Add(Protocol protocol, std::unique_ptr<Listener> listener);

  // As bound; those for memcached's clients behind the others, with "memcached " in front, if they
  // were added last.
  std::vector<std::string> Addresses() const;

  // Clients can connect, but have to wait. kRunning: somebody else listens there. kSystem: no
  // descriptors.
  Status Listen();

  // Lets them in.
  void Open();

  // Readable while there may be a client, and once it is stopped.
  int fd() const { return epoll_.get(); }

  // The next client. Invalid where none has come in `timeout` (negative: it has no end), another
  // thread was faster, the client was refused or has gone without a word, or it was stopped.
  Registry::Membership Accept(std::chrono::milliseconds timeout);

  // Answers a client that Accept has returned, and that nobody can serve: there is no thread.
  void Refuse(const Registry::Membership& client, const Status& no_thread);

  void Resume();

  // Nobody can connect any more, and all who wait in Accept return. Who is being let in by another
  // thread may still become a member, until Registry::ShutdownReads.
  void Stop();
  bool stopped() const { return stopped_; }

 private:
  struct Door {
    Protocol protocol;
    std::unique_ptr<Listener> listener;
    std::atomic<bool> paused{false};
  };

  void Arm(Door* door);
  void Pause(Door* door);
  void OnExhausted(Door* door, int error);
  Registry::Membership Admit(Fd client, Protocol protocol);
  void OpenReserve();

  Registry* const registry_;
  const Log* const log_;
  const std::function<void()> on_pause_;
  Fd epoll_;
  Fd stop_;  // an eventfd
  std::list<Door> doors_;
  std::mutex reserve_mutex_;
  Fd reserve_;  // given up to answer a client when there are no descriptors left
  std::atomic<bool> stopped_{false};
  std::atomic<unsigned> gone_{0};  // clients, before they were let in
  OnceAMinute descriptors_warning_;
  OnceAMinute threads_warning_;
};

}  // namespace keystone

#endif  // KEYSTONE_NET_ACCEPTOR_H_
