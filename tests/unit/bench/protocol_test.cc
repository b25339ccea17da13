#include "bench/protocol.h"

#include <CppUTest/TestHarness.h>

#include <string>
#include <string_view>

using keystone::AppendGet;
using keystone::AppendSet;
using keystone::BenchCommand;
using keystone::BenchProtocol;
using keystone::BenchReply;
using keystone::BenchValues;
using keystone::ParseReply;

using Kind = BenchReply::Kind;

namespace {

std::string Get(BenchProtocol protocol) {
  std::string out;
  AppendGet(protocol, "k", &out);
  return out;
}

std::string Set(BenchProtocol protocol) {
  std::string out;
  AppendSet(protocol, 1, BenchValues(2), &out);
  return out;
}

// A whole reply is found whatever follows it, and each beginning of it is partial.
void CheckReply(BenchProtocol protocol, BenchCommand command, std::string_view bytes, Kind kind,
                std::string_view text = {}) {
  const BenchReply alone = ParseReply(protocol, command, bytes);
  CHECK(alone.kind == kind);
  UNSIGNED_LONGS_EQUAL(bytes.size(), alone.size_bytes);
  CHECK(alone.text == text);
  const std::string followed = std::string(bytes) + "-more";
  UNSIGNED_LONGS_EQUAL(bytes.size(), ParseReply(protocol, command, followed).size_bytes);
  for (size_t size = 0; size < bytes.size(); size++) {
    CHECK(ParseReply(protocol, command, bytes.substr(0, size)).kind == Kind::kPartial);
  }
}

void CheckInvalid(BenchProtocol protocol, BenchCommand command, std::string_view bytes) {
  CHECK(ParseReply(protocol, command, bytes).kind == Kind::kInvalid);
}

constexpr BenchCommand kGet = BenchCommand::kGet;
constexpr BenchCommand kSet = BenchCommand::kSet;

}  // namespace

TEST_GROUP(BenchProtocol){};

TEST(BenchProtocol, RequestsAreAsEachProtocolHasThem) {
  STRCMP_EQUAL("GET k\n", Get(BenchProtocol::kLine).c_str());
  STRCMP_EQUAL("*2\r\n$3\r\nGET\r\n$1\r\nk\r\n", Get(BenchProtocol::kResp).c_str());
  STRCMP_EQUAL("get k\r\n", Get(BenchProtocol::kMemcached).c_str());

  std::string value;
  BenchValues(2).Append(1, &value);
  STRCMP_EQUAL(("SET key:000000000001 " + value + "\n").c_str(), Set(BenchProtocol::kLine).c_str());
  STRCMP_EQUAL(("*3\r\n$3\r\nSET\r\n$16\r\nkey:000000000001\r\n$2\r\n" + value + "\r\n").c_str(),
               Set(BenchProtocol::kResp).c_str());
  STRCMP_EQUAL(("set key:000000000001 0 0 2\r\n" + value + "\r\n").c_str(),
               Set(BenchProtocol::kMemcached).c_str());
}

TEST(BenchProtocol, LineReplies) {
  CheckReply(BenchProtocol::kLine, kSet, "OK\n", Kind::kStored);
  CheckReply(BenchProtocol::kLine, kGet, "VALUE some value\n", Kind::kValue, "some value");
  CheckReply(BenchProtocol::kLine, kGet, "VALUE \n", Kind::kValue, "");
  CheckReply(BenchProtocol::kLine, kGet, "NOT_FOUND\n", Kind::kNotFound);
  CheckReply(BenchProtocol::kLine, kSet, "ERROR disk full\n", Kind::kError, "ERROR disk full");
  CheckReply(BenchProtocol::kLine, kGet, "OK\n", Kind::kStored);
  CheckInvalid(BenchProtocol::kLine, kSet, "VALUE x\n");
  CheckInvalid(BenchProtocol::kLine, kSet, "+OK\r\n");
}

TEST(BenchProtocol, RespReplies) {
  CheckReply(BenchProtocol::kResp, kSet, "+OK\r\n", Kind::kStored);
  CheckReply(BenchProtocol::kResp, kGet, "$4\r\na\r\nb\r\n", Kind::kValue, "a\r\nb");
  CheckReply(BenchProtocol::kResp, kGet, "$0\r\n\r\n", Kind::kValue, "");
  CheckReply(BenchProtocol::kResp, kGet, "$-1\r\n", Kind::kNotFound);
  CheckReply(BenchProtocol::kResp, kGet, "-ERR no\r\n", Kind::kError, "ERR no");
  CheckInvalid(BenchProtocol::kResp, kGet, "+OK\r\n");
  CheckInvalid(BenchProtocol::kResp, kSet, "+OK\n");
  CheckInvalid(BenchProtocol::kResp, kSet, "$1\r\na\r\n");
  CheckInvalid(BenchProtocol::kResp, kGet, "$1x\r\na\r\n");
  CheckInvalid(BenchProtocol::kResp, kGet, "$1\r\nabc\r\n");
}

TEST(BenchProtocol, MemcachedReplies) {
  CheckReply(BenchProtocol::kMemcached, kSet, "STORED\r\n", Kind::kStored);
  CheckReply(BenchProtocol::kMemcached, kGet, "VALUE k 0 3\r\na\r\n\r\nEND\r\n", Kind::kValue,
             "a\r\n");
  CheckReply(BenchProtocol::kMemcached, kGet, "END\r\n", Kind::kNotFound);
  CheckReply(BenchProtocol::kMemcached, kSet, "ERROR\r\n", Kind::kError, "ERROR");
  CheckReply(BenchProtocol::kMemcached, kSet, "SERVER_ERROR out of memory\r\n", Kind::kError,
             "SERVER_ERROR out of memory");
  CheckInvalid(BenchProtocol::kMemcached, kSet, "NOT_STORED\r\n");
  CheckInvalid(BenchProtocol::kMemcached, kSet, "STORED\n");
  CheckInvalid(BenchProtocol::kMemcached, kGet, "VALUE k 0 x\r\n");
  CheckInvalid(BenchProtocol::kMemcached, kGet, "VALUE k 0 1\r\nab\r\nEND\r\n");
}

TEST(BenchProtocol, NoSizeOverflows) {
  CHECK(ParseReply(BenchProtocol::kResp, kGet, "$18446744073709551615\r\nab\r\n").kind ==
        Kind::kPartial);
  CheckInvalid(BenchProtocol::kResp, kGet, "$18446744073709551616\r\n");
}
