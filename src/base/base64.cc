#include "base/base64.h"

#include <nettle/base64.h>

namespace keystone {

void AppendBase64(std::string_view bytes, std::string* out) {
  const size_t start = out->size();
  out->resize(start + BASE64_ENCODE_RAW_LENGTH(bytes.size()));
  nettle_base64_encode_raw(out->data() + start, bytes.size(),
                           reinterpret_cast<const uint8_t*>(bytes.data()));
}

std::optional<std::string> DecodeBase64(std::string_view text) {
  // nettle skips white space, which RFC 4648 does not allow here.
  if (text.find_first_of(" \t\n\v\f\r") != text.npos) return std::nullopt;
  base64_decode_ctx context;
  nettle_base64_decode_init(&context);
  std::string bytes(BASE64_DECODE_LENGTH(text.size()), '\0');
  size_t size = bytes.size();
  const bool clean =
      nettle_base64_decode_update(&context, &size, reinterpret_cast<uint8_t*>(bytes.data()),
                                  text.size(), text.data()) != 0 &&
      nettle_base64_decode_final(&context) != 0;
  if (!clean) return std::nullopt;
  bytes.resize(size);
  return bytes;
}

}  // namespace keystone
