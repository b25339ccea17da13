#include "net/resp.h"

#include <initializer_list>
#include <string>
#include <string_view>
#include <vector>

#include "CppUTest/TestHarness.h"

using namespace keystone;
using namespace std::string_literals;

namespace {

using enum RespParser::Progress;

constexpr size_t kMaxWord = 32;
constexpr size_t kMaxRequest = 100'000;

std::string Encoded(std::initializer_list<std::string_view> words) {
  std::string out;
  AppendRespArrayHeader(words.size(), &out);
  for (const std::string_view word : words) AppendRespBulk(word, &out);
  return out;
}

// What a parser makes of the last answer, as text.
std::string Shown(RespParser::Progress progress, const RespParser& parser) {
  if (progress == kNeedMore) return "more";
  if (progress == kError) return parser.error();
  std::string out = std::to_string(parser.size());
  for (const std::string_view word : parser.words()) out.append(" [").append(word).append("]");
  return out;
}

std::string Parsed(std::string_view input) {
  RespParser parser(kMaxWord, kMaxRequest);
  return Shown(parser.Next(input), parser);
}

// The same where it comes in pieces of that size, each time at another place in memory.
std::string ParsedInPieces(std::string_view input, size_t piece) {
  RespParser parser(kMaxWord, kMaxRequest);
  std::vector<std::string> seen;
  for (size_t size = piece; size < input.size(); size += piece) {
    seen.emplace_back(input.substr(0, size));
    const RespParser::Progress progress = parser.Next(seen.back());
    if (progress != kNeedMore) return Shown(progress, parser);
  }
  seen.emplace_back(input);
  return Shown(parser.Next(seen.back()), parser);
}

std::string Error(std::string_view why) { return "Protocol error: " + std::string(why); }

std::string GetKey(std::string_view input) {
  size_t size = 0;
  const std::string_view key = KeyOfRespGet(input, &size);
  return key.empty() ? "none" : std::string(key) + " " + std::to_string(size);
}

bool Reads(std::string_view text, int64_t expected) {
  int64_t number = 0;
  return ParseRespInteger(text, &number) && number == expected;
}

bool Refuses(std::string_view text) {
  int64_t number = 0;
  return !ParseRespInteger(text, &number);
}

}  // namespace

TEST_GROUP(Resp){};

TEST(Resp, ARequestIsItsWords) {
  const std::string request = Encoded({"SET", "a\r\nb\0c"s, ""});
  CHECK_EQUAL("31 [SET] [a\r\nb\0c] []"s, Parsed(request));
  CHECK_EQUAL("31 [SET] [a\r\nb\0c] []"s, Parsed(request + "*1\r\n$4\r\nPING\r\n"));
  CHECK_EQUAL("14 [PING]"s, Parsed("*1\r\n$4\r\nPING\r\n"));
}

TEST(Resp, ARequestOfNoWordsIsComplete) {
  CHECK_EQUAL("4"s, Parsed("*0\r\n"));
  CHECK_EQUAL("5"s, Parsed("*-1\r\n*"));
}

TEST(Resp, OneRequestFollowsTheOther) {
  const std::string input =
      Encoded({"GET", "a"}) + "*0\r\n" + Encoded({"GET", "b", "c"}) + "*1\r\n$";
  std::string_view rest = input;
  RespParser parser(kMaxWord, kMaxRequest);
  std::string shown;
  while (parser.Next(rest) == kRequest) {
    shown += Shown(kRequest, parser) + "; ";
    rest.remove_prefix(parser.size());
  }
  CHECK_EQUAL("20 [GET] [a]; 4; 27 [GET] [b] [c]; "s, shown);
  CHECK_EQUAL("*1\r\n$"s, std::string(rest));
}

TEST(Resp, ARequestIsTheSameHoweverItWasCut) {
  const std::string request = Encoded({"MSET", "key", "va\r\nlue", "", std::string(32, 'x')});
  const std::string whole = Parsed(request);
  for (size_t piece = 1; piece <= request.size(); ++piece) {
    CHECK_EQUAL(whole, ParsedInPieces(request, piece));
  }
  for (size_t cut = 0; cut < request.size(); ++cut) {
    CHECK_EQUAL("more"s, Parsed(request.substr(0, cut)));
    RespParser parser(kMaxWord, kMaxRequest);
    CHECK_TRUE(parser.Next(request.substr(0, cut)) == kNeedMore);
    const std::string all = request + "*1\r\n";
    CHECK_EQUAL(whole, Shown(parser.Next(all), parser));
  }
}

TEST(Resp, AnErrorIsTheSameHoweverTheInputWasCut) {
  for (const std::string& input : {"*1\r\n$4\r\nPINGxx"s, "*2\r\n$4\r\nPING\r\n$33\r\n"s,
                                   "*1\r\n$1\rx"s, "*1\n$4\r\nPING\r\n"s}) {
    const std::string error = Parsed(input);
    CHECK_TRUE(error.starts_with("Protocol error: "));
    for (size_t piece = 1; piece <= input.size(); ++piece) {
      CHECK_EQUAL(error, ParsedInPieces(input, piece));
    }
  }
}

TEST(Resp, ABadCountIsAnError) {
  for (const char* count : {"", "x", "01", "+1", "-0", "1 ", " 1", "262145", "2147483648",
                            "99999999999999999999", "1\r"}) {
    CHECK_EQUAL(Error("invalid multibulk length"), Parsed("*"s + count + "\r\n"));
    CHECK_EQUAL(Error("invalid multibulk length"), Parsed("*"s + count + "\r\n$4\r\nPING\r\n"));
  }
  CHECK_EQUAL(Error("invalid multibulk length"), Parsed("*1\rx"));
  CHECK_EQUAL("more"s, Parsed("*262144\r\n"));
}

TEST(Resp, AWordWithoutItsLengthIsAnError) {
  CHECK_EQUAL(Error("expected '$', got 'x'"), Parsed("*1\r\nx\r\n"));
  CHECK_EQUAL(Error("expected '$', got ':'"), Parsed("*2\r\n$1\r\na\r\n:1\r\n"));
  CHECK_EQUAL(Error("expected '$', got ' '"), Parsed("*1\r\n\r\n"));
  CHECK_EQUAL(Error("expected '$', got ' '"), Parsed("*1\r\n\n\r\n"));
  CHECK_EQUAL(Error("expected '$', got ' '"), Parsed("*1\r\n\rx"));
}

TEST(Resp, ABadLengthIsAnError) {
  for (const char* length : {"", "x", "-1", "01", "+1", "33", "99999999999999999999"}) {
    CHECK_EQUAL(Error("invalid bulk length"), Parsed("*1\r\n$"s + length + "\r\n"));
    CHECK_EQUAL(Error("invalid bulk length"), Parsed("*1\r\n$"s + length + "\r\nmore\r\n"));
  }
  CHECK_EQUAL("more"s, Parsed("*1\r\n$32\r\n"));
}

TEST(Resp, ALineWithoutEndIsAnError) {
  const std::string digits(65'536, '1');
  CHECK_EQUAL("more"s, Parsed("*" + digits.substr(2)));
  CHECK_EQUAL(Error("too big mbulk count string"), Parsed("*" + digits));
  CHECK_EQUAL(Error("too big mbulk count string"), Parsed("*" + digits + "\r\n"));
  CHECK_EQUAL(Error("too big mbulk count string"), ParsedInPieces("*" + digits + "\r\n", 1000));
  CHECK_EQUAL("more"s, Parsed("*1\r\n$" + digits.substr(2)));
  CHECK_EQUAL(Error("too big bulk count string"), Parsed("*1\r\n$" + digits));
  CHECK_EQUAL(Error("too big bulk count string"), ParsedInPieces("*1\r\n$" + digits, 999));
}

TEST(Resp, AWordThatIsLongerThanItSaysIsAnError) {
  const std::string error = Error("expected CR LF behind a bulk string");
  CHECK_EQUAL(error, Parsed("*1\r\n$4\r\nPINGS\r\n"));
  CHECK_EQUAL(error, Parsed("*1\r\n$4\r\nPING\n\n"));
  CHECK_EQUAL(error, Parsed("*1\r\n$4\r\nPING\rx"));
}

TEST(Resp, ARequestOverTheLimitIsRefusedBeforeItsBytesCome) {
  const std::string request = "*2\r\n$3\r\nGET\r\n$10\r\n";
  RespParser enough(kMaxWord, request.size() + 12);
  CHECK_TRUE(enough.Next(request) == kNeedMore);
  RespParser less(kMaxWord, request.size() + 11);
  CHECK_TRUE(less.Next(request) == kError);
  CHECK_EQUAL(Error("request longer than 29 bytes"), less.error());
}

TEST(Resp, AnErrorStaysOne) {
  RespParser parser(kMaxWord, kMaxRequest);
  for (int i = 0; i < 2; ++i) {
    CHECK_EQUAL(Error("expected '$', got 'x'"), Shown(parser.Next("*1\r\nx\r\ny\r\n"), parser));
  }
}

TEST(Resp, AResetForgetsAnUnfinishedRequest) {
  RespParser parser(kMaxWord, kMaxRequest);
  CHECK_TRUE(parser.Next("*2\r\n$3\r\nGET\r\n$1") == kNeedMore);
  parser.Reset();
  CHECK_EQUAL("14 [PING]"s, Shown(parser.Next("*1\r\n$4\r\nPING\r\n"), parser));
  CHECK_TRUE(parser.Next("*x\r\n") == kError);
  parser.Reset();
  CHECK_EQUAL("14 [PING]"s, Shown(parser.Next("*1\r\n$4\r\nPING\r\n"), parser));
}

// What would be quadratic takes hours here.
TEST(Resp, ManyWordsInManyPiecesTakeLinearTime) {
  std::string request;
  AppendRespArrayHeader(RespParser::kMaxWords, &request);
  for (size_t i = 0; i < RespParser::kMaxWords; ++i) AppendRespBulk("w", &request);
  RespParser parser(kMaxWord, request.size());
  for (size_t size = 1; size < request.size(); size += 64) {
    CHECK_TRUE(parser.Next(std::string_view(request).substr(0, size)) == kNeedMore);
  }
  CHECK_TRUE(parser.Next(request) == kRequest);
  UNSIGNED_LONGS_EQUAL(request.size(), parser.size());
  UNSIGNED_LONGS_EQUAL(RespParser::kMaxWords, parser.words().size());
}

TEST(Resp, AnEmptyInputIsUnfinished) { CHECK_EQUAL("more"s, Parsed("")); }

TEST(Resp, TheKeyOfACompleteGetIsKnownAhead) {
  const std::string get = Encoded({"GET", "some\nkey"});
  CHECK_EQUAL("some\nkey 27"s, GetKey(get));
  CHECK_EQUAL("some\nkey 27"s, GetKey(get + get));
  CHECK_EQUAL("k 20"s, GetKey(Encoded({"gEt", "k"})));
  for (size_t size = 0; size < get.size(); ++size)
    CHECK_EQUAL("none"s, GetKey(get.substr(0, size)));
}

TEST(Resp, OtherRequestsHaveASizeAhead) {
  for (const std::string& input : {Encoded({"SET", "k"}), Encoded({"GET"}), Encoded({"PING", "a"}),
                                   Encoded({"GET", "a", "b"}), Encoded({"GETX", "k"})}) {
    size_t size = 0;
    CHECK_TRUE(KeyOfRespGet(input + "*2\r\n", &size).empty());
    UNSIGNED_LONGS_EQUAL(input.size(), size);
    for (size_t part = 0; part < input.size(); ++part) {
      CHECK_TRUE(KeyOfRespGet(input.substr(0, part), &size).empty());
      UNSIGNED_LONGS_EQUAL(0, size);
    }
  }
}

TEST(Resp, BigOrBrokenRequestsAreNotLookedAtAhead) {
  for (const std::string& input :
       {Encoded({"GET", ""}), Encoded({"MSET", "a", "1", "b", "2", "c", "3", "d", "4"}),
        Encoded({"GET", std::string(10'000, 'k')}), "GET k\r\n"s, "*0\r\n*0\r\n*0\r\n"s,
        "*2\r\n$3\r\nGET\r\n:1\r\nk\r\n"s, "*2\r\n$3\r\nGET\r\n$-1\r\nk\r\n"s}) {
    size_t size = 1;
    CHECK_TRUE(KeyOfRespGet(input, &size).empty());
    UNSIGNED_LONGS_EQUAL(0, size);
  }
}

TEST(Resp, IntegersAreReadAsRedisDoes) {
  CHECK_TRUE(Reads("0", 0));
  CHECK_TRUE(Reads("-1", -1));
  CHECK_TRUE(Reads("9223372036854775807", INT64_MAX));
  CHECK_TRUE(Reads("-9223372036854775808", INT64_MIN));
  for (const char* text : {"", "-", "+1", "01", "-01", "00", "-0", " 1", "1 ", "1.0", "0x1",
                           "9223372036854775808", "-9223372036854775809", "--1"}) {
    CHECK_TRUE(Refuses(text));
  }
}

TEST(Resp, RepliesHaveTheirParts) {
  std::string out;
  AppendRespSimple("OK", &out);
  AppendRespError("ERR no such key", &out);
  AppendRespInteger(-42, &out);
  AppendRespInteger(INT64_MIN, &out);
  AppendRespBulk("a\r\n\0b"s, &out);
  AppendRespBulk("", &out);
  AppendRespNil(&out);
  AppendRespNilArray(&out);
  AppendRespArrayHeader(3, &out);
  CHECK_EQUAL(
      "+OK\r\n-ERR no such key\r\n:-42\r\n:-9223372036854775808\r\n$5\r\na\r\n\0b\r\n$0\r\n\r\n"
      "$-1\r\n*-1\r\n*3\r\n"s,
      out);
}

TEST(Resp, TextIsOneLine) {
  std::string out;
  AppendRespError("ERR unknown command 'a\r\nb'", &out);
  AppendRespSimple("a\nb", &out);
  CHECK_EQUAL("-ERR unknown command 'a  b'\r\n+a b\r\n"s, out);
}
