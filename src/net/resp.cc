#include "net/resp.h"

#include <algorithm>
#include <charconv>

#include "net/letter_case.h"

namespace keystone {
namespace {

constexpr std::string_view kCrLf = "\r\n";
constexpr char kRespBulk = '$';
constexpr size_t kMaxLineSize = size_t{64} << 10;  // as Redis: of a number's line
constexpr size_t kLeastWord = 5;                   // bytes that a word takes: "$0", CR LF twice
constexpr size_t kMostWordsAhead = 8;              // of a request that is looked at ahead
constexpr size_t kKeptWords = 64;                  // what an idle client may hold on to

// What nearly all lines with a number look like: the type, 1 to 4 digits, their end. How many bytes
// that takes; 0 where `text` begins with something else, or with a part of it.
size_t ShortLineSize(std::string_view text, char type, size_t* number) {
  constexpr size_t kMostDigits = 4;
  if (text.size() < 1 + kMostDigits + kCrLf.size() || text[0] != type || text[1] == '0') return 0;
  *number = 0;
  size_t end = 1;
  for (; end <= kMostDigits && text[end] >= '0' && text[end] <= '9'; ++end) {
    *number = *number * 10 + static_cast<size_t>(text[end] - '0');
  }
  return end > 1 && text[end] == '\r' && text[end + 1] == '\n' ? end + kCrLf.size() : 0;
}

std::string OneLine(std::string_view text) {
  std::string line(text);
  std::replace_if(
      line.begin(), line.end(), [](char c) { return c == '\r' || c == '\n'; }, ' ');
  return line;
}

void AppendLine(char type, std::string_view text, std::string* out) {
  *out += type;
  if (text.find_first_of(kCrLf) == text.npos) {
    out->append(text);
  } else {
    out->append(OneLine(text));
  }
  out->append(kCrLf);
}

void AppendNumber(char type, int64_t number, std::string* out) {
  char digits[20];
  const auto [end, error] = std::to_chars(digits, digits + sizeof digits, number);
  *out += type;
  out->append(digits, end);
  out->append(kCrLf);
}

}  // namespace

RespParser::Progress RespParser::Next(std::string_view input) {
  if (!error_.empty()) return Progress::kError;
  if (finished_) StartOver();
  const bool whole = position_ == 0;
  Progress progress = Advance(input, whole);
  if (progress == Progress::kRequest && !whole) {
    StartOver();  // the words that came in earlier calls have moved: again, now that all are there
    progress = Advance(input, true);
  }
  finished_ = progress == Progress::kRequest;
  if (!finished_) DropWords();
  return progress;
}

RespParser::Progress RespParser::Advance(std::string_view input, bool keep_words) {
  if (position_ == 0 && !ReadCount(input)) {
    return error_.empty() ? Progress::kNeedMore : Progress::kError;
  }
  if (keep_words) words_.reserve(std::min(words_left_, input.size() / kLeastWord));
  for (; words_left_ > 0; --words_left_) {
    if (!word_size_ && !ReadWordSize(input)) {
      return error_.empty() ? Progress::kNeedMore : Progress::kError;
    }
    const size_t end = position_ + *word_size_;
    if (input.size() < end + kCrLf.size()) return Progress::kNeedMore;
    if (input.substr(end, kCrLf.size()) != kCrLf) {
      // Redis takes any two bytes; a client that counts characters instead of bytes gets here.
      Fail("expected CR LF behind a bulk string");
      return Progress::kError;
    }
    if (keep_words) words_.push_back(input.substr(position_, *word_size_));
    position_ = end + kCrLf.size();
    word_size_.reset();
  }
  return Progress::kRequest;
}

void RespParser::StartOver() {
  position_ = 0;
  searched_ = 0;
  words_left_ = 0;
  word_size_.reset();
  finished_ = false;
  words_.clear();
}

void RespParser::Reset() {
  StartOver();
  DropWords();
  error_.clear();
}

void RespParser::DropWords() {
  words_.clear();
  if (words_.capacity() > kKeptWords) std::vector<std::string_view>().swap(words_);
}

bool RespParser::ReadCount(std::string_view input) {
  position_ = ShortLineSize(input, kRespRequest, &words_left_);
  if (position_ > 0) return true;
  std::string_view line;
  if (!ReadLine(input, "too big mbulk count string", &line)) return false;
  int64_t count = 0;
  if (!line.starts_with(kRespRequest) || !ParseRespInteger(line.substr(1), &count) ||
      count > static_cast<int64_t>(kMaxWords)) {
    return Fail("invalid multibulk length");
  }
  words_left_ = count < 0 ? 0 : static_cast<size_t>(count);
  return true;
}

bool RespParser::ReadWordSize(std::string_view input) {
  size_t size = 0;
  if (const size_t line = ShortLineSize(input.substr(position_), kRespBulk, &size); line > 0) {
    position_ += line;
  } else if (!ReadLongWordSize(input, &size)) {
    return false;
  }
  if (size > max_word_size_) return Fail("invalid bulk length");
  if (position_ + size + kCrLf.size() > max_request_size_) {
    return Fail("request longer than " + std::to_string(max_request_size_) + " bytes");
  }
  word_size_ = size;
  return true;
}

bool RespParser::ReadLongWordSize(std::string_view input, size_t* size) {
  std::string_view line;
  if (!ReadLine(input, "too big bulk count string", &line)) return false;
  if (!line.starts_with(kRespBulk)) {
    const char got = line.empty() ? '\r' : line.front();
    return Fail(std::string("expected '$', got '") + got + "'");
  }
  int64_t number = 0;
  if (!ParseRespInteger(line.substr(1), &number) || number < 0) return Fail("invalid bulk length");
  *size = static_cast<size_t>(number);
  return true;
}

// The line at position_, without its end, behind which position_ then is. False where that end is
// still to come, or the line is too long to hold a number.
bool RespParser::ReadLine(std::string_view input, const char* too_long, std::string_view* line) {
  const std::string_view most = input.substr(0, position_ + kMaxLineSize);
  const size_t end = most.find('\r', std::max(searched_, position_));
  if (end == most.npos) {
    searched_ = most.size();
    return most.size() - position_ < kMaxLineSize ? false : Fail(too_long);
  }
  searched_ = end;
  if (input.size() < end + kCrLf.size()) return false;
  *line = input.substr(position_, end - position_);
  // A CR by itself: what stands before it is not all of the line, so it is no number.
  if (input[end + 1] != '\n') *line = input.substr(position_, end + 1 - position_);
  position_ = end + kCrLf.size();
  return true;
}

bool RespParser::Fail(std::string_view why) {
  error_ = OneLine("Protocol error: " + std::string(why));
  return false;
}

std::string_view KeyOfRespGet(std::string_view input, size_t* size) {
  *size = 0;
  size_t words = 0;
  size_t end = ShortLineSize(input, kRespRequest, &words);
  if (end == 0 || words > kMostWordsAhead) return {};
  bool is_get = false;
  std::string_view key;
  for (size_t i = 0; i < words; ++i) {
    size_t word_size = 0;
    const size_t line = ShortLineSize(input.substr(end), kRespBulk, &word_size);
    const size_t start = end + line;
    if (line == 0 || input.size() < start + word_size + kCrLf.size()) return {};
    const std::string_view word = input.substr(start, word_size);
    if (i == 0) is_get = words == 2 && EqualsIgnoringCase(word, "GET");
    if (i == 1 && is_get) key = word;
    end = start + word_size + kCrLf.size();
  }
  *size = end;
  return key;
}

bool ParseRespInteger(std::string_view text, int64_t* number) {
  const std::string_view digits = text.starts_with('-') ? text.substr(1) : text;
  if (digits.starts_with('0') && text.size() > 1) return false;  // "-0", too
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, *number);
  return error == std::errc() && stop == end;
}

void AppendRespSimple(std::string_view text, std::string* out) { AppendLine('+', text, out); }

void AppendRespError(std::string_view text, std::string* out) { AppendLine('-', text, out); }

void AppendRespInteger(int64_t number, std::string* out) { AppendNumber(':', number, out); }

void AppendRespBulk(std::string_view bytes, std::string* out) {
  AppendRespBulkHeader(bytes.size(), out);
  out->append(bytes).append(kCrLf);
}

void AppendRespBulkHeader(size_t size, std::string* out) {
  AppendNumber(kRespBulk, static_cast<int64_t>(size), out);
}

void AppendRespNil(std::string* out) { out->append("$-1\r\n"); }

void AppendRespNilArray(std::string* out) { out->append("*-1\r\n"); }

void AppendRespArrayHeader(size_t count, std::string* out) {
  AppendNumber(kRespRequest, static_cast<int64_t>(count), out);
}

}  // namespace keystone
