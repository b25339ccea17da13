// The daemon's configuration file and command line.
//
//   0  1  choices, below
//   1     the file's text, or the arguments with a NUL behind each
#include <algorithm>
#include <memory>
#include <vector>

#include "daemon/options.h"
#include "target.h"

using namespace fuzz;
using namespace keystone;

namespace {

enum Choice : uint8_t { kCommandLine = 1 };

constexpr size_t kMostBytes = 16 << 10;

std::vector<std::string> SplitAtNuls(std::string_view text) {
  std::vector<std::string> words;
  while (!text.empty()) {
    const size_t end = std::min(text.find('\0'), text.size());
    words.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return words;
}

// The file of the target, and before all else, so that no other one is read.
Result<Options> Parse(const std::string& config, const std::vector<std::string>& words) {
  std::vector<const char*> argv{"keystoned", "--config", config.c_str()};
  for (const std::string& word : words) argv.push_back(word.c_str());
  return ParseOptions(static_cast<int>(argv.size()), argv.data());
}

void CheckOptions(const Options& options) {
  if (options.action == Action::kHelp || options.action == Action::kVersion) return;
  Require(options.data_dir.starts_with("/"), "the data directory is absolute");
  Require(options.pid_file.empty() || options.pid_file.starts_with("/"), "so is the PID file");
  Require(options.segment_size_bytes >= 4096, "a segment has a least size");
  Require(options.max_connections >= 1 && options.max_connections <= 1000000,
          "max-connections is in its range");
  Require(options.io_threads <= 64, "io-threads is in its range");
  Require(options.max_key_size_bytes >= 1 && options.max_key_size_bytes <= 65535,
          "max-key-size is in its range");
  Require(options.max_value_size_bytes >= 1 && options.max_value_size_bytes <= 1 << 30,
          "max-value-size is in its range");
  Require(options.compact_stale_percent <= 100, "a percentage is one");
  Require(options.unix_mode <= 0777, "a mode is one");
  for (const Address& address : options.listen) {
    const auto again = ParseAddress(ToString(address));
    Require(again.ok() && ToString(again.value()) == ToString(address), "an address has one text");
  }
}

// One line, that names the file where it is about the file.
void CheckRefusal(const Status& status, const std::string& config, bool command_line) {
  Require(status.code() == (command_line ? Code::kUsage : Code::kConfig), "a refusal has its code");
  Require(!status.message().empty(), "a refusal says why");
  if (!command_line) {
    Require(status.message().starts_with(config + ":"), "and where: " + status.message());
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Scratch scratch;
  if (size > kMostBytes) return 0;
  Input input(data, size);
  const bool command_line = (input.Byte() & kCommandLine) != 0;
  const std::string config = scratch.File("k.conf");
  scratch.Write("k.conf", command_line ? std::string_view() : input.Rest());
  const auto options =
      Parse(config, command_line ? SplitAtNuls(input.Rest()) : std::vector<std::string>());
  if (options.ok()) {
    CheckOptions(options.value());
  } else {
    CheckRefusal(options.status(), config, command_line);
  }
  return 0;
}
