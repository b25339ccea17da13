// The daemon's network side: who lets clients in and serves them, and one libevent loop that looks
// after it all.
//
// Main thread only, from Bind to the destructor; it starts a thread for each connection, or a few
// with event loops for all of them, and one for maintenance. The loop never blocks and never waits
// for the disk. Borrows the log and the store, which must outlive it; the signal pipe stays the
// caller's.
#ifndef KEYSTONE_NET_SERVER_H_
#define KEYSTONE_NET_SERVER_H_

#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/status.h"
#include "net/acceptor.h"
#include "net/connection.h"
#include "net/connection_threads.h"
#include "net/event.h"
#include "net/event_loops.h"
#include "net/listener.h"
#include "net/maintenance.h"
#include "net/metrics_server.h"
#include "net/once_a_minute.h"
#include "net/registry.h"
#include "net/session.h"
#include "store/store.h"

namespace keystone {

struct ServerOptions {
  std::vector<Address> listen;            // empty: 127.0.0.1:7878, and [::1]:7878 where IPv6 exists
  std::vector<Address> listen_memcached;  // for clients of its text protocol
  std::vector<Address> listen_metrics;    // for monitors: HTTP
  UnixAccess unix_access;                 // of Unix sockets
  size_t max_connections = 1024;
  Limits limits;
  // 0: never.
  std::chrono::milliseconds idle_timeout{0};
  std::chrono::milliseconds request_timeout{30000};
  std::chrono::milliseconds write_timeout{60000};
  std::chrono::milliseconds drain_timeout{10000};
  unsigned compact_stale_percent = 50;  // 0: never by itself
  uint64_t compact_min_size_bytes = uint64_t{64} << 20;
  size_t io_threads = 0;  // event loops that share all connections; 0: a thread per connection
};

// What the service manager wants to hear. Called on the main thread; any may be empty.
struct ServerEvents {
  std::function<void()> on_reloading;  // a compaction asked for by SIGHUP begins
  std::function<void()> on_reloaded;   // it is over, whatever came of it
  std::function<void()> on_stopping;   // no more connections are accepted
};

class Server {
 public:
  // Raises the descriptor limit and binds, but does not listen yet, so that it can be called while
  // privileges last. kRunning: an address is in use. kPermission: an address needs privileges.
  // kSystem: the descriptor limit can't be raised far enough.
  static Result<std::unique_ptr<Server>> Bind(const ServerOptions& options, const Log& log);

  ~Server();
  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  // As bound: "127.0.0.1:43211", "[::1]:43211", "unix:/path"; those for memcached's clients behind
  // the others, with "memcached " in front, and at last monitors', with "metrics ".
  std::vector<std::string> Addresses() const;

  // Listens and starts the threads; clients have to wait for Run. `signal_fd` is non-blocking and
  // brings a byte a signal, its number. kRunning: somebody else listens on an address meanwhile.
  Status Start(Store* store, int signal_fd, ServerEvents events);

  // Serves until SIGTERM or SIGINT, then drains: complete requests that were read are answered and
  // connections closed. A second signal or drain_timeout cuts the drain short. The caller closes
  // the store afterwards. kSystem: an event loop has failed.
  Status Run();

  // After Run: no thread is left. Where false, one hangs in the disk or an event loop has failed:
  // neither the server nor the store may be destroyed, so sync and leave with _exit.
  bool drained() const { return drained_; }

 private:
  enum class Phase { kServing, kDraining, kCutting };

  Server(const ServerOptions& options, const Log& log);
  Status BindAll();
  Status BindDefault();
  Status BindOne(const Address& address, Protocol protocol);
  Status BindMetrics();
  Status StartEvents();

  // Callbacks of the loop.
  void OnSignals();
  void OnWake();
  void OnTimer();

  void OnSignal(int number);
  void AskForCompaction();
  void LogStats();
  void BeginDrain(int signal);
  void Cut(const char* reason);
  void EndIfDrained();
  void ArmTimer(std::chrono::milliseconds delay);
  void SetClearTimer();
  void SetResumeTimer();

  // Any thread.
  void OnEmpty();
  void Wake();
  void OnPause();
  void ClearLater(std::chrono::milliseconds delay);
  std::vector<std::string> StatsLines() const;
  std::string Illness() const;
  void OnHttpRequest(const std::string& peer, std::string_view first_line);

  // Constant after Start.
  const ServerOptions options_;
  const Log& log_;
  const std::chrono::steady_clock::time_point started_;
  Store* store_ = nullptr;
  int signal_fd_ = -1;
  ServerEvents events_;
  Fd wake_;  // an eventfd: other threads write to it

  Registry registry_;
  ConnectionContext context_;
  Acceptor acceptor_;
  ConnectionThreads threads_;
  EventLoops loops_;
  std::unique_ptr<Maintenance> maintenance_;
  EventBase base_;
  EventHandle signal_event_;
  EventHandle wake_event_;
  EventHandle timer_;         // the drain's
  EventHandle clear_timer_;   // that of flush_all with a delay
  EventHandle resume_timer_;  // accepting goes on
  MetricsServer metrics_;

  Phase phase_ = Phase::kServing;
  bool reloading_ = false;  // on_reloading was called, on_reloaded not yet
  bool drained_ = false;
  std::atomic<bool> loop_failed_{false};
  std::atomic<bool> accept_paused_{false};
  static constexpr int64_t kNoClear = -1;
  std::atomic<int64_t> clear_later_ms_{kNoClear};  // what the timer is to be set to; 0: to nothing
  OnceAMinute http_warning_;
};

}  // namespace keystone

#endif  // KEYSTONE_NET_SERVER_H_
