#include "net/command.h"

#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "CppUTest/TestHarness.h"
#include "config.h"
#include "net/session.h"
#include "scratch.h"

using namespace keystone;
using namespace std::string_literals;

namespace {

class FixedStats : public SessionHost {
 public:
  std::vector<std::string> StatsLines() override { return {"pid 1", "version 2"}; }
  void ClearLater(std::chrono::milliseconds) override {}
  void OnHttpRequest(std::string_view) override {}
  uint64_t ClientId() override { return 7; }
  bool StartCompaction() override { return true; }
};

}  // namespace

TEST_GROUP(CommandTable){};

TEST(CommandTable, HoldsEveryNameOnce) {
  std::set<std::string_view> names;
  for (const Command& command : Commands()) CHECK_TRUE(names.insert(command.name).second);
}

TEST(CommandTable, EntriesAreComplete) {
  for (const Command& command : Commands()) {
    const int ways = (command.look != nullptr) + (command.queue != nullptr) +
                     (command.execute != nullptr) + (command.role != Command::Role::kUsual);
    UNSIGNED_LONGS_EQUAL(1, ways);
    if (command.arguments == Command::Arguments::kNotALine) continue;
    CHECK_TRUE(command.usage.starts_with(command.name));
    CHECK_FALSE(command.help.empty());
  }
}

TEST(CommandTable, IsSearchedWithoutRegardToCase) {
  for (const Command& command : Commands()) {
    std::string lower;
    for (const char c : command.name) lower += static_cast<char>(c | 0x20);
    POINTERS_EQUAL(&command, FindCommand(command.name));
    POINTERS_EQUAL(&command, FindCommand(lower));
    lower[0] = command.name[0];
    POINTERS_EQUAL(&command, FindCommand(lower));
  }
}

TEST(CommandTable, HasForEachProtocolWhatItMayAskFor) {
  CHECK_TRUE(FindLineCommand("get") != nullptr);
  CHECK_TRUE(FindLineCommand("BEGIN") != nullptr);
  CHECK_TRUE(FindRespCommand("MULTI") != nullptr);
  POINTERS_EQUAL(nullptr, FindLineCommand("MULTI"));
  POINTERS_EQUAL(nullptr, FindRespCommand("BEGIN"));
}

TEST(CommandTable, HasNothingElse) {
  for (const char* name : {"", "G", "GE", "GETS", "SETX", "@ET", "`ET", "GE\x14"}) {
    POINTERS_EQUAL(nullptr, FindCommand(name));
  }
}

TEST_GROUP(Handlers) {
  Scratch scratch;
  Log log{Log::Sink::kStderr, Priority::kCritical};
  std::unique_ptr<Store> store;
  FixedStats host;
  Counters counters;

  void setup() override {
    auto opened = Store::Open({.directory = scratch.path()}, log);
    CHECK_TRUE(opened.ok());
    store = std::move(opened.value());
  }

  void Execute(std::string_view name, const Request& request, Reply* reply) {
    const Environment environment{.store = store.get(), .host = &host, .counters = &counters};
    const Command& command = *FindCommand(name);
    if (command.execute != nullptr) return command.execute(request, environment, reply);
    const Status status = store->Get(request.key, &reply->found);
    command.look({.exists = status.ok(), .value = reply->found.value()}, request, reply);
  }

  bool Apply(std::string_view name, std::string_view key, std::string_view value) {
    Writes writes;
    FindCommand(name)->queue({.key = key, .value = value}, &writes);
    UNSIGNED_LONGS_EQUAL(1, writes.operations());
    CHECK_TRUE(store->Apply(&writes.batch()).ok());
    return writes.batch().operations()[0].took_effect;
  }
};

TEST(Handlers, SetStoresAndDeleteRemoves) {
  CHECK_TRUE(Apply("SET", "k", "v"));
  {
    Reply reply;
    Execute("GET", {.key = "k"}, &reply);
    CHECK_TRUE(reply.kind == Reply::Kind::kValue);
    CHECK_EQUAL("v"s, std::string(reply.value));
  }
  CHECK_TRUE(Apply("DELETE", "k", ""));
  CHECK_FALSE(Apply("DELETE", "k", ""));
}

TEST(Handlers, ExistsSaysWhetherAKeyHasAValue) {
  Apply("SET", "k", "");
  Reply there;
  Execute("EXISTS", {.key = "k"}, &there);
  CHECK_TRUE(there.kind == Reply::Kind::kCount);
  LONGS_EQUAL(1, there.number);
  Reply absent;
  Execute("EXISTS", {.key = "none"}, &absent);
  CHECK_TRUE(absent.absent);
}

TEST(Handlers, CountIsTheNumberOfKeys) {
  Apply("SET", "a", "1");
  Apply("SET", "b", "1");
  Apply("SET", "b", "2");
  Reply reply;
  Execute("COUNT", {}, &reply);
  CHECK_TRUE(reply.kind == Reply::Kind::kInteger);
  UNSIGNED_LONGS_EQUAL(2, reply.number);
}

TEST(Handlers, ScanFindsEveryKeyWithThePrefix) {
  std::set<std::string> expected;
  for (int i = 0; i < 100; ++i) {
    Apply("SET", "other" + std::to_string(i), "");
    Apply("SET", *expected.insert("user" + std::to_string(i)).first, "");
  }
  std::set<std::string> seen;
  uint64_t cursor = 0;
  int calls = 0;
  do {
    Reply reply;
    Execute("SCAN", {.cursor = cursor, .count = 7, .prefix = "user"}, &reply);
    CHECK_TRUE(reply.kind == Reply::Kind::kScan);
    seen.insert(reply.lines.begin(), reply.lines.end());
    cursor = static_cast<uint64_t>(reply.number);
  } while (cursor != 0 && ++calls < 1000);
  CHECK_TRUE(seen == expected);
}

TEST(Handlers, CompactKeepsTheData) {
  Apply("SET", "k", "1");
  Apply("SET", "k", "2");
  Reply compacted;
  Execute("COMPACT", {}, &compacted);
  CHECK_TRUE(compacted.status.ok());
  UNSIGNED_LONGS_EQUAL(1, store->Stats().compactions);
  Reply reply;
  Execute("GET", {.key = "k"}, &reply);
  CHECK_EQUAL("2"s, std::string(reply.value));
}

TEST(Handlers, CompactReportsACancelledOne) {
  Apply("SET", "k", "v");
  store->CancelCompaction();
  Reply reply;
  Execute("COMPACT", {}, &reply);
  CHECK_TRUE(reply.status.code() == Code::kCancelled);
}

TEST(Handlers, SyncIsOk) {
  Reply reply;
  Execute("SYNC", {}, &reply);
  CHECK_TRUE(reply.kind == Reply::Kind::kStatus);
  CHECK_TRUE(reply.status.ok());
}

TEST(Handlers, StatsAreTheHosts) {
  Reply reply;
  Execute("STATS", {}, &reply);
  CHECK_TRUE(reply.kind == Reply::Kind::kLines);
  CHECK_TRUE(reply.lines == host.StatsLines());
}

TEST(Handlers, PingAndVersionAnswerText) {
  Reply ping;
  Execute("PING", {}, &ping);
  CHECK_TRUE(ping.kind == Reply::Kind::kText);
  CHECK_EQUAL("PONG"s, ping.text);
  Reply version;
  Execute("VERSION", {}, &version);
  CHECK_EQUAL("keystonelight " PACKAGE_VERSION ""s, version.text);
}

TEST(Handlers, HelpHasALineForEachCommandOfTheLineProtocol) {
  Reply reply;
  Execute("HELP", {}, &reply);
  size_t line = 0;
  for (const Command& command : Commands()) {
    if (command.arguments == Command::Arguments::kNotALine) continue;
    CHECK_TRUE(reply.lines[line].starts_with(command.usage));
    CHECK_TRUE(reply.lines[line].ends_with(command.help));
    CHECK_EQUAL(std::string::npos, reply.lines[line].find('\n'));
    line++;
  }
  UNSIGNED_LONGS_EQUAL(line, reply.lines.size());
}
