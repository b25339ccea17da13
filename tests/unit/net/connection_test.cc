#include "net/connection.h"

#include <sched.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <fstream>
#include <list>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "faults.h"
#include "net/sockets.h"
#include "scratch.h"
#include "wait.h"

using keystone::ConnectionContext;
using keystone::Fd;
using keystone::FsyncPolicy;
using keystone::Log;
using keystone::Priority;
using keystone::Registry;
using keystone::Store;
using testing::ReadAll;
using testing::WaitUntil;

namespace {

// Of all threads but the test's own.
std::atomic<bool> allocations_fail{false};
thread_local bool spared = false;

}  // namespace

// operator new(unsigned long), replaced when the program is linked (-Wl,--wrap).
extern "C" {
void* __real__Znwm(size_t size);
void* __wrap__Znwm(size_t size);
void* __wrap__Znwm(size_t size) {
  if (allocations_fail && !spared) throw std::bad_alloc();
  return __real__Znwm(size);
}
}

namespace {

#ifdef SYS_poll
constexpr long kSysPoll = SYS_poll;
#else
constexpr long kSysPoll = SYS_ppoll;
#endif

void Send(int fd, std::string_view bytes) {
  LONGS_EQUAL(bytes.size(), ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL));
}

// Tells how many bytes of '#' it holds then.
size_t FillSocket(int fd) {
  const std::string block(4096, '#');
  size_t filled = 0;
  for (ssize_t size; (size = ::send(fd, block.data(), block.size(), MSG_DONTWAIT)) > 0;) {
    filled += static_cast<size_t>(size);
  }
  return filled;
}

bool HasReply(int fd) {
  char byte;
  return ::recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

}  // namespace

// Three clients write while the sync of another's write does not end.
TEST_GROUP(Connection) {
  static constexpr std::string_view kFirstLine = "SET first 1\n";
  static constexpr std::string_view kWrite = "SET key value\n";

  // A client, and the thread that serves it.
  struct Client {
    Client(const ConnectionContext& context, Registry* registry) {
      std::array<int, 2> fds{-1, -1};
      LONGS_EQUAL(0, ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()));
      fd.reset(fds[0]);
      const timeval minute{.tv_sec = 60, .tv_usec = 0};
      ::setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &minute, sizeof(minute));
      Fd server(fds[1]);
      membership = registry->Join(&server);
      counters = membership.counters();
      thread = std::thread([this, &context] {
        tid = ::gettid();
        keystone::ServeClient(context, membership);
        ::shutdown(membership.fd(), SHUT_RDWR);
      });
    }
    ~Client() { Join(); }
    void Join() {
      ::shutdown(fd.get(), SHUT_WR);
      if (thread.joinable()) thread.join();
    }
    int policy() const { return ::sched_getscheduler(tid); }
    // Whether the thread waits in that system call. True, too, where the kernel does not tell.
    bool IsIn(long call) const {
      std::ifstream file("/proc/self/task/" + std::to_string(tid) + "/syscall");
      std::string number;  // or that it runs
      file >> number;
      return number.empty() || number == std::to_string(call);
    }
    uint64_t received() const { return counters->bytes_read.Get(); }

    Fd fd;
    Registry::Membership membership;
    keystone::Counters* counters = nullptr;
    std::atomic<pid_t> tid{0};
    std::thread thread;
  };

  void setup() override {
    spared = true;
    auto opened = Store::Open({.directory = scratch.path(), .fsync = FsyncPolicy::kAlways}, log);
    CHECK_TRUE(opened.ok());
    store = std::move(opened.value());
    context.store = store.get();
    context.log = &log;
    faults::Clear();
  }

  void teardown() override {
    allocations_fail = false;
    faults::LetSyncGo();
    clients.clear();
    first.reset();
    store.reset();
    faults::Clear();
  }

  // `error`: what becomes of the sync once it is let go.
  void HoldFirst(int error) {
    faults::HoldNextSync(error);
    first = std::make_unique<Client>(context, &registry);
    Send(first->fd.get(), kFirstLine);
    WaitUntil(faults::SyncIsHeld);
  }

  // Returns when one of them waits to commit, and the others have left it to that one.
  void SendWrites() {
    for (int i = 0; i < 3; i++) clients.emplace_back(context, &registry);
    for (Client& client : clients) Send(client.fd.get(), kWrite);
    for (Client& client : clients) {
      WaitUntil([&] { return client.received() == kWrite.size(); });
    }
    WaitUntil([&] {
      return std::count_if(clients.begin(), clients.end(),
                           [](const Client& client) { return client.IsIn(SYS_recvfrom); }) >= 2;
    });
  }

  // No reply has room where the clients have not read yet what this returns.
  std::string LetGoWithFullSockets() {
    HoldFirst(0);
    SendWrites();
    size_t filled = 0;
    for (Client& client : clients) filled = FillSocket(client.membership.fd());
    faults::LetSyncGo();
    return std::string(filled, '#');
  }

  // Sends more on each; those whose threads have not waited receive it.
  void CheckTwoReadOn(std::string_view more) {
    for (Client& client : clients) Send(client.fd.get(), more);
    WaitUntil([&] { return CountReadOn() == 2; });
  }

  int CountReadOn() {
    int count = 0;
    for (Client& client : clients) count += client.received() > kWrite.size() ? 1 : 0;
    return count;
  }

  static void Exchange(Client * client, std::string_view request, std::string_view reply) {
    Send(client->fd.get(), request);
    Expect(client, reply);
  }

  static void Expect(Client * client, std::string_view reply) {
    std::string bytes(reply.size(), '\0');
    LONGS_EQUAL(bytes.size(), ::recv(client->fd.get(), bytes.data(), bytes.size(), MSG_WAITALL));
    CHECK_TRUE(bytes == reply);
  }

  // The client sends no more.
  static std::string RepliesOf(Client * client) {
    ::shutdown(client->fd.get(), SHUT_WR);
    return ReadAll(client->fd.get());
  }

  Scratch scratch;
  Log log{Log::Sink::kStderr, static_cast<Priority>(LOG_EMERG)};
  std::unique_ptr<Store> store;
  Registry registry{10, {}};
  ConnectionContext context;
  std::unique_ptr<Client> first;
  std::list<Client> clients;
};

TEST(Connection, ThreadsReadOnWhileOthersCommitTheirWrites) {
  HoldFirst(0);
  SendWrites();
  CheckTwoReadOn("GET key\n");
  for (Client& client : clients) CHECK_FALSE(HasReply(client.fd.get()));
  faults::LetSyncGo();
  STRCMP_EQUAL("OK\n", RepliesOf(first.get()).c_str());
  for (Client& client : clients) STRCMP_EQUAL("OK\nVALUE value\n", RepliesOf(&client).c_str());
}

TEST(Connection, ATransactionOfOneWriteIsCommitted) {
  Client client(context, &registry);
  Exchange(&client, "BEGIN\nSET key 2\n", "OK\nQUEUED\n");
  Send(client.fd.get(), "COMMIT\n");
  STRCMP_EQUAL("OK 1\nOK\n", RepliesOf(&client).c_str());
  keystone::FoundValue found;
  CHECK_TRUE(store->Get("key", &found).ok());
  CHECK_TRUE(found.value() == "2");
}

TEST(Connection, AWriteThatOthersCommitIsAnsweredThoughNothingFollows) {
  HoldFirst(0);
  SendWrites();
  faults::LetSyncGo();
  for (Client& client : clients) Expect(&client, "OK\n");
}

TEST(Connection, AClientThatEndsBehindItsWriteGetsTheReplyFirst) {
  HoldFirst(0);
  SendWrites();
  for (Client& client : clients) ::shutdown(client.fd.get(), SHUT_WR);
  faults::LetSyncGo();
  for (Client& client : clients) STRCMP_EQUAL("OK\n", ReadAll(client.fd.get()).c_str());
}

TEST(Connection, ADrainAnswersWhatOthersCommit) {
  HoldFirst(0);
  SendWrites();
  context.draining = true;
  registry.ShutdownReads();
  faults::LetSyncGo();
  for (Client& client : clients) STRCMP_EQUAL("OK\n", ReadAll(client.fd.get()).c_str());
}

TEST(Connection, WhatTheLeaderCannotCommitIsRefusedToAll) {
  HoldFirst(EIO);
  SendWrites();
  CheckTwoReadOn("EXISTS key\n");
  faults::LetSyncGo();
  STRNCMP_EQUAL("ERROR ", RepliesOf(first.get()).c_str(), 6);
  for (Client& client : clients) {
    const std::string replies = RepliesOf(&client);
    STRNCMP_EQUAL("ERROR ", replies.c_str(), 6);
    STRCMP_EQUAL("NOT_FOUND\n", replies.substr(replies.find('\n') + 1).c_str());
  }
}

TEST(Connection, IsServedForLatencyWhileTheStoreCompacts) {
  Client client(context, &registry);
  Exchange(&client, "SET key value\n", "OK\n");
  const sched_param none{};
  if (::sched_setscheduler(client.tid, SCHED_BATCH, &none) != 0) return;  // not in this sandbox
  LONGS_EQUAL(SCHED_BATCH, client.policy());
  faults::HoldNextSync(0);
  std::thread compaction([this] { (void)store->Compact(keystone::CompactionMode::kOnline); });
  WaitUntil(faults::SyncIsHeld);
  Exchange(&client, "GET key\n", "VALUE value\n");
  LONGS_EQUAL(SCHED_OTHER, client.policy());
  faults::LetSyncGo();
  compaction.join();
  Exchange(&client, "GET key\n", "VALUE value\n");
  LONGS_EQUAL(SCHED_BATCH, client.policy());
}

// So much waits in its socket that the reply has no room, until the client reads.
TEST(Connection, AReplyThatTheLeaderCannotSendIsSentLater) {
  const std::string before = LetGoWithFullSockets();
  STRCMP_EQUAL("OK\n", RepliesOf(first.get()).c_str());
  for (Client& client : clients) Expect(&client, before + "OK\n");
}

// A thread that waits for room reads on meanwhile.
TEST(Connection, WhatComesBeforeALateReplyIsSentIsAnsweredToo) {
  const std::string before = LetGoWithFullSockets();
  for (Client& client : clients) {
    WaitUntil([&] { return client.IsIn(kSysPoll); });
    Send(client.fd.get(), "GET key\n");
    WaitUntil([&] { return client.received() > kWrite.size(); });
    Expect(&client, before + "OK\nVALUE value\n");
  }
}

TEST(Connection, AClientIsClosedWhereTheLeaderHasNoMemoryForItsReply) {
  HoldFirst(EIO);
  SendWrites();
  allocations_fail = true;
  faults::LetSyncGo();
  for (Client& client : clients) STRCMP_EQUAL("", ReadAll(client.fd.get()).c_str());
  STRCMP_EQUAL("", ReadAll(first->fd.get()).c_str());
}
