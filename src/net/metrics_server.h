// Monitors' way in: HTTP on sockets of its own, /metrics for Prometheus and /healthz.
//
// Main thread only, on its event loop, so that it answers when no thread or connection is left for
// a client. Not libevent's own HTTP server, which takes any number of connections at once: one
// client could use up the descriptors of all. Here at most kMostClients are connected, each for a
// few seconds; one more takes the place of the oldest.
#ifndef KEYSTONE_NET_METRICS_SERVER_H_
#define KEYSTONE_NET_METRICS_SERVER_H_

#include <chrono>
#include <cstddef>
#include <functional>
#include <list>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/status.h"
#include "net/event.h"
#include "net/http.h"
#include "net/listener.h"
#include "net/once_a_minute.h"

namespace keystone {

class MetricsServer {
 public:
  static constexpr size_t kMostClients = 16;

  // Asked on each request; may throw std::bad_alloc.
  struct Source {
    std::function<std::vector<std::string>()> stats;  // as FormatStats
    std::function<std::string()> illness;             // why nobody should rely on us; or empty
  };

  // `client_timeout`: for a client's request, and to take the reply. Borrows the log.
  MetricsServer(Source source, const Log* log,
                std::chrono::milliseconds client_timeout = std::chrono::seconds(10));
  ~MetricsServer();  // before the base of Listen
  MetricsServer(const MetricsServer&) = delete;
  MetricsServer& operator=(const MetricsServer&) = delete;

  void Add(std::unique_ptr<Listener> listener);
  std::vector<std::string> Addresses() const;  // as bound, with "metrics " in front

  // Monitors can connect, and are served once `base` runs. kRunning: somebody else listens there.
  Status Listen(event_base* base);

  void Stop();  // nobody is connected any more, and nobody can connect

 private:
  struct Door {
    MetricsServer* server;
    std::unique_ptr<Listener> listener;
    EventHandle readable;
    EventHandle resume;  // a timer, after there were no descriptors
  };
  struct Client {
    MetricsServer* server;
    std::list<Client>::iterator self;
    BufferEvent stream;
    EventHandle deadline;
    bool answered = false;
    bool has_closed = false;        // its side
    size_t ignored_size_bytes = 0;  // behind its request
  };

  Status Watch(Door* door);
  void OnConnect(Door* door);
  void OnExhausted(Door* door, int error);
  void Resume(Door* door);
  void Take(Fd fd);
  void OnInput(Client* client);
  void OnSent(Client* client);
  void OnEnd(Client* client, short what);
  void Drop(Client* client) { clients_.erase(client->self); }
  void Answer(Client* client, std::string_view input);
  HttpReply ReplyTo(const HttpRequest& request) const;

  const Source source_;
  const Log* const log_;
  const std::chrono::milliseconds client_timeout_;
  event_base* base_ = nullptr;
  std::list<Door> doors_;
  std::list<Client> clients_;  // the oldest first
  OnceAMinute descriptors_warning_;
};

}  // namespace keystone

#endif  // KEYSTONE_NET_METRICS_SERVER_H_
