// INFO: figures of the daemon under Redis's names, for the tools that read those. See
// Command::execute. Any thread.
#ifndef KEYSTONE_NET_REDIS_INFO_H_
#define KEYSTONE_NET_REDIS_INFO_H_

#include <string_view>

#include "net/command.h"

namespace keystone {

// What clients are told that they talk to: the commands that there are behave as in that version.
inline constexpr std::string_view kRedisVersion = "7.0.0";

void ExecuteInfo(const Request& request, const Environment& environment, Reply* reply);

}  // namespace keystone

#endif  // KEYSTONE_NET_REDIS_INFO_H_
