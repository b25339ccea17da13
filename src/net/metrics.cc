#include "net/metrics.h"

#include <charconv>
#include <cstdint>
#include <cstdio>

namespace keystone {

namespace {

constexpr std::string_view kPrefix = "keystoned_";
constexpr uint64_t kMicrosecondsASecond = 1'000'000;

enum class Kind {
  kCounter,
  kGauge,
  kGaugeOfMicroseconds,
  kWord,  // the value of a label; the gauge is always 1
};

struct Metric {
  std::string_view stats_name;
  Kind kind;
  std::string_view name;   // of several in a row with one name the first has the help
  std::string_view label;  // name="value", or the name alone for a word
  std::string_view help;
};

// All of STATS but the pid, which is no figure.
constexpr Metric kMetrics[] = {
    {"version", Kind::kWord, "build_info", "version", "The daemon's version."},
    {"uptime_seconds", Kind::kGauge, "uptime_seconds", "", "Time since the start."},
    {"connections_current", Kind::kGauge, "connections", "", "Clients that are connected."},
    {"connections_limit", Kind::kGauge, "connections_limit", "", "How many there may be."},
    {"connections_total", Kind::kCounter, "connections_total", "", "Clients that were let in."},
    {"connections_rejected", Kind::kCounter, "connections_rejected_total", "",
     "Clients that were refused, for there were too many."},
    {"threads", Kind::kGauge, "threads", "", "Threads that serve clients."},
    {"commands_get", Kind::kCounter, "commands_total", "command=\"get\"",
     "Commands that were executed."},
    {"commands_set", Kind::kCounter, "commands_total", "command=\"set\"", ""},
    {"commands_delete", Kind::kCounter, "commands_total", "command=\"delete\"", ""},
    {"commands_other", Kind::kCounter, "commands_total", "command=\"other\"", ""},
    {"get_hits", Kind::kCounter, "get_hits_total", "", "Keys that were asked for and found."},
    {"get_misses", Kind::kCounter, "get_misses_total", "", "Keys that were asked for in vain."},
    {"protocol_errors", Kind::kCounter, "protocol_errors_total", "",
     "Requests that are none of the protocol's."},
    {"bytes_read", Kind::kCounter, "read_bytes_total", "", "Bytes from clients."},
    {"bytes_written", Kind::kCounter, "written_bytes_total", "", "Bytes to clients."},
    {"keys", Kind::kGauge, "keys", "", "Keys in the store."},
    {"keys_expiring", Kind::kGauge, "keys_expiring", "", "Of them, those that will expire."},
    {"expired", Kind::kCounter, "expired_keys_total", "", "Keys that have expired."},
    {"segments", Kind::kGauge, "segments", "", "Files of the log."},
    {"log_bytes", Kind::kGauge, "log_bytes", "", "Size of the log."},
    {"live_bytes", Kind::kGauge, "live_bytes", "", "Of the log, what a compaction would keep."},
    {"stale_bytes", Kind::kGauge, "stale_bytes", "", "Of the log, what it would drop."},
    {"index_bytes", Kind::kGauge, "index_bytes", "", "Memory of the index."},
    {"fsync_policy", Kind::kWord, "fsync_policy_info", "policy", "When writes are forced to disk."},
    {"fsyncs", Kind::kCounter, "fsyncs_total", "", "Syncs of the log."},
    {"fsync_last_us", Kind::kGaugeOfMicroseconds, "fsync_last_seconds", "",
     "How long the last sync took."},
    {"write_errors", Kind::kCounter, "write_errors_total", "", "Writes that were refused."},
    {"read_only", Kind::kGauge, "read_only", "",
     "1 while writes are refused, since what is on disk is not certain."},
    {"compactions", Kind::kCounter, "compactions_total", "", "Compactions that have ended well."},
    {"compaction_running", Kind::kGauge, "compaction_running", "", "1 while one runs."},
    {"compaction_last_us", Kind::kGaugeOfMicroseconds, "compaction_last_seconds", "",
     "How long the last compaction took."},
    {"compaction_last_pause_us", Kind::kGaugeOfMicroseconds, "compaction_last_pause_seconds", "",
     "How long it held up the clients."},
    {"compaction_reclaimed_bytes", Kind::kCounter, "compaction_reclaimed_bytes_total", "",
     "Bytes that compactions have given back."},
    {"recovery_us", Kind::kGaugeOfMicroseconds, "recovery_seconds", "",
     "How long the start took to read the log."},
    {"recovered_records", Kind::kGauge, "recovered_records", "", "Records that were in it."},
    {"recovered_truncated_bytes", Kind::kGauge, "recovered_truncated_bytes", "",
     "Size of the torn tail that was cut then."},
    {"memcached_delete_hits", Kind::kCounter, "memcached_commands_total",
     "command=\"delete\",status=\"hit\"", "Commands of memcached's clients by their outcome."},
    {"memcached_delete_misses", Kind::kCounter, "memcached_commands_total",
     "command=\"delete\",status=\"miss\"", ""},
    {"memcached_incr_hits", Kind::kCounter, "memcached_commands_total",
     "command=\"incr\",status=\"hit\"", ""},
    {"memcached_incr_misses", Kind::kCounter, "memcached_commands_total",
     "command=\"incr\",status=\"miss\"", ""},
    {"memcached_decr_hits", Kind::kCounter, "memcached_commands_total",
     "command=\"decr\",status=\"hit\"", ""},
    {"memcached_decr_misses", Kind::kCounter, "memcached_commands_total",
     "command=\"decr\",status=\"miss\"", ""},
    {"memcached_cas_hits", Kind::kCounter, "memcached_commands_total",
     "command=\"cas\",status=\"hit\"", ""},
    {"memcached_cas_misses", Kind::kCounter, "memcached_commands_total",
     "command=\"cas\",status=\"miss\"", ""},
    {"memcached_cas_badval", Kind::kCounter, "memcached_commands_total",
     "command=\"cas\",status=\"badval\"", ""},
    {"memcached_touch_hits", Kind::kCounter, "memcached_commands_total",
     "command=\"touch\",status=\"hit\"", ""},
    {"memcached_touch_misses", Kind::kCounter, "memcached_commands_total",
     "command=\"touch\",status=\"miss\"", ""},
    {"memcached_flushes", Kind::kCounter, "memcached_commands_total",
     "command=\"flush\",status=\"hit\"", ""},
};

std::string_view ValueOf(const std::vector<std::string>& stats, std::string_view name) {
  for (const std::string_view line : stats) {
    if (line.starts_with(name) && line.substr(name.size()).starts_with(' ')) {
      return line.substr(name.size() + 1);
    }
  }
  return {};
}

std::string Seconds(std::string_view microseconds) {
  uint64_t number = 0;
  std::from_chars(microseconds.data(), microseconds.data() + microseconds.size(), number);
  char text[32];
  std::snprintf(text, sizeof text, "%llu.%06llu",
                static_cast<unsigned long long>(number / kMicrosecondsASecond),
                static_cast<unsigned long long>(number % kMicrosecondsASecond));
  return text;
}

void AppendHeader(const Metric& metric, std::string* out) {
  out->append("# HELP ").append(kPrefix).append(metric.name).append(" ").append(metric.help);
  out->append("\n# TYPE ").append(kPrefix).append(metric.name);
  out->append(metric.kind == Kind::kCounter ? " counter\n" : " gauge\n");
}

void AppendSample(const Metric& metric, std::string_view value, std::string* out) {
  out->append(kPrefix).append(metric.name);
  if (metric.kind == Kind::kWord) {
    out->append("{").append(metric.label).append("=\"").append(value).append("\"} 1\n");
    return;
  }
  if (!metric.label.empty()) out->append("{").append(metric.label).append("}");
  out->append(" ");
  out->append(metric.kind == Kind::kGaugeOfMicroseconds ? Seconds(value) : std::string(value));
  out->append("\n");
}

}  // namespace

std::string FormatMetrics(const std::vector<std::string>& stats) {
  std::string text;
  for (const Metric& metric : kMetrics) {
    if (!metric.help.empty()) AppendHeader(metric, &text);
    AppendSample(metric, ValueOf(stats, metric.stats_name), &text);
  }
  return text;
}

}  // namespace keystone
