#include "bench/options.h"

#include <boost/program_options.hpp>
#include <charconv>
#include <sstream>
#include <string_view>

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
    "\n"
    "Loads a server with SET and GET of random keys from many connections, and prints how many\n"
    "requests it answered a second, and how soon.\n"
    "\n";

constexpr char kExitCodes[] =
    "\nExit status: 0 done, 1 wrong values, errors from the server or lost connections,\n"
    "64 wrong usage, 69 no connection. See keystone-bench(1).\n";

Status UsageError(const std::string& what) {
  return {Code::kUsage, what + " (try keystone-bench --help)"};
}

// What was given as text, and has to be checked.
struct Texts {
  std::string clients = "50";
  std::string pipeline = "1";
  std::string seconds = "10";
  std::string keys = "100000";
  std::string value_size = "100";
  std::string ratio = "1:9";
  std::string protocol = "line";
};

po::options_description Describe(BenchOptions* options, Texts* texts) {
  po::options_description all("Options", 90, 50);
  AddEndpointOptions(&all, &options->endpoint);
  LoadOptions& load = options->load;
  all.add_options()("protocol", po::value(&texts->protocol)->value_name("NAME"),
                    "line, resp or memcached (line)")(
      "clients", po::value(&texts->clients)->value_name("N"), "connections (50)")(
      "pipeline", po::value(&texts->pipeline)->value_name("N"),
      "requests that a connection sends at once (1)")(
      "seconds", po::value(&texts->seconds)->value_name("S"), "how long (10); also 0.5")(
      "keys", po::value(&texts->keys)->value_name("N"), "different keys (100000)")(
      "value-size", po::value(&texts->value_size)->value_name("N"), "bytes of a value (100)")(
      "ratio", po::value(&texts->ratio)->value_name("SET:GET"), "how many of each (1:9)")(
      "preload", po::bool_switch(&load.preload), "store all keys before")(
      "verify", po::bool_switch(&load.verify), "compare each value with what is stored")(
      "reconnect", po::bool_switch(&load.reconnect), "a new connection for each batch")(
      "json", po::bool_switch(&options->json), "print an object instead of a table")(
      "help", po::bool_switch(&options->help), "this text")(
      "version", po::bool_switch(&options->version), "the version of this program");
  return all;
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

Status ParseProtocol(const std::string& text, Protocol* protocol) {
  if (text == "line")
    *protocol = Protocol::kLine;
  else if (text == "resp")
    *protocol = Protocol::kResp;
  else if (text == "memcached")
    *protocol = Protocol::kMemcached;
  else
    return UsageError("bad --protocol '" + text + "': line, resp or memcached");
  return Status::Ok();
}

Status CheckTexts(const Texts& texts, LoadOptions* load) {
  uint64_t clients = 0;
  uint64_t pipeline = 0;
  uint64_t value_size = 0;
  Status status = ParseNumber("clients", texts.clients, 1, kMostClients, &clients);
  if (status.ok()) {
    status = ParseNumber("pipeline", texts.pipeline, 1, kLongestPipeline, &pipeline);
  }
  if (status.ok()) status = ParseNumber("keys", texts.keys, 1, kMostBenchKeys, &load->keys);
  if (status.ok()) {
    status = ParseNumber("value-size", texts.value_size, 1, kLargestValue, &value_size);
  }
  if (status.ok()) status = ParseSeconds(texts.seconds, &load->seconds);
  if (status.ok()) status = ParseRatio(texts.ratio, load);
  if (status.ok()) status = ParseProtocol(texts.protocol, &load->protocol);
  load->clients = clients;
  load->pipeline = pipeline;
  load->value_size_bytes = value_size;
  return status;
}

}  // namespace

Status ParseBenchOptions(int argc, char** argv, BenchOptions* options) {
  Texts texts;
  const po::options_description description = Describe(options, &texts);
  const int style = po::command_line_style::unix_style & ~po::command_line_style::allow_guessing;
  po::variables_map given;
  try {
    po::command_line_parser parser(argc, argv);
    po::store(parser.options(description).positional({}).style(style).run(), given);
    po::notify(given);
  } catch (const po::error& error) {
    return UsageError(error.what());
  }
  if (const std::string wrong = CheckEndpoint(given, options->endpoint); !wrong.empty()) {
    return UsageError(wrong);
  }
  return CheckTexts(texts, &options->load);
}

std::string BenchHelp() {
  BenchOptions unused;
  Texts texts;
  std::ostringstream text;
  text << kUsage << Describe(&unused, &texts) << kExitCodes;
  return text.str();
}

}  // namespace keystone
