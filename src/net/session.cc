#include "net/session.h"

#include <array>

namespace keystone {
namespace {

// So that one client's writes don't keep the log from all others for long.
constexpr size_t kMaxBatchOperations = 1024;

// Room for operations that a session keeps while it waits: a thousand may be waiting.
constexpr size_t kKeptBatchOperations = 128;

// How many lines' keys are fetched at once: about what a core has under way to memory, twice.
constexpr size_t kLinesAhead = 32;

}  // namespace

Session::Session(Store* store, const Limits* limits, SessionHost* host, Counters* counters)
    : limits_(limits), environment_{.store = store, .host = host, .counters = counters} {}

size_t Session::Consume(std::string_view input, std::string* replies) {
  has_more_ = false;
  size_t used = 0;
  size_t fetched = searched_;  // an unfinished line is not looked at twice
  while (!closing_) {
    const std::string_view rest = input.substr(used);
    if (used >= fetched) fetched = used + FetchAhead(rest);
    std::string_view line;
    size_t taken = 0;
    const bool finished = NextLine(rest, &line, &taken);
    if (line.size() > limits_->max_line_size()) {
      Refuse({Code::kInvalid, "line too long"}, replies);
      closing_ = true;
    } else if (!finished) {
      used += taken;
      break;
    } else if (replies->size() >= kReplyFlushSize) {
      has_more_ = true;
      break;
    } else {
      used += taken;
      HandleLine(line, replies);
    }
  }
  Commit(replies);
  decoded_.clear();
  if (batch_.operations().capacity() > kKeptBatchOperations) batch_ = Batch();
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

// One look-up after the other would wait for memory each time; asked for together, they wait once.
size_t Session::FetchAhead(std::string_view rest) {
  constexpr std::string_view kGet = "GET ";
  std::array<std::string_view, kLinesAhead> keys;
  size_t count = 0;
  size_t start = 0;
  for (size_t i = 0; i < kLinesAhead; ++i) {
    const size_t end = rest.find('\n', start);
    if (end == rest.npos) break;
    const std::string_view line = rest.substr(start, end - start);
    start = end + 1;
    if (EqualsIgnoringCase(line.substr(0, kGet.size()), kGet)) {
      keys[count++] = line.substr(kGet.size());
    }
  }
  if (count > 1) environment_.store->Prefetch({keys.data(), count});
  return start == 0 ? rest.size() : start;
}

void Session::HandleLine(std::string_view text, std::string* replies) {
  const Line line = SplitLine(text);
  if (line.text.empty()) return;
  if (IsHttp(line)) {
    Refuse({Code::kInvalid, "this is not an HTTP server"}, replies);
    environment_.host->OnHttpRequest(line.text);
    closing_ = true;
    return;
  }
  Request request;
  const Status status = ParseRequest(line, *limits_, &decoded_, &request);
  if (status.ok()) {
    Execute(request, replies);
  } else {
    Refuse(status, replies);
  }
}

void Session::Execute(const Request& request, std::string* replies) {
  const Command& command = *request.command;
  (environment_.counters->*command.counter).Add();
  if (command.queue != nullptr) {
    command.queue(request, &batch_);
    if (batch_.operations().size() >= kMaxBatchOperations) Commit(replies);
    return;
  }
  Commit(replies);
  Reply reply;
  command.execute(request, environment_, &reply);
  AppendReply(reply, replies);
  closing_ = reply.closes;
}

void Session::Commit(std::string* replies) {
  if (batch_.empty()) return;
  const Status status = environment_.store->Apply(&batch_);
  for (const Operation& operation : batch_.operations()) {
    const bool absent = status.ok() && !operation.took_effect;
    AppendStatus(absent ? Status::NotFound() : status, replies);
  }
  batch_.Clear();
}

void Session::Refuse(const Status& status, std::string* replies) {
  Commit(replies);
  environment_.counters->protocol_errors.Add();
  AppendStatus(status, replies);
}

}  // namespace keystone
