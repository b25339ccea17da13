// Replies in RESP2. Pure; any thread.
#ifndef KEYSTONE_NET_RESP_REPLY_H_
#define KEYSTONE_NET_RESP_REPLY_H_

#include <string>

#include "net/reply.h"

namespace keystone {

void AppendRespReply(const Reply& reply, std::string* out);

}  // namespace keystone

#endif  // KEYSTONE_NET_RESP_REPLY_H_
