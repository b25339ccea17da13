// keystone-log: checks, prints, repairs and compacts the log of a keystoned that is not running.
#include <sys/stat.h>
#include <unistd.h>

#include <boost/program_options.hpp>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "base/bus_guard.h"
#include "base/file.h"
#include "base/status.h"
#include "cli/progress.h"
#include "config.h"
#include "log/check.h"
#include "log/compact.h"
#include "log/dump.h"
#include "log/repair.h"
#include "log/survey.h"
#include "store/directory.h"

namespace keystone {
namespace {

namespace po = boost::program_options;

constexpr char kUsage[] =
    "Usage: keystone-log check DIRECTORY\n"
    "       keystone-log dump DIRECTORY\n"
    "       keystone-log repair [--dry-run] DIRECTORY\n"
    "       keystone-log compact DIRECTORY\n"
    "\n"
    "  check    verify every checksum; a line for each segment\n"
    "  dump     print the log as JSON, an object a line\n"
    "  repair   keep every intact record of a damaged log, move what is damaged aside\n"
    "  compact  rewrite the log with live data only\n"
    "\n"
    "All refuse the data directory of a running daemon. Repair and compact are for the\n"
    "user that the daemon runs as.\n"
    "\n";

constexpr char kExitCodes[] =
    "\nExit status: 0 whole (now), 64 wrong usage, 65 damaged, 69 a daemon holds the directory,\n"
    "74 read or write error, 77 not permitted. See keystone-log(1) and keystone-log(5).\n";

struct CommandLine {
  bool help = false;
  bool version = false;
  bool dry_run = false;
  std::vector<std::string> words;
};

int Finish(const Status& status) {
  if (!status.ok()) std::fprintf(stderr, "keystone-log: %s\n", status.message().c_str());
  return ExitCode(status.code());
}

Status UsageError(const std::string& what) {
  return {Code::kUsage, what + " (try keystone-log --help)"};
}

po::options_description Options(CommandLine* line) {
  po::options_description options("Options");
  options.add_options()("help", po::bool_switch(&line->help), "this text")(
      "version", po::bool_switch(&line->version), "the version of this program")(
      "dry-run", po::bool_switch(&line->dry_run), "repair: say what would be lost, change nothing");
  return options;
}

Status ParseCommandLine(int argc, char** argv, CommandLine* line) {
  po::options_description options = Options(line);
  options.add_options()("word", po::value(&line->words));
  po::positional_options_description positions;
  positions.add("word", -1);
  const int style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
  try {
    po::variables_map given;
    po::command_line_parser parser(argc, argv);
    po::store(parser.options(options).positional(positions).style(style).run(), given);
    po::notify(given);
  } catch (const po::unknown_option& error) {
    // Not what(): that never ends where the name has a placeholder of its own in it.
    return UsageError("unrecognised option '" + error.get_option_name() + "'");
  } catch (const po::error& error) {
    return UsageError(error.what());
  }
  return Status::Ok();
}

std::string HelpText() {
  CommandLine unused;
  std::ostringstream text;
  text << kUsage << Options(&unused) << kExitCodes;
  return text.str();
}

bool IsDirectory(const std::string& path, Status* status) {
  struct stat info {};
  if (::stat(path.c_str(), &info) < 0) {
    *status = Status::FromErrno("open", path, errno);
  } else if (!S_ISDIR(info.st_mode)) {
    *status = Status::FromErrno("open", path, ENOTDIR);
  }
  return status->ok();
}

// Keeps daemons away while it lives. A copy of a data directory may have no LOCK: then there is
// nobody to keep away from who only reads, and the result is null.
Result<std::unique_ptr<Directory>> HoldToRead(const std::string& path) {
  if (::access((path + "/LOCK").c_str(), F_OK) < 0 && errno == ENOENT) {
    return std::unique_ptr<Directory>();
  }
  return Directory::OpenExisting(path);
}

Status Print(const std::string& text) { return WriteAll(STDOUT_FILENO, text, "standard output"); }

// A repair goes on, whoever has stopped to listen.
void PrintLine(const std::string& line) { (void)Print(line + "\n"); }

Status RunRead(const std::string& command, const std::string& path) {
  auto lock = HoldToRead(path);
  if (!lock.ok()) return lock.status();
  if (command == "check") return Check(path);
  if (command == "dump") return Dump(path);
  return Repair(path, true, PrintLine);
}

// A bar for reading, and one for writing.
Status RunCompact(const std::string& path) {
  std::unique_ptr<Progress> bar;
  const bool visible = ::isatty(STDERR_FILENO) != 0;
  auto drawn = CompactionStep::kWrite;
  const auto show = [&](CompactionStep step, uint64_t done, uint64_t total) {
    if (bar == nullptr || step != drawn) {
      bar = std::make_unique<Progress>(Progress::Unit::kBytes, total, visible);
    }
    drawn = step;
    bar->Update(done);
  };
  std::string summary;
  Status status = Compact(path, show, &summary);
  bar.reset();
  return status.ok() ? Print(summary + "\n") : status;
}

// Its files have to be the daemon's: the owner of the directory is.
Status RunRepair(const std::string& path) {
  // Elsewhere not even a LOCK is left behind.
  if (Status status = CheckHasStore(path); !status.ok()) return status;
  auto lock = Directory::OpenOrCreate(path);
  return lock.ok() ? Repair(path, false, PrintLine) : lock.status();
}

Status Run(const CommandLine& line) {
  if (line.words.empty()) return UsageError("no command");
  const std::string& command = line.words.front();
  if (command != "check" && command != "dump" && command != "repair" && command != "compact") {
    return UsageError("unknown command '" + command + "'");
  }
  if (line.words.size() != 2) return UsageError(command + " takes one directory");
  if (line.dry_run && command != "repair") return UsageError("--dry-run is for repair");
  const std::string& path = line.words[1];
  Status status;
  if (!IsDirectory(path, &status)) return status;
  if (command == "compact") return RunCompact(path);
  return command == "repair" && !line.dry_run ? RunRepair(path) : RunRead(command, path);
}

}  // namespace
}  // namespace keystone

int main(int argc, char** argv) {
  using namespace keystone;
  CommandLine line;
  if (Status status = ParseCommandLine(argc, argv, &line); !status.ok()) return Finish(status);
  if (line.help) return Finish(Print(HelpText()));
  if (line.version) return Finish(Print("keystone-log (keystonelight) " PACKAGE_VERSION "\n"));
  if (Status status = BusGuard::Install(); !status.ok()) return Finish(status);
  return Finish(Run(line));
}
