#include "daemon/units.h"

#include <charconv>
#include <limits>
#include <span>
#include <string>

#include "base/escape.h"

namespace keystone {

namespace {

struct Unit {
  std::string_view suffix;
  uint64_t factor;
};

constexpr uint64_t kLargest = std::numeric_limits<int64_t>::max();
constexpr Unit kSizes[] = {
    {"", 1}, {"k", uint64_t{1} << 10}, {"m", uint64_t{1} << 20}, {"g", uint64_t{1} << 30}};
constexpr Unit kDurations[] = {
    {"", 1000}, {"ms", 1}, {"s", 1000}, {"m", 60 * 1000}, {"h", 60 * 60 * 1000}};

Result<uint64_t> Parse(std::string_view text, std::span<const Unit> units, std::string_view what) {
  const auto bad = [&](std::string_view reason) {
    return Status(Code::kInvalid, "'" + Escape(text) + "' is " + std::string(reason));
  };
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error == std::errc::result_out_of_range) return bad("too large");
  if (error != std::errc()) return bad(what);
  const auto suffix = text.substr(static_cast<size_t>(end - text.data()));
  for (const Unit& unit : units) {
    if (suffix != unit.suffix) continue;
    if (number > kLargest / unit.factor) return bad("too large");
    return number * unit.factor;
  }
  return bad(what);
}

}  // namespace

Result<uint64_t> ParseSize(std::string_view text) {
  return Parse(text, kSizes, "not a size: a number, then k, m, g or nothing");
}

Result<uint64_t> ParseDuration(std::string_view text) {
  return Parse(text, kDurations, "not a time: a number, then ms, s, m, h or nothing (seconds)");
}

}  // namespace keystone
