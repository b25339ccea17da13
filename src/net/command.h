// The one command table: what clients can ask for, whatever protocol they speak.
//
// A protocol's parser turns bytes into a Request, a Command executes it once, and the protocol's
// writer turns the Reply into bytes. The table is constant; any thread may use it.
#ifndef KEYSTONE_NET_COMMAND_H_
#define KEYSTONE_NET_COMMAND_H_

#include <cstdint>
#include <span>
#include <string_view>

#include "base/status.h"
#include "net/counters.h"
#include "net/reply.h"
#include "net/request.h"
#include "net/writes.h"
#include "store/store.h"

namespace keystone {

class SessionHost;
struct ClientState;
struct Limits;

// What commands act on. Borrowed.
struct Environment {
  Store* store;
  SessionHost* host;
  Counters* counters;
  ClientState* client = nullptr;
};

struct Command {
  // What a line holds behind the name.
  enum class Arguments : uint8_t {
    kNone,
    kKey,
    kKeyAndValue,
    kKeyAndSeconds,
    kScan,
    kPrefix,
    kRange,
    kNotALine,  // there is no such command in the line protocol
  };
  // What it does to the conversation, which the session does itself.
  enum class Role : uint8_t { kUsual, kBegin, kCommit, kAbort, kWatch, kUnwatch, kReset, kQuit };
  // What becomes of the replies, one for each of the request's words.
  enum class Each : uint8_t { kNone, kArray, kSum };

  std::string_view name;  // upper case
  Arguments arguments = Arguments::kNotALine;
  std::string_view usage{};  // of the line
  std::string_view help{};
  // RESP: how many words there are with the name, negative: at least; 0: no such command. `parse`
  // gets those behind the name, their number checked, and fills in the request; without it there
  // are none to look at. What the request points at stays as long as the words.
  int arity = 0;
  Status (*parse)(Words words, const Limits& limits, Request* request) = nullptr;
  Counter Counters::*counter = &Counters::commands_other;

  // Exactly one of the three, where the role is kUsual.
  //
  // A read of a key, or of each of several.
  void (*look)(const Held& held, const Request& request, Reply* reply) = nullptr;
  // Writes are queued, so that those which follow each other are committed together. `answer` tells
  // what its operations came to; without it an update's reply counts, and an operation that isn't
  // one is just done.
  void (*queue)(const Request& request, Writes* writes) = nullptr;
  void (*answer)(std::span<const Operation> operations, Reply* reply) = nullptr;
  // The others are executed with no write of theirs pending: on the spot, or a slow one on whatever
  // thread can spare the time.
  void (*execute)(const Request& request, const Environment& environment, Reply* reply) = nullptr;

  Role role = Role::kUsual;
  Each each = Each::kNone;  // of a look
  bool presence = false;    // a look that only asks whether there is a key: nothing else is read
  bool slow = false;        // may wait for the disk or take seconds
  bool lengthy = false;     // keeps a core busy: who shares the thread comes next
  bool quick = false;       // an execute that may stand in a transaction
};

std::span<const Command> Commands();

// Upper or lower case; nullptr where there is no such command. Allocates nothing.
const Command* FindLineCommand(std::string_view name);
const Command* FindRespCommand(std::string_view name);
// Any, by its exact name: for protocols with names of their own.
const Command* FindCommand(std::string_view name);

}  // namespace keystone

#endif  // KEYSTONE_NET_COMMAND_H_
