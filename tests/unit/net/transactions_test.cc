// Transactions of a session, and several of them that arrive at once.
#include <cerrno>
#include <string>
#include <string_view>

#include "faults.h"
#include "net/conversation.h"

using namespace keystone;
using namespace std::string_literals;

TEST_GROUP_BASE(Transactions, Conversation) {
  Writes writes;

  std::string Ask(std::string_view input) { return Feed({input}); }
};

TEST(Transactions, ATransactionIsAnsweredAtItsCommit) {
  CHECK_EQUAL("OK\nQUEUED\nQUEUED\nQUEUED\nQUEUED\nOK 4\nOK\nVALUE 1\nOK\nNOT_FOUND\n"s,
              Ask("BEGIN\nSET a 1\nGET a\nDELETE a\nGET a\nCOMMIT\n"));
}

TEST(Transactions, ATransactionIsOneGroup) {
  faults::Clear();
  CHECK_EQUAL("OK\nQUEUED\nQUEUED\nOK 2\nOK\nOK\n"s, Ask("BEGIN\nSET a 1\nSET b 2\nCOMMIT\n"));
  UNSIGNED_LONGS_EQUAL(1, faults::Count(faults::Call::kPwritev));
}

TEST(Transactions, NobodySeesATransactionBeforeItsCommit) {
  CHECK_EQUAL("OK\nQUEUED\n"s, Ask("BEGIN\nSET a 1\n"));
  Session other(store.get(), &limits, &host, &counters);
  std::string replies;
  Consume(&other, "GET a\n", &replies);
  CHECK_EQUAL("NOT_FOUND\n"s, replies);
  CHECK_EQUAL("OK 1\nOK\n"s, Ask("COMMIT\n"));
}

TEST(Transactions, AnAbortedTransactionDoesNothing) {
  CHECK_EQUAL("OK\nQUEUED\nOK\nNOT_FOUND\n"s, Ask("BEGIN\nSET a 1\nABORT\nGET a\n"));
}

TEST(Transactions, ATransactionWithARefusedRequestDoesNothing) {
  for (const std::string bad : {"FOO", "SET k", "STATS", "SCAN 0", "KEYS *", "SYNC"}) {
    const std::string replies = Ask("BEGIN\nSET a 1\n" + bad + "\nSET b 1\nCOMMIT\nCOUNT\n");
    CHECK_TRUE(replies.starts_with("OK\nQUEUED\nERROR "));
    CHECK_TRUE(
        replies.ends_with("\nQUEUED\nERROR a request of the transaction was refused: nothing "
                          "was done\nOK 0\n"));
  }
}

TEST(Transactions, WatchedKeysStayWatchedUntilTheTransactionEnds) {
  const auto resp = [](std::string_view command) {
    return "*1\r\n$" + std::to_string(command.size()) + "\r\n" + std::string(command) + "\r\n";
  };
  const std::string watch = "*2\r\n$5\r\nWATCH\r\n$1\r\nk\r\nSET k 1\n";
  CHECK_EQUAL("+OK\r\nOK\n-ERR DISCARD without MULTI\r\n+OK\r\nQUEUED\n*-1\r\n"s,
              Ask(watch + resp("DISCARD") + resp("MULTI") + "SET r 1\n" + resp("EXEC")));
  CHECK_EQUAL("+OK\r\nOK\n+OK\r\n+QUEUED\r\nQUEUED\n*-1\r\n"s,
              Ask(watch + resp("MULTI") + resp("UNWATCH") + "SET r 1\n" + resp("EXEC")));
  CHECK_EQUAL("+OK\r\nOK\n+OK\r\n+OK\r\nQUEUED\n*1\r\n+OK\r\n"s,
              Ask(watch + resp("UNWATCH") + resp("MULTI") + "SET r 1\n" + resp("EXEC")));
  CHECK_EQUAL("+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n"s,
              Ask(resp("MULTI") + resp("UNWATCH") + resp("EXEC")));
}

TEST(Transactions, ManyWordsOfATransactionAreBounded) {
  limits.max_value_size = 1000;
  NewSession();
  std::string input = "*10001\r\n$4\r\nMGET\r\n";
  for (int i = 0; i < 10000; i++) input += "$1\r\na\r\n";
  const std::string replies = Ask("BEGIN\n" + input + "COMMIT\n");
  CHECK_TRUE(replies.starts_with("OK\n-ERR transaction too big: the limit is "));
}

TEST(Transactions, AFailureIsNotTheReplyToALaterTransaction) {
  std::string replies;
  session->Consume("SET a 1\n", &writes, &replies);
  writes.batches().front()->set_status({Code::kIo, "append: broken"});
  session->Committed(&writes, &replies);
  replies.clear();
  session->Consume("BEGIN\nPING\nCOMMIT\n", &writes, &replies);
  store->Apply(writes.batches());
  session->Committed(&writes, &replies);
  CHECK_EQUAL("OK\nQUEUED\nOK 1\nOK PONG\n"s, replies);
}

TEST(Transactions, AnEmptyTransactionIsOne) { CHECK_EQUAL("OK\nOK 0\n"s, Ask("BEGIN\nCOMMIT\n")); }

TEST(Transactions, ATransactionAnswersWhatNeedsNoKey) {
  CHECK_EQUAL("OK\nQUEUED\nQUEUED\nQUEUED\nOK 3\nOK PONG\nOK\nOK 1\n"s,
              Ask("BEGIN\nPING\nSET a 1\nCOUNT\nCOMMIT\n"));
}

TEST(Transactions, TransactionsAreNotNestedAndEndOnce) {
  CHECK_EQUAL(
      "ERROR not in a transaction: send BEGIN first\nERROR not in a transaction: send BEGIN first\n"
      "OK\nERROR already in a transaction: send COMMIT or ABORT\nQUEUED\nOK 1\nOK PONG\n"s,
      Ask("COMMIT\nABORT\nBEGIN\nBEGIN\nPING\nCOMMIT\n"));
}

TEST(Transactions, ATransactionIsBounded) {
  limits.max_value_size = 1000;
  NewSession();
  std::string input = "BEGIN\n";
  for (int i = 0; i < 5000; i++) input += "SET k " + std::string(900, 'v') + "\n";
  const std::string replies = Ask(input + "COMMIT\nCOUNT\n");
  CHECK_TRUE(replies.find("ERROR transaction too big: the limit is ") != replies.npos);
  CHECK_TRUE(replies.ends_with("nothing was done\nOK 0\n"));
}

TEST(Transactions, WhatATransactionReadsIsBounded) {
  limits.max_value_size = 1000;
  NewSession();
  const std::string value(900, 'v');
  Ask("SET k " + value + "\nBEGIN\n");
  for (int i = 0; i < 5; i++) Ask("GET k\n");
  std::string expected = "OK 6\n";
  for (int i = 0; i < 4; i++) expected += "VALUE " + value + "\n";
  Ask("SET k small\n");
  CHECK_EQUAL(expected + "ERROR too much is read at once: split the transaction\nOK\n",
              Ask("COMMIT\n"));
}

TEST(Transactions, WhatATransactionRewritesIsBounded) {
  limits.max_value_size = 1000;
  NewSession();
  std::string input = "SET k " + std::string(900, 'v') + "\nBEGIN\n";
  for (int i = 0; i < 80; i++) input += "EXPIRE k " + std::to_string(1000 + i) + "\n";
  Ask(input);
  std::string expected = "OK 80\n";
  for (int i = 0; i < 71; i++) expected += "OK\n";
  for (int i = 71; i < 80; i++) {
    expected += "ERROR too much is read at once: split the transaction\n";
  }
  CHECK_EQUAL(expected, Ask("COMMIT\n"));
}

TEST(Transactions, AFailedCommitIsOneError) {
  CHECK_EQUAL("OK\nQUEUED\nQUEUED\n"s, Ask("BEGIN\nSET a 1\nSET b 2\n"));
  std::string replies;
  session->Consume("COMMIT\n", &writes, &replies);
  writes.batches().front()->set_status({Code::kIo, "append: broken"});
  session->Committed(&writes, &replies);
  CHECK_EQUAL("ERROR append: broken\n"s, replies);
}

TEST(Transactions, AWatchedKeyThatChangedStopsTheTransaction) {
  const auto watch = [&] { return Ask("*2\r\n$5\r\nWATCH\r\n$1\r\nk\r\nBEGIN\nSET r 1\n"); };
  constexpr const char* kBegun = "+OK\r\nOK\nQUEUED\n";
  Session other(store.get(), &limits, &host, &counters);
  for (const std::string change : {"SET k 1\n", "SET k 2\n", "DELETE k\n"}) {
    CHECK_EQUAL(kBegun, watch());
    std::string replies;
    Consume(&other, change, &replies);
    CHECK_EQUAL("OK\n"s, replies);
    CHECK_EQUAL("ERROR a watched key has changed: nothing was done\nNOT_FOUND\n"s,
                Ask("COMMIT\nGET r\n"));
  }
  CHECK_EQUAL(kBegun, watch());
  CHECK_EQUAL("OK 1\nOK\n"s, Ask("COMMIT\n"));
}

TEST(Transactions, ThoseThatOnlyReadAreAnsweredByAStoreThatIsReadOnly) {
  Ask("SET a 1\n");
  faults::Fail(faults::Call::kFdatasync, EIO);
  CHECK_TRUE(Ask("SYNC\n").starts_with("ERROR "));
  faults::Clear();
  const std::string error = Ask("SET a 2\n");
  CHECK_TRUE(error.starts_with("ERROR "));
  CHECK_EQUAL("OK\nQUEUED\nQUEUED\nQUEUED\nOK 3\nVALUE 1\nNOT_FOUND\nOK 1\n"s,
              Ask("BEGIN\nGET a\nEXISTS b\nCOUNT\nCOMMIT\n"));
  CHECK_EQUAL("+OK\r\nOK\nQUEUED\nOK 1\nVALUE 1\n"s,
              Ask("*2\r\n$5\r\nWATCH\r\n$1\r\na\r\nBEGIN\nGET a\nCOMMIT\n"));
  CHECK_EQUAL("OK\nQUEUED\nQUEUED\n" + error, Ask("BEGIN\nGET a\nDELETE b\nCOMMIT\n"));
  CHECK_EQUAL(error + "OK\nQUEUED\nOK 1\nVALUE 1\n" + error,
              Ask("SET b 1\nBEGIN\nGET a\nCOMMIT\nSET c 1\n"));
}

TEST(Transactions, AReadIsAnsweredBesideAWriteThatFails) {
  Ask("SET a 1\n");
  for (const int error : {EIO, EFBIG, ENOSPC}) {
    faults::FailOnce(faults::Call::kPwritev, error);
    const std::string replies = Ask("SET a 2\nBEGIN\nGET a\nCOMMIT\n");
    CHECK_TRUE(replies.starts_with("ERROR "));
    CHECK_TRUE(replies.ends_with("\nOK\nQUEUED\nOK 1\nVALUE 1\n"));
  }
}

TEST(Transactions, WhetherAKeyIsThereNeedsNoRoomForItsValue) {
  limits.max_value_size = 4;
  const std::string large(size_t{64} << 10, 'v');
  keystone::Batch batch;
  batch.Set("large", large);
  CHECK_TRUE(store->Apply(&batch).ok());
  faults::Clear();
  commits = 0;
  std::string input;
  for (int i = 0; i < 10; i++) input += "BEGIN\nEXISTS large\nCOMMIT\n";
  std::string expected;
  for (int i = 0; i < 10; i++) expected += "OK\nQUEUED\nOK 1\nOK\n";
  CHECK_EQUAL(expected, Ask(input));
  UNSIGNED_LONGS_EQUAL(1, commits);
}

TEST(Transactions, LargeRepliesAreHeldOnce) {
  const std::string encoded = "base64:" + std::string(size_t{4} << 20, 'A');
  Ask("SET k " + encoded + "\nBEGIN\nGET k\nGET k\nGET k\n");
  std::string replies;
  session->Consume("COMMIT\n", &writes, &replies);
  store->Apply(writes.batches());
  session->Committed(&writes, &replies);
  CHECK_TRUE(replies.size() > 3 * encoded.size());
  CHECK_TRUE(replies.capacity() < 3 * encoded.size() + (1 << 10));
}

// ---- several that arrive at once

TEST(Transactions, ThoseThatFollowEachOtherAreCommittedTogether) {
  faults::Clear();
  CHECK_EQUAL("OK\nOK\nQUEUED\nQUEUED\nOK 2\nOK\nOK\nOK\nOK\nQUEUED\nOK 1\nNOT_FOUND\n"s,
              Ask("SET x 1\nBEGIN\nSET a 1\nDELETE x\nCOMMIT\nSET y 1\nBEGIN\nDELETE x\nCOMMIT\n"));
  UNSIGNED_LONGS_EQUAL(1, faults::Count(faults::Call::kPwritev));
}

TEST(Transactions, EachIsAGroupOfItsOwn) {
  std::string replies;
  session->Consume("SET x 1\nBEGIN\nSET a 1\nSET b 1\nCOMMIT\nSET y 1\nSET z 1\n", &writes,
                   &replies);
  CHECK_EQUAL(""s, replies);
  const auto groups = writes.batches();
  UNSIGNED_LONGS_EQUAL(3, groups.size());
  UNSIGNED_LONGS_EQUAL(1, groups[0]->operations().size());
  UNSIGNED_LONGS_EQUAL(2, groups[1]->operations().size());
  UNSIGNED_LONGS_EQUAL(2, groups[2]->operations().size());
  groups[1]->set_status({Code::kIo, "append: broken"});
  session->Committed(&writes, &replies);
  CHECK_EQUAL("OK\nOK\nQUEUED\nQUEUED\nERROR append: broken\nOK\nOK\n"s, replies);
}

TEST(Transactions, AnEmptyOneHasNoPartInTheNext) {
  std::string replies;
  session->Consume("BEGIN\nCOMMIT\nBEGIN\nSET a 1\nCOMMIT\n", &writes, &replies);
  UNSIGNED_LONGS_EQUAL(1, writes.batches().size());
  writes.batches()[0]->set_status({Code::kIo, "append: broken"});
  session->Committed(&writes, &replies);
  CHECK_EQUAL("OK\nOK 0\nOK\nQUEUED\nERROR append: broken\n"s, replies);
}

TEST(Transactions, EachSeesThoseBeforeIt) {
  CHECK_EQUAL("OK\nQUEUED\nOK 1\nOK\nOK\nQUEUED\nQUEUED\nQUEUED\nOK 3\nVALUE 1\nOK\nVALUE 2\n"s,
              Ask("BEGIN\nSET a 1\nCOMMIT\nBEGIN\nGET a\nSET a 2\nGET a\nCOMMIT\n"));
  UNSIGNED_LONGS_EQUAL(1, commits);
}

TEST(Transactions, WhatIsUnwatchedTakesNoRoomAnyMore) {
  limits.max_value_size = 1;
  NewSession();
  const std::string watch = "*2\r\n$5\r\nWATCH\r\n$1\r\nk\r\n";
  const std::string unwatch = "*1\r\n$7\r\nUNWATCH\r\n";
  const size_t more_than_fit = limits.max_transaction_size() / watch.size();
  for (size_t i = 0; i < more_than_fit; i++) CHECK_EQUAL("+OK\r\n+OK\r\n"s, Ask(watch + unwatch));
}

TEST(Transactions, WhatIsExecutedBehindTheCommitSeesNoLaterOne) {
  CHECK_EQUAL("OK\nQUEUED\nQUEUED\nOK 2\nOK\nOK 1\nOK\nQUEUED\nOK 1\nOK\n"s,
              Ask("BEGIN\nSET a 1\nCOUNT\nCOMMIT\nBEGIN\nSET b 1\nCOMMIT\n"));
}

TEST(Transactions, AKeyIsWatchedAsTheWritesBeforeLeaveIt) {
  const std::string watch = "*2\r\n$5\r\nWATCH\r\n$1\r\nk\r\n";
  CHECK_EQUAL("OK\nQUEUED\nOK 1\nOK\n+OK\r\nOK\nQUEUED\nOK 1\nOK\n"s,
              Ask("BEGIN\nSET k 1\nCOMMIT\n" + watch + "BEGIN\nSET k 2\nCOMMIT\n"));
}

TEST(Transactions, OneThatIsNotDoneDoesNotStopTheNext) {
  const std::string watch = "*2\r\n$5\r\nWATCH\r\n$1\r\nk\r\n";
  CHECK_EQUAL(
      "+OK\r\nOK\nOK\nQUEUED\nERROR a watched key has changed: nothing was done\n"
      "OK\nQUEUED\nOK 1\nOK\nVALUE 1\nVALUE 3\n"s,
      Ask(watch + "SET k 1\nBEGIN\nSET k 2\nCOMMIT\nBEGIN\nSET a 3\nCOMMIT\nGET k\nGET a\n"));
}

TEST(Transactions, EachHasAllTheRoomForCopies) {
  limits.max_value_size = 1000;
  NewSession();
  const std::string value(900, 'v');
  Ask("SET k " + value + "\n");
  std::string input = "BEGIN\n";
  std::string expected = "OK\nQUEUED\nQUEUED\nQUEUED\nOK 3\n";
  for (int i = 0; i < 3; i++) {
    input += "GET k\n";
    expected += "VALUE " + value + "\n";
  }
  input += "COMMIT\n";
  CHECK_TRUE(Ask(input + input + input) == expected + expected + expected);
}

TEST(Transactions, RepliesDoNotDependOnHowTheInputIsCut) {
  const std::string input =
      "SET a 1\nBEGIN\nABORT\nBEGIN\nBEGIN\nSET b 1\nFOO\nCOMMIT\nBEGIN\nSET b 2\nGET a\nCOMMIT\n"
      "BEGIN\nCOMMIT\nDELETE b\nBEGIN\nDELETE b\nPING\nCOMMIT\nCOMMIT\nSET c 1\nBEGIN\nCOUNT\n";
  CheckHoweverCut(
      "OK\nOK\nOK\nOK\nERROR already in a transaction: send COMMIT or ABORT\nQUEUED\n"
      "ERROR unknown command 'FOO' (try HELP)\n"
      "ERROR a request of the transaction was refused: nothing was done\n"
      "OK\nQUEUED\nQUEUED\nOK 2\nOK\nVALUE 1\nOK\nOK 0\nOK\n"
      "OK\nQUEUED\nQUEUED\nOK 2\nNOT_FOUND\nOK PONG\n"
      "ERROR not in a transaction: send BEGIN first\nOK\nOK\nQUEUED\n",
      input);
}

TEST(Transactions, WhatIsKeptUntilACommitIsBounded) {
  std::string input = "SET a 1\nBEGIN\n";
  for (int i = 0; i < 30000; i++) input += "PING\n";
  std::string replies;
  CHECK_TRUE(session->Consume(input, &writes, &replies) < input.size() / 2);
  CHECK_TRUE(session->has_more());
  writes.Clear();
  NewSession();

  const std::string big = "BEGIN\nSET a " + std::string(size_t{300} << 10, 'v') + "\nCOMMIT\n";
  input.clear();
  for (int i = 0; i < 10; i++) input += big;
  CHECK_EQUAL(4 * big.size(), session->Consume(input, &writes, &replies));
  CHECK_TRUE(session->has_more());
}

// What a transaction looks at besides is not among its operations.
TEST(Transactions, OneOfOneWriteIsNoSmallWrite) {
  std::string replies;
  session->Consume("SET a 1\n", &writes, &replies);
  CHECK_TRUE(writes.is_small());
  store->Apply(writes.batches());
  session->Committed(&writes, &replies);
  Ask("*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n2\r\n*1\r\n$9\r\nRANDOMKEY\r\n");
  session->Consume("*1\r\n$4\r\nEXEC\r\n", &writes, &replies);
  LONGS_EQUAL(1, writes.operations());
  CHECK_FALSE(writes.is_small());
  store->Apply(writes.batches());
  session->Committed(&writes, &replies);
  CHECK_EQUAL("OK\n*2\r\n+OK\r\n$1\r\na\r\n"s, replies);
}
