#include "net/metrics.h"

#include <algorithm>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "CppUTest/TestHarness.h"
#include "net/stats.h"

using keystone::FormatMetrics;

namespace {

// The figures of a STATS whose every number is another one, from 1000 on.
std::vector<std::string> NumberedStats() {
  std::vector<std::string> stats = keystone::FormatStats({}, {}, {});
  int number = 1000;
  for (std::string& line : stats) {
    const std::string name = line.substr(0, line.find(' '));
    if (name != "version" && name != "fsync_policy") line = name + " " + std::to_string(number++);
  }
  return stats;
}

std::vector<std::string> LinesOf(const std::string& text) {
  std::istringstream stream(text);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::string ValueOf(const std::string& sample) { return sample.substr(sample.rfind(' ') + 1); }

// As keystone-protocol(7) has them: the names of STATS, but for what Prometheus's conventions ask.
std::string SampleOf(const std::string& stat) {
  static const std::map<std::string, std::string> renamed = {
      {"connections_current", "connections"},
      {"connections_rejected", "connections_rejected_total"},
      {"commands_get", "commands_total{command=\"get\"}"},
      {"commands_set", "commands_total{command=\"set\"}"},
      {"commands_delete", "commands_total{command=\"delete\"}"},
      {"commands_other", "commands_total{command=\"other\"}"},
      {"get_hits", "get_hits_total"},
      {"get_misses", "get_misses_total"},
      {"protocol_errors", "protocol_errors_total"},
      {"bytes_read", "read_bytes_total"},
      {"bytes_written", "written_bytes_total"},
      {"expired", "expired_keys_total"},
      {"fsyncs", "fsyncs_total"},
      {"fsync_last_us", "fsync_last_seconds"},
      {"write_errors", "write_errors_total"},
      {"compactions", "compactions_total"},
      {"compaction_last_us", "compaction_last_seconds"},
      {"compaction_last_pause_us", "compaction_last_pause_seconds"},
      {"compaction_reclaimed_bytes", "compaction_reclaimed_bytes_total"},
      {"recovery_us", "recovery_seconds"},
      {"memcached_delete_hits", "memcached_commands_total{command=\"delete\",status=\"hit\"}"},
      {"memcached_delete_misses", "memcached_commands_total{command=\"delete\",status=\"miss\"}"},
      {"memcached_incr_hits", "memcached_commands_total{command=\"incr\",status=\"hit\"}"},
      {"memcached_incr_misses", "memcached_commands_total{command=\"incr\",status=\"miss\"}"},
      {"memcached_decr_hits", "memcached_commands_total{command=\"decr\",status=\"hit\"}"},
      {"memcached_decr_misses", "memcached_commands_total{command=\"decr\",status=\"miss\"}"},
      {"memcached_cas_hits", "memcached_commands_total{command=\"cas\",status=\"hit\"}"},
      {"memcached_cas_misses", "memcached_commands_total{command=\"cas\",status=\"miss\"}"},
      {"memcached_touch_hits", "memcached_commands_total{command=\"touch\",status=\"hit\"}"},
      {"memcached_touch_misses", "memcached_commands_total{command=\"touch\",status=\"miss\"}"},
      {"memcached_cas_badval", "memcached_commands_total{command=\"cas\",status=\"badval\"}"},
      {"memcached_flushes", "memcached_commands_total{command=\"flush\",status=\"hit\"}"}};
  const auto found = renamed.find(stat);
  return "keystoned_" + (found == renamed.end() ? stat : found->second);
}

}  // namespace

TEST_GROUP(Metrics) {
  std::string text = FormatMetrics(NumberedStats());
  std::vector<std::string> lines = LinesOf(text);
};

TEST(Metrics, EachFigureOfStatsIsThereOnceButThePid) {
  std::multiset<std::string> values;
  for (const std::string& line : lines) {
    if (!line.starts_with('#')) values.insert(ValueOf(line));
  }
  size_t expected = 0;
  for (const std::string& stat : NumberedStats()) {
    const std::string name = stat.substr(0, stat.find(' '));
    std::string value = ValueOf(stat);
    if (name == "pid") continue;
    expected++;
    if (name == "version" || name == "fsync_policy") continue;
    if (name.ends_with("_us")) value = "0.00" + value;
    LONGS_EQUAL(1, values.count(value));
  }
  LONGS_EQUAL(expected, values.size());
}

TEST(Metrics, StandUnderTheirNames) {
  for (const std::string& stat : NumberedStats()) {
    const std::string name = stat.substr(0, stat.find(' '));
    std::string value = ValueOf(stat);
    if (name == "pid" || name == "version" || name == "fsync_policy") continue;
    if (name.ends_with("_us")) value = "0.00" + value;
    const std::string line = SampleOf(name) + " " + value;
    CHECK_TRUE_TEXT(std::find(lines.begin(), lines.end(), line) != lines.end(), line.c_str());
  }
  CHECK_TRUE(FormatMetrics({"fsync_policy always"})
                 .find("\nkeystoned_fsync_policy_info{policy=\"always\"} 1\n") !=
             std::string::npos);
}

TEST(Metrics, TimesAreInSeconds) {
  for (const auto& [us, seconds] : {std::pair{"0", "0.000000"},
                                    {"1", "0.000001"},
                                    {"1500000", "1.500000"},
                                    {"18446744073709551615", "18446744073709.551615"}}) {
    const std::string metrics = FormatMetrics({std::string("recovery_us ") + us});
    CHECK_TRUE(metrics.find("\nkeystoned_recovery_seconds " + std::string(seconds) + "\n") !=
               std::string::npos);
  }
}

// As the format asks: HELP and TYPE once, before all samples of a metric.
TEST(Metrics, EachHasHelpAndTypeOnceBeforeItsSamples) {
  std::set<std::string> seen;
  std::string current;
  for (size_t i = 0; i < lines.size(); i++) {
    std::istringstream words(lines[i]);
    std::string hash, word, name, type;
    if (lines[i].starts_with("# HELP ")) {
      words >> hash >> word >> name;
      CHECK_TRUE(seen.insert(name).second);
      CHECK_TRUE(lines[i].size() > 7 + name.size() + 2);
      current = name;
      std::istringstream next(lines.at(++i));
      next >> hash >> word >> name >> type;
      STRCMP_EQUAL("TYPE", word.c_str());
      STRCMP_EQUAL(current.c_str(), name.c_str());
      STRCMP_EQUAL(name.ends_with("_total") ? "counter" : "gauge", type.c_str());
      continue;
    }
    STRCMP_EQUAL(current.c_str(), lines[i].substr(0, lines[i].find_first_of(" {")).c_str());
  }
  CHECK_TRUE(seen.size() > 30);
}
