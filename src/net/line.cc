#include "net/line.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <utility>

#include "base/base64.h"
#include "base/clock.h"
#include "base/escape.h"
#include "net/letter_case.h"
#include "net/limits.h"
#include "net/pattern.h"

namespace keystone {
namespace {

constexpr std::string_view kBase64Mark = "base64:";

// A longer one is no option negotiation: no need to search a whole line's worth of it for its end.
constexpr size_t kMaxSubnegotiation = 512;
constexpr char kTelnetSe = '\xf0';
constexpr char kTelnetSb = '\xfa';
constexpr char kTelnetWill = '\xfb';  // then WONT, DO, DONT
constexpr char kTelnetDont = '\xfe';

// The bytes that a line can't carry in some place: DEL and all below `below` but `exempt`.
struct Unprintable {
  unsigned char below;
  unsigned char exempt;

  unsigned char Holds(char c) const {
    const auto byte = static_cast<unsigned char>(c);
    return static_cast<unsigned char>(((byte < below) & (byte != exempt)) | (byte == 0x7f));
  }
};
constexpr Unprintable kNotInKeys{.below = 0x21, .exempt = 0xff};
constexpr Unprintable kNotInValues{.below = 0x20, .exempt = '\t'};

// Blocks of a constant size are what compilers turn into vector instructions; the last one may
// overlap the one before.
bool HoldsAny(std::string_view bytes, Unprintable unprintable) {
  using Block = std::array<unsigned char, 16>;
  const auto holds = [unprintable](char c) { return unprintable.Holds(c); };
  if (bytes.size() < Block().size()) return std::any_of(bytes.begin(), bytes.end(), holds);
  Block held{};
  const size_t last = bytes.size() - held.size();
  for (size_t start = 0;; start = std::min(start + held.size(), last)) {
    for (size_t i = 0; i < held.size(); ++i) held[i] |= holds(bytes[start + i]);
    if (start == last) return held != Block{};
  }
}

bool NeedsEncoding(std::string_view bytes, Unprintable unprintable) {
  return bytes.starts_with(kBase64Mark) || HoldsAny(bytes, unprintable);
}

void AppendText(std::string_view bytes, Unprintable unprintable, std::string* out) {
  if (NeedsEncoding(bytes, unprintable)) {
    out->append(kBase64Mark);
    AppendBase64(bytes, out);
  } else {
    out->append(bytes);
  }
}

Status WrongUsage(const Command& command) {
  return Status::Invalid("usage: " + std::string(command.usage));
}

Status ControlByte() {
  return Status::Invalid("control byte in a command or key: send the key as base64:");
}

// Puts decoded bytes in place of a "base64:" form; other text stays as it is.
Status Decode(std::string_view what, DecodedBytes* decoded, std::string_view* text) {
  if (!text->starts_with(kBase64Mark)) return Status::Ok();
  std::optional<std::string> bytes = DecodeBase64(text->substr(kBase64Mark.size()));
  if (!bytes) {
    return Status::Invalid("bad base64 in the " + std::string(what) +
                           ": it takes the standard alphabet, padded with =");
  }
  *text = decoded->emplace_front(std::move(*bytes));
  return Status::Ok();
}

Status ParseKey(std::string_view what, std::string_view text, const Limits& limits,
                DecodedBytes* decoded, std::string_view* key) {
  *key = text;
  if (Status status = Decode(what, decoded, key); !status.ok()) return status;
  if (Status status = CheckSize(what, key->size(), limits.max_key_size); !status.ok()) {
    return status;
  }
  const bool raw = !text.starts_with(kBase64Mark);
  return raw && HoldsAny(text, kNotInKeys) ? ControlByte() : Status::Ok();
}

Status ParseValue(std::string_view text, const Limits& limits, DecodedBytes* decoded,
                  std::string_view* value) {
  *value = text;
  if (Status status = Decode("value", decoded, value); !status.ok()) return status;
  return CheckSize("value", value->size(), limits.max_value_size);
}

template <class Number>
bool ParseNumber(std::string_view text, Number* number) {
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, *number);
  return error == std::errc() && stop == end;
}

// "cursor [count [prefix]]": the line's key is the cursor, its value the rest.
Status ParseScan(const Line& line, const Limits& limits, DecodedBytes* decoded, Request* request) {
  if (!line.has_key) return WrongUsage(*line.command);
  if (!ParseNumber(line.key, &request->cursor)) {
    return Status::Invalid("bad cursor '" + Escape(line.key) +
                           "': start with 0, go on with the one of the last reply");
  }
  if (!line.has_value) return Status::Ok();
  const size_t space = line.value.find(' ');
  if (!ParseNumber(line.value.substr(0, space), &request->count) || request->count < 1) {
    return Status::Invalid("bad count: it must be a number, 1 or more");
  }
  request->count = std::min({request->count, kMaxScanCount, kMaxScanBytes / limits.max_key_size});
  if (space == line.value.npos) return Status::Ok();
  const std::string_view prefix = line.value.substr(space + 1);
  if (prefix.find(' ') != prefix.npos) return WrongUsage(*line.command);
  return ParseKey("prefix", prefix, limits, decoded, &request->prefix);
}

Status ParseSeconds(std::string_view text, Request* request) {
  constexpr int64_t kMost = int64_t{1} << 53;  // far beyond any date, and no sum overflows
  int64_t seconds = 0;
  if (!ParseNumber(text, &seconds) || seconds > kMost / 1000 || seconds < -kMost / 1000) {
    return Status::Invalid("bad number of seconds '" + Escape(text) + "'");
  }
  const int64_t at_ms = static_cast<int64_t>(UnixTimeMs()) + seconds * 1000;
  request->attributes.expires_at_ms = static_cast<uint64_t>(std::max<int64_t>(at_ms, 1));
  return Status::Ok();
}

Status ParseKeyed(const Line& line, const Limits& limits, DecodedBytes* decoded, Request* request) {
  const auto arguments = line.command->arguments;
  const bool wants_value = arguments == Command::Arguments::kKeyAndValue ||
                           arguments == Command::Arguments::kKeyAndSeconds;
  if (!line.has_key || line.has_value != wants_value) return WrongUsage(*line.command);
  Status status = ParseKey("key", line.key, limits, decoded, &request->key);
  if (!status.ok()) return status;
  if (request->key.empty()) return Status::Invalid("empty key: a key has 1 byte or more");
  if (!wants_value) return Status::Ok();
  if (arguments == Command::Arguments::kKeyAndSeconds) return ParseSeconds(line.value, request);
  return ParseValue(line.value, limits, decoded, &request->value);
}

// "prefix*", where either part may be missing.
Status ParsePattern(const Line& line, const Limits& limits, DecodedBytes* decoded,
                    Request* request) {
  if (!line.has_key || line.has_value) return WrongUsage(*line.command);
  bool exact = false;
  std::string_view text;
  if (!ParsePrefixPattern(line.key, &text, &exact)) {
    return Status::Invalid("bad pattern '" + Escape(line.key) +
                           "': only prefix* can be looked for");
  }
  if (Status status = ParseKey("prefix", text, limits, decoded, &text); !status.ok()) return status;
  request->prefix = text;
  if (exact) request->key = request->end = text;
  request->matches_nothing = exact && text.empty();
  return Status::Ok();
}

// "start end [LIMIT n]": the line's key is the start.
Status ParseRange(const Line& line, const Limits& limits, DecodedBytes* decoded, Request* request) {
  if (!line.has_key || !line.has_value) return WrongUsage(*line.command);
  const size_t space = line.value.find(' ');
  if (space != line.value.npos) {
    const std::string_view rest = line.value.substr(space + 1);
    const size_t second = rest.find(' ');
    if (second == rest.npos || !EqualsIgnoringCase(rest.substr(0, second), "LIMIT")) {
      return WrongUsage(*line.command);
    }
    if (!ParseNumber(rest.substr(second + 1), &request->limit) || request->limit == 0) {
      return Status::Invalid("bad limit: it must be a number, 1 or more");
    }
  }
  Status status = ParseKey("start", line.key, limits, decoded, &request->key);
  if (!status.ok()) return status;
  return ParseKey("end", line.value.substr(0, space), limits, decoded, &request->end);
}

// Size of the option sequence that `input` begins with; 0 where its end is still to come.
size_t TelnetSequenceSize(std::string_view input) {
  if (input.size() < 2) return 0;
  if (input[1] >= kTelnetWill && input[1] <= kTelnetDont) return input.size() < 3 ? 0 : 3;
  if (input[1] != kTelnetSb) return 2;
  constexpr char kEnd[] = {kTelnetIac, kTelnetSe};
  const size_t end = input.substr(0, kMaxSubnegotiation).find(std::string_view(kEnd, 2), 2);
  if (end != input.npos) return end + 2;
  return input.size() < kMaxSubnegotiation ? 0 : 2;
}

template <class Number>
void AppendNumber(Number number, std::string* out) {
  char digits[20];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, number);
  out->append(digits, end);
}

void AppendOk(std::string_view text, std::string* out) { out->append("OK ").append(text) += '\n'; }

void AppendOkNumber(int64_t number, std::string* out) {
  out->append("OK ");
  AppendNumber(number, out);
  *out += '\n';
}

// Text of the store's may name files; whatever bytes they hold, the reply stays one line.
void AppendReason(std::string_view text, std::string* out) {
  for (const char c : text) {
    if (kNotInValues.Holds(c) != 0) {
      out->append(Escape({&c, 1}));
    } else {
      *out += c;
    }
  }
}

void AppendKeyLines(const Reply& reply, std::string* out) {
  for (const std::string& key : reply.lines) {
    AppendKey(key, out);
    *out += '\n';
  }
}

void AppendScan(const Reply& reply, std::string* out) {
  AppendOkNumber(static_cast<int64_t>(reply.lines.size()) + 1, out);
  AppendNumber(reply.number, out);
  *out += '\n';
  AppendKeyLines(reply, out);
}

void AppendFound(std::string_view value, std::string* out) {
  out->append("VALUE ");
  AppendValue(value, out);
  *out += '\n';
}

void AppendLines(const Reply& reply, std::string* out) {
  AppendLineCount(reply.lines.size(), out);
  for (const std::string& line : reply.lines) out->append(line) += '\n';
}

// Spaces behind it don't count.
std::string_view LastWord(const Line& line) {
  if (!line.has_value && !line.key.empty()) return line.key;
  const std::string_view text = line.text.substr(0, line.text.find_last_not_of(' ') + 1);
  return text.substr(text.rfind(' ') + 1);
}

}  // namespace

Line SplitLine(std::string_view text) {
  if (text.ends_with('\r')) text.remove_suffix(1);
  Line line;
  line.text = text;
  const size_t first = text.find(' ');
  line.word = text.substr(0, first);
  line.command = FindLineCommand(line.word);
  if (first == text.npos) return line;
  line.has_key = true;
  const size_t second = text.find(' ', first + 1);
  line.key = text.substr(first + 1, second - first - 1);
  if (second == text.npos) return line;
  line.has_value = true;
  line.value = text.substr(second + 1);
  return line;
}

bool IsHttp(const Line& line) {
  if (line.command == nullptr) {
    for (const std::string_view word : {"POST", "PUT", "HEAD", "OPTIONS", "Host:"}) {
      if (EqualsIgnoringCase(line.word, word)) return true;
    }
  } else if (line.command->arguments == Command::Arguments::kKeyAndValue) {
    return false;  // a value may be any text
  }
  return LastWord(line).starts_with("HTTP/");
}

Status ParseRequest(const Line& line, const Limits& limits, DecodedBytes* decoded,
                    Request* request) {
  request->command = line.command;
  if (line.command == nullptr) {
    if (HoldsAny(line.word, kNotInKeys)) return ControlByte();
    return Status::Invalid("unknown command '" + Escape(line.word) + "' (try HELP)");
  }
  switch (line.command->arguments) {
    case Command::Arguments::kKey:
    case Command::Arguments::kKeyAndValue:
    case Command::Arguments::kKeyAndSeconds:
      return ParseKeyed(line, limits, decoded, request);
    case Command::Arguments::kScan:
      return ParseScan(line, limits, decoded, request);
    case Command::Arguments::kPrefix:
      return ParsePattern(line, limits, decoded, request);
    case Command::Arguments::kRange:
      return ParseRange(line, limits, decoded, request);
    case Command::Arguments::kNone:
    case Command::Arguments::kNotALine:
      break;
  }
  return line.has_key ? WrongUsage(*line.command) : Status::Ok();
}

size_t TelnetPrefixSize(std::string_view input) {
  size_t prefix = 0;
  while (input.substr(prefix).starts_with(kTelnetIac)) {
    const size_t size = TelnetSequenceSize(input.substr(prefix));
    if (size == 0) break;
    prefix += size;
  }
  return prefix;
}

void AppendKey(std::string_view key, std::string* out) { AppendText(key, kNotInKeys, out); }

void AppendValue(std::string_view value, std::string* out) { AppendText(value, kNotInValues, out); }

void AppendLineStatus(const Status& status, std::string* out) {
  switch (status.code()) {
    case Code::kOk:
      out->append("OK\n");
      return;
    case Code::kNotFound:
      out->append("NOT_FOUND\n");
      return;
    default:
      out->append("ERROR ");
      AppendReason(ReasonFor(status), out);
      *out += '\n';
  }
}

bool AppendLineValueHead(std::string_view value, std::string* out) {
  if (NeedsEncoding(value, kNotInValues)) return false;
  out->append("VALUE ");
  return true;
}

void AppendLineCount(size_t count, std::string* out) {
  AppendOkNumber(static_cast<int64_t>(count), out);
}

void AppendLineReply(const Reply& reply, std::string* out) {
  switch (reply.kind) {
    case Reply::Kind::kStatus:
      return AppendLineStatus(reply.status, out);
    case Reply::Kind::kValue:
      return AppendFound(reply.value, out);
    case Reply::Kind::kNil:
      return AppendLineStatus(Status::NotFound(), out);
    case Reply::Kind::kInteger:
      if (reply.absent) return AppendLineStatus(Status::NotFound(), out);
      return AppendOkNumber(reply.number, out);
    case Reply::Kind::kCount:
      return AppendLineStatus(reply.absent ? Status::NotFound() : Status::Ok(), out);
    case Reply::Kind::kText:
      return AppendOk(reply.text, out);
    case Reply::Kind::kBytes:
      return AppendFound(reply.text, out);
    case Reply::Kind::kLines:
      return AppendLines(reply, out);
    case Reply::Kind::kScan:
      return AppendScan(reply, out);
    case Reply::Kind::kKeys:
      AppendLineCount(reply.lines.size(), out);
      return AppendKeyLines(reply, out);
    case Reply::Kind::kArray:
      AppendLineCount(reply.items.size(), out);
      for (const Reply& item : reply.items) AppendLineReply(item, out);
  }
}

}  // namespace keystone
