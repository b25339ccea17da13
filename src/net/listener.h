// A bound socket that clients connect to.
//
// Bind, Listen and the destructor are for one thread; Accept and Stop are thread-safe.
#ifndef KEYSTONE_NET_LISTENER_H_
#define KEYSTONE_NET_LISTENER_H_

#include <sys/time.h>
#include <sys/types.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/address.h"
#include "base/fd.h"
#include "base/status.h"

namespace keystone {

// Who is at the other end of a socket, for people: "127.0.0.1:43211", "a local client".
std::string PeerName(int fd);

// Whether accept(2) has failed for want of descriptors or memory; any other error is the client's.
bool IsExhausted(int error);

// How long not to accept then.
inline constexpr timeval kAcceptPause{.tv_sec = 0, .tv_usec = 100'000};

// Who may connect to a Unix socket.
struct UnixAccess {
  mode_t mode = 0660;
  // The file's owner; the caller's own ids change nothing.
  uid_t uid = ::geteuid();
  gid_t gid = ::getegid();
};

class Listener {
 public:
  using List = std::vector<std::unique_ptr<Listener>>;

  // Binds all addresses that a name stands for. A stale Unix socket is replaced, a live one is
  // kRunning, and any other kind of file is left alone: kCantCreate. TCP: kRunning where the
  // address is in use. kConfig: no such name, or no address of this machine. The message names the
  // address.
  static Result<List> Bind(const Address& address, const UnixAccess& unix_access);

  ~Listener();  // stops
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  // As bound: "127.0.0.1:43211", "[::1]:43211", "unix:/path".
  const std::string& name() const { return name_; }

  // Never waits: readable once a client is there.
  int fd() const { return fd_.get(); }

  // listen(2). kRunning: somebody else listens there, or has replaced the Unix socket.
  Status Listen();

  // The next client, a blocking socket; invalid where there is none, or none can be had: errno.
  Fd Accept() const;

  // Nobody can connect any more, and who has not been accepted is sent away. Removes the Unix
  // socket if it is still the one that was bound.
  void Stop();

 private:
  Listener(Fd fd, std::string name) : fd_(std::move(fd)), name_(std::move(name)) {}
  static Result<List> BindAllOf(const Address& address);
  static Result<List> BindUnix(const std::string& path, const UnixAccess& access);
  void RememberFile(const std::string& path);
  bool OwnsFile() const;

  Fd fd_;
  std::string name_;
  std::string path_;  // of a Unix socket, else empty
  dev_t device_ = 0;
  ino_t inode_ = 0;
};

}  // namespace keystone

#endif  // KEYSTONE_NET_LISTENER_H_
