#include "net/resp_request.h"

#include <string>
#include <utility>

#include "base/escape.h"
#include "net/command.h"
#include "net/resp.h"
#include "net/session.h"

namespace keystone {

namespace {

Status Invalid(std::string message) { return {Code::kInvalid, std::move(message)}; }

Status CheckKey(std::string_view key, const Limits& limits) {
  if (key.empty()) return Invalid("empty key: a key has 1 byte or more");
  if (key.size() <= limits.max_key_size) return Status::Ok();
  return Invalid("key too long: " + std::to_string(key.size()) + " bytes, the limit is " +
                 std::to_string(limits.max_key_size));
}

Status UnknownCommand(Words words) {
  std::string message = "unknown command '" + Escape(words[0]) + "', with args beginning with: ";
  return Invalid(std::move(message));
}

std::string Lower(std::string_view name) {
  std::string lower(name);
  for (char& c : lower) c = static_cast<char>(c | 0x20);
  return lower;
}

}  // namespace

Status FindRespRequest(Words words, Request* request) {
  request->command = FindRespCommand(words[0]);
  if (request->command == nullptr) return UnknownCommand(words);
  const int arity = request->command->arity;
  const int count = static_cast<int>(words.size());
  if (arity > 0 ? count == arity : count >= -arity) return Status::Ok();
  return Invalid("wrong number of arguments for '" + Lower(request->command->name) + "' command");
}

Status ParseRespArguments(Words words, const Limits& limits, Request* request) {
  if (request->command->parse == nullptr) return Status::Ok();
  return request->command->parse(words.subspan(1), limits, request);
}

std::vector<std::string_view> CopyRespWords(std::string_view request) {
  RespParser parser(request.size(), request.size());
  if (parser.Next(request) != RespParser::Progress::kRequest) return {};
  return {parser.words().begin(), parser.words().end()};
}

Status ParseRespKey(Words words, const Limits& limits, Request* request) {
  request->key = words[0];
  return CheckKey(request->key, limits);
}

Status ParseRespKeys(Words words, const Limits& limits, Request* request) {
  for (const std::string_view key : words) {
    if (Status status = CheckKey(key, limits); !status.ok()) return status;
  }
  request->words = words;
  return Status::Ok();
}

}  // namespace keystone
