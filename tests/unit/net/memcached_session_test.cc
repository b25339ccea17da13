// Conversations in memcached's protocol, from bytes to bytes.
#include <cerrno>
#include <chrono>
#include <fstream>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "CppUTest/TestHarness.h"
#include "faults.h"
#include "net/conversation.h"

using namespace keystone;
using namespace std::string_literals;

namespace {

const std::string kServerError = "SERVER_ERROR log device full\r\n";

class MemcachedConversation : public Conversation {
 public:
  MemcachedConversation() : Conversation(Protocol::kMemcached) {
    limits = {.max_key_size = 1024, .max_value_size = 1 << 20};
    host.stats = {
        "pid 17",    "uptime_seconds 2", "connections_limit 8",     "memcached_touch_hits 3",
        "threads 4", "keys 5",           "memcached_touch_misses 4"};
  }

  void Reopen() {
    session.reset();
    CHECK_TRUE(store->Close().ok());
    store.reset();
    OpenStore();
    NewSession();
  }

  // As Feed, but the session sees at most `window` bytes where it has not been told that there is
  // an unfinished request.
  std::string Say(std::string_view bytes, size_t window = SIZE_MAX) {
    waiting.append(bytes);
    std::string sent;
    size_t seen = 0;
    for (;;) {
      const size_t size = std::min(waiting.size(), window == SIZE_MAX ? window : seen + window);
      std::string replied;
      const size_t used = Consume(session.get(), {waiting.data(), size}, &replied);
      CHECK_TRUE(replied.size() < Session::kReplyFlushSize + (2 << 20));
      sent += replied;
      seen = session->has_more() ? 0 : size - used;
      waiting.erase(0, used);
      if (session->closing()) return sent;
      if (!session->has_more() && seen == waiting.size()) return sent;
    }
  }

  void CheckSaid(const std::string& expected, std::string_view bytes) {
    STRCMP_EQUAL(expected.c_str(), Say(bytes).c_str());
  }

  // The unique of a key that is there.
  std::string Unique(const std::string& key) {
    const std::string reply = Say("gets " + key + "\r\n");
    const size_t end = reply.find("\r\n");
    return reply.substr(reply.rfind(' ', end) + 1, end - reply.rfind(' ', end) - 1);
  }
};

}  // namespace

TEST_GROUP_BASE(MemcachedSession, MemcachedConversation){};

TEST(MemcachedSession, WhatIsSkippedIsNeverExecuted) {
  const std::string refused = "set " + std::string(251, 'k') + " 0 0 ";
  Say("set a 0 0 1\r\n1\r\n");
  CHECK_TRUE(Say(refused + "1\r\nx\r\nflush_all\r\n").ends_with("\r\nOK\r\n"));
  CHECK_EQUAL("END\r\n", Say("get a\r\n"));
  Say("set a 0 0 1\r\n1\r\n");
  CHECK_TRUE(Say(refused + "14\r\nflush_all 9999\r\nflush_all\r\n").ends_with("\r\nOK\r\n"));
  CHECK_EQUAL("END\r\n", Say("get a\r\n"));
}

TEST(MemcachedSession, StoresAndFetches) {
  CheckSaid("STORED\r\n", "set k 7 0 5\r\nhello\r\n");
  CheckSaid("VALUE k 7 5\r\nhello\r\nEND\r\n", "get k\r\n");
  CheckSaid("END\r\n", "get other\r\n");
  CheckSaid("STORED\r\nVALUE k 0 0\r\n\r\nEND\r\n", "set k 0 0 0\r\n\r\nget k\r\n");
}

TEST(MemcachedSession, FetchesManyKeysInTheirOrder) {
  (void)Say("set a 0 0 1\r\n1\r\nset b 4294967295 0 1\r\n2\r\n");
  CheckSaid("VALUE b 4294967295 1\r\n2\r\nVALUE a 0 1\r\n1\r\nVALUE b 4294967295 1\r\n2\r\nEND\r\n",
            "get b x a b\r\n");
}

TEST(MemcachedSession, SendsTheValuesOfManyKeysAsTheyCome) {
  const std::string value(100'000, 'v');
  (void)Say("set k 0 0 100000\r\n" + value + "\r\n");
  std::string line = "get";
  std::string expected;
  for (int i = 0; i < 100; ++i) {
    line += " k";
    expected += "VALUE k 0 100000\r\n" + value + "\r\n";
  }
  CHECK_TRUE(expected + "END\r\n" == Say(line + "\r\n"));
}

TEST(MemcachedSession, GoesOnInALineOfWhichItSeesOnlyAPart) {
  const std::string value(20'000, 'v');
  (void)Say("set key 0 0 20000\r\n" + value + "\r\n");
  std::string line = "get";
  std::string expected;
  for (int i = 0; i < 200; ++i) {
    line += "   key";
    expected += "VALUE key 0 20000\r\n" + value + "\r\n";
  }
  CHECK_TRUE(expected + "END\r\nEND\r\n" == Say(line + "  \r\nget x\r\n", 5));
}

TEST(MemcachedSession, LetsOthersHaveTheirTurnInALineOfManyKeys) {
  std::string line = "get";
  for (int i = 0; i < 10'000; ++i) line += " k";
  line += "\r\n";
  Writes writes;
  std::string replies;
  const size_t used = session->Consume(line, &writes, &replies);
  CHECK_TRUE(session->has_more());
  CHECK_TRUE(used < line.size());
  CHECK_TRUE(replies.empty());
}

TEST(MemcachedSession, AddsOnlyWhereThereIsNoKeyAndReplacesOnlyWhereThereIsOne) {
  CheckSaid("NOT_STORED\r\n", "replace k 0 0 1\r\na\r\n");
  CheckSaid("STORED\r\n", "add k 1 0 1\r\nb\r\n");
  CheckSaid("NOT_STORED\r\n", "add k 2 0 1\r\nc\r\n");
  CheckSaid("STORED\r\n", "replace k 3 0 1\r\nd\r\n");
  CheckSaid("VALUE k 3 1\r\nd\r\nEND\r\n", "get k\r\n");
}

TEST(MemcachedSession, DecidesWritesThatAreCommittedTogetherInTheirOrder) {
  CheckSaid(
      "STORED\r\nNOT_STORED\r\nSTORED\r\nSTORED\r\nDELETED\r\nNOT_STORED\r\nSTORED\r\n11\r\n",
      "add k 0 0 1\r\n1\r\nadd k 0 0 1\r\n2\r\nappend k 0 0 1\r\n3\r\nprepend k 0 0 1\r\n4\r\n"
      "delete k\r\nreplace k 0 0 1\r\n5\r\nadd k 0 0 1\r\n6\r\nincr k 5\r\n");
  LONGS_EQUAL(1, commits);
  CheckSaid("VALUE k 0 2\r\n11\r\nEND\r\n", "get k\r\n");
}

TEST(MemcachedSession, ExtendsAValueAndKeepsWhatItWasStoredWith) {
  CheckSaid("NOT_STORED\r\nNOT_STORED\r\n", "append k 0 0 1\r\na\r\nprepend k 0 0 1\r\na\r\n");
  CheckSaid("STORED\r\nSTORED\r\nSTORED\r\n",
            "set k 7 1000 1\r\nb\r\nappend k 9 1 1\r\nc\r\nprepend k 9 -1 1\r\na\r\n");
  CheckSaid("VALUE k 7 3\r\nabc\r\nEND\r\n", "get k\r\n");
  FoundValue found;
  CHECK_TRUE(store->Get("k", &found).ok());
  CHECK_TRUE(found.attributes().expires_at_ms != 0);
}

TEST(MemcachedSession, DoesNotExtendAValueBeyondTheLimit) {
  limits.max_value_size = 5;
  CheckSaid("STORED\r\nSTORED\r\nNOT_STORED\r\nNOT_STORED\r\nVALUE k 0 5\r\nabcde\r\nEND\r\n",
            "set k 0 0 3\r\nabc\r\nappend k 0 0 2\r\nde\r\nappend k 0 0 1\r\nf\r\n"
            "prepend k 0 0 1\r\nf\r\nget k\r\n");
}

TEST(MemcachedSession, ComparesTheUniqueOfARecord) {
  CheckSaid("NOT_FOUND\r\n", "cas k 0 0 1 1\r\na\r\n");
  (void)Say("set k 0 0 1\r\na\r\n");
  const std::string unique = Unique("k");
  CheckSaid("EXISTS\r\n", "cas k 0 0 1 0\r\nb\r\n");
  CheckSaid("EXISTS\r\n", "cas k 0 0 1 18446744073709551615\r\nb\r\n");
  CheckSaid("STORED\r\n", "cas k 5 0 1 " + unique + "\r\nb\r\n");
  CheckSaid("EXISTS\r\n", "cas k 0 0 1 " + unique + "\r\nc\r\n");
  CheckSaid("VALUE k 5 1\r\nb\r\nEND\r\n", "get k\r\n");
}

TEST(MemcachedSession, ComparesTheUniqueOfAKeyThatIsBeingWritten) {
  (void)Say("set k 0 0 1\r\na\r\n");
  const std::string unique = Unique("k");
  CheckSaid("STORED\r\nEXISTS\r\nEXISTS\r\n", "cas k 0 0 1 " + unique + "\r\nb\r\ncas k 0 0 1 " +
                                                  unique + "\r\nc\r\ncas k 0 0 1 0\r\nd\r\n");
  CheckSaid("DELETED\r\nNOT_FOUND\r\n", "delete k\r\ncas k 0 0 1 " + unique + "\r\nc\r\n");
}

TEST(MemcachedSession, KeepsUniqueAndFlagsAcrossARestart) {
  (void)Say("set k 99 0 1\r\na\r\n");
  const std::string unique = Unique("k");
  Reopen();
  CheckSaid("VALUE k 99 1 " + unique + "\r\na\r\nEND\r\n", "gets k\r\n");
  CheckSaid("STORED\r\n", "cas k 0 0 1 " + unique + "\r\nb\r\n");
}

TEST(MemcachedSession, CountsUpAndDown) {
  CheckSaid("NOT_FOUND\r\nNOT_FOUND\r\n", "incr n 1\r\ndecr n 1\r\n");
  (void)Say("set n 3 0 2\r\n10\r\n");
  CheckSaid("15\r\n12\r\n0\r\n", "incr n 5\r\ndecr n 3\r\ndecr n 13\r\n");
  CheckSaid("18446744073709551615\r\n2\r\n", "incr n 18446744073709551615\r\nincr n 3\r\n");
}

TEST(MemcachedSession, FillsANumberThatBecameShorterWithSpaces) {
  CheckSaid("STORED\r\n9\r\nVALUE n 3 2\r\n9 \r\nEND\r\n10\r\nVALUE n 3 2\r\n10\r\nEND\r\n",
            "set n 3 0 2\r\n10\r\ndecr n 1\r\nget n\r\nincr n 1\r\nget n\r\n");
  CheckSaid("STORED\r\n6\r\nVALUE n 0 8\r\n6       \r\nEND\r\n",
            "set n 0 0 8\r\n 5 words\r\nincr n 1\r\nget n\r\n");
}

TEST(MemcachedSession, DoesNotCountWhatIsNoNumber) {
  const std::string no_number = "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n";
  CheckSaid("STORED\r\n" + no_number + no_number + "VALUE n 0 2\r\n5a\r\nEND\r\n",
            "set n 0 0 2\r\n5a\r\nincr n 1\r\ndecr n 1\r\nget n\r\n");
  const std::string big = "1" + std::string(512 << 10, ' ');
  CheckSaid("STORED\r\n" + no_number,
            "set n 0 0 " + std::to_string(big.size()) + "\r\n" + big + "\r\nincr n 1\r\n");
}

TEST(MemcachedSession, Deletes) {
  (void)Say("set k 0 0 1\r\na\r\n");
  CheckSaid("DELETED\r\nNOT_FOUND\r\nEND\r\n", "delete k\r\ndelete k\r\nget k\r\n");
}

TEST(MemcachedSession, StoresWhatHasExpiredAlreadyAsNothing) {
  CheckSaid("STORED\r\nEND\r\n", "set k 0 -1 1\r\na\r\nget k\r\n");
  CheckSaid("STORED\r\nSTORED\r\nNOT_STORED\r\n",
            "set k 0 2592001 1\r\na\r\nadd k 0 0 1\r\nb\r\nadd k 0 -1 1\r\nc\r\n");
}

TEST(MemcachedSession, Touches) {
  CheckSaid("NOT_FOUND\r\n", "touch k 100\r\n");
  (void)Say("set k 5 0 1\r\na\r\n");
  CheckSaid("TOUCHED\r\nVALUE k 5 1\r\na\r\nEND\r\n", "touch k 100\r\nget k\r\n");
  {
    FoundValue found;
    CHECK_TRUE(store->Get("k", &found).ok());
    CHECK_TRUE(found.attributes().expires_at_ms != 0);
  }
  CheckSaid("TOUCHED\r\n", "touch k 0\r\n");
  {
    FoundValue found;
    CHECK_TRUE(store->Get("k", &found).ok());
    CHECK_EQUAL(0, found.attributes().expires_at_ms);
  }
  CheckSaid("TOUCHED\r\nEND\r\nNOT_FOUND\r\n", "touch k -1\r\nget k\r\ntouch k 0\r\n");
}

TEST(MemcachedSession, FetchesAndTouches) {
  CheckSaid("END\r\n", "gat 100 k\r\n");
  (void)Say("set k 5 0 1\r\na\r\nset j 0 0 1\r\nb\r\n");
  CheckSaid("VALUE k 5 1\r\na\r\nVALUE j 0 1\r\nb\r\nEND\r\n", "gat 100 k x j\r\n");
  FoundValue found;
  CHECK_TRUE(store->Get("j", &found).ok());
  CHECK_TRUE(found.attributes().expires_at_ms != 0);
}

TEST(MemcachedSession, FetchesTheUniqueThatATouchLeaves) {
  (void)Say("set k 5 0 1\r\na\r\n");
  const std::string before = Unique("k");
  const std::string reply = Say("gats 100 k\r\n");
  const std::string after = Unique("k");
  CHECK_TRUE(before != after);
  STRCMP_EQUAL(("VALUE k 5 1 " + after + "\r\na\r\nEND\r\n").c_str(), reply.c_str());
}

TEST(MemcachedSession, FetchesForTheLastTime) {
  (void)Say("set k 5 0 1\r\na\r\nset j 0 0 1\r\nb\r\n");
  CheckSaid("VALUE k 5 1\r\na\r\nVALUE j 0 1\r\nb\r\nEND\r\nEND\r\n",
            "gat -1 k j k\r\nget k j\r\n");
  CHECK_EQUAL(0, store->Count());
}

TEST(MemcachedSession, DoesAllThatNoreplyAsksForAndSaysNothing) {
  CheckSaid(
      "VALUE k 0 3\r\n-6+\r\nEND\r\n",
      "set k 0 0 1 noreply\r\n6\r\nadd k 0 0 1 noreply\r\n7\r\nappend k 0 0 1 noreply\r\n+\r\n"
      "prepend k 0 0 1 noreply\r\n-\r\nincr k 1 noreply\r\ntouch k 100 noreply\r\n"
      "cas k 0 0 1 0 noreply\r\nx\r\nreplace j 0 0 1 noreply\r\nx\r\ndelete j noreply\r\n"
      "verbosity 1 noreply\r\nget k\r\n");
  CheckSaid("END\r\n", "delete k noreply\r\nget k\r\n");
  CheckSaid("STORED\r\nEND\r\n", "set k 0 0 1\r\na\r\nflush_all noreply\r\nget k\r\n");
}

TEST(MemcachedSession, FlushesAtOnceOrLater) {
  CheckSaid("STORED\r\nOK\r\nEND\r\n", "set k 0 0 1\r\na\r\nflush_all\r\nget k\r\n");
  CHECK_EQUAL(0, host.clear_later.count());
  CheckSaid("STORED\r\nOK\r\nVALUE k 0 1\r\na\r\nEND\r\n",
            "set k 0 0 1\r\na\r\nflush_all 10\r\nget k\r\n");
  CHECK_EQUAL(10'000, host.clear_later.count());
  CheckSaid("OK\r\nEND\r\n", "flush_all -1\r\nget k\r\n");
  CHECK_EQUAL(0, host.clear_later.count());
}

TEST(MemcachedSession, AnswersVersionVerbosityAndQuit) {
  CheckSaid("VERSION 1.6.0\r\nOK\r\n", "version\r\nverbosity 1\r\n");
  CheckSaid("", "quit\r\nversion\r\n");
  CHECK_TRUE(session->closing());
}

TEST(MemcachedSession, TellsStatisticsByMemcachedsNames) {
  const std::string stats = Say("stats\r\n");
  for (const char* line : {"STAT pid 17\r\n", "STAT uptime 2\r\n", "STAT max_connections 8\r\n",
                           "STAT cmd_touch 7\r\n", "STAT curr_items 5\r\n", "STAT threads 4\r\n",
                           "STAT limit_maxbytes 0\r\n", "STAT time "}) {
    STRCMP_CONTAINS(line, stats.c_str());
  }
  CHECK_TRUE(stats.ends_with("\r\nEND\r\n"));
  const std::string settings = Say("stats settings\r\n");
  STRCMP_CONTAINS("STAT maxconns 8\r\n", settings.c_str());
  STRCMP_CONTAINS("STAT item_size_max 1048576\r\nEND\r\n", settings.c_str());
  CheckSaid("END\r\n", "stats items\r\n");
  CheckSaid("STAT active_slabs 0\r\nSTAT total_malloced 0\r\nEND\r\n", "stats slabs\r\n");
  CheckSaid("END\r\n", "stats cachedump 1 100\r\n");
  CheckSaid("RESET\r\nERROR\r\n", "stats reset\r\nstats conns\r\n");
}

TEST(MemcachedSession, CountsWhatCameOfWrites) {
  (void)Say(
      "set n 0 0 1\r\n5\r\nincr n 1\r\nincr x 1\r\ndecr n 1\r\ndecr x 1\r\ntouch n 9\r\n"
      "touch x 1 noreply\r\ngat 9 n\r\ncas n 0 0 1 0\r\n1\r\ncas x 0 0 1 1\r\n1\r\n"
      "delete x noreply\r\ndelete n\r\nflush_all\r\n");
  const struct {
    Outcome outcome;
    uint64_t count;
  } rows[] = {{Outcome::kIncrHit, 1},     {Outcome::kIncrMiss, 1},  {Outcome::kDecrHit, 1},
              {Outcome::kDecrMiss, 1},    {Outcome::kTouchHit, 2},  {Outcome::kTouchMiss, 1},
              {Outcome::kCasBadValue, 1}, {Outcome::kCasMiss, 1},   {Outcome::kCasHit, 0},
              {Outcome::kDeleteHit, 1},   {Outcome::kDeleteMiss, 1}};
  for (const auto& row : rows) CHECK_EQUAL(row.count, counters.Of(row.outcome).Get());
  CHECK_EQUAL(1, counters.flushes.Get());
  CHECK_EQUAL(1, counters.get_hits.Get());
}

TEST(MemcachedSession, RefusesAndGoesOn) {
  CheckSaid("ERROR\r\nCLIENT_ERROR bad data chunk\r\nERROR\r\nEND\r\n",
            "mg k v\r\nset k 0 0 1\r\nxy\r\nget k\r\n");
  CHECK_EQUAL(3, counters.protocol_errors.Get());
  CHECK_FALSE(session->closing());
}

TEST(MemcachedSession, ClosesOnHttpWithoutAWord) {
  CheckSaid("", "GET / HTTP/1.1\r\nHost: x\r\n\r\nset k 0 0 1\r\nx\r\n");
  CHECK_TRUE(session->closing());
  LONGS_EQUAL(1, host.http_lines.size());
  CHECK_EQUAL(0, store->Count());
}

TEST(MemcachedSession, ClosesOnALineThatIsTooLong) {
  CheckSaid("STORED\r\nCLIENT_ERROR line too long\r\n",
            "set k 0 0 1\r\nx\r\n" + std::string(3000, 'x'));
  CHECK_TRUE(session->closing());
}

TEST(MemcachedSession, TellsWhenTheLogDeviceIsFull) {
  (void)Say("set n 0 0 1\r\n5\r\n");
  faults::Fail(faults::Call::kPwritev, ENOSPC);
  CheckSaid(kServerError + kServerError + kServerError + kServerError,
            "set k 0 0 1\r\nx\r\nincr n 1\r\ntouch n 1\r\ndelete n\r\n");
  CheckSaid("", "set k 0 0 1 noreply\r\nx\r\n");
  CheckSaid("VALUE n 0 1\r\n5\r\nEND\r\n", "get n k\r\n");
}

TEST(MemcachedSession, EndsAFetchThatCanNotTouchWithAnError) {
  (void)Say("set a 0 0 1\r\n1\r\nset b 0 0 1\r\n2\r\n");
  faults::Fail(faults::Call::kPwritev, ENOSPC);
  CheckSaid(kServerError + "VALUE a 0 1\r\n1\r\nEND\r\n", "gat 100 a b\r\nget a\r\n");
  CheckSaid("VALUE a 0 1\r\n1\r\n" + kServerError + "END\r\n", "gat -1 a\r\nget x\r\n");
}

TEST(MemcachedSession, EndsAFetchAtADamagedValueWithAnError) {
  (void)Say("set a 0 0 1\r\n1\r\nset b 0 0 13\r\nto-be-damaged\r\n");
  const std::string segment = "000000000001.log";
  std::fstream file(scratch.File(segment), std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(scratch.Read(segment).find("damaged")));
  file.put('D');
  file.close();
  CHECK_TRUE(file.good());
  const std::string reply = Say("get a b a\r\nget x\r\n");
  CHECK_TRUE(reply.starts_with("VALUE a 0 1\r\n1\r\nSERVER_ERROR "));
  CHECK_TRUE(reply.ends_with("\r\nEND\r\n"));
  LONGS_EQUAL(0, reply.rfind("VALUE"));
}

TEST(MemcachedSession, KeepsTheOldValueWhereTheNewOneIsTooLarge) {
  limits.max_value_size = 4;
  CheckSaid("STORED\r\nSERVER_ERROR object too large for cache\r\nVALUE k 0 3\r\nold\r\nEND\r\n",
            "set k 0 0 3\r\nold\r\nset k 0 0 5\r\nnewer\r\nget k\r\n");
}

TEST(MemcachedSession, SpeaksNoOtherProtocol) {
  CheckSaid("ERROR\r\nERROR\r\nERROR\r\n", "GET k\r\n*1\r\nPING\r\n");
}

TEST(MemcachedSession, SaysTheSameHoweverItsInputIsSplit) {
  const std::string stream =
      "set k 5 0 5\r\nhello\r\nget k x k\r\ngat 100 k\r\nadd k 0 0 1\r\nx\r\nincr k 1\r\n"
      "set n 0 0 2\r\n10\r\ndecr n 1\r\nset k 0 0 1 noreply\r\nxy\r\nget n k\r\ndelete n\r\n"
      "flush_all 9\r\ndelete k\r\nget k\r\nquit\r\n";
  const std::string whole = Say(stream);
  for (size_t split = 1; split < stream.size(); ++split) {
    NewSession();
    std::string said = Say(stream.substr(0, split));
    said += Say(stream.substr(split));
    STRCMP_EQUAL(whole.c_str(), said.c_str());
    CHECK_TRUE(session->closing());
  }
}

TEST(MemcachedSession, KnowsTheNextKeyToFetch) {
  size_t size = 0;
  CHECK_TRUE(session->NextGet("get key other\r\n", &size) == "key");
  LONGS_EQUAL(7, size);
  CHECK_TRUE(session->NextGet("set k 0 0 1\r\nx\r\n", &size).empty());
  LONGS_EQUAL(16, size);
  CHECK_TRUE(session->NextGet("get key", &size).empty());
  LONGS_EQUAL(0, size);
}
