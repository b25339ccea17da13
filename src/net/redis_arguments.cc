#include "net/redis_arguments.h"

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>

#include "base/clock.h"
#include "base/escape.h"
#include "net/command.h"
#include "net/letter_case.h"
#include "net/limits.h"
#include "net/pattern.h"
#include "net/resp.h"
#include "net/resp_request.h"

namespace keystone {

namespace {

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();
constexpr int64_t kMsPerSecond = 1000;

Status InvalidExpiry(const Request& request) {
  return Status::Invalid("invalid expire time in '" + LowerCase(request.command->name) +
                         "' command");
}

// How a time is given.
struct TimeForm {
  int64_t unit_ms;
  bool from_now;
};

constexpr TimeForm kSeconds{.unit_ms = kMsPerSecond, .from_now = true};
constexpr TimeForm kMilliseconds{.unit_ms = 1, .from_now = true};
constexpr TimeForm kUnixSeconds{.unit_ms = kMsPerSecond, .from_now = false};
constexpr TimeForm kUnixMilliseconds{.unit_ms = 1, .from_now = false};

// As Unix time in milliseconds; false where that would overflow.
bool ToUnixMs(int64_t time, const TimeForm& form, int64_t* unix_ms) {
  if (time > kMost / form.unit_ms || time < kLeast / form.unit_ms) return false;
  *unix_ms = time * form.unit_ms;
  if (!form.from_now) return true;
  const auto now_ms = static_cast<int64_t>(UnixTimeMs());
  if (*unix_ms > kMost - now_ms) return false;
  *unix_ms += now_ms;
  return true;
}

// Of a value that is stored with it.
Status ReadExpiry(std::string_view text, const TimeForm& form, Request* request) {
  int64_t time = 0;
  int64_t unix_ms = 0;
  if (!ParseRespInteger(text, &time)) return NotAnInteger();
  if (time <= 0 || !ToUnixMs(time, form, &unix_ms)) return InvalidExpiry(*request);
  request->attributes.expires_at_ms = static_cast<uint64_t>(unix_ms);
  return Status::Ok();
}

Status ReadExpiryConditions(Words words, ExpiryCondition* condition) {
  for (const std::string_view word : words) {
    if (EqualsIgnoringCase(word, "NX")) {
      condition->none = true;
    } else if (EqualsIgnoringCase(word, "XX")) {
      condition->some = true;
    } else if (EqualsIgnoringCase(word, "GT")) {
      condition->earlier = true;
    } else if (EqualsIgnoringCase(word, "LT")) {
      condition->later = true;
    } else {
      return Status::Invalid("Unsupported option " + std::string(word));
    }
  }
  if (condition->none && (condition->some || condition->earlier || condition->later)) {
    return Status::Invalid("NX and XX, GT or LT options at the same time are not compatible");
  }
  if (condition->earlier && condition->later) {
    return Status::Invalid("GT and LT options at the same time are not compatible");
  }
  return Status::Ok();
}

// Of a key that is there: it may lie in the past.
Status ReadNewExpiry(Words words, const TimeForm& form, const Limits& limits, Request* request) {
  if (Status status = ParseRespKey(words, limits, request); !status.ok()) return status;
  Status status = ReadExpiryConditions(words.subspan(2), &request->expiry_condition);
  if (!status.ok()) return status;
  int64_t time = 0;
  int64_t unix_ms = 0;
  if (!ParseRespInteger(words[1], &time)) return NotAnInteger();
  if (!ToUnixMs(time, form, &unix_ms)) return InvalidExpiry(*request);
  request->attributes.expires_at_ms = static_cast<uint64_t>(std::max<int64_t>(unix_ms, 1));
  return Status::Ok();
}

Status ReadKeyAndValue(std::string_view key, std::string_view value, const Limits& limits,
                       Request* request) {
  request->key = key;
  request->value = value;
  Status status = CheckRespKey(key, limits);
  return status.ok() ? CheckRespValue(value, limits) : status;
}

// The options of SET and GETEX. None of them contradicts another, or they are refused.
class ValueOptions {
 public:
  enum class Of : uint8_t { kSet, kGetEx };

  ValueOptions(Of of, Request* request) : is_set_(of == Of::kSet), request_(request) {}

  Status Read(Words words) {
    for (size_t i = 0; i < words.size(); i++) {
      if (ReadExpiryOption(words, &i) ||
          (is_set_ ? ReadSetWord(words[i]) : ReadPersist(words[i]))) {
        continue;
      }
      return SyntaxError();
    }
    return form_ == nullptr ? Status::Ok() : ReadExpiry(time_, *form_, request_);
  }

  bool any() const { return form_ != nullptr || persists_; }

 private:
  bool ReadExpiryOption(Words words, size_t* at) {
    static constexpr std::pair<std::string_view, const TimeForm*> kForms[] = {
        {"EX", &kSeconds},
        {"PX", &kMilliseconds},
        {"EXAT", &kUnixSeconds},
        {"PXAT", &kUnixMilliseconds}};
    for (const auto& [name, form] : kForms) {
      if (!EqualsIgnoringCase(words[*at], name)) continue;
      const bool alone = (form_ == nullptr || form_ == form) && !persists_ && !keeps_;
      if (!alone || *at + 1 == words.size()) return false;
      form_ = form;
      time_ = words[++*at];
      return true;
    }
    return false;
  }

  bool ReadSetWord(std::string_view word) {
    if (EqualsIgnoringCase(word, "NX")) return SetCondition(Condition::kAbsent);
    if (EqualsIgnoringCase(word, "XX")) return SetCondition(Condition::kPresent);
    if (EqualsIgnoringCase(word, "GET")) return request_->returns_old = true;
    if (!EqualsIgnoringCase(word, "KEEPTTL") || form_ != nullptr) return false;
    return keeps_ = request_->keeps_expiry = true;
  }

  bool ReadPersist(std::string_view word) {
    if (!EqualsIgnoringCase(word, "PERSIST") || form_ != nullptr) return false;
    return persists_ = true;
  }

  bool SetCondition(Condition condition) {
    const bool other = request_->condition != Condition::kNone && request_->condition != condition;
    request_->condition = condition;
    return !other;
  }

  const bool is_set_;
  Request* const request_;
  const TimeForm* form_ = nullptr;
  std::string_view time_;
  bool keeps_ = false;
  bool persists_ = false;
};

Status ReadIncrement(Words words, const Limits& limits, Request* request) {
  if (Status status = ParseRespKey(words, limits, request); !status.ok()) return status;
  return ParseRespInteger(words[1], &request->number) ? Status::Ok() : NotAnInteger();
}

Status ReadPattern(std::string_view pattern, const Limits& limits, Request* request) {
  bool exact = false;
  if (!ParsePrefixPattern(pattern, &request->prefix, &exact)) {
    return Status::Invalid("bad pattern '" + Escape(pattern) + "': only prefix* can be looked for");
  }
  if (exact) request->key = request->end = request->prefix;
  if (!request->prefix.empty()) return CheckRespKey(request->prefix, limits);
  if (exact) request->matches_nothing = true;
  return Status::Ok();
}

bool ReadCursor(std::string_view text, uint64_t* cursor) {
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, *cursor);
  return error == std::errc() && stop == end;
}

Status ReadCount(std::string_view text, const Limits& limits, Request* request) {
  int64_t count = 0;
  if (!ParseRespInteger(text, &count)) return NotAnInteger();
  if (count < 1) return SyntaxError();
  request->count = static_cast<size_t>(std::min<int64_t>(count, kMaxScanCount));
  request->count = std::min(request->count, kMaxScanBytes / limits.max_key_size);
  return Status::Ok();
}

}  // namespace

Status ParseRespSet(Words words, const Limits& limits, Request* request) {
  Status status = ReadKeyAndValue(words[0], words[1], limits, request);
  if (!status.ok() || words.size() == 2) return status;
  return ValueOptions(ValueOptions::Of::kSet, request).Read(words.subspan(2));
}

Status ParseRespSetNx(Words words, const Limits& limits, Request* request) {
  request->condition = Condition::kAbsent;
  return ReadKeyAndValue(words[0], words[1], limits, request);
}

Status ParseRespSetEx(Words words, const Limits& limits, Request* request) {
  Status status = ReadKeyAndValue(words[0], words[2], limits, request);
  if (!status.ok()) return status;
  const bool in_ms = request->command->name.starts_with('P');
  return ReadExpiry(words[1], in_ms ? kMilliseconds : kSeconds, request);
}

Status ParseRespGetSet(Words words, const Limits& limits, Request* request) {
  request->returns_old = true;
  return ReadKeyAndValue(words[0], words[1], limits, request);
}

Status ParseRespGetEx(Words words, const Limits& limits, Request* request) {
  if (Status status = ParseRespKey(words, limits, request); !status.ok()) return status;
  ValueOptions options(ValueOptions::Of::kGetEx, request);
  Status status = options.Read(words.subspan(1));
  request->keeps_expiry = !options.any();
  return status;
}

Status ParseRespAppend(Words words, const Limits& limits, Request* request) {
  request->limit = limits.max_value_size;
  return ReadKeyAndValue(words[0], words[1], limits, request);
}

Status ParseRespPairs(Words words, const Limits& limits, Request* request) {
  if (words.size() % 2 != 0) return WrongArity(LowerCase(request->command->name));
  for (size_t i = 0; i < words.size(); i += 2) {
    Request pair;
    Status status = ReadKeyAndValue(words[i], words[i + 1], limits, &pair);
    if (!status.ok()) return status;
  }
  request->words = words;
  return Status::Ok();
}

Status ParseRespIncr(Words words, const Limits& limits, Request* request) {
  request->number = 1;
  return ParseRespKey(words, limits, request);
}

Status ParseRespDecr(Words words, const Limits& limits, Request* request) {
  request->number = -1;
  return ParseRespKey(words, limits, request);
}

Status ParseRespIncrBy(Words words, const Limits& limits, Request* request) {
  return ReadIncrement(words, limits, request);
}

Status ParseRespDecrBy(Words words, const Limits& limits, Request* request) {
  if (Status status = ReadIncrement(words, limits, request); !status.ok()) return status;
  if (request->number == kLeast) return Status::Invalid("decrement would overflow");
  request->number = -request->number;
  return Status::Ok();
}

Status ParseRespExpire(Words words, const Limits& limits, Request* request) {
  return ReadNewExpiry(words, kSeconds, limits, request);
}

Status ParseRespPExpire(Words words, const Limits& limits, Request* request) {
  return ReadNewExpiry(words, kMilliseconds, limits, request);
}

Status ParseRespExpireAt(Words words, const Limits& limits, Request* request) {
  return ReadNewExpiry(words, kUnixSeconds, limits, request);
}

Status ParseRespPExpireAt(Words words, const Limits& limits, Request* request) {
  return ReadNewExpiry(words, kUnixMilliseconds, limits, request);
}

Status ParseRespPing(Words words, const Limits&, Request* request) {
  request->words = words;
  return words.size() <= 1 ? Status::Ok() : WrongArity("ping");
}

Status ParseRespSelect(Words words, const Limits&, Request*) {
  int64_t number = 0;
  if (!ParseRespInteger(words[0], &number)) return NotAnInteger();
  if (number != static_cast<int32_t>(number)) {
    return Status::Invalid("value is out of range, value must between -2147483648 and 2147483647");
  }
  return number == 0 ? Status::Ok() : Status::Invalid("DB index is out of range");
}

Status ParseRespFlush(Words words, const Limits&, Request*) {
  const bool known =
      words.empty() || (words.size() == 1 && (EqualsIgnoringCase(words[0], "ASYNC") ||
                                              EqualsIgnoringCase(words[0], "SYNC")));
  return known ? Status::Ok() : SyntaxError();
}

Status ParseRespConfig(Words words, const Limits& limits, Request* request) {
  request->words = words;
  request->limit = limits.max_value_size;
  return Status::Ok();
}

Status ParseRespRename(Words words, const Limits& limits, Request* request) {
  request->end = words[1];
  if (Status status = ParseRespKey(words, limits, request); !status.ok()) return status;
  return CheckRespKey(request->end, limits);
}

Status ParseRespKeysPattern(Words words, const Limits& limits, Request* request) {
  return ReadPattern(words[0], limits, request);
}

Status ParseRespScan(Words words, const Limits& limits, Request* request) {
  if (!ReadCursor(words[0], &request->cursor)) return Status::Invalid("invalid cursor");
  for (size_t i = 1; i < words.size(); i += 2) {
    if (i + 1 == words.size()) return SyntaxError();
    const std::string_view argument = words[i + 1];
    Status status;
    if (EqualsIgnoringCase(words[i], "COUNT")) {
      status = ReadCount(argument, limits, request);
    } else if (EqualsIgnoringCase(words[i], "MATCH")) {
      status = ReadPattern(argument, limits, request);
    } else if (EqualsIgnoringCase(words[i], "TYPE")) {
      if (!EqualsIgnoringCase(argument, "string")) request->matches_nothing = true;
    } else {
      status = SyntaxError();
    }
    if (!status.ok()) return status;
  }
  return Status::Ok();
}

}  // namespace keystone
