// The patterns of keys that are understood: a prefix and one `*`, or the key itself. Pure; any
// thread.
#ifndef KEYSTONE_NET_PATTERN_H_
#define KEYSTONE_NET_PATTERN_H_

#include <string_view>

namespace keystone {

// True where `pattern` is a literal, which then is the prefix and nothing may follow it (`exact`),
// or a literal and one `*`. False where it holds another `*`, or a `?`, `[` or backslash. The
// prefix points into the pattern.
bool ParsePrefixPattern(std::string_view pattern, std::string_view* prefix, bool* exact);

}  // namespace keystone

#endif  // KEYSTONE_NET_PATTERN_H_
