#include "base/log.h"

#include <CppUTest/TestHarness.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <string>

#include "base/fd.h"
#include "scratch.h"

using keystone::Fd;
using keystone::Log;
using keystone::Priority;

namespace {

// Standard error goes to a file for as long as the object lives.
class CapturedStderr {
 public:
  explicit CapturedStderr(const Scratch& scratch)
      : saved_(::fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3)) {
    const Fd file(::open(scratch.File("stderr").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
    ::dup2(file.get(), STDERR_FILENO);
  }
  ~CapturedStderr() { ::dup2(saved_.get(), STDERR_FILENO); }

 private:
  Fd saved_;
};

}  // namespace

TEST_GROUP(Log) { Scratch scratch; };

TEST(Log, LinesForPeople) {
  {
    const CapturedStderr captured(scratch);
    Log(Log::Sink::kStderr, Priority::kInfo).Write(Priority::kWarning, "%s %d", "answer", 42);
  }
  STRCMP_EQUAL("base-tests: answer 42\n", scratch.Read("stderr").c_str());
}

TEST(Log, LinesForTheJournalBearTheirPriority) {
  {
    const CapturedStderr captured(scratch);
    const Log log(Log::Sink::kStderrJournal, Priority::kDebug);
    log.Write(Priority::kError, "bad");
    log.Write(Priority::kDebug, "detail");
  }
  STRCMP_EQUAL("<3>bad\n<7>detail\n", scratch.Read("stderr").c_str());
}

TEST(Log, LessImportantLinesAreNotWritten) {
  const Log log(Log::Sink::kStderr, Priority::kNotice);
  CHECK_TRUE(log.Enabled(Priority::kCritical));
  CHECK_TRUE(log.Enabled(Priority::kNotice));
  CHECK_FALSE(log.Enabled(Priority::kInfo));
  {
    const CapturedStderr captured(scratch);
    log.Write(Priority::kInfo, "hidden");
    log.Write(Priority::kNotice, "shown");
  }
  STRCMP_EQUAL("base-tests: shown\n", scratch.Read("stderr").c_str());
}

TEST(Log, ALongLineIsNotCut) {
  const std::string text(100000, 'x');
  {
    const CapturedStderr captured(scratch);
    Log(Log::Sink::kStderr, Priority::kInfo).Write(Priority::kInfo, "%s", text.c_str());
  }
  CHECK_TRUE(scratch.Read("stderr") == "base-tests: " + text + "\n");
}

TEST(Log, LinesAroundTheSizeOfTheBufferAreWhole) {
  for (size_t size = 980; size <= 1040; size++) {
    const std::string text(size, 'x');
    {
      const CapturedStderr captured(scratch);
      Log(Log::Sink::kStderrJournal, Priority::kInfo).Write(Priority::kInfo, "%s", text.c_str());
    }
    CHECK_TRUE(scratch.Read("stderr") == "<6>" + text + "\n");
    CHECK_EQUAL(0, ::unlink(scratch.File("stderr").c_str()));
  }
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
// Sanitizers end a program that is out of memory.
TEST(Log, ALongLineIsCutWhereMemoryIsOut) {
  const std::string text(size_t{64} << 20, 'x');
  {
    const CapturedStderr captured(scratch);
    rlimit before{};
    CHECK_EQUAL(0, ::getrlimit(RLIMIT_AS, &before));
    const rlimit none{.rlim_cur = 1, .rlim_max = before.rlim_max};
    CHECK_EQUAL(0, ::setrlimit(RLIMIT_AS, &none));
    Log(Log::Sink::kStderr, Priority::kInfo).Write(Priority::kInfo, "%s", text.c_str());
    CHECK_EQUAL(0, ::setrlimit(RLIMIT_AS, &before));
  }
  const std::string line = scratch.Read("stderr");
  CHECK_TRUE(line.starts_with("base-tests: xxxx"));
  CHECK_TRUE(line.ends_with("x... (cut: out of memory)\n"));
  CHECK_TRUE(line.size() > 1000 && line.size() < 1024);
}
#endif
