#include "cli/load.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

#include "base/file.h"
#include "cli/progress.h"

namespace keystone {

namespace {

// Requests under way, above which no more input is read: a refused line stops the load soon.
constexpr uint64_t kWindow = 8192;

// Appends "SET key value" for one line of the file.
Status AppendSet(std::string_view line, std::string* request) {
  const size_t tab = line.find('\t');
  if (tab == line.npos) return {Code::kInvalid, "no TAB between key and value"};
  auto key = DecodeText(line.substr(0, tab));
  if (!key.ok()) return {Code::kInvalid, "key: " + key.status().message()};
  if (key.value().empty()) return {Code::kInvalid, "empty key"};
  auto value = DecodeText(line.substr(tab + 1));
  if (!value.ok()) return {Code::kInvalid, "value: " + value.status().message()};
  request->append("SET ");
  AppendRequestKey(key.value(), request);
  request->append(" ");
  AppendRequestValue(value.value(), request);
  request->append("\n");
  return Status::Ok();
}

uint64_t RegularFileSize(int fd) {
  struct stat info {};
  return ::fstat(fd, &info) == 0 && S_ISREG(info.st_mode) ? static_cast<uint64_t>(info.st_size) : 0;
}

// Input line n is request n is reply n, so counting is all the bookkeeping there is.
class Loader {
 public:
  Loader(Client* client, int input, std::string name)
      : client_(client),
        input_(input),
        name_(std::move(name)),
        progress_(Progress::Unit::kBytes, RegularFileSize(input), ::isatty(STDERR_FILENO) == 1) {}

  Status Run() {
    while (WantsInput() || replies_ < lines_) {
      // What was read is sent before more is read, so a slow writer's lines don't lie about.
      const bool ready = WantsInput() && client_->unsent() == 0 && lines_ - replies_ < kWindow;
      auto readable = client_->Wait(ready ? input_ : -1);
      // A server that refused a line may hang up: its reason matters more than that.
      if (!readable.ok()) return failure_.ok() ? readable.status() : failure_;
      if (readable.value()) ReadInput();
      TakeReplies();
      progress_.Update(bytes_read_);
    }
    return failure_;
  }

  uint64_t stored() const { return stored_; }

 private:
  bool WantsInput() const { return !input_ended_ && failure_.ok(); }

  void ReadInput() {
    std::array<char, 65536> chunk;
    const ssize_t n = ::read(input_, chunk.data(), chunk.size());
    if (n < 0) {
      if (errno != EINTR && errno != EAGAIN) failure_ = Status::FromErrno("read", name_, errno);
      return;
    }
    bytes_read_ += static_cast<uint64_t>(n);
    input_ended_ = n == 0;
    pending_.append(chunk.data(), static_cast<size_t>(n));
    SendLines();
  }

  void SendLines() {
    const std::string_view text = pending_;
    size_t start = 0;
    size_t end = text.find('\n', searched_);
    while (end != text.npos) {
      if (!SendLine(text.substr(start, end - start))) return;
      start = end + 1;
      end = text.find('\n', start);
    }
    pending_.erase(0, start);
    searched_ = pending_.size();
    if (input_ended_ && !pending_.empty()) SendLine(pending_);
  }

  bool SendLine(std::string_view line) {
    requests_.clear();
    const Status status = AppendSet(line, &requests_);
    if (!status.ok()) {
      FailAt(lines_ + 1, status.message());
      return false;
    }
    ++lines_;
    client_->Send(requests_);
    return true;
  }

  void TakeReplies() {
    std::string_view line;
    while (replies_ < lines_ && client_->TakeLine(&line)) {
      ++replies_;
      if (line == "OK") {
        ++stored_;
      } else {
        FailAt(replies_, IsError(line) ? ReplyText(line) : line);
      }
    }
  }

  // The first line of the file that fails is the one to report.
  void FailAt(uint64_t line, std::string_view reason) {
    if (failed_line_ != 0 && failed_line_ < line) return;
    failed_line_ = line;
    failure_ =
        Status(Code::kInvalid, name_ + ":" + std::to_string(line) + ": " + std::string(reason));
  }

  Client* const client_;
  const int input_;
  const std::string name_;
  Progress progress_;
  std::string pending_;  // input that is not a whole line yet
  size_t searched_ = 0;
  std::string requests_;
  bool input_ended_ = false;
  uint64_t bytes_read_ = 0;
  uint64_t lines_ = 0;    // sent
  uint64_t replies_ = 0;  // to them
  uint64_t stored_ = 0;
  uint64_t failed_line_ = 0;
  Status failure_;
};

}  // namespace

Status Load(Client* client, const std::string& path, uint64_t* stored) {
  *stored = 0;
  Fd file;
  if (path != "-") {
    auto opened = OpenFile(path, O_RDONLY);
    if (!opened.ok()) return opened.status();
    file = std::move(opened.value());
  }
  Loader loader(client, file.valid() ? file.get() : STDIN_FILENO,
                path == "-" ? "standard input" : path);
  const Status status = loader.Run();
  *stored = loader.stored();
  return status;
}

}  // namespace keystone
