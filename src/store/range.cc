#include "store/range.h"

#include <algorithm>
#include <utility>

namespace keystone {

bool RangeCollector::Has(std::string_view key) const {
  return key >= wanted_.start && (!wanted_.end || key <= *wanted_.end) &&
         key.starts_with(wanted_.prefix);
}

void RangeCollector::Offer(std::string_view key) {
  if (!Has(key)) return;
  if (wanted_.limit != 0 && keys_.size() == wanted_.limit) {
    if (key >= keys_.front()) return;
    std::pop_heap(keys_.begin(), keys_.end());
    keys_.back() = key;
  } else {
    keys_.emplace_back(key);
  }
  if (wanted_.limit != 0) std::push_heap(keys_.begin(), keys_.end());
}

std::vector<std::string> RangeCollector::Take() {
  std::sort(keys_.begin(), keys_.end());
  return std::exchange(keys_, {});
}

}  // namespace keystone
