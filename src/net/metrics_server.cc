#include "net/metrics_server.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/util.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <iterator>
#include <new>
#include <utility>

#include "net/metrics.h"

namespace keystone {

namespace {

constexpr size_t kMostIgnored = 1 << 20;  // bytes; who sends more keeps the loop busy

timeval ToTimeval(std::chrono::milliseconds time) {
  return {.tv_sec = time.count() / 1000, .tv_usec = time.count() % 1000 * 1000};
}

}  // namespace

MetricsServer::MetricsServer(Source source, const Log* log,
                             std::chrono::milliseconds client_timeout)
    : source_(std::move(source)), log_(log), client_timeout_(client_timeout) {}

MetricsServer::~MetricsServer() = default;

void MetricsServer::Stop() {
  clients_.clear();
  doors_.clear();
}

void MetricsServer::Add(std::unique_ptr<Listener> listener) {
  Door& door = doors_.emplace_back();
  door.server = this;
  door.listener = std::move(listener);
}

std::vector<std::string> MetricsServer::Addresses() const {
  std::vector<std::string> names;
  for (const Door& door : doors_) names.push_back("metrics " + door.listener->name());
  return names;
}

Status MetricsServer::Listen(event_base* base) {
  base_ = base;
  for (Door& door : doors_) {
    if (Status status = door.listener->Listen(); !status.ok()) return status;
    if (Status status = Watch(&door); !status.ok()) return status;
    log_->Write(Priority::kNotice, "listening on %s for metrics", door.listener->name().c_str());
  }
  return Status::Ok();
}

Status MetricsServer::Watch(Door* door) {
  door->readable.reset(::event_new(
      base_, door->listener->fd(), EV_READ | EV_PERSIST,
      [](evutil_socket_t, short, void* arg) {
        auto* const self = static_cast<Door*>(arg);
        self->server->OnConnect(self);
      },
      door));
  door->resume.reset(::event_new(
      base_, -1, 0,
      [](evutil_socket_t, short, void* arg) {
        auto* const self = static_cast<Door*>(arg);
        self->server->Resume(self);
      },
      door));
  const bool watching =
      door->readable && door->resume && ::event_add(door->readable.get(), nullptr) == 0;
  return watching ? Status::Ok()
                  : Status(Code::kSystem, "watch " + door->listener->name() + ": out of memory");
}

// Called from libevent, which is C, as all that follow: nothing may be thrown.
void MetricsServer::OnConnect(Door* door) try {
  Fd fd = door->listener->Accept();
  if (fd.valid()) return Take(std::move(fd));
  if (IsExhausted(errno)) OnExhausted(door, errno);
} catch (const std::bad_alloc&) {
  // The client was closed.
}

// The socket stays readable: not to be asked about it until there may be descriptors again.
void MetricsServer::OnExhausted(Door* door, int error) {
  if (::event_add(door->resume.get(), &kAcceptPause) == 0) ::event_del(door->readable.get());
  if (!descriptors_warning_.Now()) return;
  log_->Write(Priority::kWarning, "accept on %s: %s: monitors have to wait",
              door->listener->name().c_str(), std::strerror(error));
}

void MetricsServer::Resume(Door* door) {
  if (::event_add(door->readable.get(), nullptr) != 0) {
    ::event_add(door->resume.get(), &kAcceptPause);
  }
}

void MetricsServer::Take(Fd fd) {
  if (::evutil_make_socket_nonblocking(fd.get()) != 0) return;
  if (clients_.size() == kMostClients) clients_.pop_front();
  Client& client = clients_.emplace_back();
  client.server = this;
  client.self = std::prev(clients_.end());
  client.stream.reset(::bufferevent_socket_new(base_, fd.get(), BEV_OPT_CLOSE_ON_FREE));
  if (client.stream) (void)fd.release();
  client.deadline.reset(::event_new(
      base_, -1, 0,
      [](evutil_socket_t, short, void* arg) {
        auto* const self = static_cast<Client*>(arg);
        self->server->Drop(self);
      },
      &client));
  const timeval timeout = ToTimeval(client_timeout_);
  if (!client.stream || !client.deadline || ::event_add(client.deadline.get(), &timeout) != 0) {
    return Drop(&client);
  }
  ::bufferevent_setcb(
      client.stream.get(),
      [](bufferevent*, void* arg) {
        auto* const self = static_cast<Client*>(arg);
        self->server->OnInput(self);
      },
      [](bufferevent*, void* arg) {
        auto* const self = static_cast<Client*>(arg);
        self->server->OnSent(self);
      },
      [](bufferevent*, short what, void* arg) {
        auto* const self = static_cast<Client*>(arg);
        self->server->OnEnd(self, what);
      },
      &client);
  ::bufferevent_enable(client.stream.get(), EV_READ | EV_WRITE);
}

void MetricsServer::OnInput(Client* client) try {
  evbuffer* const input = ::bufferevent_get_input(client->stream.get());
  const size_t size = ::evbuffer_get_length(input);
  if (!client->answered) {
    const auto* const bytes = reinterpret_cast<const char*>(::evbuffer_pullup(input, -1));
    if (bytes == nullptr) return Drop(client);
    Answer(client, {bytes, size});
  }
  if (!client->answered) return;
  // What is not read would turn the close into a reset, and take the reply along.
  ::evbuffer_drain(input, size);
  client->ignored_size_bytes += size;
  if (client->ignored_size_bytes > kMostIgnored) Drop(client);
} catch (const std::bad_alloc&) {
  Drop(client);
}

void MetricsServer::Answer(Client* client, std::string_view input) {
  const size_t head_size = HttpHeadSize(input);
  HttpReply reply;
  bool is_head = false;
  if (head_size > kMaxHttpHead || (head_size == 0 && input.size() >= kMaxHttpHead)) {
    reply = {.status = 431, .body = "the request is too long\n"};
  } else if (head_size == 0) {
    return;
  } else if (const auto request = ParseHttpRequest(input.substr(0, head_size))) {
    is_head = request->method == "HEAD";
    reply = ReplyTo(*request);
  } else {
    reply = {.status = 400, .body = "not a request of HTTP/1\n"};
  }
  const std::string bytes = EncodeHttpReply(reply, is_head);
  if (::bufferevent_write(client->stream.get(), bytes.data(), bytes.size()) != 0) {
    throw std::bad_alloc();
  }
  client->answered = true;
}

HttpReply MetricsServer::ReplyTo(const HttpRequest& request) const {
  if (request.method != "GET" && request.method != "HEAD") {
    return {.status = 405, .body = "GET and HEAD only\n"};
  }
  if (request.path == "/metrics") {
    return {.content_type = kMetricsContentType, .body = FormatMetrics(source_.stats())};
  }
  if (request.path != "/healthz") {
    return {.status = 404, .body = "there are /metrics and /healthz\n"};
  }
  const std::string illness = source_.illness();
  return illness.empty() ? HttpReply{.body = "ok\n"}
                         : HttpReply{.status = 503, .body = illness + "\n"};
}

// It has all: who still sends is heard out until the deadline, so that nothing is reset.
void MetricsServer::OnSent(Client* client) {
  if (!client->answered) return;
  if (client->has_closed) return Drop(client);
  ::shutdown(::bufferevent_getfd(client->stream.get()), SHUT_WR);
}

void MetricsServer::OnEnd(Client* client, short what) {
  evbuffer* const output = ::bufferevent_get_output(client->stream.get());
  const bool is_waiting = client->answered && ::evbuffer_get_length(output) > 0;
  if ((what & BEV_EVENT_EOF) == 0 || !is_waiting) return Drop(client);
  client->has_closed = true;
}

}  // namespace keystone
