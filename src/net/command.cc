#include "net/command.h"

#include <algorithm>
#include <array>
#include <utility>

#include "config.h"
#include "net/session.h"

namespace keystone {
namespace {

constexpr size_t kHelpColumn = 32;

constexpr char ToUpper(char c) { return c >= 'a' && c <= 'z' ? static_cast<char>(c - 0x20) : c; }

void Set(const Request& request, Batch* batch) { batch->Set(request.key, request.value); }

void Delete(const Request& request, Batch* batch) { batch->Delete(request.key); }

void Get(const Request& request, const Environment& environment, Reply* reply) {
  reply->status = environment.store->Get(request.key, &reply->found);
  if (reply->status.ok()) {
    reply->kind = Reply::Kind::kValue;
    environment.counters->get_hits.Add();
  } else if (reply->status.code() == Code::kNotFound) {
    environment.counters->get_misses.Add();
  }
}

void Exists(const Request& request, const Environment& environment, Reply* reply) {
  reply->status = environment.store->Exists(request.key);
}

void Count(const Request&, const Environment& environment, Reply* reply) {
  reply->kind = Reply::Kind::kNumber;
  reply->number = environment.store->Count();
}

void Scan(const Request& request, const Environment& environment, Reply* reply) {
  ScanResult result;
  reply->status = environment.store->Scan(request.cursor, request.count, request.prefix, &result);
  if (!reply->status.ok()) return;
  reply->kind = Reply::Kind::kKeys;
  reply->number = result.next_cursor;
  reply->lines = std::move(result.keys);
}

void Compact(const Request&, const Environment& environment, Reply* reply) {
  reply->status = environment.store->Compact(CompactionMode::kOnline);
  // No room for new files yet: unlike after a write's kNoSpace, writes go on.
  if (reply->status.code() == Code::kNoSpace) reply->status = reply->status.As(Code::kIo);
}

void Sync(const Request&, const Environment& environment, Reply* reply) {
  reply->status = environment.store->Sync();
}

void Stats(const Request&, const Environment& environment, Reply* reply) {
  reply->kind = Reply::Kind::kLines;
  reply->lines = environment.host->StatsLines();
}

void Ping(const Request&, const Environment&, Reply* reply) {
  reply->kind = Reply::Kind::kText;
  reply->text = "PONG";
}

void Version(const Request&, const Environment&, Reply* reply) {
  reply->kind = Reply::Kind::kText;
  reply->text = "keystonelight " PACKAGE_VERSION;
}

void Help(const Request&, const Environment&, Reply* reply) {
  reply->kind = Reply::Kind::kLines;
  for (const Command& command : Commands()) {
    std::string line(command.usage);
    line.resize(kHelpColumn, ' ');
    line += command.help;
    reply->lines.push_back(std::move(line));
  }
}

void Quit(const Request&, const Environment&, Reply* reply) { reply->closes = true; }

using enum Command::Arguments;

// The busiest come first: FindCommand looks from the front.
constexpr std::array kCommands = {
    Command{.name = "GET",
            .arguments = kKey,
            .usage = "GET key",
            .help = "the value of a key",
            .counter = &Counters::commands_get,
            .execute = Get},
    Command{.name = "SET",
            .arguments = kKeyAndValue,
            .usage = "SET key value",
            .help = "store a value; the rest of the line, spaces included",
            .counter = &Counters::commands_set,
            .queue = Set},
    Command{.name = "DELETE",
            .arguments = kKey,
            .usage = "DELETE key",
            .help = "remove a key",
            .counter = &Counters::commands_delete,
            .queue = Delete},
    Command{.name = "EXISTS",
            .arguments = kKey,
            .usage = "EXISTS key",
            .help = "whether a key has a value",
            .counter = &Counters::commands_other,
            .execute = Exists},
    Command{.name = "COUNT",
            .arguments = kNone,
            .usage = "COUNT",
            .help = "the number of keys",
            .counter = &Counters::commands_other,
            .execute = Count},
    Command{.name = "SCAN",
            .arguments = kScan,
            .usage = "SCAN cursor [count [prefix]]",
            .help = "some of the keys, and where to go on; start with cursor 0",
            .counter = &Counters::commands_other,
            .execute = Scan,
            .lengthy = true},
    Command{.name = "COMPACT",
            .arguments = kNone,
            .usage = "COMPACT",
            .help = "rewrite the log with live records only",
            .counter = &Counters::commands_other,
            .execute = Compact,
            .slow = true},
    Command{.name = "SYNC",
            .arguments = kNone,
            .usage = "SYNC",
            .help = "wait until all that was stored is on stable storage",
            .counter = &Counters::commands_other,
            .execute = Sync,
            .slow = true},
    Command{.name = "STATS",
            .arguments = kNone,
            .usage = "STATS",
            .help = "figures of the running daemon",
            .counter = &Counters::commands_other,
            .execute = Stats,
            .lengthy = true},
    Command{.name = "PING",
            .arguments = kNone,
            .usage = "PING",
            .help = "answer PONG",
            .counter = &Counters::commands_other,
            .execute = Ping},
    Command{.name = "VERSION",
            .arguments = kNone,
            .usage = "VERSION",
            .help = "the version of the daemon",
            .counter = &Counters::commands_other,
            .execute = Version},
    Command{.name = "HELP",
            .arguments = kNone,
            .usage = "HELP",
            .help = "this list",
            .counter = &Counters::commands_other,
            .execute = Help},
    Command{.name = "QUIT",
            .arguments = kNone,
            .usage = "QUIT",
            .help = "end the conversation",
            .counter = &Counters::commands_other,
            .execute = Quit},
};

}  // namespace

std::span<const Command> Commands() { return kCommands; }

const Command* FindCommand(std::string_view name) {
  for (const Command& command : kCommands) {
    if (EqualsIgnoringCase(command.name, name)) return &command;
  }
  return nullptr;
}

bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           return ToUpper(x) == ToUpper(y);
         });
}

}  // namespace keystone
