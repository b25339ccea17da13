#include "net/metrics.h"

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

}  // namespace

TEST_GROUP(Metrics) {
  std::string text = FormatMetrics(NumberedStats());
  std::vector<std::string> lines = LinesOf(text);

  bool Has(const std::string& line) const {
    return ("\n" + text).find("\n" + line + "\n") != text.npos;
  }
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
  CHECK_TRUE(FormatMetrics({"keys 7"}).find("\nkeystoned_keys 7\n") != std::string::npos);
  CHECK_TRUE(FormatMetrics({"expired 7"}).find("\nkeystoned_expired_keys_total 7\n") !=
             std::string::npos);
  CHECK_TRUE(
      FormatMetrics({"commands_set 7"}).find("\nkeystoned_commands_total{command=\"set\"} 7\n") !=
      std::string::npos);
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
