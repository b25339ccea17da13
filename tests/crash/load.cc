#include "load.h"

#include <algorithm>
#include <sstream>
#include <utility>

#include "disk.h"
#include "store/batch.h"

namespace crash {

namespace {

using keystone::Batch;
using keystone::Status;
using keystone::Store;
using Kind = Event::Kind;

std::string Expand(const std::string& text) {
  const size_t star = text.find('*');
  if (star == std::string::npos) return text;
  std::string value;
  for (int i = std::stoi(text.substr(star + 1)); i > 0; i--) value += text.substr(0, star);
  return value;
}

std::string Described(std::string_view value, uint64_t expires_at_ms) {
  std::string text(value);
  if (expires_at_ms != 0) text += "@" + std::to_string(expires_at_ms);
  return text;
}

void Fill(const Group& group, Batch* batch) {
  for (const Change& change : group) {
    if (change.value) {
      batch->Set(change.key, *change.value,
                 {.client_flags = 0, .expires_at_ms = change.expires_at_ms});
    } else {
      batch->Delete(change.key);
    }
  }
}

}  // namespace

Group MakeGroup(std::string_view text) {
  Group group;
  std::istringstream words{std::string(text)};
  for (std::string word; words >> word;) {
    const size_t equals = word.find('=');
    if (equals == std::string::npos) {
      group.push_back({word.substr(1), std::nullopt});
    } else {
      const size_t at = std::min(word.find('@', equals), word.size());
      group.push_back({word.substr(0, equals), Expand(word.substr(equals + 1, at - equals - 1)),
                       at < word.size() ? std::stoull(word.substr(at + 1)) : 0});
    }
  }
  return group;
}

void Run(const Group& group, Contents* contents) {
  for (const Change& change : group) {
    if (change.value) {
      (*contents)[change.key] = Described(*change.value, change.expires_at_ms);
    } else {
      contents->erase(change.key);
    }
  }
}

std::string Difference(const Contents& found, const Contents& expected) {
  for (const auto& [key, value] : expected) {
    const auto it = found.find(key);
    if (it == found.end()) return "'" + key + "' is lost";
    if (it->second != value) return "'" + key + "' has another value";
  }
  for (const auto& [key, value] : found) {
    if (!expected.contains(key)) return "'" + key + "' is there";
  }
  return {};
}

Contents At(uint64_t now_ms, const Contents& contents) {
  Contents left = contents;
  std::erase_if(left, [&](const auto& entry) {
    const size_t at = entry.second.find('@');
    return at != std::string::npos && std::stoull(entry.second.substr(at + 1)) <= now_ms;
  });
  return left;
}

keystone::Log Quiet() {
  return {keystone::Log::Sink::kStderr, static_cast<keystone::Priority>(LOG_EMERG)};
}

keystone::Result<Contents> ReadAll(Store* store) {
  Contents contents;
  keystone::ScanResult scan;
  do {
    if (Status status = store->Scan(scan.next_cursor, 1000, "", &scan); !status.ok()) return status;
    for (const std::string& key : scan.keys) {
      keystone::FoundValue found;
      if (Status status = store->Get(key, &found); !status.ok()) return status;
      contents[key] = Described(found.value(), found.attributes().expires_at_ms);
    }
  } while (scan.next_cursor != 0);
  return contents;
}

Status Load::Apply(Store* store, const std::vector<std::string>& texts) {
  std::vector<Group> groups;
  for (const std::string& text : texts) groups.push_back(MakeGroup(text));
  std::vector<Batch> batches(groups.size());
  std::vector<Batch*> pointers;
  const uint64_t before = after_.size() - 1;
  for (size_t i = 0; i < groups.size(); i++) {
    Fill(groups[i], &batches[i]);
    pointers.push_back(&batches[i]);
    Contents next = now();
    Run(groups[i], &next);
    after_.push_back(std::move(next));
  }
  Mark(Kind::kSubmitted, after_.size() - 1);
  const uint64_t segments = store->Stats().segments;
  store->Apply(pointers);
  for (const Batch& batch : batches) {
    if (!batch.status().ok()) return batch.status();
  }
  Mark(Kind::kAcknowledged, after_.size() - 1);
  if (policy_ == keystone::FsyncPolicy::kAlways) {
    Mark(Kind::kDurable, after_.size() - 1);
  } else if (store->Stats().segments != segments) {
    Mark(Kind::kDurable, before);  // a change to a new segment syncs the one before
  }
  return Status::Ok();
}

void Load::Foresee(std::string_view group) {
  Contents next = now();
  Run(MakeGroup(group), &next);
  after_.push_back(std::move(next));
  Mark(Kind::kSubmitted, after_.size() - 1);
}

void Load::Seen() { Mark(Kind::kAcknowledged, after_.size() - 1); }

Status Load::Sync(Store* store) {
  Status status = store->Sync();
  if (status.ok()) Acknowledge();
  return status;
}

Status Load::Compact(Store* store, keystone::CompactionMode mode) {
  const uint64_t before = after_.size() - 1;
  Status status = store->Compact(mode);
  if (status.ok()) Mark(Kind::kDurable, before);
  return status;
}

Status Load::Close(Store* store) {
  Status status = store->Close();
  if (status.ok()) Acknowledge();
  return status;
}

void Load::Acknowledge() { Mark(Kind::kDurable, after_.size() - 1); }

// What it serves may not be lost to the next crash.
void Load::Resume(std::vector<Contents> after) {
  after_ = std::move(after);
  Mark(Kind::kSubmitted, after_.size() - 1);
  Mark(Kind::kAcknowledged, after_.size() - 1);
  Acknowledge();
}

}  // namespace crash
