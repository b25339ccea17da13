#include "bench/protocol.h"

#include <array>
#include <charconv>

namespace keystone {

namespace {

using Kind = BenchReply::Kind;

// A line without its end, and the size with it; 0 where the end is not there yet.
struct Line {
  std::string_view text;
  size_t size_bytes = 0;
};

Line FirstLine(std::string_view bytes) {
  const size_t at = bytes.find('\n');
  if (at == bytes.npos) return {};
  return {bytes.substr(0, at), at + 1};
}

// The CR before the LF, where the protocol has one.
bool DropReturn(Line* line) {
  if (!line->text.ends_with('\r')) return false;
  line->text.remove_suffix(1);
  return true;
}

void AppendNumber(size_t number, std::string* out) {
  std::array<char, 20> digits;
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), number);
  out->append(digits.data(), end);
}

bool ParseNumber(std::string_view text, size_t* number) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), *number);
  return error == std::errc() && end == text.data() + text.size();
}

void AppendBulk(std::string_view bytes, std::string* out) {
  out->append("$");
  AppendNumber(bytes.size(), out);
  out->append("\r\n").append(bytes).append("\r\n");
}

// The `size` bytes at `start` of `bytes` and the `end` that has to follow them.
BenchReply Value(std::string_view bytes, size_t start, size_t size, std::string_view end) {
  // Compared so that no size overflows the sum.
  if (bytes.size() - start < end.size() || bytes.size() - start - end.size() < size) return {};
  if (!bytes.substr(start + size).starts_with(end)) return {.kind = Kind::kInvalid};
  return {Kind::kValue, start + size + end.size(), bytes.substr(start, size)};
}

BenchReply ParseLine(BenchCommand command, std::string_view bytes) {
  const Line line = FirstLine(bytes);
  if (line.size_bytes == 0) return {};
  if (line.text.starts_with("ERROR ")) return {Kind::kError, line.size_bytes, line.text};
  // A server that says OK to everything, GET too, shows what a way of serving allows at most.
  if (line.text == "OK") return {Kind::kStored, line.size_bytes};
  const bool get = command == BenchCommand::kGet;
  if (get && line.text == "NOT_FOUND") return {Kind::kNotFound, line.size_bytes};
  if (get && line.text.starts_with("VALUE ")) {
    return {Kind::kValue, line.size_bytes, line.text.substr(6)};
  }
  return {.kind = Kind::kInvalid};
}

BenchReply ParseResp(BenchCommand command, std::string_view bytes) {
  Line line = FirstLine(bytes);
  if (line.size_bytes == 0) return {};
  if (!DropReturn(&line)) return {.kind = Kind::kInvalid};
  if (line.text.starts_with("-")) return {Kind::kError, line.size_bytes, line.text.substr(1)};
  const bool get = command == BenchCommand::kGet;
  if (!get && line.text == "+OK") return {Kind::kStored, line.size_bytes};
  if (get && line.text == "$-1") return {Kind::kNotFound, line.size_bytes};
  size_t size = 0;
  if (get && line.text.starts_with("$") && ParseNumber(line.text.substr(1), &size)) {
    return Value(bytes, line.size_bytes, size, "\r\n");
  }
  return {.kind = Kind::kInvalid};
}

BenchReply ParseMemcached(BenchCommand command, std::string_view bytes) {
  Line line = FirstLine(bytes);
  if (line.size_bytes == 0) return {};
  if (!DropReturn(&line)) return {.kind = Kind::kInvalid};
  if (line.text == "ERROR" || line.text.starts_with("CLIENT_ERROR ") ||
      line.text.starts_with("SERVER_ERROR ")) {
    return {Kind::kError, line.size_bytes, line.text};
  }
  const bool get = command == BenchCommand::kGet;
  if (!get && line.text == "STORED") return {Kind::kStored, line.size_bytes};
  if (get && line.text == "END") return {Kind::kNotFound, line.size_bytes};
  size_t size = 0;
  if (get && line.text.starts_with("VALUE ") &&
      ParseNumber(line.text.substr(line.text.rfind(' ') + 1), &size)) {
    return Value(bytes, line.size_bytes, size, "\r\nEND\r\n");
  }
  return {.kind = Kind::kInvalid};
}

}  // namespace

void AppendGet(BenchProtocol protocol, std::string_view key, std::string* out) {
  switch (protocol) {
    case BenchProtocol::kLine:
      out->append("GET ").append(key).append("\n");
      return;
    case BenchProtocol::kResp:
      out->append("*2\r\n$3\r\nGET\r\n");
      AppendBulk(key, out);
      return;
    case BenchProtocol::kMemcached:
      out->append("get ").append(key).append("\r\n");
      return;
  }
}

void AppendSet(BenchProtocol protocol, uint64_t key_number, const BenchValues& values,
               std::string* out) {
  const BenchKey key(key_number);
  switch (protocol) {
    case BenchProtocol::kLine:
      out->append("SET ").append(key.text()).append(" ");
      values.Append(key_number, out);
      out->append("\n");
      return;
    case BenchProtocol::kResp:
      out->append("*3\r\n$3\r\nSET\r\n");
      AppendBulk(key.text(), out);
      out->append("$");
      AppendNumber(values.size_bytes(), out);
      out->append("\r\n");
      values.Append(key_number, out);
      out->append("\r\n");
      return;
    case BenchProtocol::kMemcached:
      out->append("set ").append(key.text()).append(" 0 0 ");
      AppendNumber(values.size_bytes(), out);
      out->append("\r\n");
      values.Append(key_number, out);
      out->append("\r\n");
      return;
  }
}

BenchReply ParseReply(BenchProtocol protocol, BenchCommand command, std::string_view bytes) {
  switch (protocol) {
    case BenchProtocol::kLine:
      return ParseLine(command, bytes);
    case BenchProtocol::kResp:
      return ParseResp(command, bytes);
    case BenchProtocol::kMemcached:
      return ParseMemcached(command, bytes);
  }
  return {.kind = Kind::kInvalid};
}

}  // namespace keystone
