// keystone-log: looks into the log of a keystoned that is not running.
#include <sys/stat.h>
#include <unistd.h>

#include <boost/program_options.hpp>
#include <cstdio>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "base/bus_guard.h"
#include "base/file.h"
#include "base/status.h"
#include "config.h"
#include "log/check.h"
#include "log/dump.h"
#include "store/directory.h"

namespace keystone {
namespace {

namespace po = boost::program_options;

constexpr char kUsage[] =
    "Usage: keystone-log check DIRECTORY\n"
    "       keystone-log dump DIRECTORY\n"
    "\n"
    "  check   verify every checksum; a line for each segment\n"
    "  dump    print the log as JSON, an object a line\n"
    "\n"
    "Both change nothing, and refuse the data directory of a running daemon.\n"
    "\n";

constexpr char kExitCodes[] =
    "\nExit status: 0 whole, 64 wrong usage, 65 damaged, 69 a daemon holds the directory,\n"
    "74 read or write error, 77 not permitted. See keystone-log(1) and keystone-log(5).\n";

struct CommandLine {
  bool help = false;
  bool version = false;
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
      "version", po::bool_switch(&line->version), "the version of this program");
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

// Keeps daemons away while it lives. A copy of a data directory may have no LOCK: then there is
// nobody to keep away, and the result is null.
Result<std::unique_ptr<Directory>> Hold(const std::string& path) {
  struct stat info {};
  if (::stat(path.c_str(), &info) < 0) return Status::FromErrno("open", path, errno);
  if (!S_ISDIR(info.st_mode)) return Status::FromErrno("open", path, ENOTDIR);
  if (::stat((path + "/LOCK").c_str(), &info) < 0 && errno == ENOENT) {
    return std::unique_ptr<Directory>();
  }
  return Directory::OpenExisting(path);
}

Status Run(const CommandLine& line) {
  if (line.words.empty()) return UsageError("no command");
  const std::string& command = line.words.front();
  if (command != "check" && command != "dump") {
    return UsageError("unknown command '" + command + "'");
  }
  if (line.words.size() != 2) return UsageError(command + " takes one directory");
  auto lock = Hold(line.words[1]);
  if (!lock.ok()) return lock.status();
  return command == "check" ? Check(line.words[1]) : Dump(line.words[1]);
}

Status Print(const std::string& text) { return WriteAll(STDOUT_FILENO, text, "standard output"); }

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
