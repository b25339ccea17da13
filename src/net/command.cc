#include "net/command.h"

#include <algorithm>
#include <array>

#include "net/key_commands.h"
#include "net/letter_case.h"
#include "net/memcached_commands.h"
#include "net/redis_arguments.h"
#include "net/redis_info.h"
#include "net/redis_keys.h"
#include "net/redis_server.h"
#include "net/resp_request.h"
#include "net/server_commands.h"

namespace keystone {
namespace {

using enum Command::Arguments;
using enum Command::Role;

// Commands that only RESP has.

using Parse = decltype(Command::parse);

constexpr Command RespLook(std::string_view name, int arity, Parse parse,
                           decltype(Command::look) look,
                           Command::Each each = Command::Each::kNone) {
  return {.name = name, .arity = arity, .parse = parse, .look = look, .each = each};
}

constexpr Command RespWrite(std::string_view name, int arity, Parse parse,
                            decltype(Command::queue) queue,
                            decltype(Command::answer) answer = nullptr,
                            Counter Counters::*counter = &Counters::commands_other) {
  return {.name = name,
          .arity = arity,
          .parse = parse,
          .counter = counter,
          .queue = queue,
          .answer = answer};
}

constexpr Command RespExecute(std::string_view name, int arity, Parse parse,
                              decltype(Command::execute) execute) {
  return {.name = name, .arity = arity, .parse = parse, .execute = execute, .quick = true};
}

// One whose reply may be too long for many of them in one transaction.
constexpr Command RespReport(std::string_view name, int arity, Parse parse,
                             decltype(Command::execute) execute) {
  return {.name = name, .arity = arity, .parse = parse, .execute = execute};
}

constexpr Command RespSlow(std::string_view name, int arity, Parse parse,
                           decltype(Command::execute) execute) {
  return {.name = name, .arity = arity, .parse = parse, .execute = execute, .slow = true};
}

// The busiest come first: commands are looked for from the front.
constexpr std::array kCommands = {
    Command{.name = "GET",
            .arguments = kKey,
            .usage = "GET key",
            .help = "the value of a key",
            .arity = 2,
            .parse = ParseRespKey,
            .counter = &Counters::commands_get,
            .look = LookAtValue},
    Command{.name = "SET",
            .arguments = kKeyAndValue,
            .usage = "SET key value",
            .help = "store a value; the rest of the line, spaces included",
            .arity = -3,
            .parse = ParseRespSet,
            .counter = &Counters::commands_set,
            .queue = QueueSet},
    Command{.name = "DELETE",
            .arguments = kKey,
            .usage = "DELETE key",
            .help = "remove a key",
            .counter = &Counters::commands_delete,
            .queue = QueueDelete,
            .answer = AnswerDeletes},
    Command{.name = "EXISTS",
            .arguments = kKey,
            .usage = "EXISTS key",
            .help = "whether a key has a value",
            .arity = -2,
            .parse = ParseRespKeys,
            .look = LookAtPresence,
            .each = Command::Each::kSum,
            .presence = true},
    Command{.name = "EXPIRE",
            .arguments = kKeyAndSeconds,
            .usage = "EXPIRE key seconds",
            .help = "let a key go after some time",
            .arity = -3,
            .parse = ParseRespExpire,
            .queue = QueueExpire},
    Command{.name = "TTL",
            .arguments = kKey,
            .usage = "TTL key",
            .help = "the seconds until a key goes; -1: it stays",
            .arity = 2,
            .parse = ParseRespKey,
            .look = LookAtTtl},
    Command{.name = "PERSIST",
            .arguments = kKey,
            .usage = "PERSIST key",
            .help = "let a key stay",
            .arity = 2,
            .parse = ParseRespKey,
            .queue = QueuePersist},
    Command{.name = "COUNT",
            .arguments = kNone,
            .usage = "COUNT",
            .help = "the number of keys",
            .execute = ExecuteCount,
            .quick = true},
    Command{.name = "SCAN",
            .arguments = kScan,
            .usage = "SCAN cursor [count [prefix]]",
            .help = "some of the keys, and where to go on; start with cursor 0",
            .arity = -2,
            .parse = ParseRespScan,
            .execute = ExecuteRespScan,
            .lengthy = true},
    Command{.name = "KEYS",
            .arguments = kPrefix,
            .usage = "KEYS prefix*",
            .help = "the keys that begin with it, in order",
            .arity = 2,
            .parse = ParseRespKeysPattern,
            .execute = ExecuteKeys,
            .slow = true},
    Command{.name = "RANGE",
            .arguments = kRange,
            .usage = "RANGE start end [LIMIT n]",
            .help = "the keys from start to end, both included, in order",
            .execute = ExecuteRange,
            .slow = true},
    Command{.name = "BEGIN",
            .arguments = kNone,
            .usage = "BEGIN",
            .help = "the commands that follow take effect together",
            .role = kBegin},
    Command{.name = "COMMIT",
            .arguments = kNone,
            .usage = "COMMIT",
            .help = "execute what came since BEGIN, all of it or nothing",
            .role = kCommit},
    Command{.name = "ABORT",
            .arguments = kNone,
            .usage = "ABORT",
            .help = "forget what came since BEGIN",
            .role = kAbort},
    Command{.name = "MULTI", .arity = 1, .role = kBegin},
    Command{.name = "EXEC", .arity = 1, .role = kCommit},
    Command{.name = "DISCARD", .arity = 1, .role = kAbort},
    Command{.name = "WATCH", .arity = -2, .parse = ParseRespKeys, .role = kWatch},
    Command{.name = "UNWATCH", .arity = 1, .role = kUnwatch},
    Command{.name = "RESET", .arity = 1, .role = kReset},
    Command{.name = "EXTEND", .counter = &Counters::commands_set, .queue = QueueExtend},
    Command{.name = "STEP", .queue = QueueStep},
    Command{.name = "MEMCACHED STATS", .execute = ExecuteMemcachedStats, .lengthy = true},
    Command{.name = "CLEAR", .counter = &Counters::flushes, .execute = ExecuteClear, .slow = true},
    Command{.name = "COMPACT",
            .arguments = kNone,
            .usage = "COMPACT",
            .help = "rewrite the log with live records only",
            .execute = ExecuteCompact,
            .slow = true},
    Command{.name = "SYNC",
            .arguments = kNone,
            .usage = "SYNC",
            .help = "wait until all that was stored is on stable storage",
            .execute = ExecuteSync,
            .slow = true},
    Command{.name = "STATS",
            .arguments = kNone,
            .usage = "STATS",
            .help = "figures of the running daemon",
            .execute = ExecuteStats,
            .lengthy = true},
    Command{.name = "PING",
            .arguments = kNone,
            .usage = "PING",
            .help = "answer PONG",
            .arity = -1,
            .parse = ParseRespPing,
            .execute = ExecutePing,
            .quick = true},
    Command{.name = "VERSION",
            .arguments = kNone,
            .usage = "VERSION",
            .help = "the version of the daemon",
            .execute = ExecuteVersion,
            .quick = true},
    Command{.name = "HELP",
            .arguments = kNone,
            .usage = "HELP",
            .help = "this list",
            .execute = ExecuteHelp},
    Command{.name = "QUIT",
            .arguments = kNone,
            .usage = "QUIT",
            .help = "end the conversation",
            .arity = -1,
            .role = kQuit},
    // RESP only.
    RespWrite("DEL", -2, ParseRespKeys, QueueDelete, AnswerDeletes, &Counters::commands_delete),
    RespWrite("UNLINK", -2, ParseRespKeys, QueueDelete, AnswerDeletes, &Counters::commands_delete),
    RespLook("MGET", -2, ParseRespKeys, LookAtValue, Command::Each::kArray),
    RespWrite("MSET", -3, ParseRespPairs, QueuePairs, nullptr, &Counters::commands_set),
    RespWrite("MSETNX", -3, ParseRespPairs, QueueAbsentPairs, AnswerAbsentPairs,
              &Counters::commands_set),
    RespWrite("INCR", 2, ParseRespIncr, QueueIncrement),
    RespWrite("DECR", 2, ParseRespDecr, QueueIncrement),
    RespWrite("INCRBY", 3, ParseRespIncrBy, QueueIncrement),
    RespWrite("DECRBY", 3, ParseRespDecrBy, QueueIncrement),
    RespWrite("APPEND", 3, ParseRespAppend, QueueAppend),
    RespWrite("SETNX", 3, ParseRespSetNx, QueueSet, AnswerDone, &Counters::commands_set),
    RespWrite("SETEX", 4, ParseRespSetEx, QueueSet, nullptr, &Counters::commands_set),
    RespWrite("PSETEX", 4, ParseRespSetEx, QueueSet, nullptr, &Counters::commands_set),
    RespWrite("GETSET", 3, ParseRespGetSet, QueueSet, nullptr, &Counters::commands_set),
    RespWrite("GETDEL", 2, ParseRespKey, QueueGetDel),
    RespWrite("GETEX", -2, ParseRespGetEx, QueueGetEx),
    RespLook("STRLEN", 2, ParseRespKey, LookAtSize),
    RespWrite("PEXPIRE", -3, ParseRespPExpire, QueueExpire),
    RespWrite("EXPIREAT", -3, ParseRespExpireAt, QueueExpire),
    RespWrite("PEXPIREAT", -3, ParseRespPExpireAt, QueueExpire),
    RespLook("PTTL", 2, ParseRespKey, LookAtTtlMs),
    RespLook("EXPIRETIME", 2, ParseRespKey, LookAtExpiry),
    RespLook("PEXPIRETIME", 2, ParseRespKey, LookAtExpiryMs),
    RespWrite("RENAME", 3, ParseRespRename, QueueRename),
    RespWrite("RENAMENX", 3, ParseRespRename, QueueRenameToAbsent, AnswerRenameToAbsent),
    RespLook("TYPE", 2, ParseRespKey, LookAtType),
    RespLook("TOUCH", -2, ParseRespKeys, LookAtPresence, Command::Each::kSum),
    RespExecute("DBSIZE", 1, nullptr, ExecuteCount),
    RespExecute("RANDOMKEY", 1, nullptr, ExecuteRandomKey),
    RespSlow("FLUSHALL", -1, ParseRespFlush, ExecuteClear),
    RespSlow("FLUSHDB", -1, ParseRespFlush, ExecuteClear),
    RespExecute("ECHO", 2, ParseRespWords, ExecuteEcho),
    RespExecute("SELECT", 2, ParseRespSelect, ExecuteNothing),
    RespExecute("HELLO", -1, ParseRespWords, ExecuteHello),
    RespExecute("CLIENT", -2, ParseRespWords, ExecuteClient),
    RespExecute("CONFIG", -2, ParseRespConfig, ExecuteConfig),
    RespReport("COMMAND", -1, ParseRespWords, ExecuteCommand),
    RespReport("INFO", -1, ParseRespWords, ExecuteInfo),
    RespExecute("TIME", 1, nullptr, ExecuteTime),
    RespExecute("LASTSAVE", 1, nullptr, ExecuteLastSave),
    RespExecute("BGREWRITEAOF", 1, nullptr, ExecuteBgRewriteAof),
};

template <class Admits>
const Command* Find(std::string_view name, Admits admits) {
  for (const Command& command : kCommands) {
    if (admits(command) && EqualsIgnoringCase(command.name, name)) return &command;
  }
  return nullptr;
}

}  // namespace

std::span<const Command> Commands() { return kCommands; }

const Command* FindLineCommand(std::string_view name) {
  return Find(name, [](const Command& command) { return command.arguments != kNotALine; });
}

const Command* FindRespCommand(std::string_view name) {
  return Find(name, [](const Command& command) { return command.arity != 0; });
}

const Command* FindCommand(std::string_view name) {
  return Find(name, [](const Command&) { return true; });
}

}  // namespace keystone
