// The part of a session that is about reads: what is fetched ahead of them, looked up and appended.
#include <algorithm>
#include <array>
#include <utility>

#include "net/answers.h"
#include "net/letter_case.h"
#include "net/memcached_request.h"
#include "net/memcached_session.h"
#include "net/reply_writer.h"
#include "net/resp.h"
#include "net/session.h"

namespace keystone {

namespace {

// How many requests' keys are fetched at once: about what a core has under way to memory, twice.
constexpr size_t kRequestsAhead = 32;

}  // namespace

// ---- looking ahead

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

// ---- look-ups

bool Session::LookUp(const Request& request, const ReplyForm& form, std::string* replies) {
  if (LooksAtOne(request)) {
    LookUpOne(request, form, replies);
    return true;
  }
  if (request.command->each != Command::Each::kSum) return LookUpEach(request, form, replies);
  LookUpSum(request, form, replies);
  return true;
}

void Session::LookUpOne(const Request& request, const ReplyForm& form, std::string* replies) {
  Reply reply;
  LookAt(request.key, request, &reply);
  const bool well =
      Append({.protocol = form.protocol, .verb = form.verb, .key = request.key}, &reply, replies);
  if (memcached_ != nullptr) NoteFetched(well);
}

// A reply to many may be too long to be held at once: false where it goes on in another call.
bool Session::LookUpEach(const Request& request, const ReplyForm& form, std::string* replies) {
  if (next_word_ == 0) AppendCount(form, request.words.size(), replies);
  for (; next_word_ < request.words.size(); next_word_++) {
    if (IsFull(*replies)) return false;
    FetchWords(request.words, next_word_);
    const std::string_view key = request.words[next_word_];
    Reply reply;
    LookAt(key, request, &reply);
    Append({.protocol = form.protocol, .verb = form.verb, .key = key}, &reply, replies);
  }
  next_word_ = 0;
  AppendEnd(form, replies);
  return true;
}

void Session::LookUpSum(const Request& request, const ReplyForm& form, std::string* replies) {
  Reply sum;
  sum.kind = Reply::Kind::kCount;
  for (size_t i = 0; i < request.words.size(); i++) {
    FetchWords(request.words, i);
    Reply reply;
    LookAt(request.words[i], request, &reply);
    if (reply.status.ok()) {
      sum.number += reply.number;
    } else {
      sum.kind = Reply::Kind::kStatus;
      sum.status = reply.status;
    }
  }
  AppendReply(form, sum, replies);
}

// Once for so many.
void Session::FetchWords(Words words, size_t next) {
  if (next % kRequestsAhead != 0) return;
  const Words rest = words.subspan(next);
  environment_.store->Prefetch(rest.first(std::min(rest.size(), kRequestsAhead)));
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

}  // namespace keystone
