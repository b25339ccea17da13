// A bound socket that clients connect to, and the owner types for libevent's objects.
//
// Main thread only, from Bind to the destructor.
#ifndef KEYSTONE_NET_LISTENER_H_
#define KEYSTONE_NET_LISTENER_H_

#include <sys/types.h>
#include <unistd.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/fd.h"
#include "base/status.h"

struct event;
struct event_base;

namespace keystone {

struct EventBaseDeleter {
  void operator()(event_base* base) const;
};
struct EventDeleter {
  void operator()(event* event) const;
};
using EventBase = std::unique_ptr<event_base, EventBaseDeleter>;
using EventHandle = std::unique_ptr<event, EventDeleter>;  // must go before its base

// Who is at the other end of a socket, for people: "127.0.0.1:43211", "a local client".
std::string PeerName(int fd);

// Who may connect to a Unix socket.
struct UnixAccess {
  mode_t mode = 0660;
  // The file's owner; the caller's own ids change nothing.
  uid_t uid = ::geteuid();
  gid_t gid = ::getegid();
};

class Listener {
 public:
  struct Callbacks {
    std::function<void(Fd client)> on_accept;  // a blocking socket
    // accept failed for want of descriptors or memory. `client` is the one client that the reserve
    // descriptor could still take, or invalid; accepting goes on a little later.
    std::function<void(Fd client, int error)> on_exhausted;
  };

  using List = std::vector<std::unique_ptr<Listener>>;

  // Binds all addresses that a name stands for. A stale Unix socket is replaced, a live one is
  // kRunning, and any other kind of file is left alone: kCantCreate. TCP: kRunning where the
  // address is in use. kConfig: no such name, or no address of this machine. The message names the
  // address.
  static Result<List> Bind(const Address& address, const UnixAccess& unix_access);

  // Removes the Unix socket if it is still the one that was bound.
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // As bound: "127.0.0.1:43211", "[::1]:43211", "unix:/path".
  const std::string& name() const { return name_; }

  // listen(2), and accepts from now on. kRunning: somebody else listens there.
  Status Start(event_base* base, Callbacks callbacks);

 private:
  Listener(Fd fd, std::string name) : fd_(std::move(fd)), name_(std::move(name)) {}
  static Result<List> BindAllOf(const Address& address);
  static Result<List> BindUnix(const std::string& path, const UnixAccess& access);
  void RememberFile(const std::string& path);

  void AcceptAll();
  Fd Accept();
  void OnAcceptError(int error);
  void Pause(int error);
  void Resume();
  void OpenReserve();

  Fd fd_;
  std::string name_;
  std::string path_;  // of a Unix socket, else empty
  dev_t device_ = 0;
  ino_t inode_ = 0;
  Fd reserve_;  // given up to answer a client when there are no descriptors left
  Callbacks callbacks_;
  EventHandle readable_;
  EventHandle resume_;  // a timer
};

}  // namespace keystone

#endif  // KEYSTONE_NET_LISTENER_H_
