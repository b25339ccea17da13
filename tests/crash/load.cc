#include "load.h"

#include <algorithm>
#include <sstream>
#include <utility>

#include "disk.h"
#include "store/batch.h"

namespace crash {

namespace {

using keystone::Batch;
using keystone::Effect;
using keystone::Held;
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

class Append : public keystone::Update {
 public:
  explicit Append(const std::string& more) : more_(more) {}
  Effect Decide(const Held& held) override {
    sum_ = std::string(held.value) + more_;
    return {.kind = Effect::Kind::kSet, .value = sum_, .attributes = held.attributes};
  }

 private:
  const std::string more_;
  std::string sum_;
};

class SkipIfThere : public keystone::Update {
 public:
  Effect Decide(const Held& held) override {
    return {.kind = held.exists ? Effect::Kind::kSkip : Effect::Kind::kNone};
  }
};

// `text` as Described has it, with more of a value.
std::string Appended(const std::string& text, const std::string& more) {
  const size_t at = std::min(text.find('@'), text.size());
  return text.substr(0, at) + more + text.substr(at);
}

}  // namespace

void Fill(const Group& group, Batch* batch, Updates* updates) {
  for (const Change& change : group) {
    if (change.guards > 0) {
      updates->push_back(std::make_unique<SkipIfThere>());
      batch->Change(change.key, updates->back().get(), change.guards);
    } else if (change.appends) {
      updates->push_back(std::make_unique<Append>(*change.value));
      batch->Change(change.key, updates->back().get());
    } else if (change.value) {
      batch->Set(change.key, *change.value,
                 {.client_flags = 0, .expires_at_ms = change.expires_at_ms});
    } else {
      batch->Delete(change.key);
    }
  }
}

Group MakeGroup(std::string_view text) {
  Group group;
  std::istringstream words{std::string(text)};
  for (std::string word; words >> word;) {
    const size_t equals = word.find('=');
    const size_t plus = word.find("+=");
    if (word[0] == '!') {
      const size_t star = word.find('*');
      const int guards = std::stoi(word.substr(star + 1));
      group.push_back({word.substr(1, star - 1), {}, 0, false, static_cast<uint32_t>(guards)});
    } else if (plus != std::string::npos) {
      group.push_back({word.substr(0, plus), Expand(word.substr(plus + 2)), 0, true});
    } else if (equals == std::string::npos) {
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
  for (size_t i = 0; i < group.size(); i++) {
    const Change& change = group[i];
    if (change.guards > 0) {
      if (contents->contains(change.key)) i += change.guards;
    } else if (change.appends) {
      (*contents)[change.key] = Appended((*contents)[change.key], *change.value);
    } else if (change.value) {
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
  Updates updates;
  const uint64_t before = after_.size() - 1;
  for (size_t i = 0; i < groups.size(); i++) {
    Fill(groups[i], &batches[i], &updates);
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

// A crash meanwhile leaves everything or nothing.
Status Load::Clear(Store* store) {
  after_.emplace_back();
  Mark(Kind::kSubmitted, after_.size() - 1);
  Status status = store->Clear();
  if (!status.ok()) return status;
  Mark(Kind::kAcknowledged, after_.size() - 1);
  Acknowledge();
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
