#include "net/metrics_server.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "net/no_descriptors.h"
#include "net/sockets.h"
#include "scratch.h"
#include "wait.h"

using keystone::EventBase;
using keystone::Fd;
using keystone::Log;
using keystone::MetricsServer;
using keystone::Priority;

// All in one thread: the server's loop turns while a test waits.
TEST_GROUP(MetricsServer) {
  void setup() override { Start(std::chrono::minutes(10)); }
  void teardown() override {
    server.reset();
    base.reset();
  }

  void Start(std::chrono::milliseconds client_timeout) {
    server.reset();
    base.reset(::event_base_new());
    server = std::make_unique<MetricsServer>(
        MetricsServer::Source{[this] { return Stats(); }, [this] { return illness; }}, &log,
        client_timeout);
    server->Add(testing::BoundListener());
    CHECK_TRUE(server->Listen(base.get()).ok());
  }

  std::vector<std::string> Stats() {
    if (without_memory) throw std::bad_alloc();
    return stats;
  }

  Fd Connect() {
    Fd fd = testing::ConnectTo(server->Addresses()[0]);
    CHECK_TRUE(fd.valid());
    ::fcntl(fd.get(), F_SETFL, O_NONBLOCK);
    return fd;
  }

  void Turn() { ::event_base_loop(base.get(), EVLOOP_ONCE | EVLOOP_NONBLOCK); }

  int WatchedSockets() {
    int count = 0;
    ::event_base_foreach_event(
        base.get(),
        [](const event_base*, const event* event, void* counted) {
          *static_cast<int*>(counted) += (::event_get_events(event) & EV_READ) != 0;
          return 0;
        },
        &count);
    return count;
  }

  // What has come, and whether it was all.
  bool Read(const Fd& fd, std::string* got) {
    std::array<char, 4096> bytes;
    Turn();
    const ssize_t size = ::recv(fd.get(), bytes.data(), bytes.size(), 0);
    if (size > 0) got->append(bytes.data(), static_cast<size_t>(size));
    if (size < 0 && errno == ECONNRESET) got->append("(reset)");
    return size == 0 || (size < 0 && errno != EAGAIN);
  }

  std::string ReadAll(const Fd& fd) {
    std::string got;
    testing::WaitUntil([&] { return Read(fd, &got); });
    return got;
  }

  void Send(const Fd& fd, std::string_view bytes) {
    LONGS_EQUAL(bytes.size(), ::send(fd.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL));
  }

  std::string Ask(std::string_view request) {
    const Fd fd = Connect();
    Send(fd, request);
    return ReadAll(fd);
  }

  void CheckStatus(const char* status, const std::string& reply) {
    STRCMP_EQUAL(status, reply.substr(0, reply.find("\r\n")).c_str());
  }

  static std::string BodyOf(const std::string& reply) {
    return reply.substr(reply.find("\r\n\r\n") + 4);
  }

  bool HasEnded(const Fd& fd) {
    std::string got;
    return Read(fd, &got) && got.empty();
  }

  Log log{Log::Sink::kStderr, Priority::kCritical};
  std::vector<std::string> stats{"keys 7"};
  std::string illness;
  bool without_memory = false;
  EventBase base;
  std::unique_ptr<MetricsServer> server;
};

TEST(MetricsServer, ItsAddressesSayWhatTheyAreFor) {
  CHECK_TRUE(server->Addresses()[0].starts_with("metrics 127.0.0.1:"));
}

TEST(MetricsServer, WhoseSocketWasReplacedMeanwhileDoesNotStart) {
  const Scratch scratch;
  const keystone::Address address{.kind = keystone::Address::Kind::kUnix,
                                  .host = {},
                                  .port = {},
                                  .path = scratch.File("socket")};
  auto bound = keystone::Listener::Bind(address, {});
  auto later = keystone::Listener::Bind(address, {});  // takes the first for one left over
  CHECK_TRUE(bound.ok() && later.ok());
  server->Add(std::move(bound.value().front()));
  CHECK_TRUE(server->Listen(base.get()).code() == keystone::Code::kRunning);
}

TEST(MetricsServer, MetricsAreThoseOfTheMoment) {
  CHECK_TRUE(BodyOf(Ask("GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n")).find("_keys 7\n") !=
             std::string::npos);
  stats = {"keys 8"};
  const std::string reply = Ask("GET /metrics?a=b HTTP/1.0\n\n");
  CheckStatus("HTTP/1.1 200 OK", reply);
  CHECK_TRUE(reply.find("\r\nContent-Type: text/plain; version=0.0.4; charset=utf-8\r\n") !=
             reply.npos);
  CHECK_TRUE(BodyOf(reply).find("_keys 8\n") != std::string::npos);
}

TEST(MetricsServer, HealthIsToldByTheStatus) {
  const std::string well = Ask("GET /healthz HTTP/1.1\r\n\r\n");
  CheckStatus("HTTP/1.1 200 OK", well);
  STRCMP_EQUAL("ok\n", BodyOf(well).c_str());
  illness = "stopping";
  const std::string ill = Ask("GET /healthz HTTP/1.1\r\n\r\n");
  CheckStatus("HTTP/1.1 503 Service Unavailable", ill);
  STRCMP_EQUAL("stopping\n", BodyOf(ill).c_str());
  CheckStatus("HTTP/1.1 200 OK", Ask("GET /metrics HTTP/1.1\r\n\r\n"));
}

TEST(MetricsServer, HeadTellsTheSameWithoutABody) {
  STRCMP_EQUAL("", BodyOf(Ask("HEAD /metrics HTTP/1.1\r\n\r\n")).c_str());
}

TEST(MetricsServer, WhatItDoesNotHaveIsRefused) {
  CheckStatus("HTTP/1.1 404 Not Found", Ask("GET / HTTP/1.1\r\n\r\n"));
  CheckStatus("HTTP/1.1 404 Not Found", Ask("GET /metrics/ HTTP/1.1\r\n\r\n"));
  CheckStatus("HTTP/1.1 405 Method Not Allowed", Ask("DELETE /metrics HTTP/1.1\r\n\r\n"));
  CheckStatus("HTTP/1.1 400 Bad Request", Ask("SET key value\n\n"));
}

TEST(MetricsServer, ARequestMayComeInPieces) {
  const Fd fd = Connect();
  const std::string_view request = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
  for (const char c : request.substr(0, request.size() - 1)) {
    Send(fd, {&c, 1});
    Turn();
  }
  Send(fd, "\n");
  CheckStatus("HTTP/1.1 200 OK", ReadAll(fd));
}

TEST(MetricsServer, AClientMaySayNoMoreAtOnce) {
  const Fd fd = Connect();
  Send(fd, "GET /healthz HTTP/1.1\r\n\r\n");
  ::shutdown(fd.get(), SHUT_WR);
  CheckStatus("HTTP/1.1 200 OK", ReadAll(fd));
}

// Were it not read, the system would reset the connection.
TEST(MetricsServer, ABodyDoesNotCostTheClientItsReply) {
  const Fd fd = Connect();
  Send(fd, "POST /metrics HTTP/1.1\r\nContent-Length: 60000\r\n\r\n");
  std::string got;
  testing::WaitUntil([&] {
    Read(fd, &got);
    return !got.empty();
  });
  Send(fd, std::string(60000, 'x'));
  got += ReadAll(fd);
  CheckStatus("HTTP/1.1 405 Method Not Allowed", got);
  CHECK_TRUE(got.find("(reset)") == got.npos);
}

TEST(MetricsServer, WhoSendsOnAndOnIsSentAway) {
  const Fd fd = Connect();
  Send(fd, "POST /metrics HTTP/1.1\r\n\r\n");
  const std::string piece(16384, 'x');
  size_t sent = 0;
  testing::WaitUntil([&] {
    Turn();
    const ssize_t size = ::send(fd.get(), piece.data(), piece.size(), MSG_NOSIGNAL);
    if (size > 0) sent += static_cast<size_t>(size);
    return size < 0 && errno != EAGAIN;
  });
  CHECK_TRUE(sent > (size_t{1} << 20));
}

TEST(MetricsServer, AfterAStopNobodyIsConnectedAndNobodyCanConnect) {
  const Fd silent = Connect();
  Turn();
  const std::string address = server->Addresses()[0];
  server->Stop();
  STRCMP_EQUAL("", ReadAll(silent).c_str());
  CHECK_FALSE(testing::ConnectTo(address).valid());
}

TEST(MetricsServer, AHeadThatHasNoEndIsRefused) {
  const std::string line = "GET /healthz HTTP/1.1\r\na: ";
  CheckStatus("HTTP/1.1 431 Request Header Fields Too Large",
              Ask(line + std::string(keystone::kMaxHttpHead - line.size(), 'x')));
  const std::string fits = line + std::string(keystone::kMaxHttpHead - line.size() - 4, 'x');
  CheckStatus("HTTP/1.1 200 OK", Ask(fits + "\r\n\r\n"));
  CheckStatus("HTTP/1.1 431 Request Header Fields Too Large", Ask(fits + "x\r\n\r\n"));
}

TEST(MetricsServer, OneMoreClientTakesThePlaceOfTheOldest) {
  std::vector<Fd> silent;
  for (size_t i = 0; i < MetricsServer::kMostClients; i++) {
    silent.push_back(Connect());
    Turn();
  }
  CHECK_FALSE(HasEnded(silent[0]));
  CheckStatus("HTTP/1.1 200 OK", Ask("GET /healthz HTTP/1.1\r\n\r\n"));
  testing::WaitUntil([&] { return HasEnded(silent[0]); });
  CHECK_FALSE(HasEnded(silent[1]));
}

TEST(MetricsServer, AClientThatTakesLongIsSentAway) {
  Start(std::chrono::milliseconds(1));
  const Fd silent = Connect();
  STRCMP_EQUAL("", ReadAll(silent).c_str());
}

TEST(MetricsServer, AClientThatStaysAfterItsReplyIsSentAway) {
  Start(std::chrono::milliseconds(1));
  const Fd fd = Connect();
  ReadAll(fd);
  testing::WaitUntil([&] {
    Turn();
    return ::send(fd.get(), "x", 1, MSG_NOSIGNAL) < 0;
  });
}

TEST(MetricsServer, WithoutMemoryTheClientIsSentAwayAndTheNextServed) {
  without_memory = true;
  STRCMP_EQUAL("", Ask("GET /metrics HTTP/1.1\r\n\r\n").c_str());
  without_memory = false;
  CheckStatus("HTTP/1.1 200 OK", Ask("GET /metrics HTTP/1.1\r\n\r\n"));
}

TEST(MetricsServer, WithoutDescriptorsAClientWaitsForThem) {
  const Fd fd = Connect();
  Send(fd, "GET /healthz HTTP/1.1\r\n\r\n");
  std::string got;
  int watched = 0;
  LONGS_EQUAL(1, WatchedSockets());
  {
    const testing::NoDescriptors none;
    Turn();
    watched = WatchedSockets();
    for (int i = 0; i < 100; i++) Read(fd, &got);
  }
  LONGS_EQUAL(0, watched);  // or the loop would have been busy with it
  STRCMP_EQUAL("", got.c_str());
  CheckStatus("HTTP/1.1 200 OK", ReadAll(fd));
}

TEST(MetricsServer, AClientThatIsGoneBeforeItsReplyHurtsNobody) {
  for (int i = 0; i < 20; i++) {
    {
      const Fd fd = Connect();
      Send(fd, "GET /metrics HTTP/1.1\r\n\r\n");
      const linger reset{.l_onoff = 1, .l_linger = 0};
      ::setsockopt(fd.get(), SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    }
    Turn();
  }
  CheckStatus("HTTP/1.1 200 OK", Ask("GET /healthz HTTP/1.1\r\n\r\n"));
}
