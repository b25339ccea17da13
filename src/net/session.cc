#include "net/session.h"

#include <algorithm>
#include <array>
#include <utility>

namespace keystone {
namespace {

// So that one client's writes don't keep the log from all others for long.
constexpr size_t kMaxBatchOperations = 1024;

// How many lines' keys are fetched at once: about what a core has under way to memory, twice.
constexpr size_t kLinesAhead = 32;

bool IsWrite(const Line& line) { return line.command != nullptr && line.command->queue != nullptr; }

}  // namespace

Session::Session(Store* store, const Limits* limits, SessionHost* host, Counters* counters)
    : limits_(limits), environment_{.store = store, .host = host, .counters = counters} {}

size_t Session::Consume(std::string_view input, Batch* batch, std::string* replies) {
  has_more_ = false;
  size_t used = 0;
  while (!closing_ && !has_more_) {
    const std::string_view rest = input.substr(used);
    if (used >= fetched_) fetched_ = used + FetchAhead(rest);
    std::string_view line;
    size_t taken = 0;
    const bool finished = NextLine(rest, &line, &taken);
    const bool too_long = line.size() > limits_->max_line_size();
    if (!finished && !too_long) {
      used += taken;
      break;
    }
    const bool enough =
        replies->size() >= kReplyFlushSize || batch->operations().size() >= kMaxBatchOperations;
    const bool handled =
        !enough && (too_long ? RefuseTooLong(*batch, replies) : HandleLine(line, batch, replies));
    if (handled) used += taken;
    has_more_ = !handled || is_slow() || std::exchange(yields_, false);
  }
  fetched_ -= std::min(fetched_, used);
  if (batch->empty()) decoded_.clear();
  return closing_ ? input.size() : used;
}

bool Session::NextLine(std::string_view rest, std::string_view* line, size_t* taken) {
  *taken = TelnetPrefixSize(rest);
  rest.remove_prefix(*taken);
  if (rest.starts_with(kTelnetIac)) return false;
  const size_t end = rest.find('\n', searched_);
  const bool finished = end != rest.npos;
  *line = rest.substr(0, end);
  searched_ = finished ? 0 : rest.size();
  if (finished) *taken += end + 1;
  return finished;
}

std::string_view Session::KeyOfGet(std::string_view input) {
  constexpr std::string_view kGet = "GET ";
  if (!EqualsIgnoringCase(input.substr(0, kGet.size()), kGet)) return {};
  const size_t end = input.find('\n');
  return end == input.npos ? std::string_view() : input.substr(kGet.size(), end - kGet.size());
}

// One look-up after the other would wait for memory each time; asked for together, they wait once.
size_t Session::FetchAhead(std::string_view rest) {
  std::array<std::string_view, kLinesAhead> keys;
  size_t count = 0;
  size_t start = 0;
  for (size_t i = 0; i < kLinesAhead; ++i) {
    const size_t end = rest.find('\n', start);
    if (end == rest.npos) break;
    const std::string_view key = KeyOfGet(rest.substr(start, end + 1 - start));
    start = end + 1;
    if (!key.empty()) keys[count++] = key;
  }
  if (count > 1) environment_.store->Prefetch({keys.data(), count});
  return start == 0 ? rest.size() : start;
}

// What is answered at once waits until the writes before it have been committed.
bool Session::HandleLine(std::string_view text, Batch* batch, std::string* replies) {
  const Line line = SplitLine(text);
  if (line.text.empty()) return true;
  if (!batch->empty() && !IsWrite(line)) return false;
  const bool is_http = IsHttp(line);
  Request request;
  const Status status = is_http ? Status() : ParseRequest(line, *limits_, &decoded_, &request);
  if (!batch->empty() && (is_http || !status.ok())) return false;
  if (is_http) {
    RefuseHttp(line, replies);
  } else if (status.ok()) {
    Execute(request, batch, replies);
  } else {
    Refuse(status, replies);
  }
  return true;
}

void Session::Execute(const Request& request, Batch* batch, std::string* replies) {
  const Command& command = *request.command;
  (environment_.counters->*command.counter).Add();
  if (command.queue != nullptr) return command.queue(request, batch);
  if (command.slow) {
    slow_ = &command;
    return;
  }
  Reply reply;
  command.execute(request, environment_, &reply);
  AppendReply(reply, replies);
  closing_ = reply.closes;
  yields_ = command.lengthy;
}

void Session::ExecuteSlow(std::string* replies) {
  const Request request{.command = std::exchange(slow_, nullptr)};
  Reply reply;
  request.command->execute(request, environment_, &reply);
  AppendReply(reply, replies);
}

void Session::RefuseSlow(const Status& why, std::string* replies) {
  slow_ = nullptr;
  AppendStatus(why, replies);
}

void Session::Committed(Batch* batch, std::string* replies) {
  const Status& status = batch->status();
  for (const Operation& operation : batch->operations()) {
    const bool absent = status.ok() && !operation.took_effect;
    AppendStatus(absent ? Status::NotFound() : status, replies);
  }
  batch->Clear();
  decoded_.clear();
}

void Session::RefuseHttp(const Line& line, std::string* replies) {
  Refuse({Code::kInvalid, "this is not an HTTP server"}, replies);
  environment_.host->OnHttpRequest(line.text);
  closing_ = true;
}

bool Session::RefuseTooLong(const Batch& batch, std::string* replies) {
  if (!batch.empty()) return false;
  Refuse({Code::kInvalid, "line too long"}, replies);
  return closing_ = true;
}

void Session::Refuse(const Status& status, std::string* replies) {
  environment_.counters->protocol_errors.Add();
  AppendStatus(status, replies);
}

}  // namespace keystone
