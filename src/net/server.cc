#include "net/server.h"

#include <signal.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <new>
#include <utility>

#include "base/escape.h"
#include "net/stats.h"

namespace keystone {

namespace {

using std::chrono::milliseconds;

constexpr rlim_t kOtherDescriptors = 64;  // segments, listeners, pipes
constexpr rlim_t kLoopDescriptors = 2;    // what an event loop waits with
constexpr milliseconds kCutGrace{1000};   // from cutting all connections to giving up on them

rlim_t DescriptorsFor(const ServerOptions& options) {
  return options.max_connections + kLoopDescriptors * options.io_threads +
         (options.listen_metrics.empty() ? 0 : MetricsServer::kMostClients) + kOtherDescriptors;
}

// Takes all that the hard limit gives, and more of it where that is not enough.
Status RaiseDescriptorLimit(rlim_t needed) {
  rlimit limit;
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) {
    return Status::FromErrno("read", "the descriptor limit", errno).As(Code::kSystem);
  }
  const rlimit wanted{.rlim_cur = std::max(limit.rlim_max, needed),
                      .rlim_max = std::max(limit.rlim_max, needed)};
  if (::setrlimit(RLIMIT_NOFILE, &wanted) == 0) return Status::Ok();
  const std::string object = "the descriptor limit of " + std::to_string(limit.rlim_max) + " to " +
                             std::to_string(needed) + " for max-connections";
  return Status::FromErrno("raise", object, errno).As(Code::kSystem);
}

// Called from libevent, which is C: nothing may be thrown.
void Call(const std::function<void()>& event) noexcept {
  try {
    if (event) event();
  } catch (const std::bad_alloc&) {
    // The service manager is not told: what it waits for happens all the same.
  }
}

}  // namespace

Server::Server(const ServerOptions& options, const Log& log)
    : options_(options),
      log_(log),
      started_(std::chrono::steady_clock::now()),
      registry_(options.max_connections, [this] { OnEmpty(); }),
      acceptor_(&registry_, &log, [this] { OnPause(); }),
      threads_(context_, &acceptor_),
      loops_(context_, &acceptor_),
      metrics_({[this] { return StatsLines(); }, [this] { return Illness(); }}, &log) {
  context_.log = &log;
  context_.limits = options.limits;
  context_.idle_timeout = options.idle_timeout;
  context_.request_timeout = options.request_timeout;
  context_.write_timeout = options.write_timeout;
  context_.stats_lines = [this] { return StatsLines(); };
  context_.on_http_request = [this](const std::string& peer, std::string_view first_line) {
    OnHttpRequest(peer, first_line);
  };
  context_.clear_later = [this](milliseconds delay) { ClearLater(delay); };
  context_.start_compaction = [this] {
    return !store_->Stats().compaction_running &&
           maintenance_->RequestCompaction(CompactionMode::kOnline);
  };
  context_.on_loop_failed = [this] {
    loop_failed_ = true;
    Wake();
  };
}

Server::~Server() { acceptor_.Stop(); }

Result<std::unique_ptr<Server>> Server::Bind(const ServerOptions& options, const Log& log) {
  const Status raised = RaiseDescriptorLimit(DescriptorsFor(options));
  if (!raised.ok()) return raised;
  std::unique_ptr<Server> server(new Server(options, log));
  const Status bound = server->BindAll();
  if (!bound.ok()) return bound;
  return server;
}

Status Server::BindAll() {
  Status status = options_.listen.empty() ? BindDefault() : Status::Ok();
  for (const Address& address : options_.listen) {
    if (status.ok()) status = BindOne(address, Protocol::kLine);
  }
  for (const Address& address : options_.listen_memcached) {
    if (status.ok()) status = BindOne(address, Protocol::kMemcached);
  }
  return status.ok() ? BindMetrics() : status;
}

Status Server::BindDefault() {
  Address address{.kind = Address::Kind::kTcp, .host = "127.0.0.1", .port = "7878", .path = {}};
  const Status status = BindOne(address, Protocol::kLine);
  if (!status.ok()) return status;
  address.host = "::1";
  const Status v6 = BindOne(address, Protocol::kLine);
  return v6.code() == Code::kConfig ? Status::Ok() : v6;  // a machine without IPv6
}

Status Server::BindOne(const Address& address, Protocol protocol) {
  Result<Listener::List> bound = Listener::Bind(address, options_.unix_access);
  if (!bound.ok()) return bound.status();
  for (auto& listener : bound.value()) acceptor_.Add(protocol, std::move(listener));
  return Status::Ok();
}

Status Server::BindMetrics() {
  for (const Address& address : options_.listen_metrics) {
    Result<Listener::List> bound = Listener::Bind(address, options_.unix_access);
    if (!bound.ok()) return bound.status();
    for (auto& listener : bound.value()) metrics_.Add(std::move(listener));
  }
  return Status::Ok();
}

std::vector<std::string> Server::Addresses() const {
  std::vector<std::string> names = acceptor_.Addresses();
  for (std::string& name : metrics_.Addresses()) names.push_back(std::move(name));
  return names;
}

Status Server::Start(Store* store, int signal_fd, ServerEvents events) {
  store_ = store;
  context_.store = store;
  signal_fd_ = signal_fd;
  events_ = std::move(events);
  const Status watching = StartEvents();
  if (!watching.ok()) return watching;
  const CompactionThreshold threshold{.stale_percent = options_.compact_stale_percent,
                                      .min_size_bytes = options_.compact_min_size_bytes};
  maintenance_ = std::make_unique<Maintenance>(store, threshold, [this] { Wake(); });
  if (Status started = maintenance_->Start(); !started.ok()) return started;
  if (Status started = acceptor_.Listen(); !started.ok()) return started;
  if (Status started = metrics_.Listen(base_.get()); !started.ok()) return started;
  return options_.io_threads > 0 ? loops_.Start(options_.io_threads) : threads_.Start();
}

Status Server::StartEvents() {
  wake_.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_.valid()) return Status::FromErrno("make", "an eventfd", errno);
  base_.reset(::event_base_new());
  if (!base_) return {Code::kSystem, "start the event loop: out of memory or descriptors"};
  signal_event_.reset(::event_new(
      base_.get(), signal_fd_, EV_READ | EV_PERSIST,
      [](evutil_socket_t, short, void* self) { static_cast<Server*>(self)->OnSignals(); }, this));
  wake_event_.reset(::event_new(
      base_.get(), wake_.get(), EV_READ | EV_PERSIST,
      [](evutil_socket_t, short, void* self) { static_cast<Server*>(self)->OnWake(); }, this));
  clear_timer_.reset(::event_new(
      base_.get(), -1, 0,
      [](evutil_socket_t, short, void* self) {
        static_cast<Server*>(self)->maintenance_->RequestClear();
      },
      this));
  resume_timer_.reset(::event_new(
      base_.get(), -1, 0,
      [](evutil_socket_t, short, void* self) { static_cast<Server*>(self)->acceptor_.Resume(); },
      this));
  timer_.reset(::event_new(
      base_.get(), -1, 0,
      [](evutil_socket_t, short, void* self) { static_cast<Server*>(self)->OnTimer(); }, this));
  const bool watching = signal_event_ && wake_event_ && timer_ && clear_timer_ && resume_timer_ &&
                        ::event_add(signal_event_.get(), nullptr) == 0 &&
                        ::event_add(wake_event_.get(), nullptr) == 0;
  return watching ? Status::Ok() : Status(Code::kSystem, "watch the signal pipe: out of memory");
}

Status Server::Run() {
  acceptor_.Open();
  const int ended = ::event_base_dispatch(base_.get());
  const int error = errno;
  metrics_.Stop();
  if (ended != 0) return Status::FromErrno("wait for", "clients", error).As(Code::kSystem);
  return loop_failed_ ? Status(Code::kSystem, "an event loop has failed") : Status::Ok();
}

void Server::OnSignals() {
  std::array<char, 64> numbers;
  ssize_t size;
  while ((size = ::read(signal_fd_, numbers.data(), numbers.size())) > 0) {
    for (ssize_t i = 0; i < size; ++i) OnSignal(numbers[static_cast<size_t>(i)]);
  }
}

void Server::OnSignal(int number) {
  switch (number) {
    case SIGHUP:
      return AskForCompaction();
    case SIGUSR1:
      return LogStats();
    case SIGTERM:
    case SIGINT:
      if (phase_ == Phase::kServing) return BeginDrain(number);
      if (phase_ == Phase::kDraining) return Cut("a second signal");
      return;
    default:
      return;
  }
}

void Server::AskForCompaction() {
  if (phase_ != Phase::kServing) return;
  const bool is_clients = store_->Stats().compaction_running && !maintenance_->busy();
  if (!is_clients && !reloading_) {
    reloading_ = true;
    Call(events_.on_reloading);
  }
  const bool folded = is_clients || !maintenance_->RequestCompaction(CompactionMode::kStopTheWorld);
  log_.Write(Priority::kInfo, folded ? "SIGHUP: a compaction is under way, this one is part of it"
                                     : "SIGHUP: compacting");
}

void Server::LogStats() {
  try {
    const Log log = log_.Including(Priority::kNotice);  // they were asked for
    for (const std::string& line : StatsLines()) {
      log.Write(Priority::kNotice, "stats: %s", line.c_str());
    }
  } catch (const std::bad_alloc&) {
    log_.Write(Priority::kError, "stats: out of memory");
  }
}

// Another thread ended something: a compaction, itself, or the last connection.
void Server::OnWake() {
  uint64_t count;
  (void)!::read(wake_.get(), &count, sizeof(count));  // non-blocking; only resets it
  if (loop_failed_) return (void)::event_base_loopbreak(base_.get());
  if (phase_ != Phase::kServing) return EndIfDrained();
  SetClearTimer();
  SetResumeTimer();
  if (reloading_ && !maintenance_->busy()) {
    reloading_ = false;
    Call(events_.on_reloaded);
  }
}

// A later flush_all replaces the one that waits, and one that is executed at once calls it off.
void Server::SetClearTimer() {
  const int64_t delay_ms = clear_later_ms_.exchange(kNoClear);
  if (delay_ms == kNoClear) return;
  ::event_del(clear_timer_.get());
  if (delay_ms == 0) return;
  const timeval value{.tv_sec = delay_ms / 1000, .tv_usec = delay_ms % 1000 * 1000};
  ::event_add(clear_timer_.get(), &value);
}

void Server::SetResumeTimer() {
  if (accept_paused_.exchange(false)) ::event_add(resume_timer_.get(), &kAcceptPause);
}

void Server::BeginDrain(int signal) {
  phase_ = Phase::kDraining;
  log_.Write(Priority::kNotice, "stopping on %s: %llu connections to drain",
             signal == SIGINT ? "SIGINT" : "SIGTERM",
             static_cast<unsigned long long>(registry_.totals().current));
  acceptor_.Stop();
  Call(events_.on_stopping);
  store_->CancelCompaction();
  maintenance_->RequestStop();
  context_.draining = true;
  registry_.ShutdownReads();
  if (options_.drain_timeout.count() > 0) ArmTimer(options_.drain_timeout);
  EndIfDrained();
}

void Server::Cut(const char* reason) {
  phase_ = Phase::kCutting;
  log_.Write(Priority::kWarning, "%s cuts the drain short: %llu connections closed", reason,
             static_cast<unsigned long long>(registry_.totals().current));
  registry_.CutAll();
  ArmTimer(kCutGrace);
}

void Server::OnTimer() {
  if (phase_ == Phase::kDraining) return Cut("drain-timeout");
  log_.Write(Priority::kError, "%llu connections%s hang in the disk: leaving without them",
             static_cast<unsigned long long>(registry_.totals().current),
             maintenance_->ended() ? "" : " and the maintenance thread");
  ::event_base_loopbreak(base_.get());
}

void Server::EndIfDrained() {
  if (!registry_.empty() || !maintenance_->ended()) return;
  drained_ = true;
  ::event_base_loopbreak(base_.get());
}

void Server::ArmTimer(milliseconds delay) {
  const timeval value{.tv_sec = delay.count() / 1000, .tv_usec = delay.count() % 1000 * 1000};
  ::event_add(timer_.get(), &value);
}

// The last connection is gone: the main thread wants to know only where it waits for that.
void Server::OnEmpty() {
  if (context_.draining) Wake();
}

void Server::OnPause() {
  accept_paused_ = true;
  Wake();
}

void Server::ClearLater(milliseconds delay) {
  clear_later_ms_ = delay.count();
  Wake();
}

void Server::Wake() {
  const uint64_t one = 1;
  (void)!::write(wake_.get(), &one, sizeof(one));  // fails only where it is awake already
}

std::vector<std::string> Server::StatsLines() const {
  const auto uptime = std::chrono::steady_clock::now() - started_;
  Counters counters;
  registry_.AddCounters(&counters);
  const Registry::Totals totals = registry_.totals();
  return FormatStats({.pid = ::getpid(),
                      .uptime_seconds = static_cast<uint64_t>(
                          std::chrono::duration_cast<std::chrono::seconds>(uptime).count()),
                      .connections = totals,
                      .connections_limit = options_.max_connections,
                      .threads = options_.io_threads > 0 ? options_.io_threads : totals.current},
                     counters, store_->Stats());
}

// Why a monitor should not send clients here; empty where it may.
std::string Server::Illness() const {
  if (phase_ != Phase::kServing) return "stopping";
  return store_->Stats().read_only ? "read-only: what is on disk is not certain, the log says why"
                                   : "";
}

void Server::OnHttpRequest(const std::string& peer, std::string_view first_line) {
  if (!http_warning_.Now()) return;
  log_.Write(Priority::kWarning, "%s spoke HTTP, connection closed: '%s'", peer.c_str(),
             Escape(first_line).c_str());
}

}  // namespace keystone
