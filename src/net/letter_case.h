// ASCII letters without regard to their case, whatever the locale.
#ifndef KEYSTONE_NET_LETTER_CASE_H_
#define KEYSTONE_NET_LETTER_CASE_H_

#include <algorithm>
#include <string>
#include <string_view>

namespace keystone {

constexpr char LowerCase(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c; }

inline std::string LowerCase(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = LowerCase(c);
  return lower;
}

inline bool EqualsIgnoringCase(std::string_view a, std::string_view b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), [](char x, char y) {
           return LowerCase(x) == LowerCase(y);
         });
}

}  // namespace keystone

#endif  // KEYSTONE_NET_LETTER_CASE_H_
