// The part of a session that is about transactions, and what else concerns the conversation itself.
#include <utility>

#include "net/answers.h"
#include "net/reply_writer.h"
#include "net/session.h"

namespace keystone {

namespace {

using Role = Command::Role;

// A read in a transaction: a value is copied, the record may be gone when the reply is written.
Effect LookInPlace(const Held& held, KeyUpdate* update) {
  Reply* const reply = update->reply();
  update->request().command->look(held, update->request(), reply);
  if (reply->kind != Reply::Kind::kValue || !update->MakeRoom(held.value.size())) return {};
  update->bytes()->assign(held.value);
  reply->value = *update->bytes();
  return {};
}

}  // namespace

void Session::Converse(const Parsed& parsed, Writes* writes, Reply* reply) {
  switch (parsed.request.command->role) {
    case Role::kBegin:
      if (in_transaction()) {
        reply->status = Status::Invalid(parsed.protocol == Protocol::kLine
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
        reply->status = Status::Invalid(parsed.protocol == Protocol::kLine
                                            ? "not in a transaction: send BEGIN first"
                                            : "DISCARD without MULTI");
        return;
      }
      return transaction_.reset();
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
    reply->status = Status::Invalid("WATCH inside MULTI is not allowed");
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
    const uint64_t sequence = status.ok() ? found.sequence() : 0;
    reply->status = transaction_->Watch(key, sequence, limits_->max_transaction_size());
    if (!reply->status.ok()) return;
  }
}

void Session::Enqueue(const Parsed& parsed, std::string* replies) {
  const Command& command = *parsed.request.command;
  Status status;
  if (command.execute != nullptr && !command.quick) {
    status = Status::Invalid(std::string(command.name) + " can't be part of a transaction");
  } else {
    const size_t words = parsed.protocol == Protocol::kResp ? resp_.words().size() : 1;
    status =
        transaction_->Add(parsed.protocol, parsed.bytes, words, limits_->max_transaction_size());
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
        Status::Invalid(is_line ? "not in a transaction: send BEGIN first" : "EXEC without MULTI");
    return;
  }
  committing_ = std::move(transaction_);
  if (committing_->spoilt()) {
    committing_.reset();
    reply->error_word = "EXECABORT";
    reply->status =
        Status::Invalid(is_line ? "a request of the transaction was refused: nothing was done"
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
  } else if (!operations.empty()) {
    Answer(command, operations, reply);
  }
}

}  // namespace keystone
