#include "daemon/options.h"

#include <CppUTest/TestHarness.h>
#include <syslog.h>

#include <filesystem>
#include <regex>
#include <string>
#include <vector>

#include "scratch.h"

using keystone::Action;
using keystone::Code;
using keystone::Fsync;
using keystone::HelpText;
using keystone::Options;
using keystone::ParseOptions;
using keystone::Priority;
using keystone::Result;

namespace {

Result<Options> Parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "keystoned");
  return ParseOptions(static_cast<int>(arguments.size()), arguments.data());
}

void CheckError(const Result<Options>& options, Code code, const std::string& message) {
  CHECK_FALSE_TEXT(options.ok(), message.c_str());
  STRCMP_CONTAINS(message.c_str(), options.status().message().c_str());
  CHECK_TRUE(options.status().code() == code);
}

}  // namespace

// Every test has a configuration file of its own, so that an installed one is never read.
TEST_GROUP(Options) {
  Scratch scratch;
  std::string config = scratch.File("k.conf");

  void setup() override { scratch.Write("k.conf", ""); }

  Result<Options> Line(std::vector<const char*> arguments) {
    arguments.insert(arguments.end(), {"--config", config.c_str()});
    return Parse(arguments);
  }
  Result<Options> File(const std::string& content, std::vector<const char*> arguments = {}) {
    scratch.Write("k.conf", content);
    return Line(arguments);
  }
  void CheckUsage(std::vector<const char*> arguments, const std::string& message) {
    CheckError(Line(arguments), Code::kUsage, message);
  }
  void CheckFile(const std::string& content, int line, const std::string& message) {
    CheckError(File(content), Code::kConfig, config + ":" + std::to_string(line) + ": " + message);
  }
};

TEST(Options, Defaults) {
  const auto parsed = Line({});
  CHECK_TRUE(parsed.ok());
  const Options& o = parsed.value();
  CHECK_TRUE(o.action == Action::kServe);
  CHECK_FALSE(o.foreground);
  CHECK_TRUE(o.listen.empty());
  CHECK_TRUE(o.listen_memcached.empty());
  CHECK_TRUE(o.listen_metrics.empty());
  LONGS_EQUAL(0660, o.unix_mode);
  STRCMP_EQUAL(LOCALSTATEDIR "/lib/keystonelight", o.data_dir.c_str());
  STRCMP_EQUAL(RUNSTATEDIR "/keystonelight/keystoned.pid", o.pid_file.c_str());
  STRCMP_EQUAL("", o.user.c_str());
  STRCMP_EQUAL("", o.group.c_str());
  CHECK_TRUE(o.fsync == Fsync::kEverySecond);
  CHECK_TRUE(o.segment_size_bytes == 256 << 20);
  LONGS_EQUAL(50, o.compact_stale_percent);
  CHECK_TRUE(o.compact_min_size_bytes == 64 << 20);
  LONGS_EQUAL(1024, o.max_connections);
  LONGS_EQUAL(0, o.io_threads);
  LONGS_EQUAL(1024, o.max_key_size_bytes);
  LONGS_EQUAL(64 << 20, o.max_value_size_bytes);
  LONGS_EQUAL(0, o.idle_timeout_ms);
  LONGS_EQUAL(30000, o.request_timeout_ms);
  LONGS_EQUAL(60000, o.write_timeout_ms);
  LONGS_EQUAL(10000, o.drain_timeout_ms);
  CHECK_TRUE(o.log_level == Priority::kInfo);
  LONGS_EQUAL(LOG_DAEMON, o.syslog_facility);
}

TEST(Options, EveryOptionOnTheCommandLine) {
  const auto parsed = Line({"--foreground",
                            "--listen=127.0.0.1:0",
                            "--listen-memcached=[::1]:0",
                            "--listen-metrics=unix:/m",
                            "--unix-mode",
                            "600",
                            "--data-dir=/d",
                            "--pid-file=/p",
                            "--user=u",
                            "--group=g",
                            "--fsync=always",
                            "--segment-size=4k",
                            "--compact-stale-percent=100",
                            "--compact-min-size=0",
                            "--max-connections=1",
                            "--io-threads=64",
                            "--max-key-size=65535",
                            "--max-value-size=1g",
                            "--idle-timeout=5m",
                            "--request-timeout=1",
                            "--write-timeout=2s",
                            "--drain-timeout=30ms",
                            "--log-level=debug",
                            "--syslog-facility=local7"});
  CHECK_TRUE(parsed.ok());
  const Options& o = parsed.value();
  CHECK_TRUE(o.foreground);
  LONGS_EQUAL(1, o.listen.size());
  STRCMP_EQUAL("127.0.0.1:0", ToString(o.listen[0]).c_str());
  LONGS_EQUAL(1, o.listen_memcached.size());
  STRCMP_EQUAL("[::1]:0", ToString(o.listen_memcached[0]).c_str());
  LONGS_EQUAL(1, o.listen_metrics.size());
  STRCMP_EQUAL("unix:/m", ToString(o.listen_metrics[0]).c_str());
  LONGS_EQUAL(0600, o.unix_mode);
  STRCMP_EQUAL("/d", o.data_dir.c_str());
  STRCMP_EQUAL("/p", o.pid_file.c_str());
  STRCMP_EQUAL("u", o.user.c_str());
  STRCMP_EQUAL("g", o.group.c_str());
  CHECK_TRUE(o.fsync == Fsync::kAlways);
  LONGS_EQUAL(4096, o.segment_size_bytes);
  LONGS_EQUAL(100, o.compact_stale_percent);
  LONGS_EQUAL(0, o.compact_min_size_bytes);
  LONGS_EQUAL(1, o.max_connections);
  LONGS_EQUAL(64, o.io_threads);
  LONGS_EQUAL(65535, o.max_key_size_bytes);
  LONGS_EQUAL(1 << 30, o.max_value_size_bytes);
  LONGS_EQUAL(300000, o.idle_timeout_ms);
  LONGS_EQUAL(1000, o.request_timeout_ms);
  LONGS_EQUAL(2000, o.write_timeout_ms);
  LONGS_EQUAL(30, o.drain_timeout_ms);
  CHECK_TRUE(o.log_level == Priority::kDebug);
  LONGS_EQUAL(LOG_LOCAL7, o.syslog_facility);
}

TEST(Options, TheFileHasTheSameNames) {
  const auto parsed = File(
      "# a comment\n\n  fsync = no  # another\nsegment-size=1m\r\nuser = someone\n"
      "listen = 127.0.0.1:1\nlisten = unix:/run/k.sock\nlog-level = error");
  CHECK_TRUE(parsed.ok());
  const Options& o = parsed.value();
  STRCMP_EQUAL(config.c_str(), o.config.c_str());
  CHECK_TRUE(o.fsync == Fsync::kNo);
  LONGS_EQUAL(1 << 20, o.segment_size_bytes);
  STRCMP_EQUAL("someone", o.user.c_str());
  LONGS_EQUAL(2, o.listen.size());
  STRCMP_EQUAL("unix:/run/k.sock", ToString(o.listen[1]).c_str());
  CHECK_TRUE(o.log_level == Priority::kError);
}

TEST(Options, TheCommandLineWins) {
  const auto parsed = File("fsync = no\nmax-connections = 5\n", {"--fsync=always"});
  CHECK_TRUE(parsed.ok());
  CHECK_TRUE(parsed.value().fsync == Fsync::kAlways);
  LONGS_EQUAL(5, parsed.value().max_connections);
}

TEST(Options, ListenOnTheCommandLineReplacesTheFilesList) {
  const auto parsed = File("listen = 127.0.0.1:1\nlisten = 127.0.0.1:2\n",
                           {"--listen=[::1]:3", "--listen", "127.0.0.1:4"});
  CHECK_TRUE(parsed.ok());
  LONGS_EQUAL(2, parsed.value().listen.size());
  STRCMP_EQUAL("[::1]:3", ToString(parsed.value().listen[0]).c_str());
  STRCMP_EQUAL("127.0.0.1:4", ToString(parsed.value().listen[1]).c_str());
}

TEST(Options, ForegroundHasNoPidFileUnlessGiven) {
  STRCMP_EQUAL("", Line({"--foreground"}).value().pid_file.c_str());
  STRCMP_EQUAL("/p", Line({"--foreground", "--pid-file=/p"}).value().pid_file.c_str());
  STRCMP_EQUAL("/f", File("pid-file = /f", {"--foreground"}).value().pid_file.c_str());
}

TEST(Options, RelativePathsAreOfTheStartDirectory) {
  const std::string here = std::filesystem::current_path();
  const auto parsed = Line({"--data-dir=d", "--pid-file=./p", "--listen=unix:s"});
  CHECK_TRUE(parsed.ok());
  STRCMP_EQUAL((here + "/d").c_str(), parsed.value().data_dir.c_str());
  STRCMP_EQUAL((here + "/./p").c_str(), parsed.value().pid_file.c_str());
  STRCMP_EQUAL((here + "/s").c_str(), parsed.value().listen[0].path.c_str());
}

TEST(Options, AddressesForMemcachedAreAListOfTheirOwn) {
  const auto parsed = File(
      "listen = 127.0.0.1:1\nlisten-memcached = 127.0.0.1:2\n"
      "listen-memcached = unix:/run/m.sock\n",
      {"--listen=[::1]:3"});
  CHECK_TRUE(parsed.ok());
  const Options& o = parsed.value();
  LONGS_EQUAL(1, o.listen.size());
  LONGS_EQUAL(2, o.listen_memcached.size());
  STRCMP_EQUAL("127.0.0.1:2", ToString(o.listen_memcached[0]).c_str());
  STRCMP_EQUAL("unix:/run/m.sock", ToString(o.listen_memcached[1]).c_str());

  const auto replaced = File("listen-memcached = 127.0.0.1:2\n", {"--listen-memcached=[::1]:3"});
  CHECK_TRUE(replaced.ok());
  LONGS_EQUAL(1, replaced.value().listen_memcached.size());
  CheckUsage({"--listen-memcached=nowhere"}, "listen-memcached");
}

TEST(Options, ASocketPathMustFitOnceItIsAbsolute) {
  const std::string listen = "--listen=unix:" + std::string(107, 's');
  CheckUsage({listen.c_str()}, "at most 107 bytes");
}

TEST(Options, UnknownNamesAreErrorsThatNameThem) {
  CheckUsage({"--no-such"}, "--no-such");
  CheckUsage({"--listen-resp", "h:1"}, "listen-resp");
  CheckUsage({"--listen-metrics=nowhere"}, "listen-metrics");
  CheckFile("fsync = no\nno-such = 1\n", 2, "unrecognised option 'no-such'");
  CheckFile("%original_token% = 1\n", 1, "unrecognised option '%original_token%'");
  CheckFile("listen-resp = h:1\n", 1, "unrecognised option 'listen-resp'");
}

TEST(Options, NoAbbreviationsAndNoShortNames) {
  CheckUsage({"--fore"}, "--fore");
  CheckUsage({"--max-conn=3"}, "--max-conn");
  CheckUsage({"-f"}, "unexpected argument '-f'");
  CheckFile("max-conn = 3\n", 1, "unrecognised option 'max-conn'");
}

TEST(Options, StrayArgumentsAreErrors) {
  CheckUsage({"start"}, "unexpected argument 'start'");
  CheckUsage({"--", "--fsync=no"}, "unexpected argument '--fsync=no'");
}

TEST(Options, BadValuesAreErrorsThatNameOptionAndValue) {
  const struct {
    const char* name;
    const char* value;
  } rows[] = {{"listen", "nowhere"},
              {"unix-mode", "0888"},
              {"unix-mode", "1777"},
              {"fsync", "sometimes"},
              {"segment-size", "4095"},
              {"segment-size", "1t"},
              {"compact-stale-percent", "101"},
              {"compact-stale-percent", "-1"},
              {"compact-min-size", "big"},
              {"max-connections", "0"},
              {"max-connections", "many"},
              {"io-threads", "65"},
              {"io-threads", "-1"},
              {"io-threads", "2k"},
              {"max-key-size", "0"},
              {"max-key-size", "65536"},
              {"max-value-size", "0"},
              {"max-value-size", "1073741825"},
              {"idle-timeout", "soon"},
              {"request-timeout", "-1s"},
              {"write-timeout", "577h"},
              {"drain-timeout", "1d"},
              {"log-level", "trace"},
              {"syslog-facility", "local8"}};
  for (const auto& row : rows) {
    const std::string name = row.name;
    const std::string argument = "--" + name + "=" + row.value;
    CheckUsage({argument.c_str()}, "option " + name + ": ");
    CheckUsage({argument.c_str()}, std::string("'") + row.value + "'");
    CheckFile("\n" + name + " = " + row.value + "\n", 2, "option " + name + ": ");
  }
}

TEST(Options, ABadValueInTheFileIsAnErrorEvenWhereTheCommandLineWins) {
  CheckError(File("fsync = sometimes\n", {"--fsync=no"}), Code::kConfig, "sometimes");
}

TEST(Options, MissingValuesAreErrors) {
  CheckUsage({"--data-dir", "--foreground"}, "option data-dir: the value is missing");
  CheckUsage({"--foreground", "--data-dir"}, "option data-dir: the value is missing");
  CheckUsage({"--data-dir", ""}, "option data-dir: the value is missing");
  CheckUsage({"--foreground=1"}, "--foreground");
  CheckFile("data-dir =\n", 1, "option data-dir: the value is missing");
  CheckFile("data-dir = # none\n", 1, "option data-dir: the value is missing");
}

TEST(Options, ControlCharactersAreRefused) {
  CheckUsage({"--data-dir=a\nb"}, "option data-dir: 'a\\x0ab' holds a control character");
}

TEST(Options, GivenTwiceIsAnErrorInEitherSource) {
  CheckUsage({"--fsync=no", "--fsync=always"}, "option fsync: given twice");
  CheckUsage({"--foreground", "--foreground"}, "option foreground: given twice");
  CheckFile("fsync = no\nuser = a\nfsync = no\n", 3, "option fsync: given twice");
}

TEST(Options, TheFileIsLinesOfNameAndValue) {
  CheckFile("fsync\n", 1, "'fsync': 'name = value' is expected");
  CheckFile("\n= no\n", 2, "'= no': the name is missing");
  CheckFile("fsync = no\n[server]\nuser = u\n", 2, "'[server]': there are no sections");
}

TEST(Options, SomeAreForTheCommandLineOnly) {
  for (const char* name : {"config", "foreground", "check-config", "help", "version"}) {
    CheckFile(std::string(name) + " = 1\n", 1, std::string("unrecognised option '") + name + "'");
  }
}

TEST(Options, AConfigurationFileThatWasAskedForMustBeReadable) {
  const std::string none = scratch.File("none.conf");
  const std::string message = "open " + none + ": No such file or directory";
  CheckError(Parse({"--config", none.c_str()}), Code::kConfig, message);
  CheckError(Parse({"--config", scratch.path().c_str()}), Code::kConfig, scratch.path());
}

TEST(Options, CheckConfigParsesEverything) {
  CHECK_TRUE(File("fsync = no\n", {"--check-config"}).value().action == Action::kCheckConfig);
  CheckError(File("fsync = 3\n", {"--check-config"}), Code::kConfig, "fsync");
}

TEST(Options, HelpAndVersionNeedNoFile) {
  CHECK_TRUE(Parse({"--help", "--config=/none"}).value().action == Action::kHelp);
  CHECK_TRUE(Parse({"--config=/none", "--version"}).value().action == Action::kVersion);
  CheckError(Parse({"--help", "--no-such"}), Code::kUsage, "--no-such");
}

TEST(Options, HelpNamesEveryOptionAndItsDefault) {
  // A long path may be broken into two lines.
  const std::string help = std::regex_replace(HelpText(), std::regex("\\s+"), "");
  for (const char* text : {"--config",
                           "--foreground",
                           "--check-config",
                           "--help",
                           "--version",
                           "--listen",
                           "127.0.0.1:7878",
                           "--unix-mode",
                           "0660",
                           "--data-dir",
                           LOCALSTATEDIR "/lib/keystonelight",
                           "--pid-file",
                           "--user",
                           "--group",
                           "--fsync",
                           "everysec",
                           "--segment-size",
                           "256m",
                           "--compact-stale-percent",
                           "--compact-min-size",
                           "--max-connections",
                           "--io-threads",
                           "--max-key-size",
                           "--max-value-size",
                           "--idle-timeout",
                           "--request-timeout",
                           "--write-timeout",
                           "--drain-timeout",
                           "--log-level",
                           "--syslog-facility"}) {
    STRCMP_CONTAINS(text, help.c_str());
  }
}
