#include "net/line.h"

#include <string>
#include <string_view>
#include <utility>

#include "CppUTest/TestHarness.h"
#include "net/session.h"

using namespace keystone;
using namespace std::string_literals;

namespace {

const Limits kLimits{.max_key_size = 8, .max_value_size = 16};

// What ParseRequest makes of a line, as text: the request's parts, or the error.
std::string Parsed(std::string_view text) {
  const Line line = SplitLine(text);
  DecodedBytes decoded;
  Request request;
  const Status status = ParseRequest(line, kLimits, &decoded, &request);
  if (!status.ok()) return "error: " + status.message();
  std::string out(request.command->name);
  out.append(" [").append(request.key).append("]");
  if (request.command->arguments == Command::Arguments::kKeyAndValue) {
    out.append(" [").append(request.value).append("]");
  }
  if (request.command->arguments == Command::Arguments::kScan) {
    out += " " + std::to_string(request.cursor) + " " + std::to_string(request.count);
    out.append(" [").append(request.prefix).append("]");
  }
  return out;
}

bool Http(std::string_view text) { return IsHttp(SplitLine(text)); }

std::string KeyText(std::string_view key) {
  std::string out;
  AppendKey(key, &out);
  return out;
}

std::string ValueText(std::string_view value) {
  std::string out;
  AppendValue(value, &out);
  return out;
}

std::string StatusText(const Status& status) {
  std::string out;
  AppendLineStatus(status, &out);
  return out;
}

std::string ReplyText(const Reply& reply) {
  std::string out;
  AppendLineReply(reply, &out);
  return out;
}

const std::string kControlByte = "error: control byte in a command or key: send the key as base64:";

}  // namespace

TEST_GROUP(Line){};

TEST(Line, SplitsAtTheFirstTwoSpaces) {
  const Line line = SplitLine("SET key a value  with spaces ");
  CHECK_EQUAL("SET"s, std::string(line.word));
  CHECK_TRUE(line.has_key);
  CHECK_EQUAL("key"s, std::string(line.key));
  CHECK_TRUE(line.has_value);
  CHECK_EQUAL("a value  with spaces "s, std::string(line.value));
}

TEST(Line, TellsAnEmptyValueFromNone) {
  CHECK_FALSE(SplitLine("SET").has_key);
  CHECK_TRUE(SplitLine("SET ").has_key);
  CHECK_FALSE(SplitLine("SET k").has_value);
  CHECK_TRUE(SplitLine("SET k ").has_value);
  CHECK_TRUE(SplitLine("SET k ").value.empty());
}

TEST(Line, DropsOneCarriageReturnAtTheEnd) {
  CHECK_EQUAL("PING"s, std::string(SplitLine("PING\r").text));
  CHECK_EQUAL("a\r"s, std::string(SplitLine("SET k a\r\r").value));
  CHECK_EQUAL("a\rb"s, std::string(SplitLine("SET k a\rb").value));
  CHECK_TRUE(SplitLine("\r").text.empty());
  CHECK_TRUE(SplitLine("").text.empty());
}

TEST(Line, ParsesEveryShapeOfRequest) {
  CHECK_EQUAL("GET [key]"s, Parsed("GET key"));
  CHECK_EQUAL("SET [key] [value]"s, Parsed("SET key value"));
  CHECK_EQUAL("DELETE [key]"s, Parsed("DELETE key"));
  CHECK_EQUAL("EXISTS [key]"s, Parsed("EXISTS key"));
  for (const char* name :
       {"COUNT", "COMPACT", "SYNC", "STATS", "PING", "VERSION", "HELP", "QUIT"}) {
    CHECK_EQUAL(name + " []"s, Parsed(name));
  }
}

TEST(Line, CommandsAreCaseInsensitiveButKeysAreNot) {
  CHECK_EQUAL("GET [Key]"s, Parsed("get Key"));
  CHECK_EQUAL("SET [K] [V]"s, Parsed("sEt K V"));
}

TEST(Line, ValuesAreTakenByteForByte) {
  CHECK_EQUAL("SET [k] []"s, Parsed("SET k "));
  CHECK_EQUAL("SET [k] [  a b ]"s, Parsed("SET k   a b "));
  CHECK_EQUAL("SET [k] [\0\x01\t\x7f\xff]"s, Parsed("SET k \0\x01\t\x7f\xff"s));
}

TEST(Line, KeysMayBeAnyUtf8) { CHECK_EQUAL("GET [k\xc3\xa9y]"s, Parsed("GET k\xc3\xa9y")); }

TEST(Line, WrongNumberOfWordsShowsTheUsage) {
  for (const char* text : {"GET", "GET a b", "GET a ", "GET a  "}) {
    CHECK_EQUAL("error: usage: GET key"s, Parsed(text));
  }
  for (const char* text : {"SET", "SET k"}) {
    CHECK_EQUAL("error: usage: SET key value"s, Parsed(text));
  }
  CHECK_EQUAL("error: usage: DELETE key"s, Parsed("DELETE a b"));
  CHECK_EQUAL("error: usage: EXISTS key"s, Parsed("exists"));
  for (const char* name :
       {"COUNT", "COMPACT", "SYNC", "STATS", "PING", "VERSION", "HELP", "QUIT"}) {
    CHECK_EQUAL("error: usage: "s + name, Parsed(name + " x"s));
    CHECK_EQUAL("error: usage: "s + name, Parsed(name + " "s));
  }
}

TEST(Line, UnknownCommandsAreQuotedEscapedAndCut) {
  CHECK_EQUAL("error: unknown command 'FOO' (try HELP)"s, Parsed("FOO"));
  CHECK_EQUAL("error: unknown command 'foo' (try HELP)"s, Parsed("foo bar baz"));
  CHECK_EQUAL("error: unknown command '' (try HELP)"s, Parsed(" GET k"));
  CHECK_EQUAL("error: unknown command 'GETS' (try HELP)"s, Parsed("GETS k"));
  CHECK_EQUAL("error: unknown command '\\'\\\\\\xc3\\xa9' (try HELP)"s, Parsed("'\\\xc3\xa9"));
  CHECK_EQUAL("error: unknown command '" + std::string(64, 'x') + "...' (try HELP)",
              Parsed(std::string(65, 'x')));
}

TEST(Line, ControlBytesInCommandsAndRawKeysAreRefused) {
  for (int byte = 0; byte < 0x20; ++byte) {
    if (byte == '\n') continue;
    const std::string c(1, static_cast<char>(byte));
    CHECK_EQUAL(kControlByte, Parsed("GE" + c + "T k"));
    CHECK_EQUAL(kControlByte, Parsed("GET a" + c + "b"));
    CHECK_EQUAL(kControlByte, Parsed("SET " + c + " v"));
  }
  CHECK_EQUAL(kControlByte, Parsed("GET \x7f"));
  CHECK_EQUAL(kControlByte, Parsed("PING\tx"));
  CHECK_EQUAL(kControlByte, Parsed("SCAN 0 10 a\x01"));
}

TEST(Line, EmptyKeysAreRefused) {
  for (const char* text : {"GET ", "SET  v", "DELETE ", "EXISTS ", "GET base64:"}) {
    CHECK_EQUAL("error: empty key: a key has 1 byte or more"s, Parsed(text));
  }
}

TEST(Line, LimitsApplyToKeysAndValues) {
  CHECK_EQUAL("GET [12345678]"s, Parsed("GET 12345678"));
  CHECK_EQUAL("error: key too long: 9 bytes, the limit is 8"s, Parsed("GET 123456789"));
  CHECK_EQUAL("SET [k] [1234567890123456]"s, Parsed("SET k 1234567890123456"));
  CHECK_EQUAL("error: value too long: 17 bytes, the limit is 16"s,
              Parsed("SET k 12345678901234567"));
}

TEST(Line, LimitsApplyToDecodedBytes) {
  CHECK_EQUAL("GET [12345678]"s, Parsed("GET base64:MTIzNDU2Nzg="));
  CHECK_EQUAL("error: key too long: 9 bytes, the limit is 8"s, Parsed("GET base64:MTIzNDU2Nzg5"));
  CHECK_EQUAL("SET [k] [1234567890123456]"s, Parsed("SET k base64:MTIzNDU2Nzg5MDEyMzQ1Ng=="));
  CHECK_EQUAL("error: value too long: 17 bytes, the limit is 16"s,
              Parsed("SET k base64:MTIzNDU2Nzg5MDEyMzQ1Njc="));
}

TEST(Line, Base64StandsForTheDecodedBytes) {
  CHECK_EQUAL("GET [a b]"s, Parsed("GET base64:YSBi"));
  CHECK_EQUAL("SET [a\nb] [c\nd]"s, Parsed("SET base64:YQpi base64:Ywpk"));
  CHECK_EQUAL("SET [k] []"s, Parsed("SET k base64:"));
  CHECK_EQUAL("SET [k] [BASE64:Y]"s, Parsed("SET k BASE64:Y"));
}

TEST(Line, BadBase64IsAnError) {
  const std::string advice = ": it takes the standard alphabet, padded with =";
  for (const char* bad :
       {"base64:YQ", "base64:YQ=", "base64:Y!==", "base64:YQ==YQ==", "base64:_w=="}) {
    CHECK_EQUAL("error: bad base64 in the key" + advice, Parsed("GET "s + bad));
    CHECK_EQUAL("error: bad base64 in the value" + advice, Parsed("SET k "s + bad));
    CHECK_EQUAL("error: bad base64 in the prefix" + advice, Parsed("SCAN 0 1 "s + bad));
  }
  CHECK_EQUAL("error: bad base64 in the value" + advice, Parsed("SET k base64:YQ== "));
}

TEST(Line, ScanTakesCursorCountAndPrefix) {
  CHECK_EQUAL("SCAN [] 0 10 []"s, Parsed("SCAN 0"));
  CHECK_EQUAL("SCAN [] 18446744073709551615 1 []"s, Parsed("scan 18446744073709551615 1"));
  CHECK_EQUAL("SCAN [] 7 10000 [user:]"s, Parsed("SCAN 7 10000 user:"));
  CHECK_EQUAL("SCAN [] 7 10000 []"s, Parsed("SCAN 7 1000000"));  // it is asked again
  CHECK_EQUAL("SCAN [] 7 5 []"s, Parsed("SCAN 7 5 "));
  CHECK_EQUAL("SCAN [] 0 5 [a b]"s, Parsed("SCAN 0 5 base64:YSBi"));
}

TEST(Line, ScanLooksAtFewerKeysWhereTheyMayBeLong) {
  for (const auto& [key_size, count] : {std::pair<size_t, size_t>{1024, 10000}, {65535, 160}}) {
    Limits limits;
    limits.max_key_size = key_size;
    DecodedBytes decoded;
    Request request;
    CHECK(ParseRequest(SplitLine("SCAN 0 10000"), limits, &decoded, &request).ok());
    CHECK_EQUAL(count, request.count);
  }
}

TEST(Line, ScanRefusesWhatItCantUse) {
  CHECK_EQUAL("error: usage: SCAN cursor [count [prefix]]"s, Parsed("SCAN"));
  CHECK_EQUAL("error: usage: SCAN cursor [count [prefix]]"s, Parsed("SCAN 0 1 a b"));
  for (const char* cursor : {"", "x", "-1", "+1", "1x", "0x1", "18446744073709551616"}) {
    CHECK_EQUAL(
        "error: bad cursor '"s + cursor + "': start with 0, go on with the one of the last reply",
        Parsed("SCAN "s + cursor));
  }
  for (const char* count : {"", "0", "-1", "x", "1x", "99999999999999999999"}) {
    CHECK_EQUAL("error: bad count: it must be a number, 1 or more"s, Parsed("SCAN 0 "s + count));
  }
  CHECK_EQUAL("error: prefix too long: 9 bytes, the limit is 8"s, Parsed("SCAN 0 1 123456789"));
}

TEST_GROUP(Http){};

TEST(Http, IsKnownByItsFirstWord) {
  for (const char* word : {"POST", "PUT", "HEAD", "OPTIONS", "Host:", "post", "Put", "host:"}) {
    CHECK_TRUE(Http(word));
    CHECK_TRUE(Http(word + " /x"s));
  }
  CHECK_FALSE(Http("POSTS /"));
  CHECK_FALSE(Http("Host"));
}

TEST(Http, IsKnownByItsLastWordInAllButSet) {
  for (const char* text :
       {"GET / HTTP/1.1", "GET / HTTP/1.1\r", "DELETE /x HTTP/1.1", "PATCH / HTTP/2",
        "delete HTTP/1.1", "PING HTTP/", "HTTP/1.1", "TRACE /a b c HTTP/1.0", "GET / HTTP/1.1 ",
        "GET HTTP/1.1  \r", "GET  HTTP/1.1"}) {
    CHECK_TRUE(Http(text));
  }
  CHECK_FALSE(Http("SET k GET / HTTP/1.1"));
  CHECK_FALSE(Http("set k HTTP/1.1"));
  CHECK_FALSE(Http("GET HTTP"));
  CHECK_FALSE(Http("GET /HTTP/1.1"));
  CHECK_FALSE(Http(""));
}

TEST_GROUP(Telnet){};

TEST(Telnet, OptionSequencesAreSkipped) {
  UNSIGNED_LONGS_EQUAL(0, TelnetPrefixSize("PING"));
  UNSIGNED_LONGS_EQUAL(0, TelnetPrefixSize(""));
  for (const char* option : {"\xff\xfb\x01", "\xff\xfc\x01", "\xff\xfd\x0a", "\xff\xfe\xff"}) {
    UNSIGNED_LONGS_EQUAL(3, TelnetPrefixSize(option + "PING"s));
  }
  UNSIGNED_LONGS_EQUAL(2, TelnetPrefixSize("\xff\xff"
                                           "A"));
  UNSIGNED_LONGS_EQUAL(2, TelnetPrefixSize("\xff\xf4"
                                           "A"));
  UNSIGNED_LONGS_EQUAL(9, TelnetPrefixSize("\xff\xfa\x1f\0\x0a\0\x18\xff\xf0PING\n"s));
  UNSIGNED_LONGS_EQUAL(8, TelnetPrefixSize("\xff\xfb\x01\xff\xfd\x03\xff\xf1GET a"));
}

TEST(Telnet, UnfinishedSequencesAreLeft) {
  for (const char* unfinished : {"\xff", "\xff\xfb", "\xff\xfa", "\xff\xfa\x1f\x01\xff"}) {
    UNSIGNED_LONGS_EQUAL(0, TelnetPrefixSize(unfinished));
    UNSIGNED_LONGS_EQUAL(3, TelnetPrefixSize("\xff\xfd\x01"s + unfinished));
  }
}

TEST(Telnet, AnEndlessSubnegotiationIsNotWaitedFor) {
  UNSIGNED_LONGS_EQUAL(2, TelnetPrefixSize("\xff\xfa" + std::string(1000, 'x')));
}

TEST_GROUP(Text){};

TEST(Text, IsPlainWhereALineCanCarryIt) {
  CHECK_EQUAL("k\xc3\xa9y:1"s, KeyText("k\xc3\xa9y:1"));
  CHECK_EQUAL("two  words\tand a tab "s, ValueText("two  words\tand a tab "));
  CHECK_EQUAL(""s, ValueText(""));
  CHECK_EQUAL("BASE64:"s, ValueText("BASE64:"));
  CHECK_EQUAL("a base64:"s, ValueText("a base64:"));
}

TEST(Text, IsBase64ExactlyWhereALineCantCarryIt) {
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const bool control = byte < 0x20 || byte == 0x7f;
    // Wherever it stands, in a vectorised block or behind the last one.
    for (const size_t at : {size_t{0}, size_t{15}, size_t{16}, size_t{40}}) {
      std::string text(41, 'x');
      text[at] = c;
      CHECK_EQUAL(control || c == ' ', KeyText(text).starts_with("base64:"));
      CHECK_EQUAL(control && c != '\t', ValueText(text).starts_with("base64:"));
    }
  }
  CHECK_EQUAL("base64:YmFzZTY0Og=="s, KeyText("base64:"));
  CHECK_EQUAL("base64:YmFzZTY0OlE="s, ValueText("base64:Q"));
}

TEST(Text, EveryByteRoundTrips) {
  for (int byte = 0; byte < 256; ++byte) {
    const std::string bytes = "a"s + static_cast<char>(byte);
    CHECK_EQUAL("SET [" + bytes + "] [" + bytes + "]",
                Parsed("SET " + KeyText(bytes) + " " + ValueText(bytes)));
  }
}

TEST_GROUP(ReplyWriter){};

TEST(ReplyWriter, WritesStatuses) {
  CHECK_EQUAL("OK\n"s, StatusText(Status::Ok()));
  CHECK_EQUAL("NOT_FOUND\n"s, StatusText(Status::NotFound()));
  CHECK_EQUAL("ERROR log device full: writes are refused, reads go on\n"s,
              StatusText({Code::kNoSpace, "append 000000000001.log: No space left on device"}));
  CHECK_EQUAL("ERROR compaction already running\n"s, StatusText({Code::kBusy, "compact: busy"}));
  CHECK_EQUAL("ERROR append 1.log: Input/output error\n"s,
              StatusText({Code::kIo, "append 1.log: Input/output error"}));
}

TEST(ReplyWriter, KeepsErrorsInOneLine) {
  CHECK_EQUAL("ERROR open it's\\x0a\\x00\\x7f\xc3\xa9\n"s,
              StatusText({Code::kIo, "open it's\n\0\x7f\xc3\xa9"s}));
}

TEST(ReplyWriter, WritesEveryKindOfReply) {
  CHECK_EQUAL("OK\n"s, ReplyText({}));
  CHECK_EQUAL("VALUE \n"s, ReplyText({.kind = Reply::Kind::kValue}));
  CHECK_EQUAL("OK 9223372036854775807\n"s,
              ReplyText({.kind = Reply::Kind::kInteger, .number = INT64_MAX}));
  CHECK_EQUAL("OK PONG\n"s, ReplyText({.kind = Reply::Kind::kText, .text = "PONG"}));
  CHECK_EQUAL("OK 0\n"s, ReplyText({.kind = Reply::Kind::kLines}));
  CHECK_EQUAL("OK 2\na 1\nb 2\n"s,
              ReplyText({.kind = Reply::Kind::kLines, .lines = {"a 1", "b 2"}}));
  CHECK_EQUAL("OK 1\n0\n"s, ReplyText({.kind = Reply::Kind::kScan}));
  CHECK_EQUAL("OK 3\n42\nk\nbase64:YSBi\n"s,
              ReplyText({.kind = Reply::Kind::kScan, .number = 42, .lines = {"k", "a b"}}));
  CHECK_EQUAL("OK 2\nk\nbase64:YSBi\n"s,
              ReplyText({.kind = Reply::Kind::kKeys, .lines = {"k", "a b"}}));
  CHECK_EQUAL("OK -1\n"s, ReplyText({.kind = Reply::Kind::kInteger, .number = -1}));
  CHECK_EQUAL("NOT_FOUND\n"s, ReplyText({.kind = Reply::Kind::kInteger, .absent = true}));
  CHECK_EQUAL("OK\n"s, ReplyText({.kind = Reply::Kind::kCount, .number = 2}));
  CHECK_EQUAL("NOT_FOUND\n"s, ReplyText({.kind = Reply::Kind::kCount, .absent = true}));
  CHECK_EQUAL("NOT_FOUND\n"s, ReplyText({.kind = Reply::Kind::kNil}));
}
