#include "net/session.h"

#include <algorithm>
#include <array>
#include <utility>

#include "net/memcached_request.h"
#include "net/memcached_session.h"
#include "net/reply_writer.h"
#include "net/resp_request.h"

namespace keystone {
namespace {

// So that one client's writes don't keep the log from all others for long.
constexpr size_t kMaxBatchOperations = 1024;

Status Invalid(std::string message) { return {Code::kInvalid, std::move(message)}; }

// A read in a transaction: the reply is made from a copy of what the key holds at its place.
Effect LookInPlace(const Held& held, KeyUpdate* update) {
  Held copy = held;
  update->bytes()->assign(held.value);
  copy.value = *update->bytes();
  update->request().command->look(copy, update->request(), update->reply());
  return {};
}

Reply* ReplyOf(const Operation& operation) {
  return static_cast<KeyUpdate*>(operation.update)->reply();
}

// What a command's operations came to.
void Answer(const Command& command, std::span<const Operation> operations, Reply* reply) {
  if (command.answer != nullptr) {
    command.answer(operations, reply);
  } else if (operations.front().update != nullptr) {
    *reply = std::move(*ReplyOf(operations.front()));
  }
}

// A line has no words.
bool LooksAtOne(const Request& request) {
  return request.command->each == Command::Each::kNone || request.words.empty();
}

// What the reads came to.
void AnswerLooks(const Request& request, std::span<const Operation> operations, Reply* reply) {
  if (LooksAtOne(request)) {
    *reply = std::move(*ReplyOf(operations.front()));
    return;
  }
  const bool sums = request.command->each == Command::Each::kSum;
  reply->kind = sums ? Reply::Kind::kCount : Reply::Kind::kArray;
  for (const Operation& operation : operations) {
    Reply* const item = ReplyOf(operation);
    if (sums) {
      reply->number += item->number;
    } else {
      reply->items.push_back(std::move(*item));
    }
  }
}

bool HasConflict(std::span<const Operation> guards) {
  return std::any_of(guards.begin(), guards.end(), [](const Operation& guard) {
    return ReplyOf(guard)->kind == Reply::Kind::kNil;
  });
}

// How many requests' keys are fetched at once: about what a core has under way to memory, twice.
constexpr size_t kRequestsAhead = 32;

// From this size on, to keep a value's segment costs less than to copy the value.
constexpr size_t kPlacedSize = size_t{64} << 10;

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
    const bool enough = IsFull(*replies) || writes->operations() >= kMaxBatchOperations;
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
  parsed->size = TelnetPrefixSize(input);
  input.remove_prefix(parsed->size);
  if (input.empty() || input.starts_with(kTelnetIac)) return;
  const size_t end = input.find('\n', searched_);
  const bool finished = end != input.npos;
  searched_ = finished ? 0 : input.size();
  if (std::min(end, input.size()) > limits_->max_line_size()) {
    parsed->state = Parsed::State::kBroken;
    parsed->status = {Code::kInvalid, "line too long"};
  } else if (finished) {
    parsed->bytes = input.substr(0, end);
    parsed->size += end + 1;
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
    parsed->status = Invalid("this is not an HTTP server");
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

// One look-up after the other would wait for memory each time; asked for together, they wait once.
size_t Session::FetchAhead(std::string_view rest) {
  std::array<std::string_view, kRequestsAhead> keys;
  size_t count = 0;
  size_t start = 0;
  MemcachedParser parser = memcached_ != nullptr ? memcached_->parser : MemcachedParser();
  for (size_t i = 0; i < kRequestsAhead; ++i) {
    size_t size = 0;
    const std::string_view key = memcached_ != nullptr
                                     ? KeyOfFetch(rest.substr(start), *limits_, &parser, &size)
                                     : KeyOfGet(rest.substr(start), &size);
    if (size == 0) break;
    start += size;
    if (!key.empty()) keys[count++] = key;
  }
  if (count > 1) environment_.store->Prefetch({keys.data(), count});
  return start == 0 ? rest.size() : start;
}

// ---- execution

bool Session::Queues(const Parsed& parsed) const {
  if (parsed.state != Parsed::State::kRequest) return false;
  const Command& command = *parsed.request.command;
  if (in_transaction()) return command.role == Role::kCommit && !transaction_->spoilt();
  return command.queue != nullptr;
}

// What is answered at once waits until the writes before it have been committed.
bool Session::Handle(const Parsed& parsed, Writes* writes, std::string* replies) {
  if (parsed.state == Parsed::State::kNothing) return true;
  if (!writes->empty() && !Queues(parsed)) return false;
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
  if (in_transaction() && command.role == Role::kUsual) {
    Enqueue(parsed, replies);
    return true;
  }
  if (next_word_ == 0) (environment_.counters->*command.counter).Add();
  if (command.look != nullptr) return LookUp(request, form, replies);
  if (command.queue != nullptr) {
    Queue(request, parsed.protocol, writes);
  } else if (command.slow) {
    slow_ = std::make_unique<KeptRequest>(parsed.protocol, parsed.bytes);
    slow_->refused = ParseKept(slow_.get());
  } else {
    Reply reply;
    if (command.role != Role::kUsual) {
      Converse(parsed, writes, &reply);
      if (!writes->empty()) return true;  // answered later
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
  const size_t first = writes->operations();
  request.command->queue(request, writes);
  writes->Expect({.command = request.command,
                  .first = static_cast<uint32_t>(first),
                  .count = static_cast<uint32_t>(writes->operations() - first),
                  .protocol = protocol,
                  .verb = request.verb,
                  .silent = request.silent});
}

// A reply to many may be too long to be held at once: it goes on where it stopped.
bool Session::LookUp(const Request& request, const ReplyForm& form, std::string* replies) {
  const Command& command = *request.command;
  if (LooksAtOne(request)) {
    Reply reply;
    LookAt(request.key, request, &reply);
    const bool well =
        Append({.protocol = form.protocol, .verb = form.verb, .key = request.key}, &reply, replies);
    if (memcached_ != nullptr) NoteFetched(well);
    return true;
  }
  const bool sums = command.each == Command::Each::kSum;
  Reply sum;
  sum.kind = Reply::Kind::kCount;
  if (next_word_ == 0 && !sums) AppendCount(form, request.words.size(), replies);
  for (; next_word_ < request.words.size(); next_word_++) {
    if (!sums && IsFull(*replies)) return false;
    if (next_word_ % kRequestsAhead == 0) {
      const Words rest = request.words.subspan(next_word_);
      environment_.store->Prefetch(rest.first(std::min(rest.size(), kRequestsAhead)));
    }
    const std::string_view key = request.words[next_word_];
    Reply reply;
    LookAt(key, request, &reply);
    if (!sums) {
      Append({.protocol = form.protocol, .verb = form.verb, .key = key}, &reply, replies);
    } else if (reply.status.ok()) {
      sum.number += reply.number;
    } else {
      sum.kind = Reply::Kind::kStatus;
      sum.status = reply.status;
    }
  }
  next_word_ = 0;
  if (sums) {
    AppendReply(form, sum, replies);
  } else {
    AppendEnd(form, replies);
  }
  return true;
}

// A large value is not copied.
bool Session::Append(const ReplyForm& form, Reply* reply, std::string* replies) {
  const bool is_large = reply->kind == Reply::Kind::kValue && reply->value.size() >= kPlacedSize;
  if (!is_large || !AppendValueHead(form, *reply, replies)) {
    return AppendReply(form, *reply, replies);
  }
  placed_.push_back(
      {.position = replies->size(), .pinned = environment_.store->Pin(std::move(reply->found))});
  AppendValueTail(form, replies);
  return true;
}

void Session::LookAt(std::string_view key, const Request& request, Reply* reply) {
  const Command& command = *request.command;
  Held held;
  Status status;
  if (command.presence) {
    status = environment_.store->Exists(key);
  } else {
    status = environment_.store->Get(key, &reply->found);
  }
  if (!status.ok() && status.code() != Code::kNotFound) {
    reply->status = std::move(status);
    return;
  }
  held.exists = status.ok();
  if (status.ok() && !command.presence) {
    held.value = reply->found.value();
    held.attributes = reply->found.attributes();
    held.sequence = reply->found.sequence();
  }
  if (command.counter == &Counters::commands_get) {
    (held.exists ? environment_.counters->get_hits : environment_.counters->get_misses).Add();
  }
  command.look(held, request, reply);
}

void Session::ExecuteSlow(std::string* replies) {
  const std::unique_ptr<KeptRequest> kept = std::move(slow_);
  Reply reply;
  kept->request.command->execute(kept->request, environment_, &reply);
  if (kept->request.silent) return;
  AppendReply({.protocol = kept->protocol, .verb = kept->request.verb}, reply, replies);
}

void Session::RefuseSlow(const Status& why, std::string* replies) {
  const std::unique_ptr<KeptRequest> kept = std::move(slow_);
  if (!kept->request.silent) AppendStatus({.protocol = kept->protocol}, why, replies);
}

void Session::Committed(Writes* writes, std::string* replies) {
  const Status& status = writes->batch().status();
  const std::span<const Operation> operations = writes->batch().operations();
  const std::vector<PendingReply>& pending = writes->replies();
  for (size_t i = 0; i < pending.size(); i++) {
    const PendingReply& next = pending[i];
    const Command& command = *next.command;
    if (command.role == Role::kCommit) {
      AnswerTransaction(*writes, i, replies);
      i += next.parts;
    } else {
      Reply reply;
      reply.status = status;
      if (status.ok()) Answer(command, operations.subspan(next.first, next.count), &reply);
      if (memcached_ != nullptr) NoteCommitted(next, reply);
      if (next.silent) continue;
      AppendReply({.protocol = next.protocol, .verb = next.verb}, reply, replies);
    }
  }
  writes->Clear();
  decoded_.clear();
  committing_.reset();
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
      reply.status = Invalid("Transaction discarded because of: " + parsed.status.message());
    }
    AppendReply({.protocol = parsed.protocol}, reply, replies);
  }
  if (parsed.state == Parsed::State::kHttp) environment_.host->OnHttpRequest(parsed.bytes);
  if (parsed.state != Parsed::State::kRefused) closing_ = true;
}

// ---- transactions

void Session::Converse(const Parsed& parsed, Writes* writes, Reply* reply) {
  switch (parsed.request.command->role) {
    case Role::kBegin:
      if (in_transaction()) {
        reply->status = Invalid(parsed.protocol == Protocol::kLine
                                    ? "already in a transaction: send COMMIT or ABORT"
                                    : "MULTI calls can not be nested");
        return;
      }
      if (transaction_ == nullptr) transaction_ = std::make_unique<Transaction>();
      return transaction_->Begin();
    case Role::kCommit:
      return Commit(parsed, writes, reply);
    case Role::kAbort:
      if (!in_transaction()) {
        reply->status =
            Invalid(parsed.protocol == Protocol::kLine ? "not in a transaction: send BEGIN first"
                                                       : "DISCARD without MULTI");
      }
      transaction_.reset();
      return;
    case Role::kWatch:
      return Watch(parsed.request, reply);
    case Role::kUnwatch:
      if (transaction_ != nullptr) transaction_->Unwatch();
      return;
    case Role::kReset:
      transaction_.reset();
      client_.name.clear();
      reply->kind = Reply::Kind::kText;
      reply->text = "RESET";
      return;
    case Role::kQuit:
      reply->closes = true;
      return;
    case Role::kUsual:
      return;
  }
}

void Session::Watch(const Request& request, Reply* reply) {
  if (in_transaction()) {
    reply->status = Invalid("WATCH inside MULTI is not allowed");
    return;
  }
  if (transaction_ == nullptr) transaction_ = std::make_unique<Transaction>();
  for (const std::string_view key : request.words) {
    FoundValue found;
    Status status = environment_.store->Get(key, &found);
    if (!status.ok() && status.code() != Code::kNotFound) {
      reply->status = std::move(status);
      return;
    }
    transaction_->Watch(key, status.ok() ? found.sequence() : 0);
  }
}

void Session::Enqueue(const Parsed& parsed, std::string* replies) {
  const Command& command = *parsed.request.command;
  Status status;
  if (command.execute != nullptr && !command.quick) {
    status = Invalid(std::string(command.name) + " can't be part of a transaction");
  } else {
    status = transaction_->Add(parsed.protocol, parsed.bytes, limits_->max_line_size());
  }
  if (!status.ok()) {
    transaction_->Spoil();
    return AppendStatus({.protocol = parsed.protocol}, status, replies);
  }
  AppendQueued({.protocol = parsed.protocol}, replies);
}

void Session::Commit(const Parsed& parsed, Writes* writes, Reply* reply) {
  const bool is_line = parsed.protocol == Protocol::kLine;
  if (!in_transaction()) {
    reply->status =
        Invalid(is_line ? "not in a transaction: send BEGIN first" : "EXEC without MULTI");
    return;
  }
  committing_ = std::move(transaction_);
  if (committing_->spoilt()) {
    committing_.reset();
    reply->error_word = "EXECABORT";
    reply->status = Invalid(is_line ? "a request of the transaction was refused: nothing was done"
                                    : "Transaction discarded because of previous errors.");
    return;
  }
  const size_t guards = committing_->QueueGuards(writes);
  writes->Expect({.command = parsed.request.command,
                  .first = 0,
                  .count = static_cast<uint32_t>(guards),
                  .parts = static_cast<uint32_t>(committing_->requests().size()),
                  .protocol = parsed.protocol});
  for (KeptRequest& kept : committing_->requests()) QueuePart(&kept, writes);
  Transaction::Guard(0, guards, writes);
}

Status Session::ParseKept(KeptRequest* kept) const {
  if (kept->protocol == Protocol::kMemcached) {
    kept->request =
        MemcachedCommand(MemcachedParser().Next(kept->bytes, *limits_).request, *limits_);
    return Status::Ok();
  }
  if (kept->protocol == Protocol::kLine) {
    return ParseRequest(SplitLine(kept->bytes), *limits_, &kept->decoded, &kept->request);
  }
  kept->words = CopyRespWords(kept->bytes);
  Status status = FindRespRequest(kept->words, &kept->request);
  return status.ok() ? ParseRespArguments(kept->words, *limits_, &kept->request) : status;
}

void Session::QueuePart(KeptRequest* kept, Writes* writes) {
  kept->refused = ParseKept(kept);
  const Request& request = kept->request;
  const Command& command = *request.command;
  const size_t first = writes->operations();
  (environment_.counters->*command.counter).Add();
  if (!kept->refused.ok()) {
    environment_.counters->protocol_errors.Add();
  } else if (command.queue != nullptr) {
    command.queue(request, writes);
  } else if (command.look != nullptr && LooksAtOne(request)) {
    writes->Change(request.key, LookInPlace, request);
  } else if (command.look != nullptr) {
    for (const std::string_view key : request.words) writes->Change(key, LookInPlace, request);
  }
  writes->Expect({.command = &command,
                  .first = static_cast<uint32_t>(first),
                  .count = static_cast<uint32_t>(writes->operations() - first)});
}

void Session::AnswerTransaction(const Writes& writes, size_t at, std::string* replies) {
  const PendingReply& whole = writes.replies()[at];
  const ReplyForm form{.protocol = whole.protocol};
  const Status& status = writes.batch().status();
  if (!status.ok()) return AppendStatus(form, status, replies);
  const std::span<const Operation> operations = writes.batch().operations();
  if (HasConflict(operations.subspan(whole.first, whole.count))) {
    return AppendConflict(form, replies);
  }
  AppendCount(form, whole.parts, replies);
  for (size_t i = 0; i < whole.parts; i++) {
    const PendingReply& part = writes.replies()[at + 1 + i];
    Reply reply;
    AnswerPart(operations.subspan(part.first, part.count), committing_->requests()[i], &reply);
    AppendReply(form, reply, replies);
  }
}

void Session::AnswerPart(std::span<const Operation> operations, const KeptRequest& kept,
                         Reply* reply) {
  const Command& command = *kept.request.command;
  if (!kept.refused.ok()) {
    reply->status = kept.refused;
  } else if (command.execute != nullptr) {
    command.execute(kept.request, environment_, reply);
  } else if (command.look != nullptr) {
    AnswerLooks(kept.request, operations, reply);
  } else {
    Answer(command, operations, reply);
  }
}

// ---- looking ahead

std::string_view Session::NextGet(std::string_view input, size_t* size) const {
  if (memcached_ == nullptr) return KeyOfGet(input, size);
  MemcachedParser parser = memcached_->parser;
  return KeyOfFetch(input, *limits_, &parser, size);
}

std::string_view Session::KeyOfGet(std::string_view input, size_t* size) {
  if (input.starts_with(kRespRequest)) return KeyOfRespGet(input, size);
  constexpr std::string_view kGet = "GET ";
  const size_t end = input.find('\n');
  *size = end == input.npos ? 0 : end + 1;
  if (*size == 0 || !EqualsIgnoringCase(input.substr(0, kGet.size()), kGet)) return {};
  return input.substr(kGet.size(), end - kGet.size());
}

}  // namespace keystone
