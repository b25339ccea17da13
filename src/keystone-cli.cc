// keystone-cli: a client of keystoned for people and shell scripts.
#include <fcntl.h>
#include <signal.h>
#include <strings.h>
#include <sysexits.h>
#include <unistd.h>

#include <boost/program_options.hpp>
#include <chrono>
#include <cinttypes>
#include <cstdio>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/status.h"
#include "cli/client.h"
#include "cli/export.h"
#include "cli/load.h"
#include "cli/prompt.h"
#include "config.h"

namespace keystone {
namespace {

namespace po = boost::program_options;

constexpr int kNotFoundExit = 1;
constexpr int kErrorExit = 2;

constexpr char kUsage[] =
    "Usage: keystone-cli [-h HOST] [-p PORT | -s SOCKET] [COMMAND ARGUMENT...]\n"
    "\n"
    "  keystone-cli GET KEY         print a value\n"
    "  keystone-cli SET KEY VALUE   store a value; several words are joined with spaces\n"
    "  keystone-cli COMMAND ...     any other command of the server; see keystone-cli HELP\n"
    "  keystone-cli load [FILE]     store key<TAB>value lines of a file or standard input\n"
    "  keystone-cli export [PREFIX] print all entries as such lines\n"
    "  keystone-cli                 a prompt; from a pipe, request lines\n"
    "\n"
    "Any bytes can be given as a key or a value. In the lines of load and export, a text\n"
    "that begins with base64: stands for the bytes behind it. load stops at the first line\n"
    "that can't be stored, and says how many were.\n"
    "\n";

constexpr char kExitCodes[] =
    "\nExit status: 0 done, 1 not found, 2 error, 64 wrong usage.\n"
    "See keystone-cli(1) and keystone-protocol(7).\n";

struct CommandLine {
  Endpoint endpoint;
  bool help = false;
  bool version = false;
  std::vector<std::string> words;  // the command and its arguments
};

int Fail(const Status& status) {
  std::fprintf(stderr, "keystone-cli: %s\n", status.message().c_str());
  return status.code() == Code::kUsage ? EX_USAGE : kErrorExit;
}

int Finish(const Status& status) { return status.ok() ? EX_OK : Fail(status); }

Status UsageError(const std::string& what) {
  return {Code::kUsage, what + " (try keystone-cli --help)"};
}

Status Print(std::string_view text) { return WriteAll(STDOUT_FILENO, text, "standard output"); }

Status PrintLine(std::string line) { return Print(line += '\n'); }

// From the first word that is no option on, all are the command's own, so that values may begin
// with a dash.
std::vector<po::option> TakeWords(std::vector<std::string>& words) {
  std::vector<po::option> taken;
  const bool ended = words.front() == "--";
  if (!ended && words.front().size() > 1 && words.front().front() == '-') return taken;
  for (size_t i = ended ? 1 : 0; i < words.size(); ++i) {
    taken.emplace_back(std::string(), std::vector<std::string>{words[i]});
    taken.back().position_key = static_cast<int>(i);
    taken.back().original_tokens = {words[i]};
  }
  words.clear();
  return taken;
}

po::options_description Options(CommandLine* line) {
  po::options_description options("Options", 80);
  AddEndpointOptions(&options, &line->endpoint);
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
    po::store(po::command_line_parser(argc, argv)
                  .options(options)
                  .positional(positions)
                  .style(style)
                  .extra_style_parser(TakeWords)
                  .run(),
              given);
    po::notify(given);
    const std::string wrong = CheckEndpoint(given, line->endpoint);
    return wrong.empty() ? Status::Ok() : UsageError(wrong);
  } catch (const po::unknown_option& error) {
    // Not what(): that never ends where the name has a placeholder of its own in it.
    return UsageError("unrecognised option '" + error.get_option_name() + "'");
  } catch (const po::error& error) {
    return UsageError(error.what());
  }
}

std::string HelpText() {
  CommandLine unused;
  std::ostringstream text;
  text << kUsage << Options(&unused) << kExitCodes;
  return text.str();
}

bool Is(const std::string& command, const char* name) {
  return ::strcasecmp(command.c_str(), name) == 0;
}

// The asterisk behind a prefix is no part of it, so it is not encoded with it.
void AppendFirst(const std::string& command, std::string_view word, std::string* request) {
  const bool is_prefix = Is(command, "KEYS") && word.ends_with('*');
  if (is_prefix) word.remove_suffix(1);
  AppendRequestKey(word, request);
  if (is_prefix) *request += '*';
}

// The words of a command as one request line.
Status MakeRequest(const std::vector<std::string>& words, std::string* request) {
  const std::string& command = words.front();
  for (const char c : command) {
    if (static_cast<unsigned char>(c) <= ' ' || c == 0x7f) {
      return UsageError("a command is one word; give its arguments as words of their own");
    }
  }
  if (command.empty()) return UsageError("the command is empty");
  if (command.starts_with('*')) return UsageError(std::string(kNoAsterisk));
  *request = command;
  const bool joins = !Is(command, "SCAN") && !Is(command, "RANGE");
  if (words.size() > 1) AppendFirst(command, words[1], &request->append(" "));
  if (words.size() > 2 && joins) {
    std::string value = words[2];
    for (size_t i = 3; i < words.size(); ++i) value.append(" ").append(words[i]);
    AppendRequestValue(value, &request->append(" "));
  }
  for (size_t i = 2; i < words.size() && !joins; ++i)
    AppendRequestKey(words[i], &request->append(" "));
  return Status::Ok();
}

int PrintReply(const ServerReply& reply) {
  const std::string_view text = ReplyText(reply.first);
  if (reply.first == "NOT_FOUND") {
    std::fputs("not found\n", stderr);
    return kNotFoundExit;
  }
  if (IsError(reply.first)) {
    std::fprintf(stderr, "%.*s\n", static_cast<int>(text.size()), text.data());
    return kErrorExit;
  }
  if (reply.first.starts_with("VALUE ")) {
    auto value = DecodeText(text);
    return Finish(value.ok() ? PrintLine(std::move(value.value())) : value.status());
  }
  if (!reply.has_lines) return Finish(PrintLine(std::string(text.empty() ? reply.first : text)));
  std::string lines;
  for (const std::string& line : reply.lines) lines.append(line).append("\n");
  return Finish(Print(lines));
}

int RunCommand(Client* client, const std::string& request) {
  auto reply = client->Ask(request);
  return reply.ok() ? PrintReply(reply.value()) : Fail(reply.status());
}

int RunLoad(Client* client, const std::vector<std::string>& words) {
  const auto start = std::chrono::steady_clock::now();
  uint64_t stored = 0;
  const Status status = Load(client, words.size() > 1 ? words[1] : "-", &stored);
  if (!status.ok()) {
    return Fail(
        {status.code(), status.message() + " (entries stored: " + std::to_string(stored) + ")"});
  }
  const std::chrono::duration<double> taken = std::chrono::steady_clock::now() - start;
  std::fprintf(stderr, "loaded %" PRIu64 " entries in %.2f s\n", stored, taken.count());
  return EX_OK;
}

int RunStandardInput(Client* client) {
  if (::isatty(STDIN_FILENO) == 1 && ::isatty(STDOUT_FILENO) == 1) return Finish(RunPrompt(client));
  bool had_error = false;
  const Status status = RunPipe(client, &had_error);
  return status.ok() && had_error ? kErrorExit : Finish(status);
}

int Run(const CommandLine& line) {
  const std::string word = line.words.empty() ? "" : line.words.front();
  const bool own = word == "load" || word == "export";
  std::string request;
  if (own && line.words.size() > 2) return Fail(UsageError("too many arguments for " + word));
  if (!own && !line.words.empty()) {
    if (Status status = MakeRequest(line.words, &request); !status.ok()) return Fail(status);
  }
  auto client = Client::Connect(line.endpoint);
  if (!client.ok()) return Fail(client.status());
  if (word == "load") return RunLoad(&client.value(), line.words);
  if (word == "export") {
    const std::string prefix = line.words.size() > 1 ? line.words[1] : "";
    return Finish(Export(&client.value(), prefix, STDOUT_FILENO));
  }
  return request.empty() ? RunStandardInput(&client.value()) : RunCommand(&client.value(), request);
}

// A closed standard output must not become the connection to the server.
void ReserveStandardDescriptors() {
  while (true) {
    const int fd = ::open("/dev/null", O_RDONLY);
    if (fd > STDERR_FILENO) ::close(fd);
    if (fd < 0 || fd > STDERR_FILENO) return;
  }
}

}  // namespace
}  // namespace keystone

int main(int argc, char** argv) {
  using namespace keystone;
  ReserveStandardDescriptors();
  // A reader that goes away is a write error like any other.
  ::signal(SIGPIPE, SIG_IGN);
  CommandLine line;
  const Status status = ParseCommandLine(argc, argv, &line);
  if (!status.ok()) return Fail(status);
  if (line.help) return Finish(Print(HelpText()));
  if (line.version) return Finish(Print("keystone-cli (keystonelight) " PACKAGE_VERSION "\n"));
  return Run(line);
}
