// One connection to keystoned, as the line protocol (keystone-protocol(7)) sees it: requests out,
// reply lines in, and the two may overlap.
//
// Not thread-safe. Errors name the server's address and what to check.
#ifndef KEYSTONE_CLI_CLIENT_H_
#define KEYSTONE_CLI_CLIENT_H_

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/status.h"
#include "cli/endpoint.h"

namespace keystone {

inline constexpr std::string_view kBase64Prefix = "base64:";

// Append a key or a value in the form that a request line can carry, whatever its bytes are.
void AppendRequestKey(std::string_view key, std::string* line);
void AppendRequestValue(std::string_view value, std::string* line);

// The bytes that a key or value in a reply stands for.
Result<std::string> DecodeText(std::string_view text);

// True where a good reply is "OK <n>" followed by n lines. `command` in either case.
bool RepliesWithLines(std::string_view command);

// Why a command that begins with '*' is not sent: the server would wait for the rest of it.
inline constexpr std::string_view kNoAsterisk =
    "no command begins with '*': that begins a request of Redis' protocol";

bool IsError(std::string_view reply_line);
// What stands behind the first word: the reason of an ERROR, the value of a VALUE.
std::string_view ReplyText(std::string_view reply_line);

struct ServerReply {
  std::string first;       // the reply line itself
  bool has_lines = false;  // it announces lines, perhaps none
  std::vector<std::string> lines;
};

class Client {
 public:
  static Result<Client> Connect(const Endpoint& endpoint);

  // Queues bytes of requests, each ended by LF; Wait sends them.
  void Send(std::string_view bytes) { out_.append(bytes); }
  size_t unsent() const { return out_.size() - sent_; }

  // No request follows those that are queued; call once unsent() is 0.
  Status FinishSending();

  // Returns once something moved: sends what the server takes, receives what there is. True where
  // `input`, another descriptor (-1: none), can be read without waiting. An error where the server
  // had closed before.
  Result<bool> Wait(int input = -1);

  // The next reply line that has been received, without its LF; good until the next Wait.
  bool TakeLine(std::string_view* line);

  // The server closed the connection; what it sent before can still be taken.
  bool closed() const { return closed_; }

  // Waits for the whole reply to the oldest request that was not answered yet.
  Result<ServerReply> ReadReply(bool with_lines);

  // One request line (without LF) and its reply. No other request may be under way.
  Result<ServerReply> Ask(std::string_view request);

  const std::string& name() const { return name_; }

 private:
  Client(Fd fd, std::string name) : fd_(std::move(fd)), name_(std::move(name)) {}

  Result<std::string_view> ReadLine();
  Status Receive();
  Status SendQueued();

  Fd fd_;
  std::string name_;
  std::string out_;  // requests; those before sent_ are gone
  size_t sent_ = 0;
  std::string in_;  // replies; those before taken_ were handed out
  size_t taken_ = 0;
  size_t searched_ = 0;  // no LF in in_ between taken_ and here
  bool closed_ = false;
};

}  // namespace keystone

#endif  // KEYSTONE_CLI_CLIENT_H_
