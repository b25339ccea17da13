#include "net/acceptor.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <atomic>
#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "net/no_descriptors.h"
#include "net/sockets.h"
#include "wait.h"

using keystone::Acceptor;
using keystone::Code;
using keystone::Fd;
using keystone::Log;
using keystone::Priority;
using keystone::Protocol;
using keystone::Registry;
using keystone::Status;
using std::chrono::milliseconds;

namespace {

constexpr milliseconds kLong{60'000};
constexpr milliseconds kNow{0};

// The other system has acknowledged that this side will say no more.
bool ItsEndHasArrived(int fd) {
  tcp_info info{};
  socklen_t size = sizeof(info);
  return ::getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) == 0 &&
         info.tcpi_state == TCP_FIN_WAIT2;
}

}  // namespace

TEST_GROUP(Acceptor) {
  void setup() override {
    registry = std::make_unique<Registry>(2, nullptr);
    acceptor = std::make_unique<Acceptor>(registry.get(), &log, [this] { pauses++; });
    acceptor->Add(Protocol::kLine, testing::BoundListener());
    acceptor->Add(Protocol::kMemcached, testing::BoundListener());
    CHECK_TRUE(acceptor->Listen().ok());
    acceptor->Open();
  }
  void teardown() override {
    acceptor.reset();
    registry.reset();
  }

  Fd Connect(size_t which = 0) {
    Fd fd = testing::ConnectTo(acceptor->Addresses()[which]);
    CHECK_TRUE(fd.valid());
    return fd;
  }

  Log log{Log::Sink::kStderr, Priority::kCritical};
  std::atomic<int> pauses{0};
  std::unique_ptr<Registry> registry;
  std::unique_ptr<Acceptor> acceptor;
};

TEST(Acceptor, AClientIsAMemberThatSpeaksTheSocketsProtocol) {
  const Fd line = Connect(0);
  const Registry::Membership first = acceptor->Accept(kLong);
  CHECK_TRUE(first.valid());
  CHECK_TRUE(first.protocol() == Protocol::kLine);
  const Fd memcached = Connect(1);
  const Registry::Membership second = acceptor->Accept(kLong);
  CHECK_TRUE(second.valid());
  CHECK_TRUE(second.protocol() == Protocol::kMemcached);
  LONGS_EQUAL(2, registry->totals().current);
}

TEST(Acceptor, WhereNobodyComesItReturnsInTime) {
  CHECK_FALSE(acceptor->Accept(kNow).valid());
  CHECK_FALSE(acceptor->Accept(milliseconds{1}).valid());
}

TEST(Acceptor, EachOfTheThreadsThatWaitGetsAClient) {
  std::atomic<int> got{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 2; i++) {
    threads.emplace_back([&] {
      const Registry::Membership client = acceptor->Accept(kLong);
      if (client.valid()) got++;
      testing::BecomesTrue([&] { return got == 2; });
    });
  }
  const Fd one = Connect();
  const Fd other = Connect();
  for (std::thread& thread : threads) thread.join();
  LONGS_EQUAL(2, got);
}

TEST(Acceptor, WhoIsTooManyIsToldSoInTheProtocolOfTheSocket) {
  std::vector<Fd> clients;
  std::vector<Registry::Membership> members;
  for (int i = 0; i < 2; i++) {
    clients.push_back(Connect());
    members.push_back(acceptor->Accept(kLong));
  }
  const Fd line = Connect(0);
  CHECK_FALSE(acceptor->Accept(kLong).valid());
  STRCMP_EQUAL("ERROR too many connections\n", testing::ReadAll(line.get()).c_str());
  const Fd memcached = Connect(1);
  CHECK_FALSE(acceptor->Accept(kLong).valid());
  STRCMP_EQUAL("SERVER_ERROR too many connections\r\n", testing::ReadAll(memcached.get()).c_str());
  LONGS_EQUAL(2, registry->totals().rejected);
}

TEST(Acceptor, WhoHasGoneWithoutAWordIsCountedAndNobodysWork) {
  for (int i = 0; i < 20; i++) {
    const Fd client = Connect();
    ::shutdown(client.get(), SHUT_WR);
    testing::WaitUntil([&] { return ItsEndHasArrived(client.get()); });
    CHECK_FALSE(acceptor->Accept(kLong).valid());
  }
  LONGS_EQUAL(20, registry->totals().total);
  LONGS_EQUAL(0, registry->totals().current);
}

TEST(Acceptor, WhoHasAskedBeforeItClosedIsServed) {
  Fd client = Connect();
  CHECK_EQUAL(5, ::send(client.get(), "PING\n", 5, MSG_NOSIGNAL));
  client.reset();
  const Registry::Membership member = acceptor->Accept(kLong);
  CHECK_TRUE(member.valid());
  std::array<char, 8> bytes;
  CHECK_EQUAL(5, ::recv(member.fd(), bytes.data(), bytes.size(), MSG_DONTWAIT));
}

TEST(Acceptor, WhoHasNoThreadIsToldSo) {
  const Fd client = Connect();
  {
    const Registry::Membership member = acceptor->Accept(kLong);
    acceptor->Refuse(member, Status(Code::kSystem, "no thread"));
  }
  STRCMP_EQUAL("ERROR out of threads, try again later\n", testing::ReadAll(client.get()).c_str());
  LONGS_EQUAL(1, registry->totals().rejected);
}

TEST(Acceptor, WithoutDescriptorsOneClientIsToldSoAndTheRestWaitsUntilItIsResumed) {
  const Fd refused = Connect();
  const Fd waiting = Connect();
  {
    const testing::NoDescriptors none;
    CHECK_FALSE(acceptor->Accept(kLong).valid());
    LONGS_EQUAL(1, pauses);
    CHECK_FALSE(acceptor->Accept(kNow).valid());  // it doesn't try again by itself
    LONGS_EQUAL(1, pauses);
  }
  STRCMP_EQUAL("ERROR out of descriptors, try again later\n",
               testing::ReadAll(refused.get()).c_str());
  CHECK_FALSE(acceptor->Accept(kNow).valid());
  acceptor->Resume();
  CHECK_TRUE(acceptor->Accept(kLong).valid());
}

TEST(Acceptor, OneSocketsPauseIsNotTheOthers) {
  const Fd line = Connect(0);
  {
    const testing::NoDescriptors none;
    CHECK_FALSE(acceptor->Accept(kLong).valid());
  }
  const Fd memcached = Connect(1);
  CHECK_TRUE(acceptor->Accept(kLong).protocol() == Protocol::kMemcached);
}

TEST(Acceptor, StopEndsTheWaitOfAllAndSendsClientsAway) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; i++) {
    threads.emplace_back([&] {
      while (!acceptor->stopped()) acceptor->Accept(milliseconds{-1});
    });
  }
  acceptor->Stop();
  for (std::thread& thread : threads) thread.join();
  for (const std::string& address : acceptor->Addresses()) {
    CHECK_FALSE(testing::ConnectTo(address).valid());
  }
}

TEST(Acceptor, WhoConnectsBeforeItIsOpenWaits) {
  Acceptor other(registry.get(), &log, [] {});
  auto listener = testing::BoundListener();
  pollfd waiting{.fd = listener->fd(), .events = POLLIN, .revents = 0};
  other.Add(Protocol::kLine, std::move(listener));
  CHECK_TRUE(other.Listen().ok());
  const Fd client = testing::ConnectTo(other.Addresses()[0]);
  CHECK_TRUE(client.valid());
  CHECK_EQUAL(1, ::poll(&waiting, 1, static_cast<int>(kLong.count())));
  CHECK_FALSE(other.Accept(kNow).valid());
  other.Open();
  CHECK_TRUE(other.Accept(kLong).valid());
}
