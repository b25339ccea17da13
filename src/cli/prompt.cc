#include "cli/prompt.h"

#include <editline/readline.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <clocale>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <memory>
#include <string>

#include "base/file.h"

namespace keystone {

namespace {

struct Command {
  const char* name;
  bool has_arguments;  // then a space follows
};

constexpr Command kCommands[] = {
    {"ABORT", false},  {"BEGIN", false},  {"COMMIT", false}, {"COMPACT", false}, {"COUNT", false},
    {"DELETE", true},  {"EXISTS", true},  {"EXPIRE", true},  {"GET", true},      {"HELP", false},
    {"KEYS", true},    {"PERSIST", true}, {"PING", false},   {"QUIT", false},    {"RANGE", true},
    {"SCAN", true},    {"SET", true},     {"STATS", false},  {"SYNC", false},    {"TTL", true},
    {"VERSION", false}};
constexpr int kHistoryLines = 1000;

// Called with state 0, 1, 2 ... until it returns none. libedit frees what it returns.
char* NextCommand(const char* typed, int state) {
  for (const Command& command : kCommands) {
    if (::strncasecmp(command.name, typed, std::strlen(typed)) == 0 && state-- == 0) {
      return ::strdup(command.name);
    }
  }
  return nullptr;
}

// Only the first word of a line is a command; nothing completes the others.
char** CompleteCommand(const char* typed, int start, int) {
  rl_attempted_completion_over = 1;
  if (start != 0) return nullptr;
  char** const matches = rl_completion_matches(typed, NextCommand);
  const Command* const completed =
      std::find_if(std::begin(kCommands), std::end(kCommands), [&](const Command& command) {
        return matches != nullptr && std::strcmp(command.name, matches[0]) == 0;
      });
  const bool has_end = completed != std::end(kCommands) && !completed->has_arguments;
  rl_completion_append_character = has_end ? 0 : ' ';
  return matches;
}

// The lines typed so far, kept in a file that only its owner may read: values may be secrets.
class History {
 public:
  History() {
    using_history();
    stifle_history(kHistoryLines);
    const char* home = std::getenv("HOME");
    if (home == nullptr) return;
    path_ = std::string(home) + "/.keystone_history";
    (void)read_history(path_.c_str());
  }
  ~History() {
    if (path_.empty()) return;
    const mode_t old = ::umask(077);
    (void)write_history(path_.c_str());
    ::umask(old);
  }
  History(const History&) = delete;
  History& operator=(const History&) = delete;

 private:
  std::string path_;
};

std::string Printable(const ServerReply& reply) {
  std::string text = reply.first + "\n";
  for (const std::string& line : reply.lines) text += line + "\n";
  return text;
}

Status Answer(Client* client, std::string_view line) {
  if (line.starts_with('*')) {
    return WriteAll(STDOUT_FILENO, "ERROR " + std::string(kNoAsterisk) + "\n", "standard output");
  }
  auto reply = client->Ask(line);
  if (!reply.ok()) return reply.status();
  return WriteAll(STDOUT_FILENO, Printable(reply.value()), "standard output");
}

bool IsQuit(std::string_view line) {
  return line.size() == 4 && ::strncasecmp(line.data(), "QUIT", 4) == 0;
}

// Standard input to the server, replies to standard output, both at once.
class Relay {
 public:
  explicit Relay(Client* client) : client_(client) {}

  Status Run() {
    Status status;
    while (status.ok() && !client_->closed()) {
      const bool wants_input = !input_ended_ && client_->unsent() == 0;
      auto readable = client_->Wait(wants_input ? STDIN_FILENO : -1);
      status = readable.status();
      if (status.ok() && readable.value()) status = ReadInput();
      if (status.ok()) status = WriteReplies();
      // The server answers everything before it hangs up, so replies need no counting.
      if (status.ok() && AllSent()) status = FinishSending();
    }
    if (status.ok() && !input_ended_) status = CheckNothingLeft();
    return status;
  }

  bool had_error() const { return had_error_; }

 private:
  bool AllSent() const { return input_ended_ && !finished_ && client_->unsent() == 0; }

  Status FinishSending() {
    finished_ = true;
    return client_->FinishSending();
  }

  Result<size_t> Read(std::array<char, 65536>* chunk) {
    ssize_t n;
    do {
      n = ::read(STDIN_FILENO, chunk->data(), chunk->size());
    } while (n < 0 && errno == EINTR);
    if (n < 0) return Status::FromErrno("read", "standard input", errno);
    return static_cast<size_t>(n);
  }

  Status ReadInput() {
    std::array<char, 65536> chunk;
    auto n = Read(&chunk);
    if (!n.ok()) return n.status();
    input_ended_ = n.value() == 0;
    // The server never acts on a line without its end.
    if (input_ended_ && last_byte_ != '\n') client_->Send("\n");
    client_->Send({chunk.data(), n.value()});
    if (n.value() > 0) last_byte_ = chunk[n.value() - 1];
    return Status::Ok();
  }

  Status WriteReplies() {
    std::string text;
    std::string_view line;
    while (client_->TakeLine(&line)) {
      had_error_ = had_error_ || IsError(line);
      text.append(line).append("\n");
    }
    return WriteAll(STDOUT_FILENO, text, "standard output");
  }

  // The server hung up, after QUIT say: input that it did not get must not vanish unnoticed.
  Status CheckNothingLeft() {
    std::array<char, 65536> chunk;
    auto n = Read(&chunk);
    if (!n.ok()) return n.status();
    if (n.value() == 0) return Status::Ok();
    return {Code::kIo, client_->name() + " closed the connection before the input ended"};
  }

  Client* const client_;
  bool input_ended_ = false;
  bool finished_ = false;  // the server knows that no more comes
  char last_byte_ = '\n';  // of the input
  bool had_error_ = false;
};

}  // namespace

Status RunPrompt(Client* client) {
  std::setlocale(LC_CTYPE, "");
  rl_readline_name = "keystone-cli";
  rl_attempted_completion_function = CompleteCommand;
  const History history;
  for (;;) {
    const std::unique_ptr<char, void (*)(void*)> typed(::readline("keystone> "), std::free);
    if (!typed) return WriteAll(STDOUT_FILENO, "\n", "standard output");
    std::string_view line(typed.get());
    line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
    if (line.empty()) continue;
    add_history(typed.get());
    const Status status = Answer(client, line);
    if (!status.ok() || IsQuit(line)) return status;
  }
}

Status RunPipe(Client* client, bool* had_error) {
  Relay relay(client);
  const Status status = relay.Run();
  *had_error = relay.had_error();
  return status;
}

}  // namespace keystone
