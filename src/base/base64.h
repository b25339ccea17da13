// Standard padded Base64 (RFC 4648, section 4). Pure; the tables are nettle's.
#ifndef KEYSTONE_BASE_BASE64_H_
#define KEYSTONE_BASE_BASE64_H_

#include <optional>
#include <string>
#include <string_view>

namespace keystone {

// Appends the encoding of `bytes` to `out`.
void AppendBase64(std::string_view bytes, std::string* out);

// The bytes that `text` stands for; nothing where it is not exactly one canonical encoding (white
// space, missing padding and stray bits are all refused).
std::optional<std::string> DecodeBase64(std::string_view text);

}  // namespace keystone

#endif  // KEYSTONE_BASE_BASE64_H_
