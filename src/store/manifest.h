// Which segments make up the store, in which order, and what the store is. Text, replaced whole:
//
//   keystonelight-manifest 1
//   store 0f1e2d3c4b5a69788796a5b4c3d2e1f0
//   seed 9e3779b97f4a7c15
//   segment 000000000001
//   crc32 b68df8f7
//
// Pure but for LoadManifest. Values are immutable once made.
#ifndef KEYSTONE_STORE_MANIFEST_H_
#define KEYSTONE_STORE_MANIFEST_H_

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/status.h"

namespace keystone {

inline constexpr char kManifestName[] = "MANIFEST";
inline constexpr uint64_t kMaxManifestSize = uint64_t{64} << 20;  // bytes that are read of one

using StoreId = std::array<unsigned char, 16>;

struct Manifest {
  StoreId store_id{};
  uint64_t seed = 0;               // of the index's hash
  std::vector<uint64_t> segments;  // numbers in replay order, the active one last; never empty
};

std::string EncodeManifest(const Manifest& manifest);

// kCorrupt says what is wrong with the text.
Result<Manifest> ParseManifest(std::string_view text);

// Whether it is a manifest of some version, and as it was written.
bool ManifestIsIntact(std::string_view text);

// kNotFound where the directory has none.
Result<Manifest> LoadManifest(const std::string& directory);

// "000000000001.log" of 1, and back; nothing for any other name.
inline constexpr size_t kSegmentNameSize = 16;
std::string SegmentName(uint64_t number);
std::optional<uint64_t> SegmentNumber(std::string_view name);

}  // namespace keystone

#endif  // KEYSTONE_STORE_MANIFEST_H_
