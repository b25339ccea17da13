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
  if (reply->kind == Reply::Kind::kValue) (void)update->ReplyWithCopy(held.value);
  return {};
}

void QueueLook(std::string_view key, const Request& request, Writes* writes) {
  if (request.command->presence) {
    writes->Look(key, LookInPlace, request, Needs::kPresence);
  } else {
    writes->LookWithCopy(key, LookInPlace, request);
  }
}

}  // namespace

void Session::Converse(const Parsed& parsed, Reply* reply) {
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
      return RefuseCommit(parsed.protocol, reply);
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
    if (command.execute != nullptr) transaction_->NoteExecuted();
  }
  if (!status.ok()) {
    transaction_->Spoil();
    return AppendStatus({.protocol = parsed.protocol}, status, replies);
  }
  AppendQueued({.protocol = parsed.protocol}, replies);
}

bool Session::Commits(const Command& command) const {
  return command.role == Role::kCommit && in_transaction() && !transaction_->spoilt();
}

// Each is a group of its own, whatever it is committed together with.
void Session::Commit(const Parsed& parsed, Writes* writes) {
  Transaction* const transaction = committing_.emplace_back(std::move(transaction_)).get();
  committing_bytes_ += transaction->bytes();
  writes->StartGroup();
  const size_t guards = transaction->QueueGuards(writes);
  for (KeptRequest& kept : transaction->requests()) QueuePart(&kept, writes);
  Transaction::Guard(guards, writes);
  writes->Expect({.command = parsed.request.command,
                  .count = static_cast<uint32_t>(guards),
                  .protocol = parsed.protocol});
  writes->StartGroup();
}

void Session::RefuseCommit(Protocol protocol, Reply* reply) {
  const bool is_line = protocol == Protocol::kLine;
  if (!in_transaction()) {
    reply->status =
        Status::Invalid(is_line ? "not in a transaction: send BEGIN first" : "EXEC without MULTI");
    return;
  }
  transaction_.reset();
  reply->error_word = "EXECABORT";
  reply->status =
      Status::Invalid(is_line ? "a request of the transaction was refused: nothing was done"
                              : "Transaction discarded because of previous errors.");
}

void Session::QueuePart(KeptRequest* kept, Writes* writes) {
  kept->refused = ParseKept(kept);
  const Request& request = kept->request;
  const Command& command = *request.command;
  const std::vector<Operation>& operations = writes->batch().operations();
  kept->first = static_cast<uint32_t>(operations.size());
  (environment_.counters->*command.counter).Add();
  if (!kept->refused.ok()) {
    environment_.counters->protocol_errors.Add();
  } else if (command.queue != nullptr) {
    command.queue(request, writes);
  } else if (command.look != nullptr && LooksAtOne(request)) {
    QueueLook(request.key, request, writes);
  } else if (command.look != nullptr) {
    for (const std::string_view key : request.words) QueueLook(key, request, writes);
  }
  kept->count = static_cast<uint32_t>(operations.size()) - kept->first;
}

void Session::AnswerTransaction(const PendingReply& whole, Transaction* transaction,
                                std::string* replies) {
  const ReplyForm form{.protocol = whole.protocol};
  const Status& status = whole.batch->status();
  if (!status.ok()) return AppendStatus(form, status, replies);
  const std::span<const Operation> operations = whole.batch->operations();
  if (HasConflict(operations.first(whole.count))) return AppendConflict(form, replies);
  AppendCount(form, transaction->requests().size(), replies);
  for (const KeptRequest& kept : transaction->requests()) {
    Reply reply;
    AnswerPart(operations.subspan(kept.first, kept.count), kept, &reply);
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
