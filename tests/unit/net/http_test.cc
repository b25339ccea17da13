#include "net/http.h"

#include <string>

#include "CppUTest/TestHarness.h"

using keystone::EncodeHttpReply;
using keystone::HttpHeadSize;
using keystone::HttpRequest;
using keystone::ParseHttpRequest;

namespace {

// "METHOD path", or "(none)".
std::string Parsed(std::string_view head) {
  const auto request = ParseHttpRequest(head);
  if (!request) return "(none)";
  return std::string(request->method) + " " + std::string(request->path);
}

}  // namespace

TEST_GROUP(HttpFormat){};

TEST(HttpFormat, AHeadEndsWithAnEmptyLine) {
  LONGS_EQUAL(18, HttpHeadSize("GET / HTTP/1.0\r\n\r\nmore"));
  LONGS_EQUAL(16, HttpHeadSize("GET / HTTP/1.0\n\nmore"));
  LONGS_EQUAL(17, HttpHeadSize("GET / HTTP/1.0\n\r\n"));
  LONGS_EQUAL(27, HttpHeadSize("GET / HTTP/1.0\r\nHost: a\r\n\r\n"));
}

TEST(HttpFormat, NoPartOfAHeadIsAHead) {
  const std::string head = "GET / HTTP/1.0\r\nHost: a\r\n\r\n";
  for (size_t size = 0; size < head.size(); size++) {
    LONGS_EQUAL(0, HttpHeadSize(head.substr(0, size)));
  }
}

TEST(HttpFormat, AFirstLineNamesMethodAndPath) {
  STRCMP_EQUAL("GET /metrics", Parsed("GET /metrics HTTP/1.1\r\nHost: a b c\r\n\r\n").c_str());
  STRCMP_EQUAL("GET /", Parsed("GET / HTTP/1.0\n\n").c_str());
  STRCMP_EQUAL("GET /a", Parsed("GET /a?b=/c?d HTTP/1.1\r\n\r\n").c_str());
  STRCMP_EQUAL("PATCH /a", Parsed("PATCH /a HTTP/1.9\r\n\r\n").c_str());
}

TEST(HttpFormat, AnyOtherFirstLineIsNone) {
  for (const char* head :
       {"", "\n", " \n", "GET\n\n", "GET /\n\n", "GET  HTTP/1.1\n\n", " / HTTP/1.1\n\n",
        "GET a HTTP/1.1\n\n", "GET / a HTTP/1.1\n\n", "GET /  HTTP/1.1\n\n", "GET / HTTP/2.0\n\n",
        "GET / HTTP/1.\n\n", "GET / HTTP/1.x\n\n", "GET / HTTP/1.10\n\n", "GET / http/1.1\n\n",
        "SET key value\n", "GET http://host/ HTTP/1.1\n\n"}) {
    STRCMP_EQUAL("(none)", Parsed(head).c_str());
  }
}

TEST(HttpFormat, AReplyTellsItsSizeAndThatItIsTheLast) {
  STRCMP_EQUAL(
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: 3\r\n"
      "Cache-Control: no-store\r\nConnection: close\r\n\r\nok\n",
      EncodeHttpReply({.body = "ok\n"}, false).c_str());
}

TEST(HttpFormat, AReplyToHeadHasNoBody) {
  STRCMP_EQUAL(
      "HTTP/1.1 503 Service Unavailable\r\nContent-Type: a/b\r\nContent-Length: 4\r\n"
      "Cache-Control: no-store\r\nConnection: close\r\n\r\n",
      EncodeHttpReply({.status = 503, .content_type = "a/b", .body = "ill\n"}, true).c_str());
}

TEST(HttpFormat, AMethodThatIsNotAllowedIsToldWhichAre) {
  const std::string reply = EncodeHttpReply({.status = 405, .body = {}}, false);
  CHECK_TRUE(reply.starts_with("HTTP/1.1 405 Method Not Allowed\r\n"));
  CHECK_TRUE(reply.find("\r\nAllow: GET, HEAD\r\n") != reply.npos);
}
