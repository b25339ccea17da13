#include "net/memcached_stats.h"

#include <charconv>
#include <cstdint>
#include <optional>
#include <span>

#include "base/clock.h"
#include "net/memcached.h"

namespace keystone {

namespace {

// A name of memcached's, and what its value is.
struct Row {
  std::string_view name;
  std::string_view of{};     // that line of STATS
  std::string_view plus{};   // and that one
  std::string_view fixed{};  // without `of`
};

constexpr Row kStats[] = {
    {.name = "pid", .of = "pid"},
    {.name = "uptime", .of = "uptime_seconds"},
    {.name = "version", .fixed = kMemcachedVersion},
    {.name = "keystonelight_version", .of = "version"},
    {.name = "pointer_size", .fixed = sizeof(void*) == 8 ? "64" : "32"},
    {.name = "max_connections", .of = "connections_limit"},
    {.name = "curr_connections", .of = "connections_current"},
    {.name = "total_connections", .of = "connections_total"},
    {.name = "rejected_connections", .of = "connections_rejected"},
    {.name = "connection_structures", .of = "connections_current"},
    {.name = "cmd_get", .of = "commands_get"},
    {.name = "cmd_set", .of = "commands_set"},
    {.name = "cmd_flush", .of = "memcached_flushes"},
    {.name = "cmd_touch", .of = "memcached_touch_hits", .plus = "memcached_touch_misses"},
    {.name = "get_hits", .of = "get_hits"},
    {.name = "get_misses", .of = "get_misses"},
    {.name = "delete_misses", .of = "memcached_delete_misses"},
    {.name = "delete_hits", .of = "memcached_delete_hits"},
    {.name = "incr_misses", .of = "memcached_incr_misses"},
    {.name = "incr_hits", .of = "memcached_incr_hits"},
    {.name = "decr_misses", .of = "memcached_decr_misses"},
    {.name = "decr_hits", .of = "memcached_decr_hits"},
    {.name = "cas_misses", .of = "memcached_cas_misses"},
    {.name = "cas_hits", .of = "memcached_cas_hits"},
    {.name = "cas_badval", .of = "memcached_cas_badval"},
    {.name = "touch_hits", .of = "memcached_touch_hits"},
    {.name = "touch_misses", .of = "memcached_touch_misses"},
    {.name = "bytes_read", .of = "bytes_read"},
    {.name = "bytes_written", .of = "bytes_written"},
    {.name = "limit_maxbytes", .fixed = "0"},  // as memcached has it: none
    {.name = "accepting_conns", .fixed = "1"},
    {.name = "threads", .of = "threads"},
    {.name = "bytes", .of = "live_bytes"},
    {.name = "curr_items", .of = "keys"},
    {.name = "total_items", .of = "commands_set"},
    {.name = "evictions", .fixed = "0"},
    {.name = "reclaimed", .of = "expired"},
};

constexpr Row kSettings[] = {
    {.name = "maxbytes", .fixed = "0"},           {.name = "maxconns", .of = "connections_limit"},
    {.name = "verbosity", .fixed = "0"},          {.name = "oldest", .fixed = "0"},
    {.name = "evictions", .fixed = "off"},        {.name = "shutdown_command", .fixed = "no"},
    {.name = "num_threads", .of = "threads"},     {.name = "detail_enabled", .fixed = "no"},
    {.name = "cas_enabled", .fixed = "yes"},      {.name = "binding_protocol", .fixed = "ascii"},
    {.name = "auth_enabled_sasl", .fixed = "no"}, {.name = "flush_enabled", .fixed = "yes"},
    {.name = "dump_enabled", .fixed = "no"},
};

std::string Line(std::string_view name, std::string_view value) {
  return std::string(name).append(" ").append(value);
}

std::optional<std::string_view> ValueOf(const std::vector<std::string>& stats,
                                        std::string_view name) {
  for (const std::string_view line : stats) {
    const size_t space = line.find(' ');
    if (line.substr(0, space) == name) return line.substr(space + 1);
  }
  return std::nullopt;
}

uint64_t NumberOf(std::string_view text) {
  uint64_t number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number);
  return number;
}

std::vector<std::string> Translated(std::span<const Row> rows,
                                    const std::vector<std::string>& stats) {
  std::vector<std::string> lines;
  for (const Row& row : rows) {
    std::optional<std::string_view> value = ValueOf(stats, row.of);
    if (row.of.empty()) value = row.fixed;
    if (!value) continue;
    if (row.plus.empty()) {
      lines.push_back(Line(row.name, *value));
    } else {
      const uint64_t sum = NumberOf(*value) + NumberOf(ValueOf(stats, row.plus).value_or(""));
      lines.push_back(Line(row.name, std::to_string(sum)));
    }
  }
  return lines;
}

}  // namespace

std::vector<std::string> MemcachedStats(const std::vector<std::string>& stats) {
  std::vector<std::string> lines = Translated(kStats, stats);
  lines.push_back(Line("time", std::to_string(UnixTimeMs() / 1000)));
  return lines;
}

std::vector<std::string> MemcachedSettings(const std::vector<std::string>& stats,
                                           size_t max_value_size) {
  std::vector<std::string> lines = Translated(kSettings, stats);
  lines.push_back(Line("item_size_max", std::to_string(max_value_size)));
  return lines;
}

std::vector<std::string> MemcachedSlabs() { return {"active_slabs 0", "total_malloced 0"}; }

}  // namespace keystone
