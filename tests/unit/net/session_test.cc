#include <cerrno>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "CppUTest/TestHarness.h"
#include "config.h"
#include "net/conversation.h"

using namespace keystone;
using namespace std::string_literals;

TEST_GROUP_BASE(Session, Conversation) {
  Writes writes;

  void setup() override {
    host.stats = {"pid 1", "uptime_seconds 2"};
    Conversation::setup();
  }

  void NewSession() {
    writes.Clear();
    Conversation::NewSession();
  }

  std::string Ask(std::string_view input) { return Feed({input}); }
};

TEST(Session, BehindTelnetOptionsTheFirstByteDecidesTheProtocolHoweverCut) {
  CheckHoweverCut("+PONG\r\nOK PONG\n",
                  "\xff\xfb\x01\xff\xf1*1\r\n$4\r\nPING\r\n\xff\xfd\x03PING\n");
}

TEST(Session, AnswersEveryCommand) {
  const std::vector<std::pair<std::string, std::string>> transcript = {
      {"GET key", "NOT_FOUND\n"},
      {"SET key value", "OK\n"},
      {"GET key", "VALUE value\n"},
      {"get key\r", "VALUE value\n"},
      {"EXISTS key", "OK\n"},
      {"EXISTS nothing", "NOT_FOUND\n"},
      {"SET key  two  words ", "OK\n"},
      {"GET key", "VALUE  two  words \n"},
      {"COUNT", "OK 1\n"},
      {"SCAN 0", "OK 2\n0\nkey\n"},
      {"SCAN 0 10000 k", "OK 2\n0\nkey\n"},
      {"SCAN 0 10000 x", "OK 1\n0\n"},
      {"SYNC", "OK\n"},
      {"COMPACT", "OK\n"},
      {"GET key", "VALUE  two  words \n"},
      {"DELETE key", "OK\n"},
      {"DELETE key", "NOT_FOUND\n"},
      {"COUNT", "OK 0\n"},
      {"SCAN 0", "OK 1\n0\n"},
      {"SET empty ", "OK\n"},
      {"GET empty", "VALUE \n"},
      {"STATS", "OK 2\npid 1\nuptime_seconds 2\n"},
      {"PING", "OK PONG\n"},
      {"VERSION", "OK keystonelight " PACKAGE_VERSION "\n"},
      {"", ""},
      {"\r", ""},
  };
  for (const auto& [request, reply] : transcript) CHECK_EQUAL(reply, Ask(request + "\n"));
  CHECK_FALSE(session->closing());
  CHECK_TRUE(Ask("HELP\n").starts_with("OK 21\nGET key  "));
}

TEST(Session, AnswersAPipelineInOrder) {
  CHECK_EQUAL(
      "NOT_FOUND\nOK\nOK\nVALUE 2\nOK\nNOT_FOUND\nERROR unknown command 'FOO' (try HELP)\n"
      "OK\nERROR usage: SET key value\nOK\nOK 1\n"s,
      Ask("GET a\nSET a 1\nSET a 2\nGET a\nDELETE a\nDELETE a\nFOO\nSET a 3\nSET a\nSET a "
          "4\nCOUNT\n"));
}

TEST(Session, AReadSeesTheWritesBeforeIt) {
  CHECK_EQUAL("OK\nVALUE 1\nOK\nNOT_FOUND\n"s, Ask("SET k 1\nGET k\nDELETE k\nGET k\n"));
}

TEST(Session, WritesThatFollowEachOtherAreOneGroup) {
  faults::Clear();
  CHECK_EQUAL("OK\nOK\nOK\nNOT_FOUND\n"s, Ask("SET a 1\nSET b 2\nDELETE a\nDELETE a\n"));
  UNSIGNED_LONGS_EQUAL(1, faults::Count(faults::Call::kPwritev));
}

TEST(Session, WritesAreLeftToWhoeverCommits) {
  std::string replies;
  UNSIGNED_LONGS_EQUAL(23, session->Consume("PING\nSET a 1\nDELETE x\n\nSET b", &writes, &replies));
  CHECK_EQUAL("OK PONG\n"s, replies);
  UNSIGNED_LONGS_EQUAL(2, writes.batch().operations().size());
  CHECK_TRUE(writes.batch().operations()[0].key == "a");
  CHECK_FALSE(session->has_more());
  CHECK_TRUE(store->Exists("a").code() == Code::kNotFound);
  CHECK_TRUE(store->Apply(&writes.batch()).ok());
  session->Committed(&writes, &replies);
  CHECK_EQUAL("OK PONG\nOK\nNOT_FOUND\n"s, replies);
  CHECK_TRUE(writes.empty());
}

TEST(Session, WhatIsAnsweredAtOnceWaitsForTheWritesBeforeIt) {
  limits = {.max_key_size = 10, .max_value_size = 30};
  const std::string long_line = "SET k " + std::string(limits.max_line_size(), 'v');
  for (const std::string& line :
       {"GET a\n"s, "NONSENSE\n"s, "SET a\n"s, "SET a base64:Y\n"s, "QUIT\n"s, "COMPACT\n"s,
        "DELETE /a HTTP/1.1\n"s, "Host: me\n"s, long_line, long_line + "\n"}) {
    NewSession();
    const std::string input = "SET a 1\n" + line;
    std::string replies;
    UNSIGNED_LONGS_EQUAL(8, session->Consume(input, &writes, &replies));
    CHECK_EQUAL(""s, replies);
    CHECK_TRUE(session->has_more());
    CHECK_FALSE(session->closing());
    CHECK_FALSE(session->is_slow());
    CHECK_TRUE(store->Apply(&writes.batch()).ok());
    session->Committed(&writes, &replies);
    CHECK_EQUAL("OK\n"s, replies);
    Consume(session.get(), input.substr(8), &replies);
    CHECK_TRUE(replies.size() > 3);
  }
}

TEST(Session, AFailureIsTheReplyToEachWriteOfItsBatch) {
  std::string replies;
  session->Consume("SET a 1\nDELETE a\n", &writes, &replies);
  writes.batch().set_status({Code::kIo, "append: broken"});
  session->Committed(&writes, &replies);
  CHECK_EQUAL("ERROR append: broken\nERROR append: broken\n"s, replies);
}

TEST(Session, ASlowCommandIsLeftToWhoeverHasTheTime) {
  const std::string input = "PING\nCOMPACT\nPING\n";
  std::string replies;
  UNSIGNED_LONGS_EQUAL(13, session->Consume(input, &writes, &replies));
  CHECK_EQUAL("OK PONG\n"s, replies);
  CHECK_TRUE(session->is_slow());
  CHECK_TRUE(session->has_more());
  UNSIGNED_LONGS_EQUAL(0, store->Stats().compactions);
  session->ExecuteSlow(&replies);
  CHECK_FALSE(session->is_slow());
  UNSIGNED_LONGS_EQUAL(1, store->Stats().compactions);
  UNSIGNED_LONGS_EQUAL(5, session->Consume(input.substr(13), &writes, &replies));
  CHECK_EQUAL("OK PONG\nOK\nOK PONG\n"s, replies);
  CHECK_FALSE(session->has_more());
}

TEST(Session, OthersHaveTheirTurnBehindALengthyCommand) {
  for (const std::string& line : {"SCAN 0\n"s, "STATS\n"s}) {
    std::string replies;
    UNSIGNED_LONGS_EQUAL(line.size(), session->Consume(line + "PING\n", &writes, &replies));
    CHECK_TRUE(session->has_more());
    CHECK_FALSE(session->is_slow());
    replies.clear();
    UNSIGNED_LONGS_EQUAL(5, session->Consume("PING\n", &writes, &replies));
    CHECK_FALSE(session->has_more());
    CHECK_EQUAL("OK PONG\n"s, replies);
  }
}

TEST(Session, TheKeyOfACompleteGetIsKnownAhead) {
  size_t size = 0;
  CHECK_TRUE(Session::KeyOfGet("GET key\nGET other\n", &size) == "key");
  UNSIGNED_LONGS_EQUAL(8, size);
  CHECK_TRUE(Session::KeyOfGet("get key\n", &size) == "key");
  CHECK_TRUE(Session::KeyOfGet("*2\r\n$3\r\nGET\r\n$3\r\nkey\r\nGET other\n", &size) == "key");
  UNSIGNED_LONGS_EQUAL(22, size);
  for (const std::string_view input :
       {"", "GET", "GET key", "GET \n", "SET key 1\n", "\nGET key\n"}) {
    CHECK_TRUE(Session::KeyOfGet(input, &size).empty());
  }
}

TEST(Session, FewCopiesOfOldValuesAreMadeAtOnce) {
  const std::string one = "*3\r\n$6\r\nGETSET\r\n$1\r\nk\r\n$1\r\nv\r\n";
  std::string input;
  for (int i = 0; i < 10; i++) input += one;
  std::string replies;
  UNSIGNED_LONGS_EQUAL(4 * one.size(), session->Consume(input, &writes, &replies));
  CHECK_TRUE(session->has_more());
  UNSIGNED_LONGS_EQUAL(4, writes.operations());
  CHECK_TRUE(store->Apply(&writes.batch()).ok());
  session->Committed(&writes, &replies);
  CHECK_EQUAL("$-1\r\n$1\r\nv\r\n$1\r\nv\r\n$1\r\nv\r\n"s, replies);
}

TEST(Session, ALargeValueIsSentFromWhereItIs) {
  const std::string value(100 << 10, 'v');
  Ask("SET k " + value + "\n");
  std::string replies;
  session->Consume("GET k\nPING\n", &writes, &replies);
  UNSIGNED_LONGS_EQUAL(1, session->placed().size());
  CHECK_EQUAL("VALUE \nOK PONG\n"s, replies);
  // It stays readable when its key has got another value and its segment is gone.
  Session other(store.get(), &limits, &host, &counters);
  std::string ignored;
  Consume(&other, "SET k 1\n", &ignored);
  CHECK_TRUE(store->Compact(keystone::CompactionMode::kStopTheWorld).ok());
  CHECK_TRUE(session->placed()[0].pinned.value() == value);
  CHECK_EQUAL("VALUE " + value + "\nOK PONG\n", Sent(session.get(), replies));
}

TEST(Session, ALargeValueThatALineCantCarryIsEncoded) {
  const std::string encoded = "base64:" + std::string(100 << 10, 'A');
  Ask("SET k " + encoded + "\n");
  CHECK_TRUE(Ask("GET k\n") == "VALUE " + encoded + "\n");
  CHECK_TRUE(session->placed().empty());
}

TEST(Session, ASyncMayTakeLong) {
  std::string replies;
  UNSIGNED_LONGS_EQUAL(5, session->Consume("SYNC\nPING\n", &writes, &replies));
  CHECK_TRUE(session->is_slow());
  CHECK_EQUAL(""s, replies);
  session->ExecuteSlow(&replies);
  CHECK_EQUAL("OK\n"s, replies);
}

TEST(Session, AnswersMoreWritesThanABatchHolds) {
  std::string input;
  std::string expected;
  for (int i = 0; i < 5000; ++i) {
    input += "SET k" + std::to_string(i) + " v\n";
    expected += "OK\n";
  }
  CHECK_EQUAL(expected + "OK 5000\n", Ask(input + "COUNT\n"));
}

TEST(Session, ErrorsKeepTheConversation) {
  limits.max_key_size = 1024;
  limits.max_value_size = 3000;
  const std::string long_key(1025, 'k');
  const std::vector<std::pair<std::string, std::string>> transcript = {
      {"FOO", "ERROR unknown command 'FOO' (try HELP)\n"},
      {"SET key", "ERROR usage: SET key value\n"},
      {"GET a b", "ERROR usage: GET key\n"},
      {"GET " + long_key, "ERROR key too long: 1025 bytes, the limit is 1024\n"},
      {"SET k " + std::string(3001, 'v'), "ERROR value too long: 3001 bytes, the limit is 3000\n"},
      {"SET k base64:Y",
       "ERROR bad base64 in the value: it takes the standard alphabet, padded with =\n"},
      {"GET a\0b"s, "ERROR control byte in a command or key: send the key as base64:\n"},
      {"SCAN 0 0", "ERROR bad count: it must be a number, 1 or more\n"},
  };
  for (const auto& [request, reply] : transcript) CHECK_EQUAL(reply, Ask(request + "\n"));
  CHECK_FALSE(session->closing());
  UNSIGNED_LONGS_EQUAL(transcript.size(), counters.protocol_errors.Get());
  CHECK_EQUAL("OK 0\n"s, Ask("COUNT\n"));
}

TEST(Session, EveryByteRoundTripsThroughKeysAndValues) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  std::string encoded;
  AppendValue(all, &encoded);
  CHECK_EQUAL("OK\nVALUE " + encoded + "\nOK 2\n0\n" + encoded + "\n",
              Ask("SET " + encoded + " " + encoded + "\nGET " + encoded + "\nSCAN 0\n"));
  for (int byte = 0; byte < 256; ++byte) {
    if (byte == '\n') continue;
    const std::string raw = "x"s + static_cast<char>(byte) + "y";
    std::string shown;
    AppendValue(raw, &shown);
    CHECK_EQUAL("OK\nVALUE " + shown + "\n", Ask("SET k " + raw + "\nGET k\n"));
  }
}

TEST(Session, DecodedBytesOutliveTheCommitThatComesBetween) {
  CHECK_EQUAL("OK\nVALUE second\n"s,
              Ask("SET base64:Zmlyc3QgYSBsb25nIGtleSBvbiB0aGUgaGVhcA== second\n"
                  "GET base64:Zmlyc3QgYSBsb25nIGtleSBvbiB0aGUgaGVhcA==\n"));
}

TEST(Session, AnUnfinishedLineIsNotExecuted) {
  std::string replies;
  UNSIGNED_LONGS_EQUAL(5, Consume(session.get(), "PING\nSET a 1", &replies));
  CHECK_EQUAL("OK PONG\n"s, replies);
  CHECK_FALSE(session->has_more());
  CHECK_TRUE(store->Exists("a").code() == Code::kNotFound);
}

TEST(Session, RepliesDoNotDependOnHowTheInputIsCut) {
  const std::string input =
      "\xff\xfd\x0a\xff\xfa\x1f\0\x0a\0\x18\xff\xf0SET a 1\r\nGET a\nSET base64:YiA= x\n\nDELETE "
      "a\r\n"
      "GET base64:YiA=\nDELETE a\nBAD\nSCAN 0 10 base64:YiA=\n\xff\xf1PING\nSET c  \nGET c\nQUIT\nPING\n"s;
  const std::string expected =
      "OK\nVALUE 1\nOK\nOK\nVALUE x\nNOT_FOUND\nERROR unknown command 'BAD' (try HELP)\n"
      "OK 2\n0\nbase64:YiA=\nOK PONG\nOK\nVALUE  \nOK\n";
  for (size_t cut = 0; cut <= input.size(); ++cut) {
    NewSession();
    CHECK_EQUAL(expected, Feed({std::string_view(input).substr(0, cut),
                                std::string_view(input).substr(cut)}));
    CHECK_TRUE(session->closing());
  }
  NewSession();
  std::vector<std::string_view> bytes;
  for (size_t i = 0; i < input.size(); ++i) bytes.push_back(std::string_view(input).substr(i, 1));
  CHECK_EQUAL(expected, Feed(bytes));
}

TEST(Session, ALongLineMayArriveInManyPieces) {
  const std::string value(1 << 20, 'v');
  const std::string input = "SET k " + value + "\nGET k\n";
  std::vector<std::string_view> pieces;
  for (size_t at = 0; at < input.size(); at += 16384) {
    pieces.push_back(std::string_view(input).substr(at, 16384));
  }
  CHECK_TRUE(Feed(pieces) == "OK\nVALUE " + value + "\n");
}

TEST(Session, ReturnsEarlyWhenTheRepliesAreLong) {
  const std::string value(100 * 1024, 'v');
  Ask("SET k " + value + "\n");
  std::string input;
  for (int i = 0; i < 10; ++i) input += "GET k\n";
  std::string replies;
  const size_t used = Consume(session.get(), input, &replies);
  CHECK_TRUE(session->has_more());
  UNSIGNED_LONGS_EQUAL(3 * 6, used);
  UNSIGNED_LONGS_EQUAL(3 * (value.size() + 7), replies.size());
  std::string later = Ask(input.substr(used) + "COU");
  UNSIGNED_LONGS_EQUAL(7 * (value.size() + 7), later.size());
  CHECK_FALSE(session->has_more());
}

TEST(Session, AnUnfinishedLineBehindLongRepliesIsNotMore) {
  Ask("SET k " + std::string(Session::kReplyFlushSize, 'v') + "\n");
  std::string replies;
  UNSIGNED_LONGS_EQUAL(6, Consume(session.get(), "GET k\nGET k", &replies));
  CHECK_FALSE(session->has_more());
}

TEST(Session, ALineAsLongAsTheLimitIsRead) {
  limits = {.max_key_size = 10, .max_value_size = 30};
  const std::string line = "SET k " + std::string(limits.max_line_size() - 6, 'v');
  CHECK_EQUAL("ERROR value too long: 108 bytes, the limit is 30\n"s, Ask(line + "\n"));
  CHECK_EQUAL("ERROR value too long: 108 bytes, the limit is 30\n"s, Ask(line + "\r\n"));
  CHECK_FALSE(session->closing());
}

TEST(Session, ALongerLineClosesFinishedOrNot) {
  limits = {.max_key_size = 10, .max_value_size = 30};
  const std::string line = "SET k " + std::string(limits.max_line_size() - 5, 'v');
  CHECK_EQUAL("OK\nERROR line too long\n"s, Ask("SET a 1\n" + line + "\nPING\n"));
  CHECK_TRUE(session->closing());
  NewSession();
  CHECK_EQUAL(""s, Ask(line.substr(1)));
  NewSession();
  CHECK_EQUAL("OK\nERROR line too long\n"s, Ask("SET a 1\n" + line));
  CHECK_TRUE(session->closing());
  UNSIGNED_LONGS_EQUAL(2, counters.protocol_errors.Get());
}

TEST(Session, QuitDiscardsWhatFollows) {
  std::string replies;
  Ask("SET a 1\n");
  const std::string input = "PING\nQUIT\nSET a 2\nSE";
  UNSIGNED_LONGS_EQUAL(input.size(), Consume(session.get(), input, &replies));
  CHECK_EQUAL("OK PONG\nOK\n"s, replies);
  CHECK_TRUE(session->closing());
  NewSession();
  CHECK_EQUAL("VALUE 1\n"s, Ask("GET a\n"));
}

TEST(Session, HttpIsRefusedAndReported) {
  Ask("SET /x 1\n");
  CHECK_EQUAL("OK\nERROR this is not an HTTP server\n"s,
              Ask("SET a HTTP/1.1\nDELETE /x HTTP/1.1\r\nHost: me\r\nSET a 2\n"));
  CHECK_TRUE(session->closing());
  UNSIGNED_LONGS_EQUAL(1, host.http_lines.size());
  CHECK_EQUAL("DELETE /x HTTP/1.1"s, host.http_lines[0]);
  UNSIGNED_LONGS_EQUAL(1, counters.protocol_errors.Get());
  NewSession();
  CHECK_EQUAL("VALUE 1\nVALUE HTTP/1.1\n"s, Ask("GET /x\nGET a\n"));
  for (const char* line : {"POST / HTTP/1.1\n", "host: x\n", "OPTIONS *\n", "GET / HTTP/1.0\n"}) {
    NewSession();
    CHECK_EQUAL("ERROR this is not an HTTP server\n"s, Ask(line));
    CHECK_TRUE(session->closing());
  }
}

TEST(Session, CountsCommandsByKind) {
  Ask("SET a 1\nSET b 2\nGET a\nGET x\nGET b\nDELETE a\nCOUNT\nPING\nEXISTS a\nNO\nGET\n");
  UNSIGNED_LONGS_EQUAL(2, counters.commands_set.Get());
  UNSIGNED_LONGS_EQUAL(3, counters.commands_get.Get());
  UNSIGNED_LONGS_EQUAL(1, counters.commands_delete.Get());
  UNSIGNED_LONGS_EQUAL(3, counters.commands_other.Get());
  UNSIGNED_LONGS_EQUAL(2, counters.get_hits.Get());
  UNSIGNED_LONGS_EQUAL(1, counters.get_misses.Get());
  UNSIGNED_LONGS_EQUAL(2, counters.protocol_errors.Get());
}

TEST(Session, AFullDiskRefusesEachWriteOfTheBatchAndReadsGoOn) {
  Ask("SET a 1\n");
  faults::Fail(faults::Call::kPwritev, ENOSPC);
  const std::string full = "ERROR log device full: writes are refused, reads go on\n";
  CHECK_EQUAL(full + full + "VALUE 1\n" + full, Ask("SET a 2\nSET b 2\nGET a\nSET c 3\n"));
  faults::Clear();
  CHECK_EQUAL("OK\nVALUE 2\nOK 1\n"s, Ask("SET a 2\nGET a\nCOUNT\n"));
  UNSIGNED_LONGS_EQUAL(0, counters.protocol_errors.Get());
}

TEST(Session, ACancelledCompactionIsAnError) {
  Ask("SET a 1\n");
  store->CancelCompaction();
  CHECK_TRUE(Ask("COMPACT\n").starts_with("ERROR "));
  CHECK_FALSE(session->closing());
}

TEST(Session, ACompactionWithoutRoomDoesNotClaimThatWritesAreRefused) {
  Ask("SET a 1\n");
  faults::Fail(faults::Call::kRename, ENOSPC);
  const std::string reply = Ask("COMPACT\n");
  faults::Clear();
  CHECK_TRUE(reply.starts_with("ERROR "));
  CHECK_TRUE(reply.find("No space left on device") != reply.npos);
  CHECK_TRUE(reply.find("writes are refused") == reply.npos);
  CHECK_EQUAL("OK\nVALUE 2\n"s, Ask("SET a 2\nGET a\n"));
}
