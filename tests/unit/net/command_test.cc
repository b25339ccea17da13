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
  void OnHttpRequest(std::string_view) override {}
};

}  // namespace

TEST_GROUP(CommandTable){};

TEST(CommandTable, HoldsEveryCommandOnce) {
  std::set<std::string> names;
  for (const Command& command : Commands()) names.emplace(command.name);
  const std::set<std::string> expected = {"GET",     "SET",     "DELETE", "EXISTS", "COUNT",
                                          "SCAN",    "COMPACT", "SYNC",   "STATS",  "PING",
                                          "VERSION", "HELP",    "QUIT"};
  CHECK_TRUE(names == expected);
  UNSIGNED_LONGS_EQUAL(expected.size(), Commands().size());
}

TEST(CommandTable, EntriesAreComplete) {
  for (const Command& command : Commands()) {
    CHECK_TRUE(command.usage.starts_with(command.name));
    CHECK_FALSE(command.help.empty());
    CHECK_TRUE((command.queue == nullptr) != (command.execute == nullptr));
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

TEST(CommandTable, HasNothingElse) {
  for (const char* name : {"", "G", "GE", "GETS", "SETX", "@ET", "`ET", "GE\x14", "MGET", "DEL"}) {
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
    FindCommand(name)->execute(request, environment, reply);
  }

  bool Apply(std::string_view name, std::string_view key, std::string_view value) {
    Batch batch;
    FindCommand(name)->queue({.key = key, .value = value}, &batch);
    UNSIGNED_LONGS_EQUAL(1, batch.operations().size());
    CHECK_TRUE(store->Apply(&batch).ok());
    return batch.operations()[0].took_effect;
  }
};

TEST(Handlers, SetStoresAndDeleteRemoves) {
  CHECK_TRUE(Apply("SET", "k", "v"));
  {
    Reply reply;
    Execute("GET", {.key = "k"}, &reply);
    CHECK_TRUE(reply.kind == Reply::Kind::kValue);
    CHECK_EQUAL("v"s, std::string(reply.found.value()));
  }
  CHECK_TRUE(Apply("DELETE", "k", ""));
  CHECK_FALSE(Apply("DELETE", "k", ""));
}

TEST(Handlers, GetCountsHitsAndMisses) {
  Apply("SET", "k", "v");
  for (int i = 0; i < 2; ++i) {
    Reply hit;
    Execute("GET", {.key = "k"}, &hit);
  }
  Reply miss;
  Execute("GET", {.key = "none"}, &miss);
  CHECK_TRUE(miss.kind == Reply::Kind::kStatus);
  CHECK_TRUE(miss.status.code() == Code::kNotFound);
  UNSIGNED_LONGS_EQUAL(2, counters.get_hits.Get());
  UNSIGNED_LONGS_EQUAL(1, counters.get_misses.Get());
}

TEST(Handlers, ExistsSaysWhetherAKeyHasAValue) {
  Apply("SET", "k", "");
  Reply there;
  Execute("EXISTS", {.key = "k"}, &there);
  CHECK_TRUE(there.status.ok());
  Reply absent;
  Execute("EXISTS", {.key = "none"}, &absent);
  CHECK_TRUE(absent.status.code() == Code::kNotFound);
}

TEST(Handlers, CountIsTheNumberOfKeys) {
  Apply("SET", "a", "1");
  Apply("SET", "b", "1");
  Apply("SET", "b", "2");
  Reply reply;
  Execute("COUNT", {}, &reply);
  CHECK_TRUE(reply.kind == Reply::Kind::kNumber);
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
    CHECK_TRUE(reply.kind == Reply::Kind::kKeys);
    seen.insert(reply.lines.begin(), reply.lines.end());
    cursor = reply.number;
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
  CHECK_EQUAL("2"s, std::string(reply.found.value()));
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

TEST(Handlers, HelpHasALineForEachCommand) {
  Reply reply;
  Execute("HELP", {}, &reply);
  UNSIGNED_LONGS_EQUAL(Commands().size(), reply.lines.size());
  for (size_t i = 0; i < reply.lines.size(); ++i) {
    CHECK_TRUE(reply.lines[i].starts_with(Commands()[i].usage));
    CHECK_TRUE(reply.lines[i].ends_with(Commands()[i].help));
    CHECK_EQUAL(std::string::npos, reply.lines[i].find('\n'));
  }
}

TEST(Handlers, QuitEndsTheConversation) {
  Reply reply;
  Execute("QUIT", {}, &reply);
  CHECK_TRUE(reply.closes);
  CHECK_TRUE(reply.status.ok());
}
