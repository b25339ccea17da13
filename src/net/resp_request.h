// The words of a RESP request -> a Request. Pure, but for the clock where an expiry is relative to
// now; any thread. Errors are worded as Redis words them.
#ifndef KEYSTONE_NET_RESP_REQUEST_H_
#define KEYSTONE_NET_RESP_REQUEST_H_

#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"
#include "net/request.h"

namespace keystone {

struct Limits;

// Sets the command. kInvalid: there is none of that name, or not with so many words.
Status FindRespRequest(Words words, Request* request);

// Fills in the rest; the command is known. The request points into `words`, and at them.
Status ParseRespArguments(Words words, const Limits& limits, Request* request);

// The words of a request that is known to be complete; they point into it.
std::vector<std::string_view> CopyRespWords(std::string_view request);

// What several commands' arguments are made of.
Status CheckRespKey(std::string_view key, const Limits& limits);
Status CheckRespValue(std::string_view value, const Limits& limits);
Status WrongArity(std::string_view command);  // lower case
Status NotAnInteger();
Status SyntaxError();

// See Command::parse.
Status ParseRespKey(Words words, const Limits& limits, Request* request);
Status ParseRespKeys(Words words, const Limits& limits, Request* request);
Status ParseRespWords(Words words, const Limits& limits, Request* request);  // as they are

}  // namespace keystone

#endif  // KEYSTONE_NET_RESP_REQUEST_H_
