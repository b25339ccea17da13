// Redis's commands on the connection and the daemon, beside those of server_commands. See
// Command::execute. Any thread.
#ifndef KEYSTONE_NET_REDIS_SERVER_H_
#define KEYSTONE_NET_REDIS_SERVER_H_

#include "net/command.h"

namespace keystone {

void ExecuteEcho(const Request& request, const Environment& environment, Reply* reply);
void ExecuteNothing(const Request& request, const Environment& environment, Reply* reply);  // OK
void ExecuteHello(const Request& request, const Environment& environment, Reply* reply);
void ExecuteClient(const Request& request, const Environment& environment, Reply* reply);
void ExecuteConfig(const Request& request, const Environment& environment, Reply* reply);
void ExecuteCommand(const Request& request, const Environment& environment, Reply* reply);
void ExecuteTime(const Request& request, const Environment& environment, Reply* reply);
void ExecuteLastSave(const Request& request, const Environment& environment, Reply* reply);
void ExecuteRandomKey(const Request& request, const Environment& environment, Reply* reply);
void ExecuteBgRewriteAof(const Request& request, const Environment& environment, Reply* reply);

}  // namespace keystone

#endif  // KEYSTONE_NET_REDIS_SERVER_H_
