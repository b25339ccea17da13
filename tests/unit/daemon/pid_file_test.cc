#include "daemon/pid_file.h"

#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <utility>

#include "CppUTest/TestHarness.h"
#include "scratch.h"

using keystone::Code;
using keystone::PidFile;

namespace {

// What another process does just before our next flock.
std::function<void()> before_flock;

std::string OwnLine() { return std::to_string(::getpid()) + "\n"; }

}  // namespace

// Takes the place of the C library's.
extern "C" int flock(int fd, int operation) noexcept {
  if (before_flock) std::exchange(before_flock, nullptr)();
  return static_cast<int>(::syscall(SYS_flock, fd, operation));
}

TEST_GROUP(PidFile) {
  Scratch scratch;
  std::string path = scratch.File("k.pid");
};

TEST(PidFile, HoldsOurIdAndALineFeed) {
  const auto file = PidFile::Create(path);
  CHECK_TRUE(file.ok());
  STRCMP_EQUAL(OwnLine().c_str(), scratch.Read("k.pid").c_str());
}

TEST(PidFile, GoesWithItsOwner) {
  {
    auto file = PidFile::Create(path);
    CHECK_TRUE(file.ok());
    const PidFile moved(std::move(file.value()));
    CHECK_TRUE(scratch.Has("k.pid"));
  }
  CHECK_FALSE(scratch.Has("k.pid"));
}

TEST(PidFile, ASecondHolderIsToldFileAndProcess) {
  const auto first = PidFile::Create(path);
  CHECK_TRUE(first.ok());
  const auto second = PidFile::Create(path);
  CHECK_FALSE(second.ok());
  CHECK_TRUE(second.status().code() == Code::kRunning);
  const std::string holder = "locked by process " + std::to_string(::getpid());
  STRCMP_CONTAINS(path.c_str(), second.status().message().c_str());
  STRCMP_CONTAINS(holder.c_str(), second.status().message().c_str());
  STRCMP_EQUAL(OwnLine().c_str(), scratch.Read("k.pid").c_str());
}

TEST(PidFile, ALockedFileWithoutANumberIsStillLocked) {
  const auto first = PidFile::Create(path);
  scratch.Write("k.pid", "");
  const auto second = PidFile::Create(path);
  CHECK_TRUE(second.status().code() == Code::kRunning);
  STRCMP_CONTAINS("locked by another process", second.status().message().c_str());
}

TEST(PidFile, AStaleFileIsTakenOverWhateverItHolds) {
  const std::string live = std::to_string(::getppid()) + "\n";
  for (const std::string& stale :
       {live, std::string("1\n"), std::string(), std::string(5000, 'x')}) {
    scratch.Write("k.pid", stale);
    const auto file = PidFile::Create(path);
    CHECK_TRUE(file.ok());
    STRCMP_EQUAL(OwnLine().c_str(), scratch.Read("k.pid").c_str());
  }
}

TEST(PidFile, RemoveLetsTheNextOneIn) {
  auto first = PidFile::Create(path);
  first.value().Remove();
  CHECK_FALSE(scratch.Has("k.pid"));
  const auto second = PidFile::Create(path);
  CHECK_TRUE(second.ok());
  first.value().Remove();
  CHECK_TRUE(scratch.Has("k.pid"));
}

TEST(PidFile, AnothersFileIsNotRemoved) {
  {
    const auto file = PidFile::Create(path);
    std::filesystem::remove(path);
    scratch.Write("k.pid", "another's\n");
  }
  STRCMP_EQUAL("another's\n", scratch.Read("k.pid").c_str());
}

TEST(PidFile, NoFileAtAllNeedsNoRemoving) {
  PidFile none;
  none.Remove();
}

TEST(PidFile, AMissingDirectoryCantBeCreatedIn) {
  const auto file = PidFile::Create(scratch.File("none/k.pid"));
  CHECK_FALSE(file.ok());
  CHECK_TRUE(file.status().code() == Code::kCantCreate);
  STRCMP_CONTAINS(scratch.File("none").c_str(), file.status().message().c_str());
}

TEST(PidFile, LinksAndOtherThingsAreRefusedAndTheirTargetsLeftAlone) {
  scratch.Write("precious", "data");
  std::filesystem::create_symlink(scratch.File("precious"), path);
  CHECK_TRUE(PidFile::Create(path).status().code() == Code::kCantCreate);
  std::filesystem::remove(path);
  std::filesystem::create_directory(path);
  CHECK_TRUE(PidFile::Create(path).status().code() == Code::kCantCreate);
  std::filesystem::remove(path);
  std::filesystem::create_hard_link(scratch.File("precious"), path);
  CHECK_FALSE(PidFile::Create(path).ok());
  std::filesystem::remove(path);
  LONGS_EQUAL(0, ::mkfifo(path.c_str(), 0600));
  CHECK_FALSE(PidFile::Create(path).ok());
  STRCMP_EQUAL("data", scratch.Read("precious").c_str());
}

TEST(PidFile, AFileThatGoesBetweenOpeningAndLockingIsMadeAgain) {
  scratch.Write("k.pid", "1\n");
  before_flock = [&] { std::filesystem::remove(path); };
  const auto file = PidFile::Create(path);
  CHECK_TRUE(file.ok());
  STRCMP_EQUAL(OwnLine().c_str(), scratch.Read("k.pid").c_str());
  CHECK_TRUE(PidFile::Create(path).status().code() == Code::kRunning);
}

TEST(PidFile, AFileThatIsReplacedBetweenOpeningAndLockingBelongsToWhoReplacedIt) {
  scratch.Write("k.pid", "1\n");
  std::optional<keystone::Result<PidFile>> other;
  before_flock = [&] {
    std::filesystem::remove(path);
    other.emplace(PidFile::Create(path));
  };
  const auto file = PidFile::Create(path);
  CHECK_TRUE(file.status().code() == Code::kRunning);
}
