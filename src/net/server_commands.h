// The commands that concern the whole store or the daemon. See Command::execute. Any thread.
#ifndef KEYSTONE_NET_SERVER_COMMANDS_H_
#define KEYSTONE_NET_SERVER_COMMANDS_H_

#include "net/command.h"

namespace keystone {

void ExecuteCount(const Request& request, const Environment& environment, Reply* reply);
void ExecuteScan(const Request& request, const Environment& environment, Reply* reply);
// The keys of the request's prefix, or from its key to its end, in order.
void ExecuteKeys(const Request& request, const Environment& environment, Reply* reply);
void ExecuteRange(const Request& request, const Environment& environment, Reply* reply);
void ExecuteCompact(const Request& request, const Environment& environment, Reply* reply);
// Removes all keys, after the request's `number` of ms; one that waits already is called off.
void ExecuteClear(const Request& request, const Environment& environment, Reply* reply);
void ExecuteSync(const Request& request, const Environment& environment, Reply* reply);
void ExecuteStats(const Request& request, const Environment& environment, Reply* reply);
void ExecutePing(const Request& request, const Environment& environment, Reply* reply);
void ExecuteVersion(const Request& request, const Environment& environment, Reply* reply);
void ExecuteHelp(const Request& request, const Environment& environment, Reply* reply);

}  // namespace keystone

#endif  // KEYSTONE_NET_SERVER_COMMANDS_H_
