// One client's thread: receive, execute all that is there, send all replies at once; again.
//
// Blocking I/O on a small stack; in the steady state a round costs one recv and one send, which is
// another's where that one commits the client's write (Deferral). The thread owns the connection's
// place in the registry, whose end is the last thing it does for it: once the registry is empty, no
// connection uses anything it was lent. A last request without its end is never executed.
#ifndef KEYSTONE_NET_CONNECTION_H_
#define KEYSTONE_NET_CONNECTION_H_

#include <atomic>
#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/status.h"
#include "net/registry.h"
#include "net/session.h"
#include "store/store.h"

namespace keystone {

// What all connections of a server share. Constant while there are connections, but `draining`;
// outlives them. The functions are called on the connections' threads.
struct ConnectionContext {
  Store* store = nullptr;
  const Log* log = nullptr;
  Limits limits;
  // 0: never.
  std::chrono::milliseconds idle_timeout{0};     // silence between two receives
  std::chrono::milliseconds request_timeout{0};  // from a request's first byte to its last
  std::chrono::milliseconds write_timeout{0};    // the peer takes nothing of the replies
  std::function<std::vector<std::string>()> stats_lines;
  std::function<void(std::chrono::milliseconds delay)> clear_later;  // see SessionHost
  // The first line is raw client bytes.
  std::function<void(const std::string& peer, std::string_view first_line)> on_http_request;
  std::function<bool()> start_compaction;  // online; false: there is one already
  std::function<void()> on_loop_failed;    // an event loop has ended, and its clients hang
  // Set once, before Registry::ShutdownReads: answer what has been read, then close.
  std::atomic<bool> draining{false};
};

// Logs why the client of `fd` has to go. Good for handlers of exceptions.
void LogClosed(const ConnectionContext& context, int fd, const char* reason) noexcept;

// Returns when the conversation is over; `membership` stays to be given up. Throws nothing.
void ServeClient(const ConnectionContext& context, const Registry::Membership& membership);

}  // namespace keystone

#endif  // KEYSTONE_NET_CONNECTION_H_
