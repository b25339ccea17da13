// What the administrator asked for: the command line over the configuration file over defaults.
//
// Names, defaults and the texts of --help are in one table, in options.cc; keystoned.conf(5)
// explains them.
#ifndef KEYSTONE_DAEMON_OPTIONS_H_
#define KEYSTONE_DAEMON_OPTIONS_H_

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/address.h"
#include "base/log.h"
#include "base/status.h"

namespace keystone {

enum class Action { kServe, kCheckConfig, kHelp, kVersion };

enum class Fsync { kAlways, kEverySecond, kNo };

// Immutable once parsed. Paths are absolute.
struct Options {
  Action action = Action::kServe;
  bool foreground = false;
  std::string config;           // empty: no file was read
  std::vector<Address> listen;  // empty: port 7878 of the loopback addresses
  std::vector<Address> listen_memcached;
  std::vector<Address> listen_metrics;
  mode_t unix_mode = 0;
  std::string data_dir;
  std::string pid_file;  // empty: none
  std::string user;      // empty: stay who we are
  std::string group;     // empty: the user's own
  Fsync fsync = Fsync::kEverySecond;
  uint64_t segment_size_bytes = 0;
  unsigned compact_stale_percent = 0;
  uint64_t compact_min_size_bytes = 0;
  size_t max_connections = 0;
  size_t io_threads = 0;  // 0: a thread per connection
  size_t max_key_size_bytes = 0;
  size_t max_value_size_bytes = 0;
  unsigned idle_timeout_ms = 0;  // each timeout: 0 is never
  unsigned request_timeout_ms = 0;
  unsigned write_timeout_ms = 0;
  unsigned drain_timeout_ms = 0;
  Priority log_level = Priority::kInfo;
  int syslog_facility = 0;  // syslog(3)'s
};

// kUsage: the command line is wrong; kConfig: the configuration file is, or can't be read. The
// message names the option and the value, for a file also its name and the line. With --help or
// --version no file is read.
Result<Options> ParseOptions(int argc, const char* const* argv);

// What --help prints: every option with its default.
std::string HelpText();

}  // namespace keystone

#endif  // KEYSTONE_DAEMON_OPTIONS_H_
