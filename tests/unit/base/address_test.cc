#include "base/address.h"

#include <CppUTest/TestHarness.h>

#include <string>

using keystone::Address;
using keystone::Code;
using keystone::ParseAddress;

namespace {

// The text after a round trip, or the error's message.
std::string Again(std::string_view text) {
  const auto address = ParseAddress(text);
  return address.ok() ? ToString(address.value()) : address.status().message();
}

void CheckRefused(std::string_view text, const char* reason) {
  const auto address = ParseAddress(text);
  CHECK_FALSE(address.ok());
  CHECK_TRUE(address.status().code() == Code::kInvalid);
  STRCMP_CONTAINS(reason, address.status().message().c_str());
}

}  // namespace

TEST_GROUP(Address){};

TEST(Address, HostAndPort) {
  const auto address = ParseAddress("localhost:7878");
  CHECK_TRUE(address.ok());
  CHECK_TRUE(address.value().kind == Address::Kind::kTcp);
  STRCMP_EQUAL("localhost", address.value().host.c_str());
  STRCMP_EQUAL("7878", address.value().port.c_str());
  STRCMP_EQUAL("localhost:7878", Again("localhost:7878").c_str());
}

TEST(Address, V6LosesItsBracketsAndGetsThemBack) {
  const auto address = ParseAddress("[::1]:80");
  CHECK_TRUE(address.ok());
  STRCMP_EQUAL("::1", address.value().host.c_str());
  STRCMP_EQUAL("[::1]:80", Again("[::1]:80").c_str());
  STRCMP_EQUAL("[fe80::1%lo]:80", Again("[fe80::1%lo]:80").c_str());
}

TEST(Address, UnixPathsMayHoldColonsAndBeRelative) {
  const auto address = ParseAddress("unix:run/a:1");
  CHECK_TRUE(address.ok());
  CHECK_TRUE(address.value().kind == Address::Kind::kUnix);
  STRCMP_EQUAL("run/a:1", address.value().path.c_str());
  STRCMP_EQUAL("unix:/run/k.sock", Again("unix:/run/k.sock").c_str());
}

TEST(Address, PortsFrom0To65535WithoutLeadingZeros) {
  STRCMP_EQUAL("h:0", Again("h:0").c_str());
  STRCMP_EQUAL("h:65535", Again("h:65535").c_str());
  STRCMP_EQUAL("h:80", Again("h:0080").c_str());
  for (const char* text : {"h:65536", "h:-1", "h:+1", "h:", "h:80x", "h: 80", "h:http"}) {
    CheckRefused(text, "port");
  }
}

TEST(Address, RefusesWhatIsNoAddress) {
  CheckRefused("", "HOST:PORT");
  CheckRefused("localhost", "HOST:PORT");
  CheckRefused(":80", "host is missing");
  CheckRefused("::1:80", "[V6]:PORT");
  CheckRefused("[::1:80", "[V6]:PORT");
  CheckRefused("[localhost]:80", "not an IPv6 address");
  CheckRefused("[]:80", "not an IPv6 address");
  CheckRefused("unix:", "path is missing");
  CheckRefused(std::string_view("unix:a\0b", 8), "zero byte");
}

TEST(Address, APathFitsASocketAddressOrIsRefused) {
  CHECK_TRUE(ParseAddress("unix:" + std::string(107, 'p')).ok());
  CheckRefused("unix:" + std::string(108, 'p'), "at most 107 bytes");
}

TEST(Address, AnErrorQuotesTheTextEscaped) { CheckRefused("a\nb", "address 'a\\x0ab'"); }
