// What the store's tests share, to be included last: CppUTest, logs built by hand, the store's
// calls without their ceremony, and threads. Main thread only, where nothing else is said: a failed
// check ends the test.
#ifndef KEYSTONE_TESTS_UNIT_STORE_TESTING_H_
#define KEYSTONE_TESTS_UNIT_STORE_TESTING_H_

#include <algorithm>
#include <boost/endian/conversion.hpp>
#include <cstdint>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "base/crc32.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "faults.h"
#include "scratch.h"
#include "store/batch.h"
#include "store/hint.h"
#include "store/manifest.h"
#include "store/record.h"
#include "store/scanner.h"
#include "store/segment.h"
#include "store/store.h"
#include "wait.h"

// It takes over operator new, so it comes behind all headers that have one of their own.
// clang-format off
#include <CppUTest/TestHarness.h>
// clang-format on

namespace keystone {

// For CHECK_EQUAL.
inline SimpleString StringFrom(Code code) {
  return ::StringFromFormat("Code %d", static_cast<int>(code));
}
inline SimpleString StringFrom(RecordState state) {
  return ::StringFromFormat("RecordState %d", static_cast<int>(state));
}
inline SimpleString StringFrom(ScanEnd::Kind kind) {
  return ::StringFromFormat("ScanEnd::Kind %d", static_cast<int>(kind));
}

}  // namespace keystone

namespace testing {

using keystone::Code;
using keystone::FsyncPolicy;
using keystone::Status;
using keystone::Store;

// Pairs of keys whose positions are the same with the seed 0, found by trying six million.
inline constexpr const char* kCollidingKeys[] = {"k503221",  "k2406207", "k1088229",
                                                 "k3862334", "k263634",  "k3722780"};

inline constexpr uint64_t kSmallSegment = 4096;

inline void CheckOk(const Status& status) { STRCMP_EQUAL("", status.message().c_str()); }

inline void CheckSays(std::string_view text, const Status& status) {
  STRCMP_CONTAINS(std::string(text).c_str(), status.message().c_str());
}

// Damage and refusals are what the tests are about; they need not be on the terminal.
inline keystone::Log Quiet() {
  return {keystone::Log::Sink::kStderr, static_cast<keystone::Priority>(LOG_EMERG)};
}

// ---- bytes

inline std::string Hex(std::string_view bytes) {
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (const char c : bytes) {
    text += kDigits[static_cast<unsigned char>(c) >> 4];
    text += kDigits[static_cast<unsigned char>(c) & 15];
  }
  return text;
}

inline std::string Flipped(std::string_view bytes, size_t at, int mask = 0xFF) {
  std::string damaged(bytes.substr(0, at));
  damaged += static_cast<char>(bytes[at] ^ mask);
  return damaged.append(bytes.substr(at + 1));
}

inline std::string EncodeSet(uint64_t sequence, std::string_view key, std::string_view value,
                             uint16_t flags = 0) {
  std::string bytes(keystone::kRecordHeaderSize, '\0');
  keystone::EncodeHeader(sequence, static_cast<uint32_t>(value.size()), key.size(), flags,
                         keystone::BodyCrc(key, value), bytes.data());
  return bytes.append(key).append(value);
}

inline std::string EncodeExpiring(uint64_t sequence, std::string_view key, std::string_view value,
                                  uint64_t expires_at_ms, uint16_t flags = 0) {
  std::string body(keystone::kAttributesSize, '\0');
  boost::endian::store_little_u64(reinterpret_cast<unsigned char*>(body.data()) + 4, expires_at_ms);
  body.append(key).append(value);
  std::string bytes(keystone::kRecordHeaderSize, '\0');
  keystone::EncodeHeader(sequence, static_cast<uint32_t>(value.size()), key.size(),
                         static_cast<uint16_t>(flags | keystone::kHasAttributes),
                         keystone::Crc32(body), bytes.data());
  return bytes.append(body);
}

inline std::string EncodeTombstone(uint64_t sequence, std::string_view key, uint16_t flags = 0) {
  std::string bytes(keystone::kRecordHeaderSize, '\0');
  keystone::EncodeHeader(sequence, keystone::kTombstone, key.size(), flags,
                         keystone::BodyCrc(key, {}), bytes.data());
  return bytes.append(key);
}

inline std::string EncodeMark(uint64_t sequence, uint64_t offset) {
  std::string bytes(keystone::kSyncMarkSize, '\0');
  keystone::EncodeSyncMark(sequence, offset, bytes.data());
  return bytes;
}

inline keystone::StoreId SomeId() {
  keystone::StoreId id;
  for (size_t i = 0; i < id.size(); i++) id[i] = static_cast<unsigned char>(i + 1);
  return id;
}

// A segment's file: its header and `records`.
inline std::string SegmentBytes(uint64_t number, std::string_view records,
                                uint64_t first_sequence = 1,
                                const keystone::StoreId& id = SomeId()) {
  std::string bytes(keystone::kSegmentHeaderSize, '\0');
  keystone::EncodeSegmentHeader(
      {.number = number, .store_id = id, .first_sequence = first_sequence, .created_ms = 0},
      bytes.data());
  return bytes.append(records);
}

// A record as it is on disk.
struct Entry {
  uint64_t offset = 0;
  uint64_t sequence = 0;
  bool tombstone = false;
  bool mark = false;
  bool goes_on = false;
  uint64_t claims = 0;  // of a mark
  std::string key;
  std::string value;
  keystone::Attributes attributes;
};

// All records of a segment's bytes, which must be undamaged.
inline std::vector<Entry> Entries(std::string_view bytes) {
  std::vector<Entry> entries;
  const keystone::ScanEnd end = keystone::ScanGroups(bytes, 1, true, [&](auto group) {
    for (const keystone::PlacedRecord& placed : group) {
      const keystone::RecordView& r = placed.record;
      entries.push_back({placed.offset, r.sequence, r.tombstone, r.is_sync_mark(),
                         r.group_goes_on(), r.is_sync_mark() ? keystone::SyncMarkOffset(r) : 0,
                         std::string(r.key), std::string(r.value), r.attributes()});
    }
    return true;
  });
  STRCMP_EQUAL("", end.reason.c_str());
  return entries;
}

// ---- files

inline std::set<std::string> FilesIn(const std::string& directory) {
  const auto names = keystone::ListDirectory(directory);
  CheckOk(names.status());
  return {names.value().begin(), names.value().end()};
}

// All but hints, which a thread in the background makes whenever it likes.
inline std::set<std::string> LogFilesIn(const std::string& directory) {
  std::set<std::string> names = FilesIn(directory);
  std::erase_if(names, [](const std::string& name) {
    return name.ends_with(".hint") || name.ends_with(".hint.tmp");
  });
  return names;
}

// Flips bits of one byte of a file that may be open and mapped.
inline void FlipByte(const std::string& path, uint64_t offset, int mask = 0xFF) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekg(static_cast<std::streamoff>(offset));
  const int byte = file.get();
  file.seekp(static_cast<std::streamoff>(offset));
  file.put(static_cast<char>(byte ^ mask));
  file.close();
  CHECK_TRUE(file.good());
}

// The directory holds what its MANIFEST names, perhaps hints of that, and nothing else, but perhaps
// a hint in the making.
inline bool HasNoLeftovers(const std::string& directory) {
  const auto manifest = keystone::LoadManifest(directory);
  CheckOk(manifest.status());
  std::set<std::string> expected{"LOCK", "MANIFEST", "RESERVE"};
  for (const uint64_t number : manifest.value().segments) {
    expected.insert(keystone::SegmentName(number));
  }
  std::set<std::string> found = FilesIn(directory);
  for (const uint64_t number : manifest.value().segments) found.erase(keystone::HintName(number));
  std::erase_if(found, [](const std::string& name) { return name.ends_with(".hint.tmp"); });
  return found == expected;
}

// All records that the MANIFEST's segments hold, in replay order.
inline std::vector<Entry> LogOf(const std::string& directory) {
  const auto manifest = keystone::LoadManifest(directory);
  CheckOk(manifest.status());
  std::vector<Entry> all;
  for (const uint64_t number : manifest.value().segments) {
    const auto bytes =
        keystone::ReadSmallFile(directory + "/" + keystone::SegmentName(number), 256u << 20);
    CheckOk(bytes.status());
    const std::vector<Entry> entries = Entries(bytes.value());
    all.insert(all.end(), entries.begin(), entries.end());
  }
  return all;
}

// ---- the store

inline keystone::StoreOptions OptionsFor(const std::string& directory, FsyncPolicy fsync,
                                         uint64_t segment_size_bytes) {
  return {.directory = directory, .fsync = fsync, .segment_size_bytes = segment_size_bytes};
}

inline std::unique_ptr<Store> OpenStore(const std::string& directory,
                                        FsyncPolicy fsync = FsyncPolicy::kNo,
                                        uint64_t segment_size_bytes = uint64_t{4} << 20) {
  auto store = Store::Open(OptionsFor(directory, fsync, segment_size_bytes), Quiet());
  CheckOk(store.status());
  return std::move(store.value());
}

// Why the directory can't be opened.
inline Status OpenError(const std::string& directory) {
  auto store = Store::Open(OptionsFor(directory, FsyncPolicy::kNo, uint64_t{4} << 20), Quiet());
  return store.status();
}

// Any thread.
inline Status Set(Store& store, std::string_view key, std::string_view value) {
  keystone::Batch batch;
  batch.Set(key, value);
  return store.Apply(&batch);
}

// Any thread. `took_effect`: the key was there.
inline Status Delete(Store& store, std::string_view key, bool* took_effect = nullptr) {
  keystone::Batch batch;
  batch.Delete(key);
  Status status = store.Apply(&batch);
  if (took_effect != nullptr) *took_effect = batch.operations()[0].took_effect;
  return status;
}

// The value, "(none)", or the error. Any thread.
inline std::string ValueOf(Store& store, std::string_view key) {
  keystone::FoundValue found;
  const Status status = store.Get(key, &found);
  if (status.code() == Code::kNotFound) return "(none)";
  return status.ok() ? std::string(found.value()) : status.message();
}

inline void CheckValue(Store& store, std::string_view key, std::string_view value) {
  STRCMP_EQUAL(std::string(value).c_str(), ValueOf(store, key).c_str());
}

// All keys, found with scans of `count`.
inline std::multiset<std::string> AllKeys(Store& store, size_t count = 100,
                                          std::string_view prefix = {}) {
  std::multiset<std::string> keys;
  keystone::ScanResult result;
  do {
    CheckOk(store.Scan(result.next_cursor, count, prefix, &result));
    keys.insert(result.keys.begin(), result.keys.end());
  } while (result.next_cursor != 0);
  return keys;
}

// A test of a store in a directory of its own, which it opens, again and again perhaps. A group
// that begins with a function says `using StoreTest::store;` first, for clang-format to know a
// class.
class StoreTest : public Utest {
 public:
  Scratch scratch;
  std::unique_ptr<Store> store;

  void teardown() override {
    faults::Clear();
    store.reset();
  }

  void Open(FsyncPolicy fsync = FsyncPolicy::kNo, uint64_t segment_size_bytes = uint64_t{4} << 20) {
    store.reset();
    store = OpenStore(scratch.path(), fsync, segment_size_bytes);
    faults::Clear();
  }
};

// ---- threads

// Runs body(0) ... body(count - 1) at once. A body must not use CppUTest's checks.
inline void RunThreads(int count, const std::function<void(int)>& body) {
  std::vector<std::thread> threads;
  threads.reserve(static_cast<size_t>(count));
  for (int i = 0; i < count; i++) threads.emplace_back(body, i);
  for (std::thread& thread : threads) thread.join();
}

}  // namespace testing

#endif  // KEYSTONE_TESTS_UNIT_STORE_TESTING_H_
