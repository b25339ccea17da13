#include "base/log.h"

#include <CppUTest/TestHarness.h>
#include <fcntl.h>
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
  STRCMP_EQUAL("keystoned: answer 42\n", scratch.Read("stderr").c_str());
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
  STRCMP_EQUAL("keystoned: shown\n", scratch.Read("stderr").c_str());
}

TEST(Log, ALongLineIsNotCut) {
  const std::string text(100000, 'x');
  {
    const CapturedStderr captured(scratch);
    Log(Log::Sink::kStderr, Priority::kInfo).Write(Priority::kInfo, "%s", text.c_str());
  }
  CHECK_TRUE(scratch.Read("stderr") == "keystoned: " + text + "\n");
}
