// Makes bytes that a stranger chose safe to print in a reply or a log line.
#ifndef KEYSTONE_BASE_ESCAPE_H_
#define KEYSTONE_BASE_ESCAPE_H_

#include <cstddef>
#include <string>
#include <string_view>

namespace keystone {

inline constexpr size_t kEscapeLimit = 64;

// Printable ASCII stays; a backslash becomes \\, a quote \', every other byte \xNN. At most
// `limit` of the bytes are shown; "..." follows where some were cut. Pure.
std::string Escape(std::string_view bytes, size_t limit = kEscapeLimit);

}  // namespace keystone

#endif  // KEYSTONE_BASE_ESCAPE_H_
