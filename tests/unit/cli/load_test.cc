#include "cli/load.h"

#include <string>

#include "CppUTest/TestHarness.h"
#include "peer.h"
#include "scratch.h"

using keystone::Client;
using keystone::Code;
using keystone::Load;
using keystone::Status;

TEST_GROUP(Load) {
  Scratch scratch;
  Peer peer{scratch.File("socket")};
  Client client = peer.Connect();
  std::string path = scratch.File("lines");
  uint64_t stored = 99;

  Status LoadLines(const std::string& lines) {
    scratch.Write("lines", lines);
    return Load(&client, path, &stored);
  }
};

TEST(Load, ALineIsARequestUpToTheLastOne) {
  peer.AnswerEach({"OK\n", "OK\n", "OK\n"});
  CHECK_TRUE(LoadLines("a\t1\nbase64:YSBi\ttwo  words\nc\t\tx").ok());
  LONGS_EQUAL(3, stored);
  STRCMP_EQUAL("SET a 1\nSET base64:YSBi two  words\nSET c \tx\n", peer.Heard().c_str());
}

TEST(Load, NothingIsStoredOfAnEmptyFile) {
  CHECK_TRUE(LoadLines("").ok());
  LONGS_EQUAL(0, stored);
  STRCMP_EQUAL("", peer.Heard().c_str());
}

TEST(Load, ALineThatIsNoneIsNamedAndTheOnesBeforeItAreStored) {
  for (const auto& [line, reason] :
       {std::pair("no tab", "no TAB between key and value"), std::pair("\tx", "empty key"),
        std::pair("base64:%\tx", "key: not Base64 behind base64:"),
        std::pair("x\tbase64:%", "value: not Base64 behind base64:")}) {
    peer.AnswerEach({"OK\n"});
    const Status status = LoadLines(std::string("a\t1\n") + line + "\nb\t2\n");
    CHECK_TRUE(status.code() == Code::kInvalid);
    STRCMP_EQUAL((path + ":2: " + reason).c_str(), status.message().c_str());
    LONGS_EQUAL(1, stored);
    STRCMP_EQUAL("SET a 1\n", peer.Heard().c_str());
  }
}

TEST(Load, TheFirstLineThatTheServerRefusesIsNamedAndWhatWasStoredIsCounted) {
  peer.AnswerEach({"OK\n", "ERROR key too long\n", "OK\n", "ERROR log device full\n"});
  const Status status = LoadLines("a\t1\nb\t2\nc\t3\nd\t4\n");
  STRCMP_EQUAL((path + ":2: key too long").c_str(), status.message().c_str());
  LONGS_EQUAL(2, stored);
}

TEST(Load, AServerThatHangsUpIsToldUnlessItSaidWhy) {
  peer.Say("OK\n");
  peer.HangUp();
  const Status status = LoadLines("a\t1\nb\t2\n");
  CHECK_TRUE(status.code() == Code::kIo);
  STRCMP_CONTAINS("closed the connection", status.message().c_str());
  LONGS_EQUAL(1, stored);
}

TEST(Load, AFileThatIsNotThereIsNamed) {
  const Status status = Load(&client, scratch.File("none"), &stored);
  STRCMP_CONTAINS(scratch.File("none").c_str(), status.message().c_str());
  LONGS_EQUAL(0, stored);
}
