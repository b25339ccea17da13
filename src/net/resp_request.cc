#include "net/resp_request.h"

#include <algorithm>

#include "net/command.h"
#include "net/letter_case.h"
#include "net/limits.h"
#include "net/resp.h"

namespace keystone {

namespace {

constexpr size_t kMostQuoted = 128;  // bytes of a name, and of arguments, as Redis does

// Redis prints them as C strings.
std::string_view Quoted(std::string_view word, size_t most) {
  return word.substr(0, std::min(word.find('\0'), most));
}

Status UnknownCommand(Words words) {
  std::string arguments;
  for (size_t i = 1; i < words.size() && arguments.size() < kMostQuoted; i++) {
    const std::string_view quoted = Quoted(words[i], kMostQuoted - arguments.size());
    arguments.append("'").append(quoted).append("' ");
  }
  std::string message = "unknown command '";
  message.append(Quoted(words[0], kMostQuoted));
  return Status::Invalid(message.append("', with args beginning with: ").append(arguments));
}

}  // namespace

Status FindRespRequest(Words words, Request* request) {
  request->command = FindRespCommand(words[0]);
  if (request->command == nullptr) return UnknownCommand(words);
  const int arity = request->command->arity;
  const int count = static_cast<int>(words.size());
  if (arity > 0 ? count == arity : count >= -arity) return Status::Ok();
  return WrongArity(LowerCase(request->command->name));
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

Status CheckRespKey(std::string_view key, const Limits& limits) {
  if (key.empty()) return Status::Invalid("empty key: a key has 1 byte or more");
  return CheckSize("key", key.size(), limits.max_key_size);
}

Status CheckRespValue(std::string_view value, const Limits& limits) {
  return CheckSize("value", value.size(), limits.max_value_size);
}

Status WrongArity(std::string_view command) {
  return Status::Invalid("wrong number of arguments for '" + std::string(command) + "' command");
}

Status NotAnInteger() { return Status::Invalid("value is not an integer or out of range"); }

Status SyntaxError() { return Status::Invalid("syntax error"); }

Status ParseRespKey(Words words, const Limits& limits, Request* request) {
  request->key = words[0];
  return CheckRespKey(request->key, limits);
}

Status ParseRespKeys(Words words, const Limits& limits, Request* request) {
  for (const std::string_view key : words) {
    if (Status status = CheckRespKey(key, limits); !status.ok()) return status;
  }
  request->words = words;
  return Status::Ok();
}

Status ParseRespWords(Words words, const Limits&, Request* request) {
  request->words = words;
  return Status::Ok();
}

}  // namespace keystone
