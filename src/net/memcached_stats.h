// What memcached's tools ask a server about itself. Pure but for the time of day; any thread.
#ifndef KEYSTONE_NET_MEMCACHED_STATS_H_
#define KEYSTONE_NET_MEMCACHED_STATS_H_

#include <cstddef>
#include <string>
#include <vector>

namespace keystone {

// "name value" each, by memcached's names, from the lines of STATS. There are none of what has no
// counterpart.
std::vector<std::string> MemcachedStats(const std::vector<std::string>& stats);
std::vector<std::string> MemcachedSettings(const std::vector<std::string>& stats,
                                           size_t max_value_size);
std::vector<std::string> MemcachedSlabs();

}  // namespace keystone

#endif  // KEYSTONE_NET_MEMCACHED_STATS_H_
