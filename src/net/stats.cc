#include "net/stats.h"

#include <string_view>
#include <utility>

#include "config.h"

namespace keystone {

namespace {

class Lines {
 public:
  void Add(std::string_view name, std::string_view word) {
    std::string line(name);
    line.append(" ").append(word);
    lines_.push_back(std::move(line));
  }
  void Add(std::string_view name, uint64_t number) { Add(name, std::to_string(number)); }
  void Add(std::string_view name, const Counter& counter) { Add(name, counter.Get()); }

  std::vector<std::string> Take() { return std::move(lines_); }

 private:
  std::vector<std::string> lines_;
};

constexpr std::string_view kOutcomeNames[kOutcomes] = {
    "memcached_delete_hits", "memcached_delete_misses", "memcached_incr_hits",
    "memcached_incr_misses", "memcached_decr_hits",     "memcached_decr_misses",
    "memcached_cas_hits",    "memcached_cas_misses",    "memcached_cas_badval",
    "memcached_touch_hits",  "memcached_touch_misses"};

void AddServer(const ServerStats& server, Lines* lines) {
  lines->Add("pid", std::to_string(server.pid));
  lines->Add("uptime_seconds", server.uptime_seconds);
  lines->Add("version", PACKAGE_VERSION);
  lines->Add("connections_current", server.connections.current);
  lines->Add("connections_total", server.connections.total);
  lines->Add("connections_rejected", server.connections.rejected);
}

void AddCounters(const Counters& counters, Lines* lines) {
  lines->Add("commands_get", counters.commands_get);
  lines->Add("commands_set", counters.commands_set);
  lines->Add("commands_delete", counters.commands_delete);
  lines->Add("commands_other", counters.commands_other.Get() + counters.flushes.Get());
  lines->Add("get_hits", counters.get_hits);
  lines->Add("get_misses", counters.get_misses);
  lines->Add("protocol_errors", counters.protocol_errors);
  lines->Add("bytes_read", counters.bytes_read);
  lines->Add("bytes_written", counters.bytes_written);
}

void AddStore(const StoreStats& store, Lines* lines) {
  lines->Add("keys", store.keys);
  lines->Add("segments", store.segments);
  lines->Add("log_bytes", store.log_bytes);
  lines->Add("live_bytes", store.live_bytes);
  lines->Add("stale_bytes", store.stale_bytes);
  lines->Add("index_bytes", store.index_bytes);
  lines->Add("fsync_policy", NameOf(store.fsync_policy));
  lines->Add("fsyncs", store.fsyncs);
  lines->Add("fsync_last_us", store.fsync_last_us);
  lines->Add("write_errors", store.write_errors);
  lines->Add("compactions", store.compactions);
  lines->Add("compaction_running", uint64_t{store.compaction_running});
  lines->Add("compaction_last_us", store.compaction_last_us);
  lines->Add("compaction_last_pause_us", store.compaction_last_pause_us);
  lines->Add("compaction_reclaimed_bytes", store.compaction_reclaimed_bytes);
  lines->Add("recovery_us", store.recovery_us);
  lines->Add("recovered_records", store.recovered_records);
  lines->Add("recovered_truncated_bytes", store.recovered_truncated_bytes);
  lines->Add("read_only", uint64_t{store.read_only});
  lines->Add("keys_expiring", store.keys_expiring);
  lines->Add("expired", store.expired);
}

void AddMemcached(const Counters& counters, Lines* lines) {
  for (size_t i = 0; i < kOutcomes; ++i) lines->Add(kOutcomeNames[i], counters.outcomes[i]);
  lines->Add("memcached_flushes", counters.flushes);
}

}  // namespace

std::string_view NameOf(FsyncPolicy policy) {
  switch (policy) {
    case FsyncPolicy::kAlways:
      return "always";
    case FsyncPolicy::kEverySecond:
      return "everysec";
    case FsyncPolicy::kNo:
      return "no";
  }
  return "unknown";
}

std::vector<std::string> FormatStats(const ServerStats& server, const Counters& counters,
                                     const StoreStats& store) {
  Lines lines;
  AddServer(server, &lines);
  AddCounters(counters, &lines);
  AddStore(store, &lines);
  lines.Add("connections_limit", server.connections_limit);
  lines.Add("threads", server.threads);
  AddMemcached(counters, &lines);
  return lines.Take();
}

}  // namespace keystone
