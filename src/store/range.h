// The keys of a range, in order, out of keys that come in any.
//
// One thread's. With a limit only so many are kept at any time: the smallest ones so far.
#ifndef KEYSTONE_STORE_RANGE_H_
#define KEYSTONE_STORE_RANGE_H_

#include <string>
#include <string_view>
#include <vector>

#include "store/store.h"

namespace keystone {

class RangeCollector {
 public:
  explicit RangeCollector(const KeyRange& wanted) : wanted_(wanted) {}

  void Offer(std::string_view key);

  // What was offered and belongs to the range, in order. Once.
  std::vector<std::string> Take();

 private:
  bool Has(std::string_view key) const;

  const KeyRange wanted_;
  std::vector<std::string> keys_;  // a heap, the greatest first, where there is a limit
};

}  // namespace keystone

#endif  // KEYSTONE_STORE_RANGE_H_
