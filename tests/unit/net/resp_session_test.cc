// RESP through a session: what each command answers, byte for byte as Redis does.
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "faults.h"
#include "net/conversation.h"
#include "net/resp.h"

using namespace keystone;
using namespace std::string_literals;

namespace {

// Words are separated by spaces; '' is an empty one.
std::string Encoded(std::string_view line) {
  std::vector<std::string_view> words;
  while (!line.empty()) {
    const size_t end = std::min(line.find(' '), line.size());
    words.push_back(line.substr(0, end) == "''" ? std::string_view() : line.substr(0, end));
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  std::string request;
  AppendRespArrayHeader(words.size(), &request);
  for (const std::string_view word : words) AppendRespBulk(word, &request);
  return request;
}

class RespConversation : public Conversation {
 public:
  void setup() override {
    host.stats = {"pid 9", "keys 3", "keys_expiring 1", "commands_get 2", "commands_set 3"};
    Conversation::setup();
  }

  std::string Ask(std::string_view line) { return Feed({Encoded(line)}); }

  // Each request with its reply, without the CR LF at its end.
  void Converse(const std::vector<std::pair<std::string, std::string>>& transcript) {
    for (const auto& [request, reply] : transcript) CHECK_EQUAL(reply + "\r\n", Ask(request));
  }
};

}  // namespace

TEST_GROUP_BASE(RespSession, RespConversation){};

TEST(RespSession, StringsAreReadAndWritten) {
  Converse({{"GET key", "$-1"},
            {"SET key value", "+OK"},
            {"get key", "$5\r\nvalue"},
            {"SET key ''", "+OK"},
            {"GET key", "$0\r\n"},
            {"STRLEN key", ":0"},
            {"STRLEN nothing", ":0"},
            {"APPEND key abc", ":3"},
            {"APPEND key de", ":5"},
            {"GETSET key new", "$5\r\nabcde"},
            {"GETSET other x", "$-1"},
            {"GETDEL key", "$3\r\nnew"},
            {"GETDEL key", "$-1"},
            {"SETNX key 1", ":1"},
            {"SETNX key 2", ":0"},
            {"GET key", "$1\r\n1"},
            {"TYPE key", "+string"},
            {"TYPE nothing", "+none"}});
}

TEST(RespSession, SetHasOptions) {
  Converse({{"SET key 1 XX", "$-1"},
            {"SET key 1 nx", "+OK"},
            {"SET key 2 NX", "$-1"},
            {"SET key 2 XX", "+OK"},
            {"SET key 3 GET", "$1\r\n2"},
            {"SET key 4 NX GET", "$1\r\n3"},
            {"SET new 1 GET", "$-1"},
            {"GET key", "$1\r\n3"},
            {"SET key 1 EX 100", "+OK"},
            {"TTL key", ":100"},
            {"SET key 2 KEEPTTL", "+OK"},
            {"TTL key", ":100"},
            {"SET key 3", "+OK"},
            {"TTL key", ":-1"},
            {"SET key 1 PXAT 4102444800000", "+OK"},
            {"PEXPIRETIME key", ":4102444800000"},
            {"SET key 1 exat 4102444801", "+OK"},
            {"EXPIRETIME key", ":4102444801"},
            {"SET key 1 EX 5 EX 100", "+OK"},
            {"TTL key", ":100"},
            {"SET key 1 EXAT 1", "+OK"},
            {"EXISTS key", ":0"}});
}

TEST(RespSession, SetRefusesOptionsThatContradict) {
  for (const char* options : {"NX XX", "XX NX", "EX 1 PX 1", "PX 1 EXAT 1", "KEEPTTL EX 1",
                              "EX 1 KEEPTTL", "EX", "GET EX", "FOO", "NX FOO", "PERSIST"}) {
    CHECK_EQUAL("-ERR syntax error\r\n"s, Ask("SET key value "s + options));
  }
  for (const char* time : {"EX 0", "EX -1", "PX 0", "EXAT 0", "PXAT -1", "EX 9223372036854775807",
                           "EX 9223372036854775", "PX 9223372036854775807"}) {
    CHECK_EQUAL("-ERR invalid expire time in 'set' command\r\n"s, Ask("SET key value "s + time));
  }
  CHECK_EQUAL("-ERR value is not an integer or out of range\r\n"s, Ask("SET key value EX 1s"));
  CHECK_EQUAL("$-1\r\n"s, Ask("GET key"));
  CHECK_EQUAL("+OK\r\n"s, Ask("SET key value PXAT 9223372036854775807"));
}

TEST(RespSession, ValuesAreStoredWithAnExpiry) {
  Converse({{"SETEX key 100 value", "+OK"},
            {"TTL key", ":100"},
            {"PSETEX key 50000 value", "+OK"},
            {"TTL key", ":50"},
            {"SETEX key 0 value", "-ERR invalid expire time in 'setex' command"},
            {"PSETEX key -1 value", "-ERR invalid expire time in 'psetex' command"},
            {"SETEX key x value", "-ERR value is not an integer or out of range"},
            {"INCR key", "-ERR value is not an integer or out of range"},
            {"GETSET key 1", "$5\r\nvalue"},
            {"TTL key", ":-1"},
            {"EXPIRE key 100", ":1"},
            {"INCR key", ":2"},
            {"APPEND key 0", ":2"},
            {"TTL key", ":100"}});
}

TEST(RespSession, ExpiriesAreChanged) {
  Converse({{"TTL key", ":-2"},
            {"PTTL key", ":-2"},
            {"EXPIRETIME key", ":-2"},
            {"EXPIRE key 10", ":0"},
            {"PERSIST key", ":0"},
            {"SET key 1", "+OK"},
            {"TTL key", ":-1"},
            {"PEXPIRETIME key", ":-1"},
            {"PERSIST key", ":0"},
            {"PEXPIRE key 100000", ":1"},
            {"TTL key", ":100"},
            {"EXPIREAT key 4102444800", ":1"},
            {"EXPIRETIME key", ":4102444800"},
            {"PEXPIREAT key 4102444800499", ":1"},
            {"EXPIRETIME key", ":4102444800"},
            {"PERSIST key", ":1"},
            {"TTL key", ":-1"},
            {"EXPIRE key 10 XX", ":0"},
            {"EXPIRE key 10 GT", ":0"},
            {"EXPIRE key 100 LT", ":1"},
            {"EXPIRE key 200 LT", ":0"},
            {"EXPIRE key 200 NX", ":0"},
            {"EXPIRE key 200 XX GT", ":1"},
            {"TTL key", ":200"},
            {"PERSIST key", ":1"},
            {"EXPIRE key 10 NX LT",
             "-ERR NX and XX, GT or LT options at the same time are not compatible"},
            {"EXPIRE key 10 FOO", "-ERR Unsupported option FOO"},
            {"EXPIRE key x", "-ERR value is not an integer or out of range"},
            {"EXPIRE key 9223372036854775807", "-ERR invalid expire time in 'expire' command"},
            {"PEXPIRE key 9223372036854775807", "-ERR invalid expire time in 'pexpire' command"},
            {"EXPIRE key -1", ":1"},
            {"EXISTS key", ":0"},
            {"SET key 1", "+OK"},
            {"PEXPIREAT key -9223372036854775808", ":1"},
            {"EXISTS key", ":0"}});
}

TEST(RespSession, GetExChangesAnExpiry) {
  Converse({{"GETEX key EX 100", "$-1"},
            {"SET key 1", "+OK"},
            {"GETEX key EX 100", "$1\r\n1"},
            {"TTL key", ":100"},
            {"GETEX key", "$1\r\n1"},
            {"TTL key", ":100"},
            {"GETEX key PERSIST", "$1\r\n1"},
            {"TTL key", ":-1"},
            {"GETEX key PERSIST EX 1", "-ERR syntax error"},
            {"GETEX key NX", "-ERR syntax error"},
            {"GETEX key EX 0", "-ERR invalid expire time in 'getex' command"},
            {"GETEX key EXAT 1", "$1\r\n1"},
            {"EXISTS key", ":0"}});
}

TEST(RespSession, NumbersAreCounted) {
  const std::string overflow = "-ERR increment or decrement would overflow";
  const std::string no_integer = "-ERR value is not an integer or out of range";
  Converse({{"INCR n", ":1"},
            {"INCRBY n 41", ":42"},
            {"DECR n", ":41"},
            {"DECRBY n 50", ":-9"},
            {"GET n", "$2\r\n-9"},
            {"INCRBY n x", no_integer},
            {"DECRBY n -9223372036854775808", "-ERR decrement would overflow"},
            {"SET n 9223372036854775807", "+OK"},
            {"INCR n", overflow},
            {"INCRBY n -1", ":9223372036854775806"},
            {"SET n -9223372036854775808", "+OK"},
            {"DECR n", overflow},
            {"SET n 01", "+OK"},
            {"INCR n", no_integer},
            {"GET n", "$2\r\n01"}});
}

TEST(RespSession, ManyKeysAtATime) {
  Converse({{"MSET a 1 b 2 a 3", "+OK"},
            {"MGET a b c", "*3\r\n$1\r\n3\r\n$1\r\n2\r\n$-1"},
            {"MSETNX c 1 a 1", ":0"},
            {"EXISTS a b c a", ":3"},
            {"MSETNX c 1 c 2 d 3", ":1"},
            {"MGET c d", "*2\r\n$1\r\n2\r\n$1\r\n3"},
            {"TOUCH a a z", ":2"},
            {"DBSIZE", ":4"},
            {"DEL a a z", ":1"},
            {"UNLINK b c d", ":3"},
            {"DBSIZE", ":0"},
            {"MSET a", "-ERR wrong number of arguments for 'mset' command"},
            {"MSET a 1 b", "-ERR wrong number of arguments for 'mset' command"},
            {"MSETNX a 1 b", "-ERR wrong number of arguments for 'msetnx' command"}});
}

TEST(RespSession, KeysAreRenamed) {
  Converse({{"RENAME a b", "-ERR no such key"},
            {"RENAME a a", "-ERR no such key"},
            {"RENAMENX a b", "-ERR no such key"},
            {"SETEX a 100 1", "+OK"},
            {"RENAME a a", "+OK"},
            {"RENAMENX a a", ":0"},
            {"RENAME a b", "+OK"},
            {"MGET a b", "*2\r\n$-1\r\n$1\r\n1"},
            {"TTL b", ":100"},
            {"SET c 2", "+OK"},
            {"RENAMENX b c", ":0"},
            {"MGET b c", "*2\r\n$1\r\n1\r\n$1\r\n2"},
            {"RENAME b c", "+OK"},
            {"RENAMENX c d", ":1"},
            {"MGET b c d", "*3\r\n$-1\r\n$-1\r\n$1\r\n1"},
            {"TTL d", ":100"}});
}

TEST(RespSession, KeysAreFound) {
  const std::string bad = "-ERR bad pattern '*a': only prefix* can be looked for";
  Converse({{"RANDOMKEY", "$-1"},
            {"SET user:1 x", "+OK"},
            {"RANDOMKEY", "$6\r\nuser:1"},
            {"SET user:2 x", "+OK"},
            {"SET z x", "+OK"},
            {"KEYS user:*", "*2\r\n$6\r\nuser:1\r\n$6\r\nuser:2"},
            {"KEYS z", "*1\r\n$1\r\nz"},
            {"KEYS ''", "*0"},
            {"KEYS *a", bad},
            {"SCAN 0 MATCH z* COUNT 100", "*2\r\n$1\r\n0\r\n*1\r\n$1\r\nz"},
            {"SCAN 0 match user:1 count 100 type STRING", "*2\r\n$1\r\n0\r\n*1\r\n$6\r\nuser:1"},
            {"SCAN 0 MATCH user: COUNT 100", "*2\r\n$1\r\n0\r\n*0"},
            {"SCAN 0 TYPE list", "*2\r\n$1\r\n0\r\n*0"},
            {"SCAN x", "-ERR invalid cursor"},
            {"SCAN 0 COUNT 0", "-ERR syntax error"},
            {"SCAN 0 COUNT x", "-ERR value is not an integer or out of range"},
            {"SCAN 0 COUNT", "-ERR syntax error"},
            {"SCAN 0 FOO 1", "-ERR syntax error"},
            {"SCAN 0 MATCH *a", bad},
            {"FLUSHALL", "+OK"},
            {"DBSIZE", ":0"},
            {"FLUSHDB ASYNC", "+OK"},
            {"FLUSHALL sync", "+OK"},
            {"FLUSHALL NOW", "-ERR syntax error"},
            {"FLUSHALL SYNC ASYNC", "-ERR syntax error"}});
}

TEST(RespSession, TheConnectionIsAskedAndTold) {
  const std::string hello =
      "*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n7.0.0\r\n$5\r\nproto\r\n:2\r\n"
      "$2\r\nid\r\n:42\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n"
      "$7\r\nmodules\r\n*0";
  const std::string bad_name =
      "-ERR Client names cannot contain spaces, newlines or special characters.";
  Converse({{"PING", "+PONG"},
            {"PING hello", "$5\r\nhello"},
            {"PING a b", "-ERR wrong number of arguments for 'ping' command"},
            {"ECHO hello", "$5\r\nhello"},
            {"SELECT 0", "+OK"},
            {"SELECT 1", "-ERR DB index is out of range"},
            {"SELECT x", "-ERR value is not an integer or out of range"},
            {"HELLO", hello},
            {"HELLO 2", hello},
            {"HELLO 3", "-NOPROTO unsupported protocol version"},
            {"HELLO x", "-ERR Protocol version is not an integer or out of range"},
            {"HELLO 2 FOO", "-ERR Syntax error in HELLO option 'FOO'"},
            {"HELLO 2 SETNAME", "-ERR Syntax error in HELLO option 'SETNAME'"},
            {"HELLO 2 AUTH me secret", "-ERR AUTH is not supported: there are no passwords"},
            {"CLIENT GETNAME", "$-1"},
            {"HELLO 2 SETNAME me", hello},
            {"CLIENT GETNAME", "$2\r\nme"},
            {"CLIENT SETNAME b\tad", bad_name},
            {"CLIENT SETNAME you", "+OK"},
            {"CLIENT ID", ":42"},
            {"CLIENT INFO", "$40\r\nid=42 name=you db=0 user=default resp=2\n"},
            {"CLIENT SETINFO LIB-NAME x", "+OK"},
            {"CLIENT SETINFO FOO x", "-ERR Unrecognized option 'FOO'"},
            {"CLIENT SETNAME", "-ERR wrong number of arguments for 'client|setname' command"},
            {"CLIENT LIST", "-ERR unknown subcommand 'LIST'. Try CLIENT HELP."},
            {"RESET", "+RESET"},
            {"CLIENT GETNAME", "$-1"}});
  CHECK_EQUAL("+OK\r\n"s, Ask("QUIT now"));
  CHECK_TRUE(session->closing());
}

TEST(RespSession, TheDaemonIsAskedAndTold) {
  Converse({{"CONFIG GET save", "*2\r\n$4\r\nsave\r\n$0\r\n"},
            {"CONFIG GET append* x",
             "*4\r\n$11\r\nappendfsync\r\n$2\r\nno\r\n"
             "$10\r\nappendonly\r\n$3\r\nyes"},
            {"CONFIG GET nothing", "*0"},
            {"CONFIG GET", "-ERR wrong number of arguments for 'config|get' command"},
            {"CONFIG SET save x", "-ERR CONFIG SET is not supported: see keystoned.conf(5)"},
            {"CONFIG RESETSTAT", "-ERR CONFIG RESETSTAT is not supported: figures only grow"},
            {"COMMAND DOCS get", "*0"},
            {"COMMAND INFO nothing", "*1\r\n$-1"},
            {"COMMAND INFO rename",
             "*1\r\n*10\r\n$6\r\nrename\r\n:3\r\n*1\r\n+write\r\n:1\r\n:2"
             "\r\n:1\r\n*0\r\n*0\r\n*0\r\n*0"},
            {"BGREWRITEAOF", "+Background append only file rewriting started"},
            {"BGREWRITEAOF", "-ERR Background append only file rewriting already in progress"}});
  CHECK_TRUE(Ask("COMMAND COUNT") == ":" + Ask("COMMAND").substr(1, 4));
  CHECK_TRUE(Ask("COMMAND LIST").starts_with("*" + Ask("COMMAND COUNT").substr(1) + "$3\r\nget"));
  CHECK_TRUE(Ask("TIME").starts_with("*2\r\n$10\r\n"));
  CHECK_TRUE(Ask("LASTSAVE").starts_with(":1"));
}

TEST(RespSession, InfoHasSectionsAsRedisHas) {
  CHECK_EQUAL("$0\r\n\r\n"s, Ask("INFO nothing"));
  CHECK_EQUAL("$51\r\n# Keyspace\r\ndb0:keys=3,expires=1,avg_ttl=0\r\n\r\n"s.substr(4),
              Ask("INFO keyspace").substr(4));
  const std::string all = Ask("INFO");
  for (const char* part :
       {"# Server\r\nredis_version:", "process_id:9\r\n", "\r\n\r\n# Clients\r\n",
        "total_commands_processed:5\r\n", "role:master\r\n"}) {
    CHECK_TRUE(all.find(part) != all.npos);
  }
}

TEST(RespSession, WhatIsNoCommandIsRefused) {
  const std::string beginning = "-ERR unknown command '";
  Converse({{"FOO", beginning + "FOO', with args beginning with: "},
            {"foo a b", beginning + "foo', with args beginning with: 'a' 'b' "},
            {"DELETE a", beginning + "DELETE', with args beginning with: 'a' "},
            {"''", beginning + "', with args beginning with: "},
            {"GET", "-ERR wrong number of arguments for 'get' command"},
            {"GET a b", "-ERR wrong number of arguments for 'get' command"},
            {"SET a", "-ERR wrong number of arguments for 'set' command"},
            {"SET '' 1", "-ERR empty key: a key has 1 byte or more"},
            {"MGET a ''", "-ERR empty key: a key has 1 byte or more"}});
  CHECK_EQUAL(beginning + std::string(128, 'c') + "', with args beginning with: '" +
                  std::string(128, 'x') + "' \r\n",
              Ask(std::string(200, 'c') + " " + std::string(200, 'x') + " more"));
  CHECK_EQUAL(beginning + "a  b', with args beginning with: 'c' \r\n",
              Feed({"*2\r\n$4\r\na\r\nb\r\n$3\r\nc\0d\r\n"s}));
  CHECK_FALSE(session->closing());
}

TEST(RespSession, WhatIsTooLongIsRefused) {
  limits = {.max_key_size = 8, .max_value_size = 4};
  NewSession();
  Converse({{"SET 12345678 1234", "+OK"},
            {"GET 123456789", "-ERR Protocol error: invalid bulk length"}});
  CHECK_TRUE(session->closing());
  NewSession();
  Converse({{"SET k 12345", "-ERR value too long: 5 bytes, the limit is 4"},
            {"APPEND 12345678 x", "-ERR string exceeds maximum allowed size (max-value-size)"},
            {"GET 12345678", "$4\r\n1234"}});
  limits = {.max_key_size = 4, .max_value_size = 100};
  NewSession();
  Converse({{"GET 12345", "-ERR key too long: 5 bytes, the limit is 4"}});
}

TEST(RespSession, AProtocolErrorIsAnsweredOnceAndCloses) {
  CHECK_EQUAL("+PONG\r\n-ERR Protocol error: expected '$', got 'x'\r\n"s,
              Feed({"*1\r\n$4\r\nPING\r\n*1\r\nx\r\n*1\r\n$4\r\nPING\r\n"}));
  CHECK_TRUE(session->closing());
  UNSIGNED_LONGS_EQUAL(1, counters.protocol_errors.Get());
  NewSession();
  CHECK_EQUAL("+OK\r\n-ERR Protocol error: expected '$', got 'x'\r\n"s,
              Feed({Encoded("SET a 1") + "*1\r\nx\r\n*1\r\n$4\r\nPING\r\n"}));
}

TEST(RespSession, LinesAndRespAlternate) {
  const std::string input = "SET a 1\n" + Encoded("GET a") + "GET a\r\n" + Encoded("SET a 2") +
                            "\nSET b 3\n" + Encoded("MGET a b") + "*0\r\nPING\n" + Encoded("QUIT");
  CHECK_EQUAL("OK\n$1\r\n1\r\nVALUE 1\n+OK\r\nOK\n*2\r\n$1\r\n2\r\n$1\r\n3\r\nOK PONG\n+OK\r\n"s,
              Feed({input}));
  CHECK_TRUE(session->closing());
}

TEST(RespSession, RepliesDoNotDependOnHowTheInputIsCut) {
  const std::string input = Encoded("SET a 1") + "GET a\n" + Encoded("MSET b 2 c 3") +
                            Encoded("INCR a") + Encoded("MULTI") + Encoded("DEL b c z") +
                            Encoded("GET a") + Encoded("EXEC") + Encoded("FLUSHALL") +
                            Encoded("DBSIZE") + Encoded("QUIT");
  CheckHoweverCut(
      "+OK\r\nVALUE 1\n+OK\r\n:2\r\n+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:2\r\n$1\r\n2\r\n+OK\r\n"
      ":0\r\n+OK\r\n",
      input);
}

TEST(RespSession, EveryByteRoundTripsThroughKeysAndValues) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  std::string input;
  const std::string pattern = "\0*"s;
  for (const std::vector<std::string_view>& words :
       {std::vector<std::string_view>{"SET", all, all}, {"GET", all}, {"KEYS", pattern}}) {
    AppendRespArrayHeader(words.size(), &input);
    for (const std::string_view word : words) AppendRespBulk(word, &input);
  }
  std::string expected = "+OK\r\n";
  AppendRespBulk(all, &expected);
  expected += "*1\r\n";
  AppendRespBulk(all, &expected);
  CHECK_EQUAL(expected, Feed({input}));
}

TEST(RespSession, TransactionsHoldReadsOfManyKeys) {
  Converse({{"MSET a 1 b 2", "+OK"},
            {"MULTI", "+OK"},
            {"MGET a", "+QUEUED"},
            {"EXISTS a b a", "+QUEUED"},
            {"EXISTS z", "+QUEUED"},
            {"RENAME a c", "+QUEUED"},
            {"MSETNX a 1 b 1", "+QUEUED"},
            {"SETNX a 3", "+QUEUED"},
            {"INCR c x", "-ERR wrong number of arguments for 'incr' command"},
            {"EXEC", "-EXECABORT Transaction discarded because of previous errors."},
            {"MULTI", "+OK"},
            {"MGET a", "+QUEUED"},
            {"EXISTS a b a", "+QUEUED"},
            {"EXISTS z", "+QUEUED"},
            {"RENAME a c", "+QUEUED"},
            {"MSETNX a 1 b 1", "+QUEUED"},
            {"SETNX a 3", "+QUEUED"},
            {"INCRBY c x", "+QUEUED"},
            {"PING", "+QUEUED"},
            {"DBSIZE", "+QUEUED"},
            {"EXEC",
             "*9\r\n*1\r\n$1\r\n1\r\n:3\r\n:0\r\n+OK\r\n:0\r\n:1\r\n"
             "-ERR value is not an integer or out of range\r\n+PONG\r\n:3"},
            {"MULTI", "+OK"},
            {"FLUSHALL", "-ERR FLUSHALL can't be part of a transaction"},
            {"INFO", "-ERR INFO can't be part of a transaction"},
            {"COMMAND LIST", "-ERR COMMAND can't be part of a transaction"},
            {"EXEC now",
             "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' "
             "command"},
            {"EXEC", "-ERR EXEC without MULTI"}});
}

TEST(RespSession, AFullDiskRefusesWritesAndReadsGoOn) {
  Ask("SET a 1");
  faults::Fail(faults::Call::kPwritev, ENOSPC);
  Converse({{"SET a 2", "-ERR log device full: writes are refused, reads go on"},
            {"MSETNX b 1 c 2", "-ERR log device full: writes are refused, reads go on"},
            {"GET a", "$1\r\n1"}});
  faults::Clear();
  Converse({{"INCR a", ":2"}, {"EXISTS b c", ":0"}});
}
