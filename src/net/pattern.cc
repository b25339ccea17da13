#include "net/pattern.h"

namespace keystone {

bool ParsePrefixPattern(std::string_view pattern, std::string_view* prefix, bool* exact) {
  *exact = !pattern.ends_with('*');
  if (!*exact) pattern.remove_suffix(1);
  *prefix = pattern;
  return pattern.find_first_of("*?[\\") == pattern.npos;
}

}  // namespace keystone
