#include "net/memcached.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "CppUTest/TestHarness.h"
#include "net/session.h"

using namespace keystone;
using namespace std::string_literals;

namespace {

const Limits kLimits{.max_key_size = 1024, .max_value_size = 100};

const char* const kNames[] = {"get",       "gets",    "gat",     "gats",    "set",
                              "add",       "replace", "append",  "prepend", "cas",
                              "incr",      "decr",    "touch",   "delete",  "flush_all",
                              "verbosity", "stats",   "version", "quit"};

// All parts of a request that are not at their defaults.
std::string Text(const MemcachedRequest& request) {
  std::string text = kNames[static_cast<size_t>(request.verb)];
  if (!request.key.empty()) text.append(" [").append(request.key).append("]");
  if (request.client_flags != 0) text += " flags " + std::to_string(request.client_flags);
  if (request.exptime != 0) text += " exptime " + std::to_string(request.exptime);
  if (request.unique != 0) text += " unique " + std::to_string(request.unique);
  if (request.delta != 0) text += " delta " + std::to_string(request.delta);
  if (!request.argument.empty()) text.append(" about ").append(request.argument);
  if (request.value.data() != nullptr) text.append(" {").append(request.value).append("}");
  if (request.noreply) text += " noreply";
  return text;
}

std::string Text(const MemcachedStep& step) {
  switch (step.kind) {
    case MemcachedStep::Kind::kUnfinished:
      return "";
    case MemcachedStep::Kind::kRequest:
      return Text(step.request) + "\n";
    case MemcachedStep::Kind::kEnd:
      return "end\n";
    case MemcachedStep::Kind::kRefused:
      return (step.text.empty() ? "silence\r\n"s : std::string(step.text)) +
             (step.closes ? "closed\n" : "");
    case MemcachedStep::Kind::kHttp:
      return "http [" + std::string(step.text) + "]" + (step.closes ? " closed\n" : "\n");
  }
  return "?";
}

// A client's bytes, as they come.
class Talk {
 public:
  // What the parser makes of more bytes, a line a step.
  std::string Receive(std::string_view bytes) {
    waiting_.append(bytes);
    std::string text;
    for (;;) {
      // Exactly what there is, so that the address sanitizer sees a read behind its end.
      const std::vector<char> input(waiting_.begin(), waiting_.end());
      const MemcachedStep step = parser_.Next({input.data(), input.size()}, kLimits);
      CHECK_TRUE(step.used <= input.size());
      text += Text(step);
      waiting_.erase(0, step.used);
      if (step.kind == MemcachedStep::Kind::kUnfinished || step.closes) return text;
    }
  }

  const std::string& waiting() const { return waiting_; }
  MemcachedParser& parser() { return parser_; }

 private:
  MemcachedParser parser_;
  std::string waiting_;
};

std::string Parsed(std::string_view bytes) { return Talk().Receive(bytes); }

void CheckParsed(const std::string& expected, std::string_view bytes) {
  const std::string parsed = Parsed(bytes);
  STRCMP_EQUAL(expected.c_str(), parsed.c_str());
}

const std::string kError = "ERROR\r\n";
const std::string kBadFormat = "CLIENT_ERROR bad command line format\r\n";
const std::string kBadExptime = "CLIENT_ERROR invalid exptime argument\r\n";
const std::string kBadDelta = "CLIENT_ERROR invalid numeric delta argument\r\n";
const std::string kDeleteUsage =
    "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n";
const std::string kBadChunk = "CLIENT_ERROR bad data chunk\r\n";
const std::string kTooLong = "CLIENT_ERROR line too long\r\nclosed\n";
const std::string kTooLarge = "SERVER_ERROR object too large for cache\r\n";
const std::string kSilence = "silence\r\n";

const std::string kLongestKey(250, 'k');
const std::string kTooLongKey(251, 'k');

std::string Head(std::string_view key, uint32_t flags, size_t size,
                 const uint64_t* unique = nullptr) {
  std::string out;
  AppendMemcachedHead(key, flags, size, unique, &out);
  return out;
}

std::string ErrorText(const Status& status) {
  std::string out;
  AppendMemcachedError(status, &out);
  return out;
}

}  // namespace

TEST_GROUP(Memcached){};

TEST(Memcached, HandsOutEachKeyOfALineThatFetchesAndThenItsEnd) {
  CheckParsed("get [k]\nend\n", "get k\r\n");
  CheckParsed("gets [a]\ngets [b]\ngets [a]\nend\n", "gets a b a\r\n");
  CheckParsed("gat [a] exptime 10\ngat [b] exptime 10\nend\n", "gat 10 a b\r\n");
  CheckParsed("gats [a] exptime -1\nend\n", "gats -1 a\r\n");
}

TEST(Memcached, ForgetsTheTimeOfALineThatTouched) {
  CheckParsed("gat [a] exptime 10\nend\nget [a]\nend\n", "gat 10 a\r\nget a\r\n");
}

TEST(Memcached, TakesALineWithoutACarriageReturnAndAnyNumberOfSpaces) {
  CheckParsed("get [k]\nend\n", "get k\n");
  CheckParsed("get [a]\nget [b]\nend\n", "  get  a   b  \r\n");
  CheckParsed("set [k] {x}\n", "set  k  0  0  1 \nx\r\n");
}

TEST(Memcached, TakesAnyByteAsPartOfAKeyButSpaceAndLineFeed) {
  for (int byte = 0; byte < 256; ++byte) {
    if (byte == ' ' || byte == '\n') continue;
    const std::string key = {'a', static_cast<char>(byte), 'z'};
    const std::string parsed = Parsed("get " + key + " " + key + "\r\n");
    CHECK_TRUE(parsed == "get [" + key + "]\nget [" + key + "]\nend\n");
  }
  CheckParsed("get [a\r]\nget [b]\nend\n", "get a\r b\r\n");
  CheckParsed("get [a\r]\nend\n", "get a\r\r\n");
}

TEST(Memcached, RefusesALineThatFetchesWithoutKeys) {
  CheckParsed(kError, "get\r\n");
  CheckParsed(kError, "gets \r\n");
  CheckParsed(kError, "gat\r\n");
  CheckParsed("end\n", "gat 0\r\n");
}

TEST(Memcached, RefusesALineThatFetchesAsAWhole) {
  CheckParsed("get [" + kLongestKey + "]\nend\n", "get " + kLongestKey + "\r\n");
  CheckParsed(kBadFormat, "get a " + kTooLongKey + " b\r\n");
  CheckParsed(kBadFormat + "version\n", "gat 0 a " + kTooLongKey + "\r\nversion\r\n");
  CheckParsed(kBadExptime, "gat soon a\r\n");
  CheckParsed(kBadExptime, "gats 99999999999999999999 a\r\n");
}

TEST(Memcached, GivesUpTheRestOfALineThatFetches) {
  MemcachedParser parser;
  (void)parser.Next("get a b c\r\n", kLimits);
  parser.Abandon();
  LONGS_EQUAL(4, parser.Next(" b c", kLimits).used);
  const MemcachedStep step = parser.Next("\r\nversion\r\n", kLimits);
  CHECK_TRUE(step.kind == MemcachedStep::Kind::kRequest);
  CHECK_TRUE(step.request.verb == MemcachedVerb::kVersion);
  LONGS_EQUAL(11, step.used);
}

TEST(Memcached, GivesUpNothingOutsideOfALineThatFetches) {
  Talk talk;
  (void)talk.Receive("get a\r\n");
  talk.parser().Abandon();
  STRCMP_EQUAL("version\n", talk.Receive("version\r\n").c_str());
}

TEST(Memcached, WaitsWhereOnlyAPartOfTheKeysIsThere) {
  MemcachedParser parser;
  (void)parser.Next("get a bb c\r\n", kLimits);
  CHECK_TRUE(parser.Next(" b", kLimits).kind == MemcachedStep::Kind::kUnfinished);
  CHECK_TRUE(parser.Next("  ", kLimits).kind == MemcachedStep::Kind::kUnfinished);
  CHECK_TRUE(parser.Next("\r", kLimits).kind == MemcachedStep::Kind::kUnfinished);
  STRCMP_EQUAL("bb", std::string(parser.Next(" bb ", kLimits).request.key).c_str());
}

TEST(Memcached, TakesTheDataOfAStorageCommandByItsSize) {
  CheckParsed("set [k] {value}\n", "set k 0 0 5\r\nvalue\r\n");
  CheckParsed("add [k] {a\r\nb c\n}\n", "add k 0 0 7\r\na\r\nb c\n\r\n");
  CheckParsed("replace [k] {}\n", "replace k 0 0 0\r\n\r\n");
  CheckParsed("append [k] flags 4294967295 exptime -5 {x}\n", "append k 4294967295 -5 1\r\nx\r\n");
  CheckParsed("prepend [k] exptime 2592001 {x}\n", "prepend k 0 2592001 1\r\nx\r\n");
  CheckParsed("cas [k] unique 18446744073709551615 {x}\n",
              "cas k 0 0 1 18446744073709551615\r\nx\r\n");
}

TEST(Memcached, TakesADataBlockOfAllBytes) {
  std::string block;
  for (int byte = 0; byte < 100; ++byte) block += static_cast<char>(byte);
  CHECK_TRUE("set [k] {" + block + "}\n" == Parsed("set k 0 0 100\r\n" + block + "\r\n"));
}

TEST(Memcached, SaysNothingAfterNoreplyEvenWhereItRefuses) {
  CheckParsed("set [k] {x} noreply\n", "set k 0 0 1 noreply\r\nx\r\n");
  CheckParsed("cas [k] unique 7 {x} noreply\n", "cas k 0 0 1 7 noreply\r\nx\r\n");
  CheckParsed("incr [k] delta 1 noreply\n", "incr k 1 noreply\r\n");
  CheckParsed("touch [k] exptime 1 noreply\n", "touch k 1 noreply\r\n");
  CheckParsed("delete [k] noreply\n", "delete k noreply\r\n");
  CheckParsed("delete [k] noreply\n", "delete k 0 noreply\r\n");
  CheckParsed("flush_all noreply\n", "flush_all noreply\r\n");
  CheckParsed("flush_all exptime 9 noreply\n", "flush_all 9 noreply\r\n");
  CheckParsed("verbosity noreply\n", "verbosity 1 noreply\r\n");
  CheckParsed(kSilence, "set k flags 0 1 noreply\r\nx\r\n");
  CheckParsed(kSilence, "set k 0 0 noreply\r\n");
  CheckParsed(kSilence + kError, "set k 0 0 1 noreply\r\nxy\r\n");
  CheckParsed(kSilence, "set k 0 0 101 noreply\r\n");
  CheckParsed(kSilence, "incr k much noreply\r\n");
  CheckParsed(kSilence, "touch k soon noreply\r\n");
  CheckParsed(kSilence, "delete k now noreply\r\n");
  CheckParsed(kSilence, "delete " + kTooLongKey + " noreply\r\n");
  CheckParsed(kSilence, "flush_all soon noreply\r\n");
  CheckParsed(kSilence, "verbosity noreply\r\n");
}

TEST(Memcached, IgnoresAnotherLastWordInThePlaceOfNoreply) {
  CheckParsed("set [k] {x}\n", "set k 0 0 1 quietly\r\nx\r\n");
  CheckParsed("incr [k] delta 1\n", "incr k 1 quietly\r\n");
  CheckParsed("flush_all\n", "flush_all 0 quietly\r\n");
}

TEST(Memcached, RefusesALineOfTheWrongLength) {
  for (const char* line :
       {"set", "set k", "set k 0 0", "set k 0 0 1 2 3", "cas k 0 0 1", "cas k 0 0 1 2 3 4",
        "cas k 0 0 1 2 3 noreply", "incr k", "incr k 1 2 3", "decr", "touch k", "touch k 1 2 3",
        "delete", "delete k 1 2 3", "flush_all 1 2 3", "verbosity", "verbosity 1 2 3"}) {
    CheckParsed(kError, line + "\r\n"s);
  }
}

TEST(Memcached, RefusesWhatIsNoCommand) {
  for (const char* line : {"", "\r", " ", "x", "GET k", "getx k", "ge", "mn", "mg k v", "ms k 1",
                           "slabs", "watch", "cache_memlimit 1", "lru_crawler enable", "\x80"}) {
    CheckParsed(kError, line + "\n"s);
  }
}

TEST(Memcached, RefusesBadNumbers) {
  for (const char* line : {"set k -1 0 1", "set k 4294967296 0 1", "set k x 0 1", "set k 0 x 1",
                           "set k 0 1.5 1", "set k 0 99999999999999999999 1", "cas k 0 0 1 x",
                           "cas k 0 0 1 -1", "cas k 0 0 1 18446744073709551616"}) {
    CheckParsed(kBadFormat + "version\n", line + "\r\nx\r\nversion\r\n"s);
  }
  for (const char* size : {"-1", "x", "1x", "2147483646", "99999999999999999999"}) {
    CheckParsed(kBadFormat + "version\n", "set k 0 0 "s + size + "\r\nversion\r\n");
  }
  for (const char* delta : {"-1", "x", "1.5", "18446744073709551616"}) {
    CheckParsed(kBadDelta, "incr k "s + delta + "\r\n");
    CheckParsed(kBadDelta, "decr k "s + delta + "\r\n");
  }
  CheckParsed(kBadExptime, "touch k soon\r\n");
  CheckParsed(kBadExptime, "flush_all soon\r\n");
  CheckParsed(kBadFormat, "verbosity loud\r\n");
}

TEST(Memcached, TakesTheBiggestNumbers) {
  CheckParsed("incr [k] delta 18446744073709551615\n", "incr k 18446744073709551615\r\n");
  CheckParsed("touch [k] exptime -9223372036854775808\n", "touch k -9223372036854775808\r\n");
}

TEST(Memcached, RefusesAKeyThatIsTooLong) {
  for (const char* format : {"incr % 1", "decr % 1", "touch % 1", "delete %"}) {
    std::string line = format;
    line.replace(line.find('%'), 1, kTooLongKey);
    CheckParsed(kBadFormat, line + "\r\n");
  }
  const Limits shorter{.max_key_size = 3, .max_value_size = 9};
  MemcachedParser parser;
  CHECK_TRUE(parser.Next("delete long\r\n", shorter).kind == MemcachedStep::Kind::kRefused);
  CHECK_TRUE(parser.Next("delete key\r\n", shorter).kind == MemcachedStep::Kind::kRequest);
}

TEST(Memcached, NeverExecutesTheDataOfARefusedLine) {
  CheckParsed(kBadFormat + "version\n",
              "set " + kTooLongKey + " 0 0 11\r\n\r\nflush_all\r\nversion\r\n");
  CheckParsed(kTooLarge + "version\n",
              "set k 0 0 101\r\n" + std::string(90, '\n') + "flush_all\r\n\r\nversion\r\n");
}

TEST(Memcached, SkipsDataThatIsTooLargeAsItComes) {
  Talk talk;
  STRCMP_EQUAL(kTooLarge.c_str(), talk.Receive("set k 0 0 1000000\r\n").c_str());
  for (int i = 0; i < 1000; ++i) {
    STRCMP_EQUAL("", talk.Receive(std::string(1000, '\n')).c_str());
    CHECK_TRUE(talk.waiting().empty());
  }
  STRCMP_EQUAL("version\n", talk.Receive("\r\nversion\r\n").c_str());
}

TEST(Memcached, RefusesDataThatDoesNotEndWhereItsSizeSays) {
  CheckParsed(kBadChunk + kError, "set k 0 0 1\r\nxy\r\n");
  CheckParsed(kBadChunk + "get [k]\nend\n", "set k 0 0 1\r\nxyzget k\r\n");
  CheckParsed(kBadChunk + kError, "set k 0 0 3\r\nx\r\nget k\r\n");
}

TEST(Memcached, KnowsTheDelayThatDeleteOnceTook) {
  CheckParsed("delete [k]\n", "delete k 0\r\n");
  CheckParsed("delete [noreply]\n", "delete noreply\r\n");
  CheckParsed(kDeleteUsage, "delete k 1\r\n");
  CheckParsed(kDeleteUsage, "delete k 0 0\r\n");
  CheckParsed(kDeleteUsage, "delete k noreply 0\r\n");
}

TEST(Memcached, TakesTheCommandsWithoutAKey) {
  CheckParsed("flush_all\n", "flush_all\r\n");
  CheckParsed("flush_all exptime -1\n", "flush_all -1\r\n");
  CheckParsed("verbosity\n", "verbosity 3\r\n");
  CheckParsed("version\n", "version now please\r\n");
  CheckParsed("quit\n", "quit please\r\n");
  CheckParsed("stats\n", "stats\r\n");
  CheckParsed("stats about items\n", "stats  items 1 2 3 4 5 6 7 8 9\r\n");
}

TEST(Memcached, ClosesOnALineThatIsTooLong) {
  const std::string longest = "stats " + std::string(2048 - 6 - 1, 'x') + "\r";
  CheckParsed("stats about " + std::string(2048 - 6 - 1, 'x') + "\n", longest + "\n");
  CheckParsed(kTooLong, longest + "x\n");
  CheckParsed(kTooLong, std::string(2049, 'x'));
  CheckParsed("", std::string(2048, 'x'));
  CheckParsed(kTooLong, std::string(2049, ' '));
}

TEST(Memcached, TakesALongLineOfKeys) {
  std::string line = "gets";
  std::string expected;
  while (line.size() + kLongestKey.size() < (1 << 20)) {
    line += " " + kLongestKey;
    expected += "gets [" + kLongestKey + "]\n";
  }
  CheckParsed(expected + "end\n", line + "\r\n");
  CheckParsed(kTooLong, line + " " + kLongestKey);
  CheckParsed(kTooLong, line + " " + kLongestKey + "\r\n");
}

TEST(Memcached, ClosesOnHttp) {
  CheckParsed("http [GET / HTTP/1.1] closed\n", "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  CheckParsed("http [POST /x HTTP/1.0] closed\n", "POST /x HTTP/1.0\r\n\r\nset k 0 0 1\r\nx\r\n");
  CheckParsed("get [/]\nget [HTTP/1.1]\nend\n", "get / HTTP/1.1\r\n");
}

TEST(Memcached, MakesTheSameOfBytesHoweverTheyAreSplit) {
  const std::string stream =
      "get a bb ccc\r\nset k 1 2 5\r\n12\r\n3\r\ngat 5 a b\nset k 0 0 1\r\nxyz\r\nset k 0 0 "
      "101\r\n" +
      std::string(101, 'v') + "\r\ncas k 0 0 0 9 noreply\r\n\r\nset " + kTooLongKey +
      " 0 0 4\r\nquit\r\ndelete k\r\nincr k x\r\n\r\nstats items\r\n get  z  \r\nquit\r\nleft";
  const std::string whole = Parsed(stream);
  STRCMP_CONTAINS("quit\n", whole.c_str());
  for (size_t split = 0; split <= stream.size(); ++split) {
    Talk talk;
    std::string parsed = talk.Receive(stream.substr(0, split));
    parsed += talk.Receive(stream.substr(split));
    STRCMP_EQUAL(whole.c_str(), parsed.c_str());
    STRCMP_EQUAL("left", talk.waiting().c_str());
  }
  Talk talk;
  std::string parsed;
  for (const char c : stream) parsed += talk.Receive({&c, 1});
  STRCMP_EQUAL(whole.c_str(), parsed.c_str());
}

TEST(Memcached, CopiesLookAheadWithoutTaking) {
  MemcachedParser parser;
  MemcachedParser ahead = parser;
  const std::string_view input = "get a b\r\n";
  const size_t used = ahead.Next(input, kLimits).used;
  STRCMP_EQUAL("b", std::string(ahead.Next(input.substr(used), kLimits).request.key).c_str());
  STRCMP_EQUAL("a", std::string(parser.Next(input, kLimits).request.key).c_str());
}

TEST(Memcached, CountsShortTimesFromNow) {
  constexpr uint64_t kNowMs = 1'700'000'000'123;
  CHECK_EQUAL(0, MemcachedExpiry(0, kNowMs));
  CHECK_EQUAL(kNowMs + 1000, MemcachedExpiry(1, kNowMs));
  CHECK_EQUAL(kNowMs + 2'592'000'000, MemcachedExpiry(2'592'000, kNowMs));
  CHECK_EQUAL(2'592'001'000, MemcachedExpiry(2'592'001, kNowMs));
  CHECK_EQUAL(4'102'444'800'000, MemcachedExpiry(4'102'444'800, kNowMs));
  CHECK_TRUE(MemcachedExpiry(INT64_MAX, kNowMs) > kNowMs);
  for (const int64_t negative : {int64_t{-1}, INT64_MIN}) {
    CHECK_TRUE(MemcachedExpiry(negative, kNowMs) != 0);
    CHECK_TRUE(MemcachedExpiry(negative, kNowMs) < kNowMs);
  }
}

TEST(Memcached, ReadsNumbersAsMemcachedDoes) {
  const struct {
    std::string_view value;
    uint64_t number;
  } rows[] = {{"0", 0},     {"5", 5},           {" 7  ", 7}, {"005", 5},
              {"5\r\n", 5}, {"\t5 abc def", 5}, {" +5", 5},  {"18446744073709551615", UINT64_MAX}};
  for (const auto& row : rows) {
    uint64_t number = 99;
    CHECK_TRUE(ParseMemcachedNumber(row.value, &number));
    CHECK_EQUAL(row.number, number);
  }
  for (const std::string_view value :
       {"", " ", "-1", "+", "++5", "+-5", "5a", "a5", "0x5", "18446744073709551616"}) {
    uint64_t number = 0;
    CHECK_FALSE(ParseMemcachedNumber(value, &number));
  }
}

TEST(Memcached, WritesTheLineBeforeAValue) {
  STRCMP_EQUAL("VALUE k 0 5\r\n", Head("k", 0, 5).c_str());
  const uint64_t unique = UINT64_MAX;
  STRCMP_EQUAL("VALUE k 4294967295 0 18446744073709551615\r\n",
               Head("k", UINT32_MAX, 0, &unique).c_str());
  STRCMP_EQUAL("VALUE \x01\xff 0 4\r\n", Head("\x01\xff", 0, 4).c_str());
}

TEST(Memcached, WritesErrorsOnOneLine) {
  STRCMP_EQUAL("SERVER_ERROR log device full\r\n",
               ErrorText({Code::kNoSpace, "append 1.log: No space left on device"}).c_str());
  STRCMP_EQUAL("SERVER_ERROR sync a?b.log: Input/output error?\r\n",
               ErrorText({Code::kIo, "sync a\nb.log: Input/output error\r"}).c_str());
  STRCMP_EQUAL("CLIENT_ERROR no\r\n", ErrorText({Code::kInvalid, "no"}).c_str());
}
