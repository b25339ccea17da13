#include "store_files.h"

#include <syslog.h>

#include <cstring>
#include <utility>

#include "store/batch.h"
#include "store/record.h"
#include "store/segment.h"

namespace fuzz {

using namespace keystone;

StoreId SomeId() {
  StoreId id;
  for (size_t i = 0; i < id.size(); i++) id[i] = static_cast<unsigned char>(i + 1);
  return id;
}

std::string ManifestText(uint64_t segments) {
  Manifest manifest{.store_id = SomeId(), .seed = kSeed, .segments = {}};
  for (uint64_t number = 1; number <= segments; number++) manifest.segments.push_back(number);
  return EncodeManifest(manifest);
}

std::string Record(uint64_t sequence, std::string_view key, const char* value, uint16_t flags) {
  const std::string_view text = value == nullptr ? std::string_view() : value;
  std::string bytes(kRecordHeaderSize, '\0');
  EncodeHeader(sequence, value == nullptr ? kTombstone : static_cast<uint32_t>(text.size()),
               key.size(), flags, BodyCrc(key, text), bytes.data());
  return bytes.append(key).append(text);
}

std::string SegmentBytes(uint64_t number, uint64_t first_sequence, std::string_view records) {
  std::string bytes(kSegmentHeaderSize, '\0');
  EncodeSegmentHeader(
      {.number = number, .store_id = SomeId(), .first_sequence = first_sequence, .created_ms = 0},
      bytes.data());
  return bytes.append(records);
}

Result<std::unique_ptr<Store>> Open(const Scratch& scratch) {
  const Log quiet(Log::Sink::kStderr, static_cast<Priority>(LOG_EMERG));
  return Store::Open({.directory = scratch.path(),
                      .fsync = FsyncPolicy::kNo,
                      .segment_size_bytes = uint64_t{1} << 20},
                     quiet);
}

std::unique_ptr<Store> MustOpen(const Scratch& scratch) {
  auto store = Open(scratch);
  Require(store.ok(), "the store can be opened: " + store.status().message());
  return std::move(store.value());
}

Contents ContentsOf(Store& store) {
  Contents contents;
  ScanResult result;
  do {
    const Status status = store.Scan(result.next_cursor, 100, {}, &result);
    Require(status.ok(), "a scan goes well: " + status.message());
    for (const std::string& key : result.keys) {
      FoundValue found;
      const Status got = store.Get(key, &found);
      Require(got.ok(), "a key of a scan has a value: " + got.message());
      contents[key] = found.value();
    }
  } while (result.next_cursor != 0);
  Require(store.Count() == contents.size(), "Count is the number of keys");
  return contents;
}

void Set(Store& store, std::string_view key, std::string_view value) {
  Batch batch;
  batch.Set(key, value);
  const Status status = store.Apply(&batch);
  Require(status.ok(), "a value can be stored: " + status.message());
}

void Delete(Store& store, std::string_view key) {
  Batch batch;
  batch.Delete(key);
  const Status status = store.Apply(&batch);
  Require(status.ok(), "a key can be deleted: " + status.message());
}

}  // namespace fuzz
