#include "bench/options.h"

#include <boost/program_options.hpp>
#include <charconv>
#include <sstream>
#include <string_view>
#include <vector>

namespace keystone {

namespace {

namespace po = boost::program_options;

constexpr uint64_t kMostClients = 50'000;
constexpr uint64_t kLongestPipeline = 10'000;
constexpr uint64_t kLargestValue = 16 << 20;
constexpr uint64_t kLargestShare = 1'000'000;
constexpr uint64_t kLongestRun = 86'400;

constexpr char kUsage[] =
    "Usage: keystone-bench [-h HOST] [-p PORT | -s SOCKET] [options]\n"
    "       keystone-bench --embedded [--engine NAME] [--directory DIR] [options]\n"
    "\n"
    "Loads a server with SET and GET of random keys from many connections, and prints how many\n"
    "requests it answered a second, and how soon. With --embedded: loads stores in this process,\n"
    "keystone's and LevelDB's.\n"
    "\n";

constexpr char kExitCodes[] =
    "\nExit status: 0 done, 1 wrong values, errors from the server or lost connections,\n"
    "64 wrong usage, 69 no connection, or built without LevelDB, 71 out of descriptors,\n"
    "74 read or write error. See keystone-bench(1).\n";

Status UsageError(const std::string& what) {
  return {Code::kUsage, what + " (try keystone-bench --help)"};
}

// What was given as text, and has to be checked.
struct Texts {
  std::string clients = "50";
  std::string pipeline = "1";
  std::string seconds = "10";
  std::string keys;
  std::string value_size = "100";
  std::string ratio = "1:9";
  std::string protocol = "line";
  std::string engine = HasLevelDb() ? "both" : "keystone";
};

po::options_description Group(const char* title) { return po::options_description(title, 90, 50); }

po::options_description LoadGroup(BenchOptions* options, Texts* texts) {
  po::options_description group = Group("Load of a server");
  AddEndpointOptions(&group, &options->endpoint);
  group.add_options()("protocol", po::value(&texts->protocol)->value_name("NAME"),
                      "line, resp or memcached (line)")(
      "clients", po::value(&texts->clients)->value_name("N"), "connections (50)")(
      "pipeline", po::value(&texts->pipeline)->value_name("N"),
      "requests that a connection sends at once (1)")(
      "seconds", po::value(&texts->seconds)->value_name("S"), "how long (10); also 0.5")(
      "ratio", po::value(&texts->ratio)->value_name("SET:GET"), "how many of each (1:9)")(
      "preload", po::bool_switch(&options->load.preload), "store all keys before")(
      "reconnect", po::bool_switch(&options->load.reconnect), "a new connection for each batch");
  return group;
}

po::options_description EmbeddedGroup(BenchOptions* options, Texts* texts) {
  po::options_description group = Group("Stores in this process");
  group.add_options()("embedded", po::bool_switch(&options->embedded), "measure them instead")(
      "engine", po::value(&texts->engine)->value_name("NAME"),
      HasLevelDb() ? "keystone, leveldb or both (both)" : "keystone (built without leveldb)")(
      "directory", po::value(&options->stores.directory)->value_name("DIR"),
      "where they are made, for the time of the run (.)");
  return group;
}

po::options_description CommonGroup(BenchOptions* options, Texts* texts) {
  po::options_description group = Group("Both");
  group.add_options()("keys", po::value(&texts->keys)->value_name("N"),
                      "different keys (100000; embedded 1000000)")(
      "value-size", po::value(&texts->value_size)->value_name("N"), "bytes of a value (100)")(
      "verify", po::bool_switch(&options->load.verify), "compare each value with what was stored")(
      "json", po::bool_switch(&options->json), "print an object instead of a table")(
      "help", po::bool_switch(&options->help), "this text")(
      "version", po::bool_switch(&options->version), "the version of this program");
  return group;
}

// The first option of a group that was given; "" where none was.
std::string FirstGiven(const po::variables_map& given, const po::options_description& group) {
  for (const auto& option : group.options()) {
    const std::string& name = option->long_name();
    if (given.count(name) > 0 && !given[name].defaulted()) return name;
  }
  return {};
}

Status ParseNumber(const char* name, std::string_view text, uint64_t least, uint64_t most,
                   uint64_t* number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  if (error == std::errc() && end == text.data() + text.size() && *number >= least &&
      *number <= most) {
    return Status::Ok();
  }
  return UsageError("bad --" + std::string(name) + " '" + std::string(text) + "': a number from " +
                    std::to_string(least) + " to " + std::to_string(most));
}

Status ParseSeconds(const std::string& text, double* seconds) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *seconds);
  if (error == std::errc() && end == text.data() + text.size() && *seconds > 0 &&
      *seconds <= kLongestRun) {
    return Status::Ok();
  }
  return UsageError("bad --seconds '" + text + "': more than 0, at most " +
                    std::to_string(kLongestRun));
}

Status ParseRatio(const std::string& text, LoadOptions* load) {
  const size_t colon = text.find(':');
  const std::string_view sets = std::string_view(text).substr(0, colon);
  const std::string_view gets =
      colon == text.npos ? std::string_view() : std::string_view(text).substr(colon + 1);
  if (ParseNumber("ratio", sets, 0, kLargestShare, &load->sets).ok() &&
      ParseNumber("ratio", gets, 0, kLargestShare, &load->gets).ok() &&
      load->sets + load->gets > 0) {
    return Status::Ok();
  }
  return UsageError("bad --ratio '" + text + "': two numbers, as in 1:9");
}

Status ParseProtocol(const std::string& text, BenchProtocol* protocol) {
  if (text == "line")
    *protocol = BenchProtocol::kLine;
  else if (text == "resp")
    *protocol = BenchProtocol::kResp;
  else if (text == "memcached")
    *protocol = BenchProtocol::kMemcached;
  else
    return UsageError("bad --protocol '" + text + "': line, resp or memcached");
  return Status::Ok();
}

Status CheckLoad(const Texts& texts, LoadOptions* load) {
  uint64_t clients = 0;
  uint64_t pipeline = 0;
  Status status = ParseNumber("clients", texts.clients, 1, kMostClients, &clients);
  if (status.ok()) {
    status = ParseNumber("pipeline", texts.pipeline, 1, kLongestPipeline, &pipeline);
  }
  if (status.ok()) status = ParseSeconds(texts.seconds, &load->seconds);
  if (status.ok()) status = ParseRatio(texts.ratio, load);
  if (status.ok()) status = ParseProtocol(texts.protocol, &load->protocol);
  load->clients = clients;
  load->pipeline = pipeline;
  return status;
}

Status CheckEngine(const std::string& text, std::vector<EngineKind>* engines) {
  engines->clear();
  if (text == "keystone" || text == "both") engines->push_back(EngineKind::kKeystone);
  if (text == "leveldb" || text == "both") engines->push_back(EngineKind::kLevelDb);
  if (!engines->empty()) return Status::Ok();
  return UsageError("bad --engine '" + text + "': keystone, leveldb or both");
}

Status CheckCommon(const Texts& texts, BenchOptions* options) {
  const std::string usual = options->embedded ? "1000000" : "100000";
  uint64_t keys = 0;
  uint64_t value_size = 0;
  Status status =
      ParseNumber("keys", texts.keys.empty() ? usual : texts.keys, 1, kMostBenchKeys, &keys);
  if (status.ok()) {
    status = ParseNumber("value-size", texts.value_size, 1, kLargestValue, &value_size);
  }
  options->load.keys = options->stores.keys = keys;
  options->load.value_size_bytes = options->stores.value_size_bytes = value_size;
  options->stores.verify = options->load.verify;
  return status;
}

}  // namespace

Status ParseBenchOptions(int argc, char** argv, BenchOptions* options) {
  Texts texts;
  const po::options_description load = LoadGroup(options, &texts);
  const po::options_description embedded = EmbeddedGroup(options, &texts);
  po::options_description all;
  all.add(load).add(embedded).add(CommonGroup(options, &texts));
  const int style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
  po::variables_map given;
  try {
    po::command_line_parser parser(argc, argv);
    po::store(parser.options(all).positional({}).style(style).run(), given);
    po::notify(given);
  } catch (const po::unknown_option& error) {
    // Not what(): that never ends where the name has a placeholder of its own in it.
    return UsageError("unrecognised option '" + error.get_option_name() + "'");
  } catch (const po::error& error) {
    return UsageError(error.what());
  }
  const std::string alien = FirstGiven(given, options->embedded ? load : embedded);
  if (!alien.empty()) {
    return UsageError("--" + alien + (options->embedded ? " excludes" : " needs") + " --embedded");
  }
  if (const std::string wrong = CheckEndpoint(given, options->endpoint); !wrong.empty()) {
    return UsageError(wrong);
  }
  Status status = CheckCommon(texts, options);
  if (status.ok()) status = CheckLoad(texts, &options->load);
  if (status.ok()) status = CheckEngine(texts.engine, &options->stores.engines);
  return status;
}

std::string BenchHelp() {
  BenchOptions unused;
  Texts texts;
  std::ostringstream text;
  text << kUsage << LoadGroup(&unused, &texts) << "\n"
       << EmbeddedGroup(&unused, &texts) << "\n"
       << CommonGroup(&unused, &texts) << kExitCodes;
  return text.str();
}

}  // namespace keystone
