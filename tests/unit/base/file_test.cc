#include "base/file.h"

#include <CppUTest/TestHarness.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "faults.h"
#include "scratch.h"

using faults::Call;
using keystone::Code;
using keystone::Fd;
using keystone::Status;

namespace {

iovec Piece(std::string& bytes) { return {bytes.data(), bytes.size()}; }

void CheckMessage(const char* expected, const Status& status) {
  STRCMP_EQUAL(expected, status.message().c_str());
}

}  // namespace

TEST_GROUP(File) {
  Scratch scratch;
  void teardown() override { faults::Clear(); }

  Fd Open(const char* name) {
    auto fd = keystone::OpenFile(scratch.File(name), O_RDWR | O_CREAT);
    CHECK_TRUE(fd.ok());
    return std::move(fd.value());
  }
};

TEST(File, OpenedFilesArePrivateAndCloseOnExec) {
  const Fd fd = Open("f");
  CHECK_TRUE(::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC);
  struct stat info {};
  LONGS_EQUAL(0, ::fstat(fd.get(), &info));
  LONGS_EQUAL(0, info.st_mode & 0077);
}

TEST(File, AFailedOpenNamesTheFile) {
  const std::string path = scratch.File("no/such");
  const auto opened = keystone::OpenFile(path, O_RDONLY);
  CHECK_FALSE(opened.ok());
  CheckMessage(("open " + path + ": No such file or directory").c_str(), opened.status());
  const auto created = keystone::OpenFile(path, O_WRONLY | O_CREAT);
  CheckMessage(("create " + path + ": No such file or directory").c_str(), created.status());
}

TEST(File, WriteAtWritesAllPiecesAtTheOffset) {
  const Fd fd = Open("f");
  std::string a = "hello ";
  std::string empty;
  std::string b = "world";
  std::vector<iovec> pieces = {Piece(empty), Piece(a), Piece(empty), Piece(b), Piece(empty)};
  CHECK_TRUE(keystone::WriteAt(fd.get(), pieces, 2, "f").ok());
  CHECK_TRUE(scratch.Read("f") == std::string("\0\0hello world", 13));
}

TEST(File, WriteAtOfNothingCallsNothing) {
  const Fd fd = Open("f");
  std::string empty;
  std::vector<iovec> pieces = {Piece(empty)};
  CHECK_TRUE(keystone::WriteAt(fd.get(), pieces, 0, "f").ok());
  CHECK_TRUE(keystone::WriteAt(fd.get(), {}, 0, "f").ok());
  LONGS_EQUAL(0, faults::Count(Call::kPwritev));
}

TEST(File, WriteAtTakesMorePiecesThanTheKernelDoes) {
  const Fd fd = Open("f");
  std::string x = "xy";
  std::vector<iovec> pieces(IOV_MAX + 10, Piece(x));
  CHECK_TRUE(keystone::WriteAt(fd.get(), pieces, 0, "f").ok());
  LONGS_EQUAL(2 * (IOV_MAX + 10), scratch.Read("f").size());
  LONGS_EQUAL(2, faults::Count(Call::kPwritev));
}

TEST(File, WriteAtGoesOnAfterAnInterruptedCall) {
  const Fd fd = Open("f");
  std::string a = "hello";
  std::vector<iovec> pieces = {Piece(a)};
  faults::FailOnce(Call::kPwritev, EINTR);
  CHECK_TRUE(keystone::WriteAt(fd.get(), pieces, 0, "f").ok());
  STRCMP_EQUAL("hello", scratch.Read("f").c_str());
  LONGS_EQUAL(2, faults::Count(Call::kPwritev));
}

TEST(File, WriteAtGoesOnAfterAShortWrite) {
  const Fd fd = Open("f");
  std::string a = "hello ";
  std::string b = "world";
  std::vector<iovec> pieces = {Piece(a), Piece(b)};
  faults::TearNextWrite(EINTR);
  CHECK_TRUE(keystone::WriteAt(fd.get(), pieces, 0, "f").ok());
  STRCMP_EQUAL("hello world", scratch.Read("f").c_str());
}

TEST(File, ATornWriteIsAnErrorThatNamesTheFile) {
  const Fd fd = Open("f");
  std::string a = "hello ";
  std::vector<iovec> pieces = {Piece(a)};
  faults::TearNextWrite(ENOSPC);
  const Status status = keystone::WriteAt(fd.get(), pieces, 0, "f.log");
  CheckMessage("write f.log: No space left on device", status);
  CHECK_TRUE(status.code() == Code::kNoSpace);
  STRCMP_EQUAL("hel", scratch.Read("f").c_str());
}

TEST(File, WriteAllGoesOnAfterShortWrites) {
  int ends[2];
  LONGS_EQUAL(0, ::pipe(ends));
  const Fd read_end(ends[0]);
  Fd write_end(ends[1]);
  const std::string bytes(1 << 20, 'x');  // more than a pipe holds
  size_t received = 0;
  std::thread reader([&] {
    char chunk[5000];
    for (ssize_t n = 0; (n = ::read(read_end.get(), chunk, sizeof chunk)) > 0;) {
      received += static_cast<size_t>(n);
    }
  });
  const Status status = keystone::WriteAll(write_end.get(), bytes, "pipe");
  write_end.reset();
  reader.join();
  CHECK_TRUE(status.ok());
  LONGS_EQUAL(bytes.size(), received);
}

TEST(File, WriteAllReportsErrors) {
  const Fd full(::open("/dev/full", O_WRONLY | O_CLOEXEC));
  const Status status = keystone::WriteAll(full.get(), "x", "/dev/full");
  CheckMessage("write /dev/full: No space left on device", status);
  CHECK_TRUE(status.code() == Code::kNoSpace);
}

TEST(File, SyncsRetryInterruptedCallsOnly) {
  const Fd fd = Open("f");
  faults::FailOnce(Call::kFdatasync, EINTR);
  CHECK_TRUE(keystone::SyncData(fd.get(), "f").ok());
  faults::FailOnce(Call::kFsync, EINTR);
  CHECK_TRUE(keystone::SyncFile(fd.get(), "f").ok());
  faults::Clear();
  faults::FailOnce(Call::kFdatasync, EIO);
  CheckMessage("fdatasync f: Input/output error", keystone::SyncData(fd.get(), "f"));
  LONGS_EQUAL(1, faults::Count(Call::kFdatasync));
  faults::FailOnce(Call::kFsync, EIO);
  CheckMessage("fsync f: Input/output error", keystone::SyncFile(fd.get(), "f"));
  LONGS_EQUAL(1, faults::Count(Call::kFsync));
}

TEST(File, ADirectoryIsOpenedAndSyncedAndNothingElseIs) {
  const auto opened = keystone::OpenDirectory(scratch.path());
  CHECK_TRUE(opened.ok());
  CHECK_TRUE(keystone::SyncFile(opened.value().get(), scratch.path()).ok());
  scratch.Write("f", "");
  CHECK_FALSE(keystone::OpenDirectory(scratch.File("f")).ok());
  CHECK_FALSE(keystone::OpenDirectory(scratch.File("none")).ok());
}

TEST(File, TruncateCutsAndReportsErrors) {
  scratch.Write("f", "hello");
  const Fd fd = Open("f");
  faults::FailOnce(Call::kFtruncate, EINTR);
  CHECK_TRUE(keystone::Truncate(fd.get(), 3, "f").ok());
  STRCMP_EQUAL("hel", scratch.Read("f").c_str());
  faults::FailOnce(Call::kFtruncate, EIO);
  CheckMessage("truncate f: Input/output error", keystone::Truncate(fd.get(), 0, "f"));
}

TEST(File, RenameReplaces) {
  scratch.Write("a", "new");
  scratch.Write("b", "old");
  CHECK_TRUE(keystone::Rename(scratch.File("a"), scratch.File("b")).ok());
  STRCMP_EQUAL("new", scratch.Read("b").c_str());
  CHECK_FALSE(scratch.Has("a"));
  CHECK_FALSE(keystone::Rename(scratch.File("a"), scratch.File("b")).ok());
}

TEST(File, RemovingAnAbsentFileIsAnError) {
  scratch.Write("f", "");
  CHECK_TRUE(keystone::RemoveFile(scratch.File("f")).ok());
  const std::string message = "remove " + scratch.File("f") + ": No such file or directory";
  CheckMessage(message.c_str(), keystone::RemoveFile(scratch.File("f")));
}

TEST(File, SizeOfAFile) {
  scratch.Write("f", "hello");
  LONGS_EQUAL(5, keystone::FileSize(Open("f").get(), "f").value());
  CheckMessage("stat gone: Bad file descriptor", keystone::FileSize(-1, "gone").status());
}

TEST(File, ReadSmallFileReadsUpToItsLimit) {
  const std::string content(10000, 'x');
  scratch.Write("f", content);
  CHECK_TRUE(keystone::ReadSmallFile(scratch.File("f"), 10000).value() == content);
  const auto large = keystone::ReadSmallFile(scratch.File("f"), 9999);
  CHECK_FALSE(large.ok());
  STRCMP_CONTAINS("larger than 9999 bytes", large.status().message().c_str());
  CHECK_FALSE(keystone::ReadSmallFile(scratch.path(), 10).ok());
  CHECK_FALSE(keystone::ReadSmallFile(scratch.File("none"), 10).ok());
}

TEST(File, ReplaceFilePutsTheNewContentInPlaceAndSyncsTwice) {
  scratch.Write("f", "old");
  bool renamed = false;
  CHECK_TRUE(keystone::ReplaceFile(scratch.path(), "f", "new", &renamed).ok());
  CHECK_TRUE(renamed);
  STRCMP_EQUAL("new", scratch.Read("f").c_str());
  CHECK_FALSE(scratch.Has("f.tmp"));
  LONGS_EQUAL(2, faults::Count(Call::kFsync));
}

TEST(File, ReplaceFileThatFailsLeavesTheOldFileAndNoOther) {
  scratch.Write("f", "old");
  for (const Call call : {Call::kFsync, Call::kRename}) {
    faults::FailOnce(call, EIO);
    bool renamed = true;
    CHECK_FALSE(keystone::ReplaceFile(scratch.path(), "f", "new", &renamed).ok());
    CHECK_FALSE(renamed);
    STRCMP_EQUAL("old", scratch.Read("f").c_str());
    CHECK_FALSE(scratch.Has("f.tmp"));
  }
}

TEST(File, ReplaceFileSaysWhenOnlyTheDirectoryWasNotSynced) {
  scratch.Write("f", "old");
  faults::FailOnce(Call::kFsync, EIO, 1);
  bool renamed = false;
  CHECK_FALSE(keystone::ReplaceFile(scratch.path(), "f", "new", &renamed).ok());
  CHECK_TRUE(renamed);
  STRCMP_EQUAL("new", scratch.Read("f").c_str());
}

TEST(File, ListDirectoryIsSortedAndHasNoDots) {
  scratch.Write("b", "");
  scratch.Write("a", "");
  scratch.Write(".c", "");
  const auto names = keystone::ListDirectory(scratch.path());
  CHECK_TRUE(names.ok());
  CHECK_TRUE(names.value() == std::vector<std::string>({".c", "a", "b"}));
  CHECK_FALSE(keystone::ListDirectory(scratch.File("none")).ok());
}
