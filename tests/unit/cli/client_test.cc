#include "cli/client.h"

#include <string>

#include "CppUTest/TestHarness.h"
#include "peer.h"
#include "scratch.h"

using keystone::AppendRequestKey;
using keystone::AppendRequestValue;
using keystone::Client;
using keystone::Code;
using keystone::DecodeText;
using keystone::Endpoint;
using keystone::IsError;
using keystone::RepliesWithLines;
using keystone::ReplyText;

namespace {

std::string Key(std::string_view key) {
  std::string line;
  AppendRequestKey(key, &line);
  return line;
}

std::string Value(std::string_view value) {
  std::string line;
  AppendRequestValue(value, &line);
  return line;
}

}  // namespace

TEST_GROUP(RequestText){};

TEST(RequestText, WhatALineCanCarryStaysAsItIs) {
  STRCMP_EQUAL("grüße/1", Key("grüße/1").c_str());
  STRCMP_EQUAL(" two  words\t", Value(" two  words\t").c_str());
  STRCMP_EQUAL("", Value("").c_str());
}

TEST(RequestText, WhatALineCantCarryIsBase64) {
  STRCMP_EQUAL("base64:YSBi", Key("a b").c_str());
  STRCMP_EQUAL("base64:YQli", Key("a\tb").c_str());
  STRCMP_EQUAL("base64:", Key("").c_str());
  STRCMP_EQUAL("base64:SFRUUC8xLjE=", Key("HTTP/1.1").c_str());
  STRCMP_EQUAL("base64:YQpi", Value("a\nb").c_str());
  STRCMP_EQUAL("base64:AA==", Value(std::string_view("\0", 1)).c_str());
  STRCMP_EQUAL("base64:fw==", Value("\x7f").c_str());
}

TEST(RequestText, WhatLooksLikeBase64IsNotTakenForIt) {
  STRCMP_EQUAL("base64:YmFzZTY0OllR", Key("base64:YQ").c_str());
  STRCMP_EQUAL("base64:YmFzZTY0OllR", Value("base64:YQ").c_str());
}

TEST(RequestText, EveryByteComesBack) {
  for (int byte = 0; byte < 256; byte++) {
    const std::string text{'x', static_cast<char>(byte), 'y'};
    STRCMP_EQUAL(Key(text).c_str(), Key(DecodeText(Key(text)).value()).c_str());
    CHECK_TRUE(DecodeText(Key(text)).value() == text);
    CHECK_TRUE(DecodeText(Value(text)).value() == text);
  }
}

TEST(RequestText, WhatIsNotBase64BehindItsPrefixIsAnError) {
  CHECK_TRUE(DecodeText("base64:%%").status().code() == Code::kInvalid);
  CHECK_TRUE(DecodeText("%%").ok());
}

TEST_GROUP(ReplyLine){};

TEST(ReplyLine, ItsTextStandsBehindTheFirstWord) {
  STRCMP_EQUAL(" two words ", std::string(ReplyText("VALUE  two words ")).c_str());
  STRCMP_EQUAL("", std::string(ReplyText("VALUE ")).c_str());
  STRCMP_EQUAL("", std::string(ReplyText("OK")).c_str());
  STRCMP_EQUAL("", std::string(ReplyText("")).c_str());
}

TEST(ReplyLine, OnlyAnErrorIsOne) {
  CHECK_TRUE(IsError("ERROR log device full"));
  CHECK_FALSE(IsError("VALUE ERROR x"));
  CHECK_FALSE(IsError("ERRORS"));
}

TEST(ReplyLine, CommandsWithMoreOfThemAreKnownInEitherCase) {
  CHECK_TRUE(RepliesWithLines("scan"));
  CHECK_TRUE(RepliesWithLines("Commit"));
  CHECK_FALSE(RepliesWithLines("GET"));
  CHECK_FALSE(RepliesWithLines("SCANS"));
  CHECK_FALSE(RepliesWithLines(""));
}

TEST_GROUP(Client) {
  Scratch scratch;
  Peer peer{scratch.File("socket")};
  Client client = peer.Connect();
};

TEST(Client, AsksALineAndGetsOne) {
  peer.Say("VALUE 1\n");
  const auto reply = client.Ask("GET a");
  STRCMP_EQUAL("VALUE 1", reply.value().first.c_str());
  LONGS_EQUAL(0, reply.value().lines.size());
  STRCMP_EQUAL("GET a\n", peer.Heard().c_str());
}

TEST(Client, TakesAsManyLinesAsWereAnnounced) {
  peer.Say("OK 2\n0\nkey\nOK\n");
  const auto scan = client.Ask("SCAN 0");
  STRCMP_EQUAL("OK 2", scan.value().first.c_str());
  LONGS_EQUAL(2, scan.value().lines.size());
  STRCMP_EQUAL("key", scan.value().lines[1].c_str());
  STRCMP_EQUAL("OK", client.ReadReply(false).value().first.c_str());
}

TEST(Client, AnErrorInPlaceOfLinesIsTheReply) {
  peer.Say("ERROR unknown option\n");
  const auto reply = client.Ask("SCAN x");
  STRCMP_EQUAL("ERROR unknown option", reply.value().first.c_str());
}

TEST(Client, AServerOfAnotherKindIsToldByItsAnswer) {
  for (const char* answer : {"HTTP/1.1 400 Bad Request\r\n", "OK\n", "OK x\n", "OK 1x\n"}) {
    const Scratch place;
    Peer other(place.File("socket"));
    Client asking = other.Connect();
    other.Say(answer);
    other.HangUp();
    const auto status = asking.Ask("STATS").status();
    CHECK_TRUE(status.code() == Code::kIo);
    STRCMP_CONTAINS("does not speak keystoned's protocol", status.message().c_str());
  }
}

TEST(Client, WhatTheServerSaidBeforeItHungUpIsReadAndThenItsEnd) {
  peer.Say("ERROR too many connections\nhalf a li");
  peer.HangUp();
  STRCMP_EQUAL("ERROR too many connections", client.Ask("GET a").value().first.c_str());
  const auto status = client.Ask("GET a").status();
  CHECK_TRUE(status.code() == Code::kIo);
  STRCMP_EQUAL((scratch.File("socket") + " closed the connection").c_str(),
               status.message().c_str());
}

TEST(Client, NoMoreThanWhatIsReadyIsSentOrTaken) {
  client.Send("GET a\n");
  LONGS_EQUAL(6, client.unsent());
  CHECK_TRUE(client.Wait().ok());
  LONGS_EQUAL(0, client.unsent());
  std::string_view line;
  peer.Say("VAL");
  CHECK_TRUE(client.Wait().ok());
  CHECK_FALSE(client.TakeLine(&line));
  peer.Say("UE 1\nVALUE 2\n");
  CHECK_TRUE(client.Wait().ok());
  CHECK_TRUE(client.TakeLine(&line));
  STRCMP_EQUAL("VALUE 1", std::string(line).c_str());
  CHECK_TRUE(client.TakeLine(&line));
  STRCMP_EQUAL("VALUE 2", std::string(line).c_str());
  CHECK_FALSE(client.TakeLine(&line));
}

TEST_GROUP(Endpoint){};

TEST(Endpoint, IsNamedAsInOptions) {
  STRCMP_EQUAL("127.0.0.1:7878", Endpoint().Name().c_str());
  STRCMP_EQUAL("[::1]:1", Endpoint({"::1", "1", ""}).Name().c_str());
  STRCMP_EQUAL("/run/x", Endpoint({"::1", "1", "/run/x"}).Name().c_str());
}

TEST(Endpoint, WhereNobodyListensIsToldWithWhatToCheck) {
  const Scratch scratch;
  const std::string path = scratch.File("none");
  const auto status = Client::Connect({"", "", path}).status();
  CHECK_TRUE(status.code() == Code::kIo);
  STRCMP_EQUAL(("connect to " + path + ": No such file or directory (is keystoned running, and " +
                "does it listen there? See -s)")
                   .c_str(),
               status.message().c_str());
  const std::string too_long(200, 'x');
  STRCMP_CONTAINS("File name too long",
                  Client::Connect({"", "", too_long}).status().message().c_str());
}
