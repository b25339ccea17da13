// The arguments of Redis's commands -> the rest of a Request; see Command::parse. Pure, but for the
// clock where an expiry is relative to now; any thread. Errors are worded as Redis words them.
#ifndef KEYSTONE_NET_REDIS_ARGUMENTS_H_
#define KEYSTONE_NET_REDIS_ARGUMENTS_H_

#include "base/status.h"
#include "net/request.h"

namespace keystone {

struct Limits;

Status ParseRespSet(Words words, const Limits& limits, Request* request);
Status ParseRespSetNx(Words words, const Limits& limits, Request* request);
Status ParseRespSetEx(Words words, const Limits& limits, Request* request);  // SETEX, PSETEX
Status ParseRespGetSet(Words words, const Limits& limits, Request* request);
Status ParseRespGetEx(Words words, const Limits& limits, Request* request);
Status ParseRespAppend(Words words, const Limits& limits, Request* request);  // limit: of the whole
Status ParseRespPairs(Words words, const Limits& limits, Request* request);

// The request's number is what to add.
Status ParseRespIncr(Words words, const Limits& limits, Request* request);
Status ParseRespDecr(Words words, const Limits& limits, Request* request);
Status ParseRespIncrBy(Words words, const Limits& limits, Request* request);
Status ParseRespDecrBy(Words words, const Limits& limits, Request* request);

Status ParseRespExpire(Words words, const Limits& limits, Request* request);
Status ParseRespPExpire(Words words, const Limits& limits, Request* request);
Status ParseRespExpireAt(Words words, const Limits& limits, Request* request);
Status ParseRespPExpireAt(Words words, const Limits& limits, Request* request);

Status ParseRespPing(Words words, const Limits& limits, Request* request);
Status ParseRespSelect(Words words, const Limits& limits, Request* request);
Status ParseRespFlush(Words words, const Limits& limits, Request* request);
Status ParseRespConfig(Words words, const Limits& limits, Request* request);  // limit: of a value
Status ParseRespRename(Words words, const Limits& limits, Request* request);  // from key to end
// A key in `key`, and then in `end`, too, is all that matches; or nothing does.
Status ParseRespKeysPattern(Words words, const Limits& limits, Request* request);
Status ParseRespScan(Words words, const Limits& limits, Request* request);

}  // namespace keystone

#endif  // KEYSTONE_NET_REDIS_ARGUMENTS_H_
