#include "net/session.h"

#include <algorithm>
#include <utility>

#include "net/answers.h"
#include "net/memcached_request.h"
#include "net/memcached_session.h"
#include "net/reply_writer.h"
#include "net/resp_request.h"

namespace keystone {
namespace {

// So that one client's writes don't keep the log from all others for long.
constexpr size_t kMaxBatchOperations = 1024;

// Of values of any size, in memory until the batch is committed and answered.
constexpr size_t kMaxBatchCopies = 4;

// The same on disk only: a new expiry is a new record.
constexpr size_t kMaxBatchRewrites = 64;

// What transactions may hold that are committed together, all but the last of them.
constexpr size_t kMaxTransactionBytes = size_t{1} << 20;

// Room for so many stays with an idle client.
constexpr size_t kKeptTransactions = 16;

// Of what is said behind writes before these are committed.
constexpr size_t kMaxText = size_t{64} << 10;

// What stands around a value in its reply, at most.
constexpr size_t kHeadSize = 64;

using Role = Command::Role;

}  // namespace

Session::Session(Store* store, const Limits* limits, SessionHost* host, Counters* counters,
                 Protocol protocol)
    : limits_(limits),
      environment_{.store = store, .host = host, .counters = counters, .client = &client_},
      resp_(std::max(limits->max_key_size, limits->max_value_size), limits->max_resp_size()) {
  if (protocol == Protocol::kMemcached) memcached_ = std::make_unique<Memcached>();
}

Session::~Session() = default;

size_t Session::Consume(std::string_view input, Writes* writes, std::string* replies) {
  has_more_ = false;
  writes->SetRoom(kMaxBatchCopies * limits_->max_value_size,
                  kMaxBatchRewrites * limits_->max_value_size);
  size_t used = 0;
  while (!closing_ && !has_more_) {
    const std::string_view rest = input.substr(used);
    if (used >= fetched_) fetched_ = used + FetchAhead(rest);
    Parsed parsed;
    Parse(rest, &parsed);
    if (parsed.state == Parsed::State::kUnfinished) {
      used += parsed.size;
      break;
    }
    const bool enough = IsFull(*replies) || HasEnough(*writes);
    const bool handled = !enough && Handle(parsed, writes, replies);
    if (handled) used += parsed.size;
    if (handled && memcached_ != nullptr) TookMemcached();
    has_more_ = !handled || is_slow() || std::exchange(yields_, false);
  }
  fetched_ -= std::min(fetched_, used);
  if (writes->empty()) decoded_.clear();
  resp_.DropWords();
  return closing_ ? input.size() : used;
}

// ---- parsing

void Session::Parse(std::string_view input, Parsed* parsed) {
  if (memcached_ != nullptr) return ParseMemcachedAt(input, parsed);
  if (searched_ == 0 && input.starts_with(kRespRequest)) return ParseRespAt(input, parsed);
  ParseLineAt(input, parsed);
}

void Session::ParseLineAt(std::string_view input, Parsed* parsed) {
  if (input.starts_with(kTelnetIac)) {
    // On its own, so that the first byte behind it decides the protocol, however it is received.
    parsed->size = TelnetPrefixSize(input);
    if (parsed->size > 0) parsed->state = Parsed::State::kNothing;
    return;
  }
  const size_t end = input.find('\n', searched_);
  const bool finished = end != input.npos;
  searched_ = finished ? 0 : input.size();
  const std::string_view line = input.substr(0, end);
  if (line.size() > limits_->max_line_size() + (line.ends_with('\r') ? 1 : 0)) {
    parsed->state = Parsed::State::kBroken;
    parsed->status = {Code::kInvalid, "line too long"};
  } else if (finished) {
    parsed->bytes = line;
    parsed->size = end + 1;
    ParseLineText(parsed->bytes, parsed);
  }
}

void Session::ParseLineText(std::string_view text, Parsed* parsed) {
  const Line line = SplitLine(text);
  if (line.text.empty()) {
    parsed->state = Parsed::State::kNothing;
  } else if (IsHttp(line)) {
    parsed->bytes = line.text;
    parsed->state = Parsed::State::kHttp;
    parsed->status = Status::Invalid("this is not an HTTP server");
  } else {
    parsed->status = ParseRequest(line, *limits_, &decoded_, &parsed->request);
    parsed->state = parsed->status.ok() ? Parsed::State::kRequest : Parsed::State::kRefused;
  }
}

void Session::ParseRespAt(std::string_view input, Parsed* parsed) {
  parsed->protocol = Protocol::kResp;
  switch (resp_.Next(input)) {
    case RespParser::Progress::kNeedMore:
      return;
    case RespParser::Progress::kError:
      parsed->state = Parsed::State::kBroken;
      parsed->status = {Code::kInvalid, resp_.error()};
      return;
    case RespParser::Progress::kRequest:
      break;
  }
  parsed->size = resp_.size();
  parsed->bytes = input.substr(0, parsed->size);
  const Words words = resp_.words();
  if (words.empty()) {
    parsed->state = Parsed::State::kNothing;
    return;
  }
  parsed->status = FindRespRequest(words, &parsed->request);
  // What is wrong with the arguments is told when a transaction is executed.
  const bool later =
      in_transaction() && parsed->status.ok() && parsed->request.command->role == Role::kUsual;
  if (parsed->status.ok() && !later) {
    parsed->status = ParseRespArguments(words, *limits_, &parsed->request);
  }
  parsed->state = parsed->status.ok() ? Parsed::State::kRequest : Parsed::State::kRefused;
}

// ---- execution

// So that nothing joins what is queued.
bool Session::HasEnough(const Writes& writes) const {
  return writes.operations() >= kMaxBatchOperations || writes.copies() >= kMaxBatchCopies ||
         writes.rewrites() >= kMaxBatchRewrites || writes.replies().size() >= kMaxBatchOperations ||
         writes.text().size() >= kMaxText || committing_bytes_ >= kMaxTransactionBytes ||
         (!committing_.empty() && committing_.back()->executes());
}

// Writes follow writes. Of the rest only what makes up a transaction does not wait until the writes
// before it have been committed: to be kept needs nothing of the store. One that copies values may
// need all the room there is for that.
bool Session::GoesBehind(const Parsed& parsed, const Writes& writes) const {
  if (parsed.state != Parsed::State::kRequest) return false;
  const Command& command = *parsed.request.command;
  if (!in_transaction()) return command.queue != nullptr || command.role == Role::kBegin;
  return command.role == Role::kUsual || (Commits(command) && writes.copies() == 0);
}

bool Session::Handle(const Parsed& parsed, Writes* writes, std::string* replies) {
  if (parsed.state == Parsed::State::kNothing) return true;
  if (!writes->empty()) {
    if (!GoesBehind(parsed, *writes)) return false;
    replies = writes->mutable_text();
  }
  if (parsed.state == Parsed::State::kEnd) return EndFetch(replies);
  if (parsed.state == Parsed::State::kRequest) {
    const bool touches =
        memcached_ != nullptr && IsGat(static_cast<MemcachedVerb>(parsed.request.verb));
    return touches ? FetchAndTouch(parsed, writes, replies) : Execute(parsed, writes, replies);
  }
  Refuse(parsed, replies);
  return true;
}

bool Session::Execute(const Parsed& parsed, Writes* writes, std::string* replies) {
  const Request& request = parsed.request;
  const Command& command = *request.command;
  const ReplyForm form{.protocol = parsed.protocol, .verb = request.verb};
  if (in_transaction() && (command.role == Role::kUsual || command.role == Role::kUnwatch)) {
    Enqueue(parsed, replies);
    return true;
  }
  if (next_word_ == 0) (environment_.counters->*command.counter).Add();
  if (command.look != nullptr) return LookUp(request, form, replies);
  if (command.queue != nullptr) {
    Queue(request, parsed.protocol, writes);
  } else if (Commits(command)) {
    Commit(parsed, writes);
  } else if (command.slow) {
    slow_ = std::make_unique<KeptRequest>(parsed.protocol, parsed.bytes);
    slow_->refused = ParseKept(slow_.get());
  } else {
    Reply reply;
    if (command.role != Role::kUsual) {
      Converse(parsed, &reply);
    } else {
      command.execute(request, environment_, &reply);
    }
    if (!request.silent) AppendReply(form, reply, replies);
    closing_ = reply.closes;
    yields_ = command.lengthy;
  }
  return true;
}

void Session::Queue(const Request& request, Protocol protocol, Writes* writes) {
  const std::vector<Operation>& operations = writes->batch().operations();
  const size_t first = operations.size();
  request.command->queue(request, writes);
  writes->Expect({.command = request.command,
                  .first = static_cast<uint32_t>(first),
                  .count = static_cast<uint32_t>(operations.size() - first),
                  .protocol = protocol,
                  .verb = request.verb,
                  .silent = request.silent});
}

void Session::ExecuteSlow(std::string* replies) {
  const std::unique_ptr<KeptRequest> kept = std::move(slow_);
  Reply reply;
  reply.status = kept->refused;
  if (kept->refused.ok()) kept->request.command->execute(kept->request, environment_, &reply);
  if (kept->request.silent) return;
  AppendReply({.protocol = kept->protocol, .verb = kept->request.verb}, reply, replies);
}

void Session::RefuseSlow(const Status& why, std::string* replies) {
  const std::unique_ptr<KeptRequest> kept = std::move(slow_);
  if (!kept->request.silent) AppendStatus({.protocol = kept->protocol}, why, replies);
}

void Session::Committed(Writes* writes, std::string* replies) {
  const std::vector<PendingReply>& pending = writes->replies();
  const std::string& text = writes->text();
  // Grown step by step, large replies would be there twice at times. A line may have to encode
  // them.
  if (writes->copied_bytes() >= kPlacedSize) {
    replies->reserve(replies->size() + writes->copied_bytes() / 3 * 4 +
                     writes->copies() * kHeadSize);
  }
  auto transaction = committing_.begin();
  for (size_t i = 0; i < pending.size(); i++) {
    const PendingReply& next = pending[i];
    if (next.command->role == Role::kCommit) {
      AnswerTransaction(next, (transaction++)->get(), replies);
    } else {
      AnswerWrite(next, replies);
    }
    const size_t end = i + 1 < pending.size() ? pending[i + 1].behind : text.size();
    replies->append(text, next.behind, end - next.behind);
  }
  writes->Clear();
  decoded_.clear();
  committing_.clear();
  if (committing_.capacity() > kKeptTransactions) decltype(committing_)().swap(committing_);
  committing_bytes_ = 0;
}

void Session::AnswerWrite(const PendingReply& pending, std::string* replies) {
  const Status& status = pending.batch->status();
  const std::span<const Operation> operations =
      std::span(pending.batch->operations()).subspan(pending.first, pending.count);
  const ReplyForm form{.protocol = pending.protocol, .verb = pending.verb};
  // That it was just done is said without a Reply, which costs more to make than to send.
  if (status.ok() && pending.command->answer == nullptr && operations.front().update == nullptr) {
    if (!pending.silent) AppendStatus(form, status, replies);
    return;
  }
  Reply reply;
  reply.status = status;
  if (status.ok()) Answer(*pending.command, operations, &reply);
  if (memcached_ != nullptr) NoteCommitted(pending, reply);
  if (!pending.silent) AppendReply(form, reply, replies);
}

void Session::Refuse(const Parsed& parsed, std::string* replies) {
  environment_.counters->protocol_errors.Add();
  if (in_transaction()) transaction_->Spoil();
  if (memcached_ != nullptr) {
    RefuseMemcached(parsed, replies);
  } else {
    Reply reply;
    reply.status = parsed.status;
    const Command* const command = parsed.request.command;
    if (parsed.protocol == Protocol::kResp && command != nullptr &&
        command->role == Role::kCommit) {
      transaction_.reset();
      reply.error_word = "EXECABORT";
      reply.status =
          Status::Invalid("Transaction discarded because of: " + parsed.status.message());
    }
    AppendReply({.protocol = parsed.protocol}, reply, replies);
  }
  if (parsed.state == Parsed::State::kHttp) environment_.host->OnHttpRequest(parsed.bytes);
  if (parsed.state != Parsed::State::kRefused) closing_ = true;
}

Status Session::ParseKept(KeptRequest* kept) const {
  if (kept->protocol == Protocol::kMemcached) {
    const MemcachedStep step = MemcachedParser().Next(kept->bytes, *limits_);
    kept->request = MemcachedCommand(step.request, *limits_);
    return step.kind == MemcachedStep::Kind::kRequest ? Status::Ok()
                                                      : Status::Invalid("bad request");
  }
  if (kept->protocol == Protocol::kLine) {
    return ParseRequest(SplitLine(kept->bytes), *limits_, &kept->decoded, &kept->request);
  }
  kept->words = CopyRespWords(kept->bytes);
  Status status = FindRespRequest(kept->words, &kept->request);
  return status.ok() ? ParseRespArguments(kept->words, *limits_, &kept->request) : status;
}

}  // namespace keystone
