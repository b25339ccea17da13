#include "cli/client.h"

#include <poll.h>
#include <strings.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <utility>

#include "base/base64.h"

namespace keystone {

namespace {

bool IsControl(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }

void AppendEncoded(std::string_view bytes, std::string* line) {
  line->append(kBase64Prefix);
  AppendBase64(bytes, line);
}

// The n of "OK <n>".
bool ParseCount(std::string_view line, size_t* count) {
  if (!line.starts_with("OK ")) return false;
  const std::string_view digits = line.substr(3);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), *count);
  return error == std::errc() && end == digits.data() + digits.size();
}

}  // namespace

void AppendRequestKey(std::string_view key, std::string* line) {
  const bool plain =
      !key.empty() && !key.starts_with(kBase64Prefix) &&
      // The server takes a last word HTTP/... for a browser and hangs up.
      !key.starts_with("HTTP/") &&
      std::none_of(key.begin(), key.end(), [](char c) { return IsControl(c) || c == ' '; });
  if (plain) {
    line->append(key);
  } else {
    AppendEncoded(key, line);
  }
}

void AppendRequestValue(std::string_view value, std::string* line) {
  const bool plain =
      !value.starts_with(kBase64Prefix) &&
      std::none_of(value.begin(), value.end(), [](char c) { return IsControl(c) && c != '\t'; });
  if (plain) {
    line->append(value);
  } else {
    AppendEncoded(value, line);
  }
}

Result<std::string> DecodeText(std::string_view text) {
  if (!text.starts_with(kBase64Prefix)) return std::string(text);
  auto bytes = DecodeBase64(text.substr(kBase64Prefix.size()));
  if (!bytes) return Status(Code::kInvalid, "not Base64 behind base64:");
  return *std::move(bytes);
}

bool RepliesWithLines(std::string_view command) {
  static constexpr std::string_view kCommands[] = {"SCAN", "STATS", "HELP",
                                                   "KEYS", "RANGE", "COMMIT"};
  return std::any_of(std::begin(kCommands), std::end(kCommands), [&](std::string_view name) {
    return name.size() == command.size() &&
           ::strncasecmp(name.data(), command.data(), name.size()) == 0;
  });
}

bool IsError(std::string_view reply_line) { return reply_line.starts_with("ERROR "); }

std::string_view ReplyText(std::string_view reply_line) {
  return reply_line.substr(std::min(reply_line.find(' '), reply_line.size() - 1) + 1);
}

Result<Client> Client::Connect(const Endpoint& endpoint) {
  auto addresses = EndpointAddresses::Find(endpoint);
  if (!addresses.ok()) return addresses.status();
  auto fd = addresses.value().Connect();
  if (!fd.ok()) return fd.status();
  return Client(std::move(fd.value()), endpoint.Name());
}

Status Client::FinishSending() {
  if (::shutdown(fd_.get(), SHUT_WR) == 0 || errno == ENOTCONN) return Status::Ok();
  return Status::FromErrno("shut down", name_, errno);
}

Result<bool> Client::Wait(int input) {
  if (closed_) return Status(Code::kIo, name_ + " closed the connection");
  in_.erase(0, taken_);
  searched_ -= taken_;
  taken_ = 0;
  const short wanted = static_cast<short>(unsent() > 0 ? POLLIN | POLLOUT : POLLIN);
  std::array<pollfd, 2> polled{{{fd_.get(), wanted, 0}, {input, POLLIN, 0}}};
  if (::poll(polled.data(), polled.size(), -1) < 0) {
    if (errno == EINTR) return false;
    return Status::FromErrno("poll", name_, errno);
  }
  // Receiving comes first: it brings the reason why a server hangs up.
  Status status = Status::Ok();
  if ((polled[0].revents & ~POLLOUT) != 0) status = Receive();
  if (status.ok() && (polled[0].revents & POLLOUT) != 0) status = SendQueued();
  if (!status.ok()) return status;
  return polled[1].revents != 0;
}

Status Client::Receive() {
  std::array<char, 65536> chunk;
  const ssize_t n = ::recv(fd_.get(), chunk.data(), chunk.size(), MSG_DONTWAIT);
  if (n > 0) in_.append(chunk.data(), static_cast<size_t>(n));
  if (n == 0) closed_ = true;
  if (n < 0 && errno != EAGAIN && errno != EINTR) {
    return Status::FromErrno("receive from", name_, errno);
  }
  return Status::Ok();
}

Status Client::SendQueued() {
  const ssize_t n = ::send(fd_.get(), out_.data() + sent_, unsent(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (n > 0) sent_ += static_cast<size_t>(n);
  // A server that hung up may have said why: the next Receive finds that, or the end.
  const bool hung_up = n < 0 && (errno == EPIPE || errno == ECONNRESET);
  if (hung_up || unsent() == 0) {
    out_.clear();
    sent_ = 0;
  }
  if (n < 0 && !hung_up && errno != EAGAIN && errno != EINTR) {
    return Status::FromErrno("send to", name_, errno);
  }
  return Status::Ok();
}

bool Client::TakeLine(std::string_view* line) {
  const size_t end = in_.find('\n', searched_);
  searched_ = end == in_.npos ? in_.size() : end + 1;
  if (end == in_.npos) return false;
  *line = std::string_view(in_).substr(taken_, end - taken_);
  taken_ = end + 1;
  return true;
}

Result<std::string_view> Client::ReadLine() {
  std::string_view line;
  while (!TakeLine(&line)) {
    auto moved = Wait();
    if (!moved.ok()) return moved.status();
  }
  return line;
}

Result<ServerReply> Client::ReadReply(bool with_lines) {
  auto line = ReadLine();
  if (!line.ok()) return line.status();
  ServerReply reply;
  reply.first = line.value();
  if (!with_lines || IsError(reply.first)) return reply;
  size_t count = 0;
  if (!ParseCount(reply.first, &count)) {
    return Status(Code::kIo, name_ + " does not speak keystoned's protocol");
  }
  reply.has_lines = true;
  while (reply.lines.size() < count) {
    line = ReadLine();
    if (!line.ok()) return line.status();
    reply.lines.emplace_back(line.value());
  }
  return reply;
}

Result<ServerReply> Client::Ask(std::string_view request) {
  Send(request);
  Send("\n");
  return ReadReply(RepliesWithLines(request.substr(0, request.find(' '))));
}

}  // namespace keystone
