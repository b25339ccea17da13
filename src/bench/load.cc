#include "bench/load.h"

#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/escape.h"
#include "cli/progress.h"

namespace keystone {

namespace {

constexpr uint64_t kSecondNs = 1'000'000'000;
constexpr uint64_t kPatienceNs = 10 * kSecondNs;  // for replies, once a run is over
constexpr uint64_t kForever = ~uint64_t{0};
constexpr uint64_t kStopEvent = ~uint64_t{0};
constexpr size_t kReceiveSize = 256 * 1024;
constexpr size_t kPreloadBatchBytes = 1 << 20;
constexpr size_t kPreloadBatch = 128;

uint64_t NowNs() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<uint64_t>(now.tv_sec) * kSecondNs + static_cast<uint64_t>(now.tv_nsec);
}

double ProcessorSeconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
  };
  return seconds(usage.ru_utime) + seconds(usage.ru_stime);
}

BenchCommand CommandOf(uint64_t request) {
  return (request & 1) != 0 ? BenchCommand::kGet : BenchCommand::kSet;
}

}  // namespace

BenchLoad::BenchLoad(const LoadOptions& options, EndpointAddresses addresses, int stop)
    : options_(options),
      addresses_(std::move(addresses)),
      values_(options.value_size_bytes),
      stop_(stop),
      epoll_(::epoll_create1(EPOLL_CLOEXEC)),
      connections_(options.clients),
      receive_buffer_(kReceiveSize),
      random_(1) {}

// ---- connections

Result<std::unique_ptr<BenchLoad>> BenchLoad::Connect(const LoadOptions& options,
                                                      EndpointAddresses addresses, int stop) {
  std::unique_ptr<BenchLoad> load(new BenchLoad(options, std::move(addresses), stop));
  if (!load->epoll_.valid()) return Status::FromErrno("create", "an epoll descriptor", errno);
  epoll_event event{.events = EPOLLIN, .data = {.u64 = kStopEvent}};
  if (::epoll_ctl(load->epoll_.get(), EPOLL_CTL_ADD, stop, &event) < 0) {
    return Status::FromErrno("watch", "signals", errno);
  }
  for (Connection& connection : load->connections_) {
    if (Status status = load->Open(&connection); !status.ok()) return status;
  }
  return load;
}

Status BenchLoad::Open(Connection* connection) {
  auto fd = addresses_.Connect();
  if (!fd.ok()) return fd.status();
  connection->fd = std::move(fd.value());
  const auto index = static_cast<uint64_t>(connection - connections_.data());
  epoll_event event{.events = EPOLLIN, .data = {.u64 = index}};
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, connection->fd.get(), &event) < 0) {
    return Status::FromErrno("watch", "a connection", errno);
  }
  return Status::Ok();
}

// With a reset, so that the client's ports don't run out in TIME_WAIT.
void BenchLoad::Close(Connection* connection) {
  const linger reset{.l_onoff = 1, .l_linger = 0};
  (void)::setsockopt(connection->fd.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
  connection->fd.reset();
}

void BenchLoad::Lose(Connection* connection, std::string_view reason) {
  connection->fd.reset();
  if (!std::exchange(connection->active, false)) return;
  Problem(&result_.errors, "connection lost: " + std::string(reason));
  active_--;
}

void BenchLoad::Problem(uint64_t* counter, std::string_view what) {
  (*counter)++;
  if (result_.first_problem.empty()) result_.first_problem = what;
}

// ---- phases

Status BenchLoad::Preload() {
  preloading_ = true;
  end_ns_ = kForever;
  result_ = {};
  Drive();
  preloading_ = false;
  if (stopped_) return {Code::kCancelled, "interrupted while the keys were stored"};
  if (result_.errors == 0) return Status::Ok();
  return {Code::kIo, "store the keys: " + result_.first_problem};
}

LoadResult BenchLoad::Run() {
  result_ = {};
  const double cpu_before = ProcessorSeconds();
  const uint64_t start = NowNs();
  end_ns_ = start + static_cast<uint64_t>(options_.seconds * static_cast<double>(kSecondNs));
  last_reply_ns_ = start;
  Drive();
  result_.seconds = static_cast<double>(last_reply_ns_ - start) / 1e9;
  const double wall = static_cast<double>(NowNs() - start) / 1e9;
  result_.client_cores = (ProcessorSeconds() - cpu_before) / wall;
  return result_;
}

void BenchLoad::Drive() {
  Progress progress(Progress::Unit::kEntries, options_.keys,
                    preloading_ && ::isatty(STDERR_FILENO) == 1);
  for (Connection& connection : connections_) {
    if (!connection.fd.valid()) continue;
    connection.active = true;
    active_++;
    StartBatch(&connection);
  }
  while (active_ > 0 && WaitForEvents()) {
    if (preloading_) progress.Update(next_key_);
  }
  active_ = 0;
}

// Handles what has happened; false once the run has to end.
bool BenchLoad::WaitForEvents() {
  const int count =
      ::epoll_wait(epoll_.get(), events_.data(), static_cast<int>(events_.size()), 100);
  for (int i = 0; i < count; i++) {
    const epoll_event& event = events_[static_cast<size_t>(i)];
    if (event.data.u64 == kStopEvent) {
      stopped_ = true;
      return false;
    }
    Connection& connection = connections_[event.data.u64];
    if ((event.events & EPOLLOUT) != 0 && connection.fd.valid()) Send(&connection, {});
    if ((event.events & ~EPOLLOUT) != 0 && connection.fd.valid()) Receive(&connection);
  }
  if (count > 0 || preloading_ || NowNs() < end_ns_ + kPatienceNs) return true;
  GiveUp();
  return false;
}

void BenchLoad::GiveUp() {
  for (const Connection& connection : connections_) {
    for (size_t i = connection.answered; connection.fd.valid() && i < connection.batch.size();
         i++) {
      Problem(&result_.errors, "a request was never answered");
    }
  }
}

// ---- requests

size_t BenchLoad::NextBatchSize(uint64_t now_ns) const {
  if (!preloading_) return now_ns < end_ns_ ? options_.pipeline : 0;
  const size_t fitting = kPreloadBatchBytes / (options_.value_size_bytes + 1);
  const size_t size = std::clamp(fitting, size_t{1}, kPreloadBatch);
  return std::min<uint64_t>(size, options_.keys - next_key_);
}

uint64_t BenchLoad::NextRequest() {
  if (preloading_) return next_key_++ << 1;
  const bool get = random_.Below(options_.sets + options_.gets) >= options_.sets;
  return random_.Below(options_.keys) << 1 | uint64_t{get};
}

// Sends the next batch, or leaves the connection idle where there is none.
void BenchLoad::StartBatch(Connection* connection) {
  const uint64_t now_ns = NowNs();
  const size_t size = NextBatchSize(now_ns);
  connection->answered = 0;
  connection->batch.clear();
  connection->sent_ns = now_ns;
  if (size == 0) {
    connection->active = false;
    active_--;
    return;
  }
  if (!connection->fd.valid()) {
    if (Status status = Open(connection); !status.ok()) return Lose(connection, status.message());
  }
  requests_.clear();
  for (size_t i = 0; i < size; i++) {
    const uint64_t request = NextRequest();
    connection->batch.push_back(request);
    if (CommandOf(request) == BenchCommand::kGet) {
      AppendGet(options_.protocol, BenchKey(request >> 1).text(), &requests_);
    } else {
      AppendSet(options_.protocol, request >> 1, values_, &requests_);
    }
  }
  Send(connection, requests_);
}

// Sends `bytes`, or with none what is left of a batch. What the socket does not take stays in out.
void BenchLoad::Send(Connection* connection, std::string_view bytes) {
  const bool rest = bytes.empty();
  if (rest) bytes = std::string_view(connection->out).substr(connection->out_sent);
  const ssize_t sent =
      ::send(connection->fd.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN && errno != EINTR) {
    return Lose(connection, std::strerror(errno));
  }
  const size_t taken = sent > 0 ? static_cast<size_t>(sent) : 0;
  if (taken == bytes.size()) {
    if (rest) WatchWritable(connection, false);
    connection->out.clear();
    connection->out_sent = 0;
  } else if (rest) {
    connection->out_sent += taken;
  } else {
    connection->out.assign(bytes.substr(taken));
    WatchWritable(connection, true);
  }
}

void BenchLoad::WatchWritable(Connection* connection, bool wanted) {
  epoll_event event{.events = EPOLLIN, .data = {}};
  if (wanted) event.events |= EPOLLOUT;
  event.data.u64 = static_cast<uint64_t>(connection - connections_.data());
  (void)::epoll_ctl(epoll_.get(), EPOLL_CTL_MOD, connection->fd.get(), &event);
}

// ---- replies

void BenchLoad::Receive(Connection* connection) {
  bool closed = false;
  const std::string_view bytes = ReceiveBytes(connection, &closed);
  if (closed) return Lose(connection, errno == 0 ? "closed by the server" : std::strerror(errno));
  if (bytes.empty()) return;
  last_reply_ns_ = NowNs();
  size_t taken = 0;
  const bool valid = TakeReplies(connection, bytes, &taken);
  const bool complete = connection->answered == connection->batch.size();
  if (!valid || (complete && taken < bytes.size())) {
    return Lose(connection, "not this protocol: '" + Escape(bytes.substr(taken)) + "'");
  }
  if (connection->in.empty()) {
    connection->in.assign(bytes.substr(taken));
  } else {
    connection->in.erase(0, taken);
  }
  if (!complete || !connection->active) return;
  if (options_.reconnect && !preloading_) Close(connection);
  StartBatch(connection);
}

// All that is there and no reply yet: in the shared buffer, or behind the beginning of a reply that
// came before. `closed` says that no more comes; errno why, 0 for an end in order.
std::string_view BenchLoad::ReceiveBytes(Connection* connection, bool* closed) {
  std::string& in = connection->in;
  const size_t before = in.size();
  if (before > 0) in.resize(before + kReceiveSize);
  char* into = before > 0 ? in.data() + before : receive_buffer_.data();
  const ssize_t n = ::recv(connection->fd.get(), into, kReceiveSize, MSG_DONTWAIT);
  if (n == 0) errno = 0;
  *closed = n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR);
  const size_t received = n > 0 ? static_cast<size_t>(n) : 0;
  if (before > 0) in.resize(before + received);
  if (received == 0) return {};
  return before > 0 ? std::string_view(in) : std::string_view(into, received);
}

// Counts the replies that `bytes` begin with; `taken` is their size. False where a reply is none.
bool BenchLoad::TakeReplies(Connection* connection, std::string_view bytes, size_t* taken) {
  const uint64_t latency_ns = last_reply_ns_ - connection->sent_ns;
  while (connection->answered < connection->batch.size() && *taken < bytes.size()) {
    const uint64_t request = connection->batch[connection->answered];
    const BenchReply reply =
        ParseReply(options_.protocol, CommandOf(request), bytes.substr(*taken));
    if (reply.kind == BenchReply::Kind::kPartial) return true;
    if (reply.kind == BenchReply::Kind::kInvalid) return false;
    (CommandOf(request) == BenchCommand::kGet ? result_.get : result_.set).Add(latency_ns);
    Judge(request, reply);
    connection->answered++;
    *taken += reply.size_bytes;
  }
  return true;
}

void BenchLoad::Judge(uint64_t request, const BenchReply& reply) {
  const auto complain = [&](uint64_t* counter, std::string_view what) {
    Problem(counter, std::string(BenchKey(request >> 1).text()) + ": " + std::string(what));
  };
  if (reply.kind == BenchReply::Kind::kValue) {
    result_.found++;
    if (options_.verify && !values_.Matches(request >> 1, reply.text)) {
      complain(&result_.wrong, "the value is not what was stored");
    }
  } else if (reply.kind == BenchReply::Kind::kStored) {
    if (options_.verify && CommandOf(request) == BenchCommand::kGet) {
      complain(&result_.wrong, "no value");
    }
  } else if (reply.kind == BenchReply::Kind::kNotFound) {
    result_.not_found++;
    if (options_.verify && options_.preload) complain(&result_.wrong, "stored, but not found");
  } else if (reply.kind == BenchReply::Kind::kError) {
    complain(&result_.errors, Escape(reply.text));
  }
}

}  // namespace keystone
