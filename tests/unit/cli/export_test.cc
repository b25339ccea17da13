#include "cli/export.h"

#include <fcntl.h>

#include <string>

#include "CppUTest/TestHarness.h"
#include "base/fd.h"
#include "peer.h"
#include "scratch.h"

using keystone::Client;
using keystone::Export;
using keystone::Fd;
using keystone::Status;

TEST_GROUP(Export) {
  Scratch scratch;
  Peer peer{scratch.File("socket")};
  Client client = peer.Connect();

  Status ExportTo(const char* name, std::string_view prefix = "") {
    const Fd output(::open(scratch.File(name).c_str(), O_WRONLY | O_CREAT, 0600));
    return Export(&client, prefix, output.get());
  }
};

TEST(Export, EntriesOfAllPagesAreLines) {
  peer.AnswerEach({"OK 3\n17\na\nbase64:YSBi\n", "VALUE 1\n", "VALUE base64:AA==\n", "OK 2\n0\nc\n",
                   "VALUE  x \n"});
  CHECK_TRUE(ExportTo("out").ok());
  STRCMP_EQUAL("a\t1\nbase64:YSBi\tbase64:AA==\nc\t x \n", scratch.Read("out").c_str());
  STRCMP_EQUAL("SCAN 0 1000\nGET a\nGET base64:YSBi\nSCAN 17 1000\nGET c\n", peer.Heard().c_str());
}

TEST(Export, APrefixIsAskedForOnEveryPage) {
  peer.AnswerEach({"OK 1\n17\n", "OK 1\n0\n"});
  CHECK_TRUE(ExportTo("out", "a b").ok());
  STRCMP_EQUAL("", scratch.Read("out").c_str());
  STRCMP_EQUAL("SCAN 0 1000 base64:YSBi\nSCAN 17 1000 base64:YSBi\n", peer.Heard().c_str());
}

TEST(Export, WhatWasDeletedMeanwhileIsLeftOut) {
  peer.AnswerEach({"OK 3\n0\na\nb\n", "NOT_FOUND\n", "VALUE 2\n"});
  CHECK_TRUE(ExportTo("out").ok());
  STRCMP_EQUAL("b\t2\n", scratch.Read("out").c_str());
}

TEST(Export, AValueThatCantBeReadEndsItWithAnError) {
  peer.AnswerEach({"OK 2\n0\na\n", "ERROR segment 1: damaged\n"});
  STRCMP_EQUAL("GET a: ERROR segment 1: damaged", ExportTo("out").message().c_str());
}

TEST(Export, WhatCantBeWrittenIsTold) {
  peer.AnswerEach({"OK 2\n0\na\n", "VALUE 1\n"});
  const Fd full(::open("/dev/full", O_WRONLY));
  STRCMP_CONTAINS("standard output: No space left",
                  Export(&client, "", full.get()).message().c_str());
}
