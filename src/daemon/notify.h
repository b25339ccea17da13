// Tells the service manager how the daemon is: sd_notify(3)'s datagrams, without libsystemd.
//
// Does nothing where no service manager asks for it. Errors are logged at debug, and otherwise
// ignored: a manager that can't be told must not stop a daemon that serves. Thread-safe.
#ifndef KEYSTONE_DAEMON_NOTIFY_H_
#define KEYSTONE_DAEMON_NOTIFY_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "base/log.h"

namespace keystone {

class Notify {
 public:
  // `socket` is a path or "@abstract", as $NOTIFY_SOCKET holds it; empty: nobody listens. Borrows
  // `log`.
  Notify(std::string socket, const Log& log) : socket_(std::move(socket)), log_(log) {}

  // What $NOTIFY_SOCKET says, or nothing.
  static std::string SocketFromEnvironment();

  void Ready() const;      // serving, also again after Reloading; says this process's id
  void Reloading() const;  // busy with what the administrator asked for; Ready ends it
  void Stopping() const;
  void Status(std::string_view text) const;  // one line, for people

  // Still busy starting or stopping: the manager's timeout counts from now on for `timeout_ms`.
  void Extend(uint64_t timeout_ms) const;

 private:
  void Send(const std::string& message) const;

  const std::string socket_;
  const Log& log_;
};

}  // namespace keystone

#endif  // KEYSTONE_DAEMON_NOTIFY_H_
