#include "net/redis_server.h"

#include <fnmatch.h>

#include <algorithm>
#include <string>
#include <utility>

#include "base/clock.h"
#include "net/client_state.h"
#include "net/letter_case.h"
#include "net/redis_arguments.h"
#include "net/redis_info.h"
#include "net/resp.h"
#include "net/resp_request.h"
#include "net/session.h"
#include "net/stats.h"

namespace keystone {

namespace {

constexpr uint64_t kMsPerSecond = 1000;
constexpr size_t kMostQuoted = 128;  // as Redis does
constexpr size_t kMostName = 1024;   // bytes that a client may give itself
constexpr size_t kMostPattern = 64;  // of a parameter's name: what is longer matches none

// A reply's items.

Reply Bulk(std::string_view text) {
  Reply reply;
  reply.kind = Reply::Kind::kBytes;
  reply.text = text;
  return reply;
}

Reply Simple(std::string_view text) {
  Reply reply;
  reply.kind = Reply::Kind::kText;
  reply.text = text;
  return reply;
}

Reply Integer(int64_t number) {
  Reply reply;
  reply.kind = Reply::Kind::kInteger;
  reply.number = number;
  return reply;
}

Reply EmptyArray() {
  Reply reply;
  reply.kind = Reply::Kind::kArray;
  return reply;
}

// A command whose second word says what it does.
struct Subcommand {
  std::string_view name;
  int arity;  // of words, both names among them; negative: at least
  void (*execute)(Words arguments, const Request& request, const Environment& environment,
                  Reply* reply);
};

void Execute(std::span<const Subcommand> subcommands, const Request& request,
             const Environment& environment, Reply* reply) {
  const std::string_view name = request.words[0];
  const auto found = std::find_if(
      subcommands.begin(), subcommands.end(),
      [&](const Subcommand& subcommand) { return EqualsIgnoringCase(subcommand.name, name); });
  if (found == subcommands.end()) {
    reply->status =
        Status::Invalid("unknown subcommand '" + std::string(name.substr(0, kMostQuoted)) +
                        "'. Try " + std::string(request.command->name) + " HELP.");
    return;
  }
  const int count = static_cast<int>(request.words.size()) + 1;
  if (found->arity > 0 ? count != found->arity : count < -found->arity) {
    reply->status = WrongArity(LowerCase(request.command->name) + "|" + LowerCase(found->name));
    return;
  }
  found->execute(request.words.subspan(1), request, environment, reply);
}

// ---- CLIENT

Status SetName(std::string_view name, ClientState* client) {
  if (!std::all_of(name.begin(), name.end(), [](char c) { return c >= '!' && c <= '~'; })) {
    return Status::Invalid("Client names cannot contain spaces, newlines or special characters.");
  }
  if (name.size() > kMostName) return Status::Invalid("client name too long");
  client->name = name;
  return Status::Ok();
}

constexpr Subcommand kClientSubcommands[] = {
    {"SETNAME", 3,
     [](Words arguments, const Request&, const Environment& environment, Reply* reply) {
       reply->status = SetName(arguments[0], environment.client);
     }},
    {"GETNAME", 2,
     [](Words, const Request&, const Environment& environment, Reply* reply) {
       const std::string& name = environment.client->name;
       reply->kind = name.empty() ? Reply::Kind::kNil : Reply::Kind::kBytes;
       reply->text = name;
     }},
    {"SETINFO", 4,  // newer libraries tell their name and version, which nobody asks for here
     [](Words arguments, const Request&, const Environment&, Reply* reply) {
       if (EqualsIgnoringCase(arguments[0], "LIB-NAME")) return;
       if (EqualsIgnoringCase(arguments[0], "LIB-VER")) return;
       reply->status = Status::Invalid("Unrecognized option '" + std::string(arguments[0]) + "'");
     }},
    {"ID", 2,
     [](Words, const Request&, const Environment& environment, Reply* reply) {
       reply->kind = Reply::Kind::kInteger;
       reply->number = static_cast<int64_t>(environment.host->ClientId());
     }},
    {"INFO", 2, [](Words, const Request&, const Environment& environment, Reply* reply) {
       reply->kind = Reply::Kind::kBytes;
       reply->text = "id=" + std::to_string(environment.host->ClientId()) +
                     " name=" + environment.client->name + " db=0 user=default resp=2\n";
     }}};

// ---- CONFIG

// What benchmarks and libraries look at before they begin.
void GetConfig(Words patterns, const Request& request, const Environment& environment,
               Reply* reply) {
  const std::pair<std::string, std::string> parameters[] = {
      {"appendfsync", std::string(NameOf(environment.store->Stats().fsync_policy))},
      {"appendonly", "yes"},
      {"databases", "1"},
      {"maxmemory", "0"},
      {"maxmemory-policy", "noeviction"},
      {"proto-max-bulk-len", std::to_string(request.limit)},
      {"save", ""}};
  reply->kind = Reply::Kind::kLines;
  for (const auto& parameter : parameters) {
    const auto matches = [&](std::string_view pattern) {
      return pattern.size() <= kMostPattern &&
             ::fnmatch(LowerCase(pattern).c_str(), parameter.first.c_str(), 0) == 0;
    };
    if (std::none_of(patterns.begin(), patterns.end(), matches)) continue;
    reply->lines.push_back(parameter.first);
    reply->lines.push_back(parameter.second);
  }
}

constexpr Subcommand kConfigSubcommands[] = {
    {"GET", -3, GetConfig},
    {"SET", -4,
     [](Words, const Request&, const Environment&, Reply* reply) {
       reply->status = Status::Invalid("CONFIG SET is not supported: see keystoned.conf(5)");
     }},
    {"RESETSTAT", 2, [](Words, const Request&, const Environment&, Reply* reply) {
       reply->status = Status::Invalid("CONFIG RESETSTAT is not supported: figures only grow");
     }}};

// ---- COMMAND

struct KeyPlaces {
  int first = 0;
  int last = 0;  // negative: from the end
  int step = 0;
};

KeyPlaces PlacesOf(const Command& command) {
  if (command.parse == ParseRespKeys) return {.first = 1, .last = -1, .step = 1};
  if (command.parse == ParseRespPairs) return {.first = 1, .last = -1, .step = 2};
  if (command.parse == ParseRespRename) return {.first = 1, .last = 2, .step = 1};
  if (command.look == nullptr && command.queue == nullptr) return {};
  return {.first = 1, .last = 1, .step = 1};
}

Reply Describe(const Command& command) {
  const KeyPlaces places = PlacesOf(command);
  Reply flags = EmptyArray();
  if (command.look != nullptr) flags.items.push_back(Simple("readonly"));
  if (command.queue != nullptr) flags.items.push_back(Simple("write"));
  Reply reply = EmptyArray();
  reply.items.push_back(Bulk(LowerCase(command.name)));
  reply.items.push_back(Integer(command.arity));
  reply.items.push_back(std::move(flags));
  for (const int place : {places.first, places.last, places.step}) {
    reply.items.push_back(Integer(place));
  }
  // Categories of users' rights, hints for proxies, other places of keys, subcommands.
  for (int i = 0; i < 4; i++) reply.items.push_back(EmptyArray());
  return reply;
}

template <class Take>
void ForRespCommands(Take take) {
  for (const Command& command : Commands()) {
    if (command.arity != 0) take(command);
  }
}

void DescribeAll(Reply* reply) {
  reply->kind = Reply::Kind::kArray;
  ForRespCommands([&](const Command& command) { reply->items.push_back(Describe(command)); });
}

void DescribeSome(Words names, const Request&, const Environment&, Reply* reply) {
  if (names.empty()) return DescribeAll(reply);
  if (names.size() > Commands().size()) {
    reply->status = {Code::kInvalid, "more names than there are commands"};
    return;
  }
  reply->kind = Reply::Kind::kArray;
  for (const std::string_view name : names) {
    const Command* const command = FindRespCommand(name);
    Reply item;
    item.kind = Reply::Kind::kNil;
    reply->items.push_back(command == nullptr ? std::move(item) : Describe(*command));
  }
}

constexpr Subcommand kCommandSubcommands[] = {
    {"COUNT", 2,
     [](Words, const Request&, const Environment&, Reply* reply) {
       reply->kind = Reply::Kind::kInteger;
       ForRespCommands([&](const Command&) { reply->number++; });
     }},
    {"DOCS", -2,  // keystone-protocol(7) has them
     [](Words, const Request&, const Environment&, Reply* reply) { *reply = EmptyArray(); }},
    {"INFO", -2, DescribeSome},
    {"LIST", 2, [](Words, const Request&, const Environment&, Reply* reply) {
       reply->kind = Reply::Kind::kLines;
       ForRespCommands(
           [&](const Command& command) { reply->lines.push_back(LowerCase(command.name)); });
     }}};

// ---- HELLO

// "AUTH user password" and "SETNAME name", behind the version.
Status ReadHelloOptions(Words options, ClientState* client) {
  for (size_t i = 0; i < options.size();) {
    const size_t left = options.size() - i - 1;
    if (EqualsIgnoringCase(options[i], "AUTH") && left >= 2) {
      return Status::Invalid("AUTH is not supported: there are no passwords");
    }
    if (!EqualsIgnoringCase(options[i], "SETNAME") || left < 1) {
      return Status::Invalid("Syntax error in HELLO option '" + std::string(options[i]) + "'");
    }
    if (Status status = SetName(options[i + 1], client); !status.ok()) return status;
    i += 2;
  }
  return Status::Ok();
}

}  // namespace

void ExecuteEcho(const Request& request, const Environment&, Reply* reply) {
  *reply = Bulk(request.words[0]);
}

void ExecuteNothing(const Request&, const Environment&, Reply*) {}

void ExecuteHello(const Request& request, const Environment& environment, Reply* reply) {
  const Words words = request.words;
  int64_t version = 2;
  if (!words.empty() && !ParseRespInteger(words[0], &version)) {
    reply->status = Status::Invalid("Protocol version is not an integer or out of range");
    return;
  }
  if (version != 2) {
    reply->error_word = "NOPROTO";
    reply->status = Status::Invalid("unsupported protocol version");
    return;
  }
  if (!words.empty()) reply->status = ReadHelloOptions(words.subspan(1), environment.client);
  if (!reply->status.ok()) return;
  reply->kind = Reply::Kind::kArray;
  const auto add = [&](std::string_view name, Reply value) {
    reply->items.push_back(Bulk(name));
    reply->items.push_back(std::move(value));
  };
  add("server", Bulk("redis"));
  add("version", Bulk(kRedisVersion));
  add("proto", Integer(2));
  add("id", Integer(static_cast<int64_t>(environment.host->ClientId())));
  add("mode", Bulk("standalone"));
  add("role", Bulk("master"));
  add("modules", EmptyArray());
}

void ExecuteClient(const Request& request, const Environment& environment, Reply* reply) {
  Execute(kClientSubcommands, request, environment, reply);
}

void ExecuteConfig(const Request& request, const Environment& environment, Reply* reply) {
  Execute(kConfigSubcommands, request, environment, reply);
}

void ExecuteCommand(const Request& request, const Environment& environment, Reply* reply) {
  if (request.words.empty()) return DescribeAll(reply);
  Execute(kCommandSubcommands, request, environment, reply);
}

void ExecuteTime(const Request&, const Environment&, Reply* reply) {
  const uint64_t now_ms = UnixTimeMs();
  reply->kind = Reply::Kind::kLines;
  reply->lines = {std::to_string(now_ms / kMsPerSecond),
                  std::to_string(now_ms % kMsPerSecond * 1000)};
}

// What is answered has been written.
void ExecuteLastSave(const Request&, const Environment&, Reply* reply) {
  *reply = Integer(static_cast<int64_t>(UnixTimeMs() / kMsPerSecond));
}

void ExecuteRandomKey(const Request&, const Environment& environment, Reply* reply) {
  reply->status = environment.store->RandomKey(&reply->text);
  if (reply->status.ok()) reply->kind = Reply::Kind::kBytes;
}

void ExecuteBgRewriteAof(const Request&, const Environment& environment, Reply* reply) {
  if (environment.host->StartCompaction()) {
    *reply = Simple("Background append only file rewriting started");
  } else {
    reply->status = Status::Invalid("Background append only file rewriting already in progress");
  }
}

}  // namespace keystone
