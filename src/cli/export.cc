#include "cli/export.h"

#include <unistd.h>

#include <charconv>
#include <string>
#include <utility>

#include "base/file.h"
#include "cli/progress.h"

namespace keystone {

namespace {

constexpr size_t kFlushSize = 65536;

std::string ScanRequest(std::string_view cursor, std::string_view prefix) {
  std::string request = "SCAN " + std::string(cursor) + " 1000";
  if (!prefix.empty()) AppendRequestKey(prefix, &request.append(" "));
  return request + "\n";
}

// A key that SCAN wrote, as a request can carry it.
Status AppendGet(std::string_view key_text, std::string* request) {
  auto key = DecodeText(key_text);
  if (!key.ok()) return {Code::kIo, "SCAN: " + key.status().message()};
  AppendRequestKey(key.value(), &request->append("GET "));
  request->append("\n");
  return Status::Ok();
}

// The number of entries, for the progress bar; 0 where it isn't known.
uint64_t CountEntries(Client* client) {
  auto reply = client->Ask("COUNT");
  uint64_t count = 0;
  if (reply.ok()) {
    const std::string_view text = ReplyText(reply.value().first);
    std::from_chars(text.data(), text.data() + text.size(), count);
  }
  return count;
}

class Exporter {
 public:
  Exporter(Client* client, std::string_view prefix, int output, uint64_t total, bool visible)
      : client_(client),
        prefix_(prefix),
        output_(output),
        progress_(Progress::Unit::kEntries, total, visible) {}

  // The request for the next page of keys travels behind the GETs of this one.
  Status Run() {
    client_->Send(ScanRequest("0", prefix_));
    std::vector<std::string> keys;
    bool more = true;
    while (more) {
      Status status = ReadPage(&keys);
      if (!status.ok()) return status;
      more = keys.front() != "0";
      status = AskForPage(keys, more);
      if (status.ok()) status = WriteEntries(keys);
      if (!status.ok()) return status;
    }
    return Flush();
  }

 private:
  // The next cursor, then keys.
  Status ReadPage(std::vector<std::string>* keys) {
    auto reply = client_->ReadReply(true);
    if (!reply.ok()) return reply.status();
    if (reply.value().lines.empty()) return {Code::kIo, "SCAN: " + reply.value().first};
    *keys = std::move(reply.value().lines);
    return Status::Ok();
  }

  Status AskForPage(const std::vector<std::string>& keys, bool more) {
    std::string requests;
    for (size_t i = 1; i < keys.size(); ++i) {
      if (Status status = AppendGet(keys[i], &requests); !status.ok()) return status;
    }
    if (more) requests += ScanRequest(keys.front(), prefix_);
    client_->Send(requests);
    return Status::Ok();
  }

  Status WriteEntries(const std::vector<std::string>& keys) {
    for (size_t i = 1; i < keys.size(); ++i) {
      auto reply = client_->ReadReply(false);
      if (!reply.ok()) return reply.status();
      if (Status status = WriteEntry(keys[i], reply.value().first); !status.ok()) return status;
    }
    return Status::Ok();
  }

  Status WriteEntry(const std::string& key, const std::string& reply) {
    if (reply == "NOT_FOUND") return Status::Ok();  // deleted since SCAN saw it
    if (!reply.starts_with("VALUE ")) return {Code::kIo, "GET " + key + ": " + reply};
    buffer_.append(key).append("\t").append(ReplyText(reply)).append("\n");
    progress_.Update(++written_);
    return buffer_.size() < kFlushSize ? Status::Ok() : Flush();
  }

  Status Flush() {
    const Status status = WriteAll(output_, buffer_, "standard output");
    buffer_.clear();
    return status;
  }

  Client* const client_;
  const std::string prefix_;
  const int output_;
  Progress progress_;
  std::string buffer_;  // lines that are not written yet
  uint64_t written_ = 0;
};

}  // namespace

Status Export(Client* client, std::string_view prefix, int output) {
  const bool visible = ::isatty(STDERR_FILENO) == 1 && ::isatty(output) == 0;
  const uint64_t total = visible && prefix.empty() ? CountEntries(client) : 0;
  return Exporter(client, prefix, output, total, visible).Run();
}

}  // namespace keystone
