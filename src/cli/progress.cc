#include "cli/progress.h"

#include <algorithm>
#include <cstdio>

namespace keystone {

namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kInterval = std::chrono::milliseconds(100);
constexpr size_t kBarWidth = 30;

// "12.3 MiB" or "1234"
std::string Amount(Progress::Unit unit, double amount) {
  static constexpr const char* kSuffixes[] = {"B", "KiB", "MiB", "GiB", "TiB"};
  char text[48];
  if (unit == Progress::Unit::kEntries) {
    std::snprintf(text, sizeof text, "%.0f", amount);
    return text;
  }
  size_t power = 0;
  for (; amount >= 1024 && power + 1 < std::size(kSuffixes); ++power) amount /= 1024;
  std::snprintf(text, sizeof text, power == 0 ? "%.0f %s" : "%.1f %s", amount, kSuffixes[power]);
  return text;
}

// "[=====>    ]  50%  "
std::string Bar(double share) {
  const auto full = static_cast<size_t>(share * kBarWidth);
  std::string bar = "[" + std::string(full, '=');
  if (full < kBarWidth) bar += '>';
  bar.resize(kBarWidth + 1, ' ');
  char percent[16];
  std::snprintf(percent, sizeof percent, "] %3.0f%%  ", share * 100);
  return bar + percent;
}

}  // namespace

Progress::Progress(Unit unit, uint64_t total, bool visible)
    : unit_(unit),
      total_(total),
      visible_(visible),
      start_(Clock::now()),
      next_draw_(start_ + kInterval) {}

void Progress::Update(uint64_t done) {
  if (!visible_) return;
  const auto now = Clock::now();
  if (now < next_draw_) return;
  next_draw_ = now + kInterval;
  const std::string line = Line(done, std::chrono::duration<double>(now - start_).count());
  std::fprintf(stderr, "\r%s\033[K", line.c_str());
  drawn_ = true;
}

void Progress::Clear() {
  if (drawn_) std::fputs("\r\033[K", stderr);
  drawn_ = false;
}

std::string Progress::Line(uint64_t done, double seconds) const {
  std::string line;
  const auto amount = static_cast<double>(done);
  if (total_ > 0) line = Bar(std::min(1.0, amount / static_cast<double>(total_)));
  line += Amount(unit_, amount);
  if (total_ > 0) line += " of " + Amount(unit_, static_cast<double>(total_));
  return line + "  " + Amount(unit_, amount / seconds) + "/s";
}

}  // namespace keystone
