#include "daemon/signal_pipe.h"

#include <CppUTest/TestHarness.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <utility>
#include <vector>

using keystone::SignalPipe;

namespace {

constexpr std::array kSignals = {SIGHUP, SIGTERM, SIGINT, SIGUSR1, SIGPIPE, SIGXFSZ};

// More than a pipe holds.
void Fill(SignalPipe* pipe) {
  for (int i = 0; i < 100000; i++) pipe->Put(SIGHUP);
}

}  // namespace

// Gives the test program its own signal actions back.
TEST_GROUP(SignalPipe) {
  std::array<struct sigaction, kSignals.size()> saved;

  void setup() override {
    for (size_t i = 0; i < kSignals.size(); i++) ::sigaction(kSignals[i], nullptr, &saved[i]);
  }
  void teardown() override {
    for (size_t i = 0; i < kSignals.size(); i++) ::sigaction(kSignals[i], &saved[i], nullptr);
  }
  SignalPipe Create() {
    auto pipe = SignalPipe::Create();
    CHECK_TRUE(pipe.ok());
    return std::move(pipe.value());
  }
};

TEST(SignalPipe, EachSignalIsAByteInOrder) {
  auto pipe = Create();
  for (const int signal : {SIGHUP, SIGTERM, SIGINT, SIGUSR1}) ::raise(signal);
  const std::vector<int> expected = {SIGHUP, SIGTERM, SIGINT, SIGUSR1};
  CHECK_TRUE(pipe.Drain() == expected);
  CHECK_TRUE(pipe.Drain().empty());
}

TEST(SignalPipe, TheReadEndBringsTheSameBytes) {
  auto pipe = Create();
  ::raise(SIGUSR1);
  unsigned char byte = 0;
  LONGS_EQUAL(1, ::read(pipe.read_fd(), &byte, 1));
  LONGS_EQUAL(SIGUSR1, byte);
  LONGS_EQUAL(-1, ::read(pipe.read_fd(), &byte, 1));
  LONGS_EQUAL(EAGAIN, errno);
}

TEST(SignalPipe, IsNotInherited) {
  const auto pipe = Create();
  CHECK_TRUE(::fcntl(pipe.read_fd(), F_GETFD) & FD_CLOEXEC);
}

TEST(SignalPipe, PutComesBack) {
  auto pipe = Create();
  pipe.Put(SIGHUP);
  CHECK_TRUE(pipe.Drain() == std::vector<int>{SIGHUP});
}

TEST(SignalPipe, AHandlerKeepsErrno) {
  auto pipe = Create();
  errno = ELOOP;
  ::raise(SIGHUP);
  LONGS_EQUAL(ELOOP, errno);
}

TEST(SignalPipe, AFullPipeNeitherBlocksNorChangesErrno) {
  auto pipe = Create();
  Fill(&pipe);
  errno = ELOOP;
  ::raise(SIGTERM);
  LONGS_EQUAL(ELOOP, errno);
  CHECK_FALSE(pipe.Drain().empty());
  ::raise(SIGTERM);
  CHECK_TRUE(pipe.Drain() == std::vector<int>{SIGTERM});
}

TEST(SignalPipe, WritingToNobodyOrPastTheLimitIsNotDeadly) {
  const auto pipe = Create();
  ::raise(SIGXFSZ);
  int ends[2];
  LONGS_EQUAL(0, ::pipe(ends));
  ::close(ends[0]);
  LONGS_EQUAL(-1, ::write(ends[1], "x", 1));
  LONGS_EQUAL(EPIPE, errno);
  ::close(ends[1]);
}

TEST(SignalPipe, SignalsThatWereBlockedComeThrough) {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
  auto pipe = Create();
  ::raise(SIGTERM);
  CHECK_TRUE(pipe.Drain() == std::vector<int>{SIGTERM});
}

TEST(SignalPipe, ALateSignalIsIgnored) {
  { const auto pipe = Create(); }
  ::raise(SIGTERM);
  auto next = Create();
  CHECK_TRUE(next.Drain().empty());
}
