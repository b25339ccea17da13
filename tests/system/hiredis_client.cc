// Uses a server as programs on top of hiredis do. Usage: hiredis_client HOST PORT
#include <hiredis/hiredis.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>

namespace {

struct Free {
  void operator()(redisContext* context) const { redisFree(context); }
  void operator()(redisReply* reply) const { freeReplyObject(reply); }
};
using Context = std::unique_ptr<redisContext, Free>;
using Reply = std::unique_ptr<redisReply, Free>;

[[noreturn]] void Fail(const char* what, const char* found) {
  fprintf(stderr, "%s: %s\n", what, found);
  exit(1);
}

// A reply of the type that is wanted.
Reply Need(void* raw, const redisContext* context, int type, const char* what) {
  Reply reply(static_cast<redisReply*>(raw));
  if (!reply) Fail(what, context->errstr);
  if (reply->type != type) Fail(what, reply->str ? reply->str : "another type of reply");
  return reply;
}

Reply Ask(redisContext* context, int type, const char* format, ...) {
  va_list arguments;
  va_start(arguments, format);
  void* raw = redisvCommand(context, format, arguments);
  va_end(arguments);
  return Need(raw, context, type, format);
}

std::string Text(const Reply& reply) { return {reply->str, reply->len}; }

void Expect(bool good, const char* what) {
  if (!good) Fail(what, "not what was expected");
}

void Strings(redisContext* context) {
  const std::string bytes("\0\r\n\xff", 4);
  Ask(context, REDIS_REPLY_STATUS, "SET %b %b", bytes.data(), bytes.size(), bytes.data(),
      bytes.size());
  Expect(Text(Ask(context, REDIS_REPLY_STRING, "GET %b", bytes.data(), bytes.size())) == bytes,
         "GET of bytes");
  Ask(context, REDIS_REPLY_NIL, "GET absent");
  Ask(context, REDIS_REPLY_NIL, "SET %b x NX", bytes.data(), bytes.size());
  Expect(Ask(context, REDIS_REPLY_INTEGER, "INCRBY n %d", 41)->integer == 41, "INCRBY");
  Ask(context, REDIS_REPLY_ERROR, "INCRBY n word");
  const std::string big(3 << 20, 'x');
  Ask(context, REDIS_REPLY_STATUS, "SET big %b", big.data(), big.size());
  Expect(Text(Ask(context, REDIS_REPLY_STRING, "GET big")) == big, "GET of 3 MiB");
}

void Pipeline(redisContext* context) {
  constexpr int kRequests = 5000;
  for (int i = 0; i < kRequests; ++i) {
    Expect(redisAppendCommand(context, "SET key:%d value:%d", i, i) == REDIS_OK, "append SET");
    Expect(redisAppendCommand(context, "GET key:%d", i) == REDIS_OK, "append GET");
  }
  for (int i = 0; i < kRequests; ++i) {
    void* raw = nullptr;
    Expect(redisGetReply(context, &raw) == REDIS_OK, "reply of SET");
    Need(raw, context, REDIS_REPLY_STATUS, "SET in a pipeline");
    Expect(redisGetReply(context, &raw) == REDIS_OK, "reply of GET");
    const Reply reply = Need(raw, context, REDIS_REPLY_STRING, "GET in a pipeline");
    Expect(Text(reply) == "value:" + std::to_string(i), "value of a pipeline");
  }
}

void Transaction(redisContext* context) {
  Ask(context, REDIS_REPLY_STATUS, "MULTI");
  Expect(Text(Ask(context, REDIS_REPLY_STATUS, "SET a 1")) == "QUEUED", "QUEUED");
  Ask(context, REDIS_REPLY_STATUS, "MGET a absent");
  const Reply reply = Ask(context, REDIS_REPLY_ARRAY, "EXEC");
  Expect(reply->elements == 2, "replies of EXEC");
  const redisReply* values = reply->element[1];
  Expect(values->type == REDIS_REPLY_ARRAY && values->elements == 2, "MGET in EXEC");
  Expect(strcmp(values->element[0]->str, "1") == 0, "what the transaction has set");
  Expect(values->element[1]->type == REDIS_REPLY_NIL, "what it has not");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) Fail("usage", "hiredis_client HOST PORT");
  const Context context(redisConnectWithTimeout(argv[1], atoi(argv[2]), {60, 0}));
  if (!context || context->err != 0) Fail("connect", context ? context->errstr : "no memory");
  Strings(context.get());
  Pipeline(context.get());
  Transaction(context.get());
  puts("all of it works");
  return 0;
}
