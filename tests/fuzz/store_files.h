// Stores made by hand for the fuzz targets, and what is in a store.
#ifndef KEYSTONE_TESTS_FUZZ_STORE_FILES_H_
#define KEYSTONE_TESTS_FUZZ_STORE_FILES_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "base/log.h"
#include "base/status.h"
#include "store/manifest.h"
#include "store/store.h"
#include "target.h"

namespace fuzz {

using Contents = std::map<std::string, std::string>;

inline constexpr uint64_t kSeed = 0x9e3779b97f4a7c15;  // of the index's hash

keystone::StoreId SomeId();

// A MANIFEST that names segments 1 to `segments`.
std::string ManifestText(uint64_t segments);

// Records as they are on disk; a tombstone where `value` is null.
std::string Record(uint64_t sequence, std::string_view key, const char* value, uint16_t flags = 0);

// A segment's file: its header and `records`.
std::string SegmentBytes(uint64_t number, uint64_t first_sequence, std::string_view records);

// Opens without a word.
keystone::Result<std::unique_ptr<keystone::Store>> Open(const Scratch& scratch);

// The same where it can't fail.
std::unique_ptr<keystone::Store> MustOpen(const Scratch& scratch);

// All keys, by scans, and their values; each has to be readable, and Count to tell how many.
Contents ContentsOf(keystone::Store& store);

void Set(keystone::Store& store, std::string_view key, std::string_view value);
void Delete(keystone::Store& store, std::string_view key);

}  // namespace fuzz

#endif  // KEYSTONE_TESTS_FUZZ_STORE_FILES_H_
