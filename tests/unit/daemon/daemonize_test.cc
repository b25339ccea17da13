#include "daemon/daemonize.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>

#include "CppUTest/TestHarness.h"
#include "scratch.h"

using keystone::Code;
using keystone::Detach;
using keystone::ExitCode;
using keystone::SecureStandardFds;
using keystone::SettleProcess;
using keystone::Verdict;

namespace {

// How a process ended: its exit code, or minus the signal.
int EndOf(pid_t child) {
  int status = 0;
  LONGS_EQUAL(child, ::waitpid(child, &status, 0));
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

int InChild(const std::function<int()>& act) {
  const pid_t child = ::fork();
  if (child == 0) ::_exit(act());
  return EndOf(child);
}

// What a descriptor leads to; "closed" is an answer, too.
std::string Target(int fd) {
  std::error_code error;
  const auto path = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd), error);
  return error ? "closed" : path.string();
}

}  // namespace

TEST_GROUP(Detach) {
  Scratch scratch;

  // So that the daemon, too, can be waited for.
  void setup() override { LONGS_EQUAL(0, ::prctl(PR_SET_CHILD_SUBREAPER, 1)); }
  void teardown() override { LONGS_EQUAL(0, ::prctl(PR_SET_CHILD_SUBREAPER, 0)); }

  // The exit code of a command that detaches and does `act` as the daemon, which gets a file for
  // what it has to tell and returns its exit code. What the command says goes to a file, too.
  int Command(const std::function<int(Verdict*, std::ofstream*)>& act) const {
    return InChild([&] {
      const int fd = ::open(scratch.File("stderr").c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
      ::dup2(fd, STDERR_FILENO);
      ::close(fd);
      auto detached = Detach();
      if (!detached.ok()) return 99;
      if (detached.value().exit_code) return *detached.value().exit_code;
      std::ofstream report(scratch.File("report"));
      return act(&detached.value().verdict, &report);
    });
  }

  bool SeesWithinAMinute(const char* file) const {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::minutes(1);
    while (!scratch.Has(file)) {
      if (std::chrono::steady_clock::now() > deadline) return false;
      std::this_thread::yield();
    }
    return true;
  }

  // The exit code of the daemon, or minus its signal, once it has ended, and the process between it
  // and the command, which is to leave with 0.
  static int DaemonsEnd() {
    int end = 0;
    int status = 0;
    while (::wait(&status) > 0) {
      if (status != 0) end = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
    }
    return end;
  }
};

TEST(Detach, TheCommandReturns0OnceTheDaemonIsReadyAndTheDaemonGoesOn) {
  const int code = Command([this](Verdict* verdict, std::ofstream* report) {
    *report << "served" << std::flush;
    verdict->Ready();
    return SeesWithinAMinute("returned") ? 3 : 4;
  });
  LONGS_EQUAL(0, code);
  STRCMP_EQUAL("served", scratch.Read("report").c_str());
  STRCMP_EQUAL("", scratch.Read("stderr").c_str());
  scratch.Write("returned", "");
  LONGS_EQUAL(3, DaemonsEnd());
}

TEST(Detach, TheCommandHasTheCodeAndTheMessageOfADaemonThatFailed) {
  const int code = Command([](Verdict* verdict, std::ofstream*) {
    verdict->Failed({Code::kRunning, "PID file /x: already running"});
    return 0;
  });
  LONGS_EQUAL(ExitCode(Code::kRunning), code);
  STRCMP_EQUAL("keystoned: PID file /x: already running\n", scratch.Read("stderr").c_str());
  LONGS_EQUAL(0, DaemonsEnd());
}

TEST(Detach, TheCommandSaysThatTheDaemonDiedWithoutAVerdict) {
  const int code = Command([](Verdict*, std::ofstream*) {
    ::raise(SIGKILL);
    return 0;
  });
  LONGS_EQUAL(ExitCode(Code::kSystem), code);
  STRCMP_CONTAINS("died before it served", scratch.Read("stderr").c_str());
  LONGS_EQUAL(-SIGKILL, DaemonsEnd());
}

TEST(Detach, TheDaemonHasASessionWithoutALeader) {
  (void)Command([](Verdict* verdict, std::ofstream* report) {
    *report << ::getpid() << ' ' << ::getsid(0) << std::flush;
    verdict->Ready();
    return 0;
  });
  (void)DaemonsEnd();
  std::ifstream report(scratch.File("report"));
  pid_t process = 0;
  pid_t session = 0;
  report >> process >> session;
  CHECK_TRUE(process > 0 && session > 0);
  CHECK_TRUE(session != ::getsid(0));
  CHECK_TRUE(session != process);
}

TEST(Detach, TheTerminalIsKeptUntilTheDaemonIsReady) {
  (void)Command([](Verdict* verdict, std::ofstream* report) {
    *report << Target(STDERR_FILENO) << '\n';
    verdict->Ready();
    for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) *report << Target(fd) << '\n';
    report->close();
    return 0;
  });
  (void)DaemonsEnd();
  const std::string null = "/dev/null\n";
  STRCMP_EQUAL((scratch.File("stderr") + "\n" + null + null + null).c_str(),
               scratch.Read("report").c_str());
}

TEST(Detach, OfInheritedDescriptorsOnlyTheStandardOnesAreLeft) {
  std::array<int, 2> inherited = {::open("/dev/zero", O_RDONLY), ::open("/dev/zero", O_RDONLY)};
  inherited[1] = ::fcntl(inherited[1], F_DUPFD, 200);
  const int code = Command([&](Verdict* verdict, std::ofstream* report) {
    for (const int fd : inherited) *report << (Target(fd) != "/dev/zero") << ' ';
    report->close();
    verdict->Ready();
    return 0;
  });
  for (const int fd : inherited) ::close(fd);
  LONGS_EQUAL(0, code);
  LONGS_EQUAL(0, DaemonsEnd());
  STRCMP_EQUAL("1 1 ", scratch.Read("report").c_str());
}

TEST_GROUP(SecureStandardFds){};

TEST(SecureStandardFds, ClosedOnesBecomeDevNullAndNothingElseIsOpened) {
  const int code = InChild([] {
    for (int fd = 0; fd < 10; fd++) ::close(fd);
    if (!SecureStandardFds().ok()) return 1;
    for (const int fd : {0, 1, 2}) {
      if (Target(fd) != "/dev/null") return 2;
    }
    return Target(3) == "closed" ? 0 : 3;
  });
  LONGS_EQUAL(0, code);
}

TEST(SecureStandardFds, OpenOnesAreLeftAlone) {
  const int code = InChild([] {
    ::close(STDOUT_FILENO);
    if (::open("/dev/zero", O_WRONLY) != STDOUT_FILENO) return 1;
    ::close(STDIN_FILENO);
    if (!SecureStandardFds().ok()) return 2;
    return Target(STDIN_FILENO) == "/dev/null" && Target(STDOUT_FILENO) == "/dev/zero" ? 0 : 3;
  });
  LONGS_EQUAL(0, code);
}

TEST_GROUP(SettleProcess) { Scratch scratch; };

TEST(SettleProcess, DirectoryAndUmaskAreTheSameWhereverItWasStarted) {
  const int code = InChild([&] {
    ::umask(0);
    if (::chdir(scratch.path().c_str()) < 0 || !SettleProcess().ok()) return 1;
    if (std::filesystem::current_path() != "/") return 2;
    return ::umask(0) == 027 ? 0 : 3;
  });
  LONGS_EQUAL(0, code);
}
