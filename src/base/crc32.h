// CRC-32 as zlib's crc32(): IEEE 802.3, reflected, so anyone can check a file with common tools.
// Source: libdeflate. Thread-safe: pure.
#ifndef KEYSTONE_BASE_CRC32_H_
#define KEYSTONE_BASE_CRC32_H_

#include <libdeflate.h>

#include <cstdint>
#include <string_view>

namespace keystone {

// The CRC of the bytes behind `before` (0: none) followed by `bytes`.
inline uint32_t Crc32(std::string_view bytes, uint32_t before = 0) {
  // libdeflate takes a null pointer, which an empty view may hold, for a request to start anew.
  return bytes.empty() ? before : libdeflate_crc32(before, bytes.data(), bytes.size());
}

}  // namespace keystone

#endif  // KEYSTONE_BASE_CRC32_H_
