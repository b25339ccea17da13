#include "net/listener.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

namespace keystone {

namespace {

constexpr int kBacklog = 4096;

struct AddressInfoDeleter {
  void operator()(addrinfo* list) const { ::freeaddrinfo(list); }
};
using AddressInfo = std::unique_ptr<addrinfo, AddressInfoDeleter>;

// The umask belongs to the whole process: before there are threads only.
class ScopedUmask {
 public:
  explicit ScopedUmask(mode_t mask) : before_(::umask(mask)) {}
  ~ScopedUmask() { ::umask(before_); }
  ScopedUmask(const ScopedUmask&) = delete;
  ScopedUmask& operator=(const ScopedUmask&) = delete;

 private:
  const mode_t before_;
};

Status ErrnoStatus(std::string_view operation, std::string_view name, int error) {
  const Status status = Status::FromErrno(operation, name, error);
  switch (error) {
    case EADDRINUSE:
      return status.As(Code::kRunning);
    case ENOENT:
    case ENOTDIR:
    case ENAMETOOLONG:
      return status.As(Code::kCantCreate);
    case EADDRNOTAVAIL:
    case EAFNOSUPPORT:
      return status.As(Code::kConfig);
    default:
      return status;
  }
}

void SetOption(int fd, int level, int option) {
  // Each of these is a wish: a socket without it still serves.
  const int on = 1;
  (void)::setsockopt(fd, level, option, &on, sizeof(on));
}

std::string TcpName(const sockaddr* address, socklen_t size) {
  std::array<char, NI_MAXHOST> host;
  std::array<char, NI_MAXSERV> port;
  const int error = ::getnameinfo(address, size, host.data(), host.size(), port.data(), port.size(),
                                  NI_NUMERICHOST | NI_NUMERICSERV);
  if (error != 0) return "unknown address";
  return ToString(
      {.kind = Address::Kind::kTcp, .host = host.data(), .port = port.data(), .path = {}});
}

std::string BoundName(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof(storage);
  auto* const address = reinterpret_cast<sockaddr*>(&storage);
  return ::getsockname(fd, address, &size) == 0 ? TcpName(address, size) : "unknown address";
}

Result<AddressInfo> Resolve(const Address& address) {
  addrinfo hints{};
  hints.ai_flags = AI_PASSIVE;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  const int error = ::getaddrinfo(address.host.empty() ? nullptr : address.host.c_str(),
                                  address.port.c_str(), &hints, &list);
  if (error == 0) return AddressInfo(list);
  return Status(Code::kConfig, "resolve " + ToString(address) + ": " + ::gai_strerror(error));
}

Result<Fd> BindTcp(const addrinfo& info) {
  const std::string name = TcpName(info.ai_addr, info.ai_addrlen);
  Fd fd(
      ::socket(info.ai_family, info.ai_socktype | SOCK_CLOEXEC | SOCK_NONBLOCK, info.ai_protocol));
  if (!fd.valid()) return ErrnoStatus("socket for", name, errno);
  SetOption(fd.get(), SOL_SOCKET, SO_REUSEADDR);
  if (info.ai_family == AF_INET6) SetOption(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY);
  // What is accepted inherits these: two system calls less for each client.
  SetOption(fd.get(), IPPROTO_TCP, TCP_NODELAY);
  SetOption(fd.get(), SOL_SOCKET, SO_KEEPALIVE);
  if (::bind(fd.get(), info.ai_addr, info.ai_addrlen) != 0) {
    return ErrnoStatus("bind", name, errno);
  }
  return fd;
}

// Makes way for a new socket: removes one that nobody listens on, and nothing else.
Status RemoveStaleSocket(const std::string& path, const sockaddr_un& address) {
  const std::string name = "unix:" + path;
  struct stat info;
  if (::lstat(path.c_str(), &info) != 0) {
    return errno == ENOENT ? Status::Ok() : ErrnoStatus("bind", name, errno);
  }
  if (!S_ISSOCK(info.st_mode)) {
    return {Code::kCantCreate, "bind " + name + ": the file exists and is not a socket"};
  }
  const Fd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!probe.valid()) return ErrnoStatus("socket for", name, errno);
  const int rc =
      ::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address));
  // EAGAIN: somebody listens, with a long queue.
  if (rc == 0 || errno == EAGAIN) return ErrnoStatus("bind", name, EADDRINUSE);
  if (errno != ECONNREFUSED) return ErrnoStatus("connect to", name, errno);
  if (::unlink(path.c_str()) != 0) return ErrnoStatus("unlink stale", name, errno);
  return Status::Ok();
}

}  // namespace

std::string PeerName(int fd) {
  sockaddr_storage storage{};
  socklen_t size = sizeof(storage);
  auto* const address = reinterpret_cast<sockaddr*>(&storage);
  if (::getpeername(fd, address, &size) != 0) return "a client that is gone";
  return storage.ss_family == AF_UNIX ? "a local client" : TcpName(address, size);
}

bool IsExhausted(int error) {
  return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

Result<Listener::List> Listener::Bind(const Address& address, const UnixAccess& unix_access) {
  return address.kind == Address::Kind::kUnix ? BindUnix(address.path, unix_access)
                                              : BindAllOf(address);
}

// A name may stand for addresses of a family that this machine lacks: one that works is enough.
Result<Listener::List> Listener::BindAllOf(const Address& address) {
  Result<AddressInfo> resolved = Resolve(address);
  if (!resolved.ok()) return resolved.status();
  List list;
  Status missing;
  for (const addrinfo* info = resolved.value().get(); info != nullptr; info = info->ai_next) {
    Result<Fd> fd = BindTcp(*info);
    if (fd.status().code() == Code::kConfig) {
      missing = fd.status();
    } else if (!fd.ok()) {
      return fd.status();
    } else {
      std::string name = BoundName(fd.value().get());
      list.push_back(
          std::unique_ptr<Listener>(new Listener(std::move(fd.value()), std::move(name))));
    }
  }
  if (list.empty()) return missing;
  return list;
}

Result<Listener::List> Listener::BindUnix(const std::string& path, const UnixAccess& access) {
  const std::string name = "unix:" + path;
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof(address.sun_path)) return ErrnoStatus("bind", name, ENAMETOOLONG);
  std::memcpy(address.sun_path, path.data(), path.size());

  const Status removed = RemoveStaleSocket(path, address);
  if (!removed.ok()) return removed;
  Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd.valid()) return ErrnoStatus("socket for", name, errno);
  {
    const ScopedUmask umask(0777 & ~access.mode);  // there is no moment with a wider mode
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
      return ErrnoStatus("bind", name, errno);
    }
  }
  std::unique_ptr<Listener> listener(new Listener(std::move(fd), name));
  listener->RememberFile(path);
  // lchown: whoever may write to the directory must not turn it on another file by a symbolic link.
  if ((access.uid != ::geteuid() || access.gid != ::getegid()) &&
      ::lchown(path.c_str(), access.uid, access.gid) != 0) {
    return ErrnoStatus("chown", name, errno);
  }
  List list;
  list.push_back(std::move(listener));
  return list;
}

void Listener::RememberFile(const std::string& path) {
  struct stat info;
  if (::lstat(path.c_str(), &info) != 0) return;  // gone already: nothing to remove later
  path_ = path;
  device_ = info.st_dev;
  inode_ = info.st_ino;
}

bool Listener::OwnsFile() const {
  struct stat info;
  return ::lstat(path_.c_str(), &info) == 0 && info.st_dev == device_ && info.st_ino == inode_;
}

Listener::~Listener() { Stop(); }

Status Listener::Listen() {
  if (::listen(fd_.get(), kBacklog) != 0) return ErrnoStatus("listen", name_, errno);
  // Whoever starts meanwhile takes a socket that does not listen yet for one left over.
  if (path_.empty() || OwnsFile()) return Status::Ok();
  return {Code::kRunning, "listen on " + name_ + ": another process has replaced the socket"};
}

Fd Listener::Accept() const { return Fd(::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC)); }

// The descriptor stays open: others may be about to accept from it.
void Listener::Stop() {
  ::shutdown(fd_.get(), SHUT_RDWR);
  while (Accept().valid()) continue;  // of a Unix socket, who waits would go on to wait
  if (path_.empty()) return;
  // Where the directory doesn't let us, the next start does it.
  if (OwnsFile()) ::unlink(path_.c_str());
  path_.clear();
}

}  // namespace keystone
