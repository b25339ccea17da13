#include "net/memcached.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "net/limits.h"

namespace keystone {
namespace {

using enum MemcachedVerb;
using Kind = MemcachedStep::Kind;

constexpr std::string_view kError = "ERROR\r\n";
constexpr std::string_view kBadFormat = "CLIENT_ERROR bad command line format\r\n";
constexpr std::string_view kDeleteUsage =
    "CLIENT_ERROR bad command line format.  Usage: delete <key> [noreply]\r\n";
constexpr std::string_view kBadDelta = "CLIENT_ERROR invalid numeric delta argument\r\n";
constexpr std::string_view kBadExptime = "CLIENT_ERROR invalid exptime argument\r\n";
constexpr std::string_view kBadChunk = "CLIENT_ERROR bad data chunk\r\n";
constexpr std::string_view kLineTooLong = "CLIENT_ERROR line too long\r\n";
constexpr std::string_view kTooLarge = "SERVER_ERROR object too large for cache\r\n";

constexpr std::string_view kNewline = "\r\n";
constexpr uint64_t kMaxDataSize = std::numeric_limits<int32_t>::max() - 2;
constexpr int64_t kMaxRelativeSeconds = int64_t{60} * 60 * 24 * 30;
constexpr uint64_t kLongAgoMs = 1;

constexpr size_t kMostWords = 7;  // that any command but those which fetch looks at
constexpr size_t kAnyNumber = kMostWords + 1;

struct Verb {
  std::string_view name;
  MemcachedVerb verb;
  size_t least_words;  // its name included
  size_t most_words;
};

// The busiest come first: they are looked for from the front.
constexpr std::array kVerbs = {
    Verb{"get", kGet, 2, kAnyNumber},
    Verb{"set", kSet, 5, 6},
    Verb{"gets", kGets, 2, kAnyNumber},
    Verb{"delete", kDelete, 2, 4},
    Verb{"incr", kIncr, 3, 4},
    Verb{"decr", kDecr, 3, 4},
    Verb{"add", kAdd, 5, 6},
    Verb{"cas", kCas, 6, 7},
    Verb{"touch", kTouch, 3, 4},
    Verb{"gat", kGat, 2, kAnyNumber},
    Verb{"gats", kGats, 2, kAnyNumber},
    Verb{"replace", kReplace, 5, 6},
    Verb{"append", kAppend, 5, 6},
    Verb{"prepend", kPrepend, 5, 6},
    Verb{"version", kVersion, 1, kAnyNumber},
    Verb{"stats", kStats, 1, kAnyNumber},
    Verb{"flush_all", kFlushAll, 1, 3},
    Verb{"verbosity", kVerbosity, 2, 3},
    Verb{"quit", kQuit, 1, kAnyNumber},
};

const Verb* FindVerb(std::string_view name) {
  const auto* found = std::find_if(kVerbs.begin(), kVerbs.end(),
                                   [&](const Verb& verb) { return verb.name == name; });
  return found == kVerbs.end() ? nullptr : found;
}

bool Fetches(MemcachedVerb verb) { return verb <= kGats; }
bool Stores(MemcachedVerb verb) { return verb >= kSet && verb <= kCas; }

// The next word of a line, which loses it and the spaces before it; empty at its end.
std::string_view TakeWord(std::string_view* line) {
  line->remove_prefix(std::min(line->find_first_not_of(' '), line->size()));
  const std::string_view word = line->substr(0, line->find(' '));
  line->remove_prefix(word.size());
  return word;
}

struct LineWords {
  explicit LineWords(std::string_view line) {
    for (count = 0; count < kAnyNumber; ++count) {
      const std::string_view word = TakeWord(&line);
      if (word.empty()) return;
      if (count < kMostWords) words[count] = word;
    }
  }

  std::string_view operator[](size_t i) const { return words[i]; }
  bool EndWithNoreply() const {
    return count > 1 && count <= kMostWords && words[count - 1] == "noreply";
  }

  std::array<std::string_view, kMostWords> words{};
  size_t count = 0;  // kAnyNumber: there are more
};

// As memcached, which has the C library read numbers.
std::string_view WithoutPlus(std::string_view text) {
  const bool has_plus = text.size() > 1 && text[0] == '+' && text[1] != '-';
  return has_plus ? text.substr(1) : text;
}

template <class Number>
bool ParseNumber(std::string_view text, Number* number) {
  text = WithoutPlus(text);
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, *number);
  return error == std::errc() && stop == end;
}

bool KeyFits(std::string_view key, const Limits& limits) {
  return key.size() <= std::min(kMemcachedMaxKeySize, limits.max_key_size);
}

MemcachedStep Refusal(std::string_view reply, bool noreply = false) {
  return {.kind = Kind::kRefused, .text = noreply ? std::string_view() : reply};
}

MemcachedStep Accepted(const MemcachedRequest& request) {
  return {.kind = Kind::kRequest, .request = request};
}

// A line may be long only where it fetches, which its first bytes have to tell.
size_t LineLimit(std::string_view line) {
  line = line.substr(0, kMemcachedMaxLineSize);
  const Verb* const verb = FindVerb(TakeWord(&line));
  const bool fetches = verb != nullptr && Fetches(verb->verb);
  return fetches ? kMemcachedMaxFetchLineSize : kMemcachedMaxLineSize;
}

MemcachedStep Unknown(std::string_view line) {
  const std::string_view last = line.substr(line.find_last_of(' ') + 1);
  if (!last.starts_with("HTTP/")) return Refusal(kError);
  return {.kind = Kind::kHttp, .closes = true, .text = line};
}

MemcachedStep Arithmetic(const LineWords& words, MemcachedRequest request) {
  if (!ParseNumber(words[2], &request.delta)) return Refusal(kBadDelta, request.noreply);
  return Accepted(request);
}

MemcachedStep Touch(const LineWords& words, MemcachedRequest request) {
  if (!ParseNumber(words[2], &request.exptime)) return Refusal(kBadExptime, request.noreply);
  return Accepted(request);
}

// Once it took a time for which the key could not be added again; 0 is still understood.
MemcachedStep Delete(const LineWords& words, const MemcachedRequest& request) {
  const size_t arguments = words.count - 2 - (request.noreply ? 1 : 0);
  const bool valid = arguments == 0 || (arguments == 1 && words[2] == "0");
  return valid ? Accepted(request) : Refusal(kDeleteUsage, request.noreply);
}

MemcachedStep Keyed(const LineWords& words, const Limits& limits, MemcachedRequest request) {
  request.key = words[1];
  if (request.verb == kDelete && words.count == 2) request.noreply = false;  // it is the key
  if (!KeyFits(request.key, limits)) return Refusal(kBadFormat, request.noreply);
  if (request.verb == kDelete) return Delete(words, request);
  return request.verb == kTouch ? Touch(words, request) : Arithmetic(words, request);
}

MemcachedStep FlushAll(const LineWords& words, MemcachedRequest request) {
  const bool has_delay = words.count > (request.noreply ? 2 : 1);
  if (has_delay && !ParseNumber(words[1], &request.exptime)) {
    return Refusal(kBadExptime, request.noreply);
  }
  return Accepted(request);
}

MemcachedStep Verbosity(const LineWords& words, const MemcachedRequest& request) {
  uint32_t level = 0;
  return ParseNumber(words[1], &level) ? Accepted(request) : Refusal(kBadFormat, request.noreply);
}

// A request that is one line.
MemcachedStep Lone(const LineWords& words, MemcachedVerb verb, const Limits& limits) {
  MemcachedRequest request{.verb = verb};
  if (verb == kVersion || verb == kQuit) return Accepted(request);
  if (verb == kStats) {
    request.argument = words[1];
    return Accepted(request);
  }
  request.noreply = words.EndWithNoreply();
  if (verb == kFlushAll) return FlushAll(words, request);
  if (verb == kVerbosity) return Verbosity(words, request);
  return Keyed(words, limits, request);
}

// What the line of a storage command says but the size of its data.
bool ParseStorage(const LineWords& words, const Limits& limits, MemcachedRequest* request) {
  request->key = words[1];
  return KeyFits(request->key, limits) && ParseNumber(words[2], &request->client_flags) &&
         ParseNumber(words[3], &request->exptime) &&
         (request->verb != kCas || ParseNumber(words[5], &request->unique));
}

// `data` is what follows the line. That of a refused line is skipped where its size is known, so
// that none of it is taken for a command.
MemcachedStep Storage(const LineWords& words, MemcachedVerb verb, std::string_view data,
                      const Limits& limits, uint64_t* skips) {
  MemcachedRequest request{.verb = verb, .noreply = words.EndWithNoreply()};
  uint64_t size = 0;
  if (!ParseNumber(words[4], &size) || size > kMaxDataSize) {
    return Refusal(kBadFormat, request.noreply);
  }
  const bool understood = ParseStorage(words, limits, &request);
  if (!understood || size > limits.max_value_size) {
    *skips = size + kNewline.size();
    return Refusal(understood ? kTooLarge : kBadFormat, request.noreply);
  }
  if (data.size() < size + kNewline.size()) return {};
  request.value = data.substr(0, size);
  const bool ended = data.substr(size).starts_with(kNewline);
  MemcachedStep step = ended ? Accepted(request) : Refusal(kBadChunk, request.noreply);
  step.used = size + kNewline.size();
  return step;
}

constexpr bool IsControl(char c) { return (c >= 0 && c < ' ') || c == 0x7f; }
constexpr bool IsSpace(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

void AppendNumber(uint64_t number, std::string* out) {
  char digits[20];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, number);
  out->append(digits, end);
}

}  // namespace

MemcachedStep MemcachedParser::Next(std::string_view input, const Limits& limits) {
  const size_t skipped = Skip(input);
  input.remove_prefix(skipped);
  MemcachedStep step;
  if (skips_ == 0 && !abandoned_) step = fetching_ ? NextKey(input, 0) : NextLine(input, limits);
  step.used += skipped;
  step.skipped = skipped;
  return step;
}

size_t MemcachedParser::Skip(std::string_view input) {
  if (abandoned_) {
    const size_t end = input.find('\n');
    if (end == input.npos) return input.size();
    abandoned_ = fetching_ = false;
    return end + 1;
  }
  const auto size = static_cast<size_t>(std::min<uint64_t>(skips_, input.size()));
  skips_ -= size;
  return size;
}

MemcachedStep MemcachedParser::NextLine(std::string_view input, const Limits& limits) {
  const size_t end = input.find('\n', searched_);
  const bool finished = end != input.npos;
  std::string_view line = input.substr(0, end);
  searched_ = finished ? 0 : line.size();
  if (line.size() > kMemcachedMaxLineSize && line.size() > LineLimit(line)) {
    return {.kind = Kind::kRefused, .used = input.size(), .closes = true, .text = kLineTooLong};
  }
  if (!finished) return {};
  if (line.ends_with('\r')) line.remove_suffix(1);
  const LineWords words(line);
  const Verb* const verb = FindVerb(words[0]);
  MemcachedStep step;
  if (verb == nullptr) {
    step = Unknown(line);
  } else if (words.count < verb->least_words || words.count > verb->most_words) {
    step = Refusal(kError);
  } else if (Fetches(verb->verb)) {
    size_t before_keys = 0;
    const std::string_view why = StartFetch(verb->verb, line, limits, &before_keys);
    if (why.empty()) return NextKey(input, before_keys);
    step = Refusal(why);
  } else if (Stores(verb->verb)) {
    step = Storage(words, verb->verb, input.substr(end + 1), limits, &skips_);
    if (step.kind == Kind::kUnfinished) return step;
  } else {
    step = Lone(words, verb->verb, limits);
  }
  step.used += end + 1;
  return step;
}

// All keys are looked at before the first is handed out: a line with a bad one is refused whole.
std::string_view MemcachedParser::StartFetch(MemcachedVerb verb, std::string_view line,
                                             const Limits& limits, size_t* before_keys) {
  std::string_view rest = line;
  TakeWord(&rest);
  exptime_ = 0;
  const bool touches = verb == kGat || verb == kGats;
  if (touches && !ParseNumber(TakeWord(&rest), &exptime_)) return kBadExptime;
  *before_keys = line.size() - rest.size();
  while (!rest.empty()) {
    if (!KeyFits(TakeWord(&rest), limits)) return kBadFormat;
  }
  fetching_ = true;
  verb_ = verb;
  return {};
}

// From `start` on, `input` is the rest of the line, or the beginning of that.
MemcachedStep MemcachedParser::NextKey(std::string_view input, size_t start) {
  start = std::min(input.find_first_not_of(' ', start), input.size());
  const size_t end = input.find_first_of(" \n", start);
  if (end == input.npos) return {};
  std::string_view key = input.substr(start, end - start);
  if (input[end] == '\n' && key.ends_with('\r')) key.remove_suffix(1);
  if (!key.empty()) {
    return {.kind = Kind::kRequest,
            .used = start + key.size(),
            .request = {.verb = verb_, .key = key, .exptime = exptime_}};
  }
  fetching_ = false;
  return {.kind = Kind::kEnd, .used = end + 1};
}

std::string_view KeyOfFetch(std::string_view input, const Limits& limits, MemcachedParser* parser,
                            size_t* size) {
  const MemcachedStep step = parser->Next(input, limits);
  *size = step.kind == Kind::kUnfinished ? 0 : step.used;
  const bool fetches = step.kind == Kind::kRequest && Fetches(step.request.verb);
  return fetches ? step.request.key : std::string_view();
}

uint64_t MemcachedExpiry(int64_t exptime, uint64_t now_ms) {
  constexpr int64_t kMsPerSecond = 1000;
  constexpr int64_t kLastSecond = std::numeric_limits<int64_t>::max() / kMsPerSecond;
  if (exptime == 0) return 0;
  if (exptime < 0) return kLongAgoMs;
  const auto ms = static_cast<uint64_t>(std::min(exptime, kLastSecond) * kMsPerSecond);
  return exptime <= kMaxRelativeSeconds ? now_ms + ms : ms;
}

bool ParseMemcachedNumber(std::string_view value, uint64_t* number) {
  const auto* const begin = std::find_if_not(value.begin(), value.end(), IsSpace);
  value = WithoutPlus(value.substr(static_cast<size_t>(begin - value.begin())));
  const auto [stop, error] = std::from_chars(value.begin(), value.end(), *number);
  return error == std::errc() && (stop == value.end() || IsSpace(*stop));
}

void AppendMemcachedHead(std::string_view key, uint32_t client_flags, size_t value_size,
                         const uint64_t* unique, std::string* out) {
  out->append("VALUE ").append(key) += ' ';
  AppendNumber(client_flags, out);
  *out += ' ';
  AppendNumber(value_size, out);
  if (unique != nullptr) {
    *out += ' ';
    AppendNumber(*unique, out);
  }
  out->append(kNewline);
}

void AppendMemcachedError(const Status& status, std::string* out) {
  out->append(status.code() == Code::kInvalid ? "CLIENT_ERROR " : "SERVER_ERROR ");
  if (status.code() == Code::kNoSpace || status.code() == Code::kFileLimit) {
    out->append("log device full");
  } else {
    for (const char c : status.message()) *out += IsControl(c) ? '?' : c;
  }
  out->append(kNewline);
}

}  // namespace keystone
