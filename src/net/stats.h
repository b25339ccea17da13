// The lines of STATS, in the order of keystone-protocol(7). Pure; any thread.
#ifndef KEYSTONE_NET_STATS_H_
#define KEYSTONE_NET_STATS_H_

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "net/counters.h"
#include "net/registry.h"
#include "store/store.h"

namespace keystone {

struct ServerStats {
  int64_t pid = 0;
  uint64_t uptime_seconds = 0;
  Registry::Totals connections;
  uint64_t connections_limit = 0;
  uint64_t threads = 0;  // that serve connections
};

std::string_view NameOf(FsyncPolicy policy);  // as in the configuration

// "name value" each. New names go to the end.
std::vector<std::string> FormatStats(const ServerStats& server, const Counters& counters,
                                     const StoreStats& store);

}  // namespace keystone

#endif  // KEYSTONE_NET_STATS_H_
