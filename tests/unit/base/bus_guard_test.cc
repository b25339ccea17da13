#include "base/bus_guard.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/file.h"
#include "base/mapping.h"
#include "base/thread.h"
#include "scratch.h"

// It takes over operator new, so it comes behind all headers that have one of their own.
// clang-format off
#include <CppUTest/TestHarness.h>
// clang-format on

using keystone::BusGuard;
using keystone::Fd;
using keystone::Mapping;

namespace {

constexpr size_t kPages = 4;

size_t PageSize() { return static_cast<size_t>(::sysconf(_SC_PAGESIZE)); }

char Read(const char* byte) { return *static_cast<const volatile char*>(byte); }

}  // namespace

TEST_GROUP(BusGuard) {
  Scratch scratch;
  Fd fd;
  Mapping mapping;
  struct sigaction before {};

  void setup() override {
    ::sigaction(SIGBUS, nullptr, &before);
    CHECK_TRUE(BusGuard::Install().ok());
    scratch.Write("file", std::string(kPages * PageSize(), 'x'));
    auto file = keystone::OpenFile(scratch.File("file"), O_RDWR);
    CHECK_TRUE(file.ok());
    fd = std::move(file.value());
    auto mapped = Mapping::Map(fd.get(), kPages * PageSize(), "file");
    CHECK_TRUE(mapped.ok());
    mapping = std::move(mapped.value());
  }

  void teardown() override { ::sigaction(SIGBUS, &before, nullptr); }

  const char* Page(size_t number) const { return mapping.data() + number * PageSize(); }

  void CutTo(size_t pages) const {
    LONGS_EQUAL(0, ::ftruncate(fd.get(), static_cast<off_t>(pages * PageSize())));
  }

  // What ends a child that does this.
  template <class Body>
  static int SignalThatEnds(Body body) {
    const pid_t child = ::fork();
    if (child == 0) {
      const rlimit none{0, 0};
      ::setrlimit(RLIMIT_CORE, &none);
      body();
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? WTERMSIG(status) : 0;
  }
};

TEST(BusGuard, APageThatCantBeReadIsZerosAndCounted) {
  CutTo(2);
  const uint64_t all_before = BusGuard::faults();
  LONGS_EQUAL(0, Read(Page(2) + 17));
  LONGS_EQUAL(1, mapping.faults());
  LONGS_EQUAL(all_before + 1, BusGuard::faults());
  LONGS_EQUAL(0, Read(Page(2) + PageSize() - 1));
  LONGS_EQUAL(1, mapping.faults());
  LONGS_EQUAL(0, Read(Page(3)));
  LONGS_EQUAL(2, mapping.faults());
  LONGS_EQUAL('x', Read(Page(1) + PageSize() - 1));
}

TEST(BusGuard, OtherMappingsAreNotConcerned) {
  auto other = Mapping::Map(fd.get(), PageSize(), "file");
  CHECK_TRUE(other.ok());
  CutTo(1);
  LONGS_EQUAL(0, Read(Page(3)));
  LONGS_EQUAL(1, mapping.faults());
  LONGS_EQUAL(0, other.value().faults());
  LONGS_EQUAL('x', Read(other.value().data()));
}

TEST(BusGuard, ARegionThatIsUsedAgainCountsAnew) {
  CutTo(0);
  LONGS_EQUAL(0, Read(Page(0)));
  mapping = Mapping();
  CutTo(kPages);
  auto again = Mapping::Map(fd.get(), kPages * PageSize(), "file");
  CHECK_TRUE(again.ok());
  LONGS_EQUAL(0, again.value().faults());
}

TEST(BusGuard, EachThreadThatReadsThereGoesOn) {
  CutTo(0);
  constexpr int kThreads = 4;
  std::vector<std::thread> threads;
  threads.reserve(kThreads);
  for (int i = 0; i < kThreads; i++) {
    threads.emplace_back([this] {
      keystone::BlockSignals();
      for (size_t page = 0; page < kPages; page++) (void)Read(Page(page));
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK_TRUE(mapping.faults() >= kPages);
}

TEST(BusGuard, AFaultElsewhereEndsTheProcess) {
  auto* const elsewhere =
      static_cast<char*>(::mmap(nullptr, PageSize(), PROT_READ, MAP_SHARED, fd.get(), 0));
  CHECK_TRUE(elsewhere != MAP_FAILED);
  CutTo(0);
  ::sigaction(SIGBUS, &before, nullptr);
  LONGS_EQUAL(SIGBUS, SignalThatEnds([&] {
                ::signal(SIGBUS, SIG_DFL);
                (void)BusGuard::Install();
                (void)Read(elsewhere);
              }));
  ::munmap(elsewhere, PageSize());
}

TEST(BusGuard, ASignalThatAProcessSendsEndsIt) {
  LONGS_EQUAL(SIGBUS, SignalThatEnds([] {
                ::signal(SIGBUS, SIG_DFL);
                (void)BusGuard::Install();
                ::kill(::getpid(), SIGBUS);
              }));
}

TEST(BusGuard, AMappingThatIsGoneIsNotGuarded) {
  const char* const page = Page(0);
  mapping = Mapping();
  auto* const there =
      ::mmap(const_cast<char*>(page), PageSize(), PROT_READ, MAP_SHARED | MAP_FIXED, fd.get(), 0);
  CHECK_TRUE(there == page);
  CutTo(0);
  LONGS_EQUAL(SIGBUS, SignalThatEnds([&] {
                ::signal(SIGBUS, SIG_DFL);
                (void)BusGuard::Install();
                (void)Read(page);
              }));
  ::munmap(there, PageSize());
}
