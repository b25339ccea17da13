#include "net/registry.h"

#include <sys/socket.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <string>
#include <thread>
#include <utility>

#include "CppUTest/TestHarness.h"

using keystone::Counters;
using keystone::Fd;
using keystone::Registry;

namespace {

struct Pair {
  Pair() {
    std::array<int, 2> fds{-1, -1};
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.data()) != 0) FAIL("socketpair");
    server.reset(fds[0]);
    client.reset(fds[1]);
  }

  Fd server;
  Fd client;
};

// What the client gets until the end of file; never waits for more.
std::string ReadAvailable(int fd, bool* end_of_file) {
  std::array<char, 64> bytes;
  const ssize_t size = ::recv(fd, bytes.data(), bytes.size(), MSG_DONTWAIT);
  *end_of_file = size == 0;
  return size > 0 ? std::string(bytes.data(), static_cast<size_t>(size)) : std::string();
}

bool IsClosed(int fd) {
  bool end_of_file = false;
  ReadAvailable(fd, &end_of_file);
  return end_of_file;
}

}  // namespace

TEST_GROUP(Registry){};

TEST(Registry, JoiningTakesTheDescriptorAndLeavingClosesIt) {
  Registry registry(2, {});
  Pair pair;
  const int fd = pair.server.get();
  {
    const Registry::Membership membership = registry.Join(&pair.server);
    CHECK_TRUE(membership.valid());
    CHECK_FALSE(pair.server.valid());
    CHECK_EQUAL(fd, membership.fd());
    CHECK_FALSE(IsClosed(pair.client.get()));
    CHECK_FALSE(registry.empty());
  }
  CHECK_TRUE(IsClosed(pair.client.get()));
  CHECK_TRUE(registry.empty());
}

TEST(Registry, TakesNothingBeyondItsLimit) {
  Registry registry(1, {});
  Pair first;
  Pair second;
  Registry::Membership membership = registry.Join(&first.server);
  CHECK_FALSE(registry.Join(&second.server).valid());
  CHECK_TRUE(second.server.valid());

  membership = {};
  CHECK_TRUE(registry.Join(&second.server).valid());
}

TEST(Registry, AMovedMembershipLeavesOnce) {
  Registry registry(2, {});
  Pair pair;
  Registry::Membership membership = registry.Join(&pair.server);
  {
    const Registry::Membership other = std::move(membership);
    CHECK_EQUAL(1, registry.totals().current);
  }
  CHECK_EQUAL(0, registry.totals().current);
}

TEST(Registry, CountsCurrentTotalAndRejected) {
  Registry registry(1, {});
  Pair first;
  Pair second;
  { const Registry::Membership gone = registry.Join(&first.server); }
  const Registry::Membership live = registry.Join(&second.server);
  registry.CountRejected();
  CHECK_EQUAL(1, registry.totals().current);
  CHECK_EQUAL(2, registry.totals().total);
  CHECK_EQUAL(1, registry.totals().rejected);
}

TEST(Registry, SumsTheCountersOfLiveAndEndedConnections) {
  Registry registry(2, {});
  Pair first;
  Pair second;
  {
    const Registry::Membership ended = registry.Join(&first.server);
    ended.counters()->commands_get.Add(3);
  }
  const Registry::Membership live = registry.Join(&second.server);
  live.counters()->commands_get.Add(4);
  live.counters()->bytes_read.Add(100);

  Counters sum;
  registry.AddCounters(&sum);
  CHECK_EQUAL(7, sum.commands_get.Get());
  CHECK_EQUAL(100, sum.bytes_read.Get());
}

TEST(Registry, ShutdownReadsEndsReceivingButStillSends) {
  Registry registry(1, {});
  Pair pair;
  const Registry::Membership membership = registry.Join(&pair.server);
  CHECK_EQUAL(3, ::send(pair.client.get(), "GET", 3, MSG_NOSIGNAL));
  registry.ShutdownReads();

  std::array<char, 8> bytes;
  CHECK_EQUAL(3, ::recv(membership.fd(), bytes.data(), bytes.size(), 0));
  CHECK_EQUAL(0, ::recv(membership.fd(), bytes.data(), bytes.size(), 0));
  CHECK_EQUAL(2, ::send(membership.fd(), "OK", 2, MSG_NOSIGNAL));
  bool end_of_file = false;
  STRCMP_EQUAL("OK", ReadAvailable(pair.client.get(), &end_of_file).c_str());
}

TEST(Registry, ShutdownReadsWakesAThreadThatWaitsInReceive) {
  Registry registry(1, {});
  Pair pair;
  const Registry::Membership membership = registry.Join(&pair.server);
  ssize_t received = -1;
  std::thread reader([&] {
    char byte;
    received = ::recv(membership.fd(), &byte, 1, 0);
  });
  registry.ShutdownReads();
  reader.join();
  CHECK_EQUAL(0, received);
}

TEST(Registry, CutAllEndsSendingToo) {
  Registry registry(1, {});
  Pair pair;
  const Registry::Membership membership = registry.Join(&pair.server);
  registry.CutAll();
  CHECK_EQUAL(-1, ::send(membership.fd(), "OK", 2, MSG_NOSIGNAL));
  CHECK_EQUAL(EPIPE, errno);
  CHECK_TRUE(IsClosed(pair.client.get()));
}

TEST(Registry, SaysThatItIsEmptyWhenTheLastLeaves) {
  int calls = 0;
  Registry registry(2, [&calls] { ++calls; });
  Pair first;
  Pair second;
  Registry::Membership one = registry.Join(&first.server);
  Registry::Membership two = registry.Join(&second.server);
  one = {};
  CHECK_EQUAL(0, calls);
  two = {};
  CHECK_EQUAL(1, calls);
}

TEST(Registry, ShutdownNeverHitsADescriptorThatWasReused) {
  Registry registry(8, {});
  std::atomic<bool> stop{false};
  std::thread shutter([&] {
    while (!stop) registry.CutAll();
  });
  // Each round frees a member's descriptor number and uses it again for a pair that never joins: a
  // late shutdown would end that one's reading.
  bool intact = true;
  for (int i = 0; i < 2000 && intact; ++i) {
    {
      Pair member;
      const Registry::Membership membership = registry.Join(&member.server);
      membership.counters()->commands_set.Add();
    }
    const Pair outsider;
    char byte = 0;
    intact = ::send(outsider.client.get(), "x", 1, MSG_NOSIGNAL) == 1 &&
             ::recv(outsider.server.get(), &byte, 1, MSG_DONTWAIT) == 1 &&
             !IsClosed(outsider.server.get());
  }
  stop = true;
  shutter.join();
  CHECK_TRUE(intact);
}

TEST(Registry, NobodyJoinsOnceReadsAreShutDown) {
  Registry registry(2, {});
  registry.ShutdownReads();
  Pair pair;
  CHECK_FALSE(registry.Join(&pair.server).valid());
  CHECK_TRUE(pair.server.valid());
  LONGS_EQUAL(0, registry.totals().total);
}
