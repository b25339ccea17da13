// The server's line protocol, by itself: any line is a request or is refused, and any bytes can be
// a key or a value.
//
//   0  1  how many of the bytes are a key
//   1     a line; and a key and a value
#include "net/line.h"

#include "net/session.h"
#include "target.h"

using namespace fuzz;
using namespace keystone;

namespace {

const Limits kLimits;

void CheckLine(std::string_view text) {
  const Line line = SplitLine(text);
  Require(line.text.size() <= text.size(), "a line is part of its text");
  (void)IsHttp(line);
  const size_t telnet = TelnetPrefixSize(text);
  Require(telnet <= text.size(), "so is what telnet sent");
  DecodedBytes decoded;
  Request request;
  const Status status = ParseRequest(line, kLimits, &decoded, &request);
  if (!status.ok()) {
    std::string reply;
    AppendLineStatus(status, &reply);
    Require(reply.starts_with("ERROR ") && reply.find('\n') == reply.size() - 1,
            "a refusal is one line");
    return;
  }
  Require(request.command != nullptr, "a request has a command");
  Require(request.key.size() <= kLimits.max_key_size, "a key is not too long");
  if (request.command->arguments == Command::Arguments::kKey ||
      request.command->arguments == Command::Arguments::kKeyAndValue) {
    Require(!request.key.empty(), "nor is it empty");
  }
}

void CheckRoundTrip(std::string_view key, std::string_view value) {
  std::string text = "SET ";
  AppendKey(key, &text);
  text += ' ';
  AppendValue(value, &text);
  Require(text.find('\n') == text.npos, "any bytes can be on one line");
  DecodedBytes decoded;
  Request request;
  const Status status = ParseRequest(SplitLine(text), kLimits, &decoded, &request);
  Require(status.ok(), "and are understood: " + status.message());
  Require(request.key == key && request.value == value, "as the bytes that they are");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  Input input(data, size);
  const uint8_t key_size = input.Byte();
  CheckLine(input.Rest());
  const std::string_view key = input.Bytes(key_size);
  if (!key.empty()) CheckRoundTrip(key, input.Rest());
  return 0;
}
