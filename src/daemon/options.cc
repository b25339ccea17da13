#include "daemon/options.h"

#include <syslog.h>
#include <unistd.h>

#include <boost/program_options.hpp>
#include <charconv>
#include <filesystem>
#include <limits>
#include <set>
#include <sstream>
#include <string_view>

#include "base/escape.h"
#include "base/file.h"
#include "daemon/units.h"

namespace keystone {

namespace {

namespace po = boost::program_options;

constexpr char kDefaultConfig[] = SYSCONFDIR "/keystonelight/keystoned.conf";
constexpr uint64_t kMaxConfigSize = 1 << 20;
constexpr uint64_t kMaxDurationMs = uint64_t{24} * 24 * 60 * 60 * 1000;  // fits poll(2)'s int
constexpr uint64_t kNoLimit = std::numeric_limits<uint64_t>::max();

// One option that was given. `origin` is empty for the command line, "FILE:LINE: " for a file.
struct Setting {
  std::string name;
  std::string value;
  std::string origin;
};

Status Bad(std::string_view value, const std::string& reason) {
  return {Code::kInvalid, "'" + Escape(value) + "' " + reason};
}

// Stores a number that was parsed from `text` if it lies between the limits.
template <class Number>
Status Store(const Result<uint64_t>& parsed, const std::string& text, uint64_t low, uint64_t high,
             Number* out) {
  if (!parsed.ok()) return parsed.status();
  if (parsed.value() < low) return Bad(text, "is less than " + std::to_string(low));
  if (parsed.value() > high) return Bad(text, "is more than " + std::to_string(high));
  *out = static_cast<Number>(parsed.value());
  return Status::Ok();
}

template <class Number>
Status SetSize(const std::string& text, uint64_t low, uint64_t high, Number* out) {
  return Store(ParseSize(text), text, low, high, out);
}

Status SetTimeout(const std::string& text, unsigned* out) {
  const auto parsed = ParseDuration(text);
  if (parsed.ok() && parsed.value() > kMaxDurationMs) return Bad(text, "is more than 24 days");
  return Store(parsed, text, 0, kMaxDurationMs, out);
}

template <class Number>
Status SetNumber(const std::string& text, int base, uint64_t low, uint64_t high, Number* out) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc() || end != text.data() + text.size()) {
    return Bad(text, base == 8 ? "is not an octal number" : "is not a number");
  }
  return Store(Result<uint64_t>(number), text, low, high, out);
}

template <class T>
struct Choice {
  std::string_view name;
  T value;
};

constexpr Choice<Fsync> kFsyncs[] = {
    {"always", Fsync::kAlways}, {"everysec", Fsync::kEverySecond}, {"no", Fsync::kNo}};
constexpr Choice<Priority> kLevels[] = {{"error", Priority::kError},
                                        {"warning", Priority::kWarning},
                                        {"notice", Priority::kNotice},
                                        {"info", Priority::kInfo},
                                        {"debug", Priority::kDebug}};
constexpr Choice<int> kFacilities[] = {
    {"daemon", LOG_DAEMON}, {"user", LOG_USER},     {"local0", LOG_LOCAL0}, {"local1", LOG_LOCAL1},
    {"local2", LOG_LOCAL2}, {"local3", LOG_LOCAL3}, {"local4", LOG_LOCAL4}, {"local5", LOG_LOCAL5},
    {"local6", LOG_LOCAL6}, {"local7", LOG_LOCAL7}};

template <class T, size_t kCount>
Status SetChoice(const std::string& text, const Choice<T> (&choices)[kCount], T* out) {
  std::string names;
  for (const auto& choice : choices) {
    if (text == choice.name) {
      *out = choice.value;
      return Status::Ok();
    }
    names.append(" ").append(choice.name);
  }
  return Bad(text, "is none of" + names);
}

// The daemon leaves its start directory, so a relative path is resolved now.
Status SetPath(const std::string& text, std::string* out) {
  std::error_code error;
  const auto path = std::filesystem::absolute(text, error);
  if (error) return Bad(text, "can't be made absolute: " + error.message());
  *out = path.string();
  return Status::Ok();
}

Status AddListen(const std::string& text, std::vector<Address>* out) {
  auto address = ParseAddress(text);
  if (address.ok() && address.value().kind == Address::Kind::kUnix) {
    std::string path;
    if (Status status = SetPath(address.value().path, &path); !status.ok()) return status;
    address = ParseAddress("unix:" + path);
  }
  if (!address.ok()) return address.status();
  out->push_back(address.value());
  return Status::Ok();
}

Status SetName(const std::string& text, std::string* out) {
  *out = text;
  return Status::Ok();
}

struct Row {
  const char* name;
  const char* argument;
  const char* default_text;  // null: the option is not set
  const char* help;
  Status (*set)(const std::string& text, Options* options);
};

using Text = const std::string&;

constexpr Row kRows[] = {
    {"listen", "ADDRESS", nullptr,
     "HOST:PORT, [V6]:PORT or unix:PATH; may be repeated; port 0: the kernel picks one "
     "(default 127.0.0.1:7878 and, where IPv6 exists, [::1]:7878)",
     [](Text text, Options* o) { return AddListen(text, &o->listen); }},
    {"listen-memcached", "ADDRESS", nullptr,
     "the same for clients that speak memcached's text protocol (default none)",
     [](Text text, Options* o) { return AddListen(text, &o->listen_memcached); }},
    {"listen-metrics", "ADDRESS", nullptr,
     "the same for monitors: HTTP, /metrics in Prometheus's text format, /healthz (default none)",
     [](Text text, Options* o) { return AddListen(text, &o->listen_metrics); }},
    {"unix-mode", "MODE", "0660", "permissions of Unix sockets, octal",
     [](Text text, Options* o) { return SetNumber(text, 8, 0, 0777, &o->unix_mode); }},
    {"data-dir", "DIR", LOCALSTATEDIR "/lib/keystonelight", "where the log is",
     [](Text text, Options* o) { return SetPath(text, &o->data_dir); }},
    {"pid-file", "FILE", RUNSTATEDIR "/keystonelight/keystoned.pid",
     "locked for life; with --foreground none unless given",
     [](Text text, Options* o) { return SetPath(text, &o->pid_file); }},
    {"user", "NAME", nullptr, "become this user once sockets are bound (default none)",
     [](Text text, Options* o) { return SetName(text, &o->user); }},
    {"group", "NAME", nullptr, "and this group (default the user's own)",
     [](Text text, Options* o) { return SetName(text, &o->group); }},
    {"fsync", "POLICY", "everysec", "when writes are forced to disk: always, everysec or no",
     [](Text text, Options* o) { return SetChoice(text, kFsyncs, &o->fsync); }},
    {"segment-size", "SIZE", "256m", "size at which a segment of the log is sealed, 4k at least",
     [](Text text, Options* o) { return SetSize(text, 4096, kNoLimit, &o->segment_size_bytes); }},
    {"compact-stale-percent", "PERCENT", "50",
     "compact when this share of the log is stale; 0: never by itself",
     [](Text text, Options* o) { return SetNumber(text, 10, 0, 100, &o->compact_stale_percent); }},
    {"compact-min-size", "SIZE", "64m", "... and the log is at least this big",
     [](Text text, Options* o) { return SetSize(text, 0, kNoLimit, &o->compact_min_size_bytes); }},
    {"max-connections", "NUMBER", "1024", "clients at the same time",
     [](Text text, Options* o) { return SetNumber(text, 10, 1, 1000000, &o->max_connections); }},
    {"io-threads", "NUMBER", "0",
     "event loops that share all connections, 64 at most; 0: a thread per connection",
     [](Text text, Options* o) { return SetNumber(text, 10, 0, 64, &o->io_threads); }},
    {"max-key-size", "SIZE", "1024", "longest key, 65535 at most",
     [](Text text, Options* o) { return SetSize(text, 1, 65535, &o->max_key_size_bytes); }},
    {"max-value-size", "SIZE", "64m", "longest value, 1g at most",
     [](Text text, Options* o) { return SetSize(text, 1, 1 << 30, &o->max_value_size_bytes); }},
    {"idle-timeout", "TIME", "0", "close a connection that is idle for this long; 0: never",
     [](Text text, Options* o) { return SetTimeout(text, &o->idle_timeout_ms); }},
    {"request-timeout", "TIME", "30s", "... that does not finish a request; 0: never",
     [](Text text, Options* o) { return SetTimeout(text, &o->request_timeout_ms); }},
    {"write-timeout", "TIME", "60s", "... that does not read its replies; 0: never",
     [](Text text, Options* o) { return SetTimeout(text, &o->write_timeout_ms); }},
    {"drain-timeout", "TIME", "10s", "wait this long for connections when stopping; 0: for ever",
     [](Text text, Options* o) { return SetTimeout(text, &o->drain_timeout_ms); }},
    {"log-level", "LEVEL", "info", "error, warning, notice, info or debug",
     [](Text text, Options* o) { return SetChoice(text, kLevels, &o->log_level); }},
    {"syslog-facility", "NAME", "daemon", "daemon, user or local0 to local7",
     [](Text text, Options* o) { return SetChoice(text, kFacilities, &o->syslog_facility); }},
};

po::options_description Settings() {
  po::options_description description("Options, here or in the configuration file", 100);
  for (const Row& row : kRows) {
    std::string help = row.help;
    if (row.default_text != nullptr) help.append(" (default ").append(row.default_text) += ")";
    description.add_options()(row.name, po::value<std::string>()->value_name(row.argument),
                              help.c_str());
  }
  return description;
}

po::options_description Switches() {
  po::options_description description("Options of the command line only", 100);
  description.add_options()("config", po::value<std::string>()->value_name("FILE"),
                            "configuration file (default " SYSCONFDIR
                            "/keystonelight/keystoned.conf, if it exists)")(
      "foreground", "stay in the foreground and log to stderr")(
      "check-config", "say what is wrong with the options and exit")("help", "print this and exit")(
      "version", "print the version and exit");
  return description;
}

Setting SettingOf(const po::option& option, const std::string& origin) {
  return {option.string_key, option.value.empty() ? "" : option.value.front(), origin};
}

// Whether the value was forgotten, so that the library took the next option for it.
bool SwallowedAnOption(const po::option& option) {
  return option.original_tokens.size() > 1 && option.original_tokens[1].starts_with("--");
}

// Not what(): that never ends where the name has a placeholder of its own in it.
std::string Unrecognised(const po::unknown_option& error) {
  return "unrecognised option '" + error.get_option_name() + "'";
}

Result<std::vector<Setting>> ParseCommandLine(int argc, const char* const* argv) {
  namespace style = po::command_line_style;
  po::options_description all;
  all.add(Settings()).add(Switches());
  std::vector<Setting> settings;
  try {
    // No abbreviations: they would change their meaning when options are added.
    const auto parsed =
        po::command_line_parser(argc, argv)
            .options(all)
            .style(style::allow_long | style::long_allow_adjacent | style::long_allow_next)
            .run();
    for (const auto& option : parsed.options) {
      settings.push_back(SettingOf(option, ""));
      if (SwallowedAnOption(option)) settings.back().value.clear();
    }
  } catch (const po::unknown_option& error) {
    return Status(Code::kUsage, Unrecognised(error));
  } catch (const po::error& error) {
    return Status(Code::kUsage, error.what());
  }
  return settings;
}

// A line at a time, because the library tells no line numbers.
Status ParseConfigLine(const std::string& line, const std::string& origin,
                       std::vector<Setting>* settings) {
  const auto bad = [&](const std::string& reason) {
    return Status(Code::kConfig, origin + "'" + Escape(line) + "': " + reason);
  };
  const size_t start = line.find_first_not_of(" \t\r");
  if (start == std::string::npos) return Status::Ok();
  if (line[start] == '[') return bad("there are no sections");
  if (line[start] == '=') return bad("the name is missing");
  std::istringstream stream(line);
  try {
    for (const auto& option : po::parse_config_file(stream, Settings()).options) {
      settings->push_back(SettingOf(option, origin));
    }
  } catch (const po::invalid_config_file_syntax&) {
    return bad("'name = value' is expected");
  } catch (const po::unknown_option& error) {
    return {Code::kConfig, origin + Unrecognised(error)};
  } catch (const po::error& error) {
    return {Code::kConfig, origin + error.what()};
  }
  return Status::Ok();
}

Result<std::vector<Setting>> ParseConfigFile(const std::string& path) {
  const auto content = ReadSmallFile(path, kMaxConfigSize);
  if (!content.ok()) return content.status().As(Code::kConfig);
  std::vector<Setting> settings;
  std::istringstream lines(content.value());
  std::string line;
  for (size_t number = 1; std::getline(lines, line); number++) {
    const std::string origin = path + ":" + std::to_string(number) + ": ";
    if (Status status = ParseConfigLine(line, origin, &settings); !status.ok()) return status;
  }
  return settings;
}

Status CheckValue(const std::string& value) {
  if (value.empty()) return {Code::kInvalid, "the value is missing"};
  for (const char c : value) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) {
      return Bad(value, "holds a control character");
    }
  }
  return Status::Ok();
}

Status ApplyValue(const std::string& name, const std::string& value, Options* options) {
  if (Status status = CheckValue(value); !status.ok()) return status;
  if (name == "config") return SetPath(value, &options->config);
  for (const Row& row : kRows) {
    if (name == row.name) return row.set(value, options);
  }
  return {Code::kInvalid, "unknown"};
}

// What an option that may be repeated adds to; nullptr for the others.
std::vector<Address>* ListOf(const std::string& name, Options* options) {
  if (name == "listen") return &options->listen;
  if (name == "listen-memcached") return &options->listen_memcached;
  return name == "listen-metrics" ? &options->listen_metrics : nullptr;
}

// True for a switch, which is applied.
bool ApplySwitch(const std::string& name, Options* options) {
  if (name == "foreground") {
    options->foreground = true;
  } else if (name == "check-config") {
    options->action = Action::kCheckConfig;
  } else if (name == "help") {
    options->action = Action::kHelp;
  } else if (name == "version") {
    options->action = Action::kVersion;
  } else {
    return false;
  }
  return true;
}

// All settings of one source, on top of what `options` has already.
Status Apply(const std::vector<Setting>& settings, Code code, Options* options) {
  std::set<std::string> seen;
  for (const Setting& setting : settings) {
    const auto bad = [&](const std::string& reason) {
      return Status(code, setting.origin + "option " + setting.name + ": " + reason);
    };
    if (setting.name.empty()) {
      return {code, "unexpected argument '" + Escape(setting.value) + "'"};
    }
    const bool first = seen.insert(setting.name).second;
    std::vector<Address>* const list = ListOf(setting.name, options);
    if (!first && list == nullptr) return bad("given twice");
    if (ApplySwitch(setting.name, options)) continue;
    if (first && list != nullptr) list->clear();
    const Status status = ApplyValue(setting.name, setting.value, options);
    if (!status.ok()) return bad(status.message());
  }
  return Status::Ok();
}

Status ApplyDefaults(Options* options) {
  for (const Row& row : kRows) {
    if (row.default_text == nullptr) continue;
    if (Status status = row.set(row.default_text, options); !status.ok()) return status;
  }
  return Status::Ok();
}

}  // namespace

Result<Options> ParseOptions(int argc, const char* const* argv) {
  const auto settings = ParseCommandLine(argc, argv);
  if (!settings.ok()) return settings.status();
  Options line;
  Status status = Apply(settings.value(), Code::kUsage, &line);
  if (!status.ok()) return status;
  if (line.action == Action::kHelp || line.action == Action::kVersion) return line;

  Options options;
  status = ApplyDefaults(&options);
  if (line.foreground) options.pid_file.clear();
  if (line.config.empty() && ::access(kDefaultConfig, F_OK) == 0) line.config = kDefaultConfig;
  if (status.ok() && !line.config.empty()) {
    const auto file = ParseConfigFile(line.config);
    if (!file.ok()) return file.status();
    status = Apply(file.value(), Code::kConfig, &options);
    options.config = line.config;
  }
  if (status.ok()) status = Apply(settings.value(), Code::kUsage, &options);
  if (!status.ok()) return status;
  return options;
}

std::string HelpText() {
  std::ostringstream text;
  text << "Usage: keystoned [--config FILE] [options]\n"
          "A key-value daemon on an append-only log.\n\n"
       << Settings() << "\n"
       << Switches() << "\nSizes take k, m or g, times ms, s, m or h.\n";
  return text.str();
}

}  // namespace keystone
