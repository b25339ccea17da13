#include "states.h"

#include <algorithm>

namespace crash {

namespace {

using Kind = Event::Kind;

constexpr size_t kMostSubsets = 6;
constexpr uint64_t kSector = 512;

bool IsEntry(Kind kind) {
  return kind == Kind::kMakeDirectory || kind == Kind::kCreate || kind == Kind::kRename ||
         kind == Kind::kUnlink;
}

// Borders between sectors inside the write: the first two, one in the middle and the last.
std::vector<uint64_t> Borders(const Event& write) {
  const uint64_t end = write.number + write.bytes.size();
  const uint64_t first = (write.number / kSector + 1) * kSector;
  if (first >= end) return {};
  const uint64_t last = (end - 1) / kSector * kSector;
  const uint64_t middle = first + (last - first) / kSector / 2 * kSector;
  std::vector<uint64_t> borders{first, std::min(first + kSector, last), middle, last};
  std::sort(borders.begin(), borders.end());
  borders.erase(std::unique(borders.begin(), borders.end()), borders.end());
  return borders;
}

void PutWrite(const Event& event, const Fate& fate, std::string* bytes) {
  const uint64_t begin = event.number;
  const uint64_t end = begin + event.bytes.size();
  const uint64_t lost_from = fate.is_torn() ? fate.lost_from : end;
  const uint64_t lost_to = fate.is_torn() ? fate.lost_to : end;
  const uint64_t size = fate.short_size ? lost_from : end;
  if (bytes->size() < size) bytes->resize(size);
  bytes->replace(begin, lost_from - begin, event.bytes, 0, lost_from - begin);
  if (lost_to < end) bytes->replace(lost_to, end - lost_to, event.bytes, lost_to - begin);
}

}  // namespace

Journal SyncedJournal(const Tree& tree) {
  Journal journal;
  int file = kRoot;
  for (const auto& [path, bytes] : tree) {
    file++;
    if (!bytes) {
      journal.push_back({.kind = Kind::kMakeDirectory, .file = file, .path = path});
      continue;
    }
    journal.push_back({.kind = Kind::kCreate, .file = file, .path = path});
    if (bytes->empty()) continue;
    journal.push_back({.kind = Kind::kWrite, .file = file, .path = path, .bytes = *bytes});
  }
  for (; file >= kRoot; file--) journal.push_back({.kind = Kind::kSync, .file = file});
  return journal;
}

int Disk::Owner(const Event& event) const {
  return IsEntry(event.kind) ? names_.Find(ParentOf(event.path)) : event.file;
}

void Disk::Apply(const Event& event) {
  last_is_write_ = event.kind == Kind::kWrite;
  if (event.is_mark()) return;
  if (event.kind == Kind::kSync) {
    std::erase_if(unsynced_, [&](const Unsynced& unsynced) {
      if (unsynced.owner != event.file) return false;
      Put(unsynced.event, unsynced.owner, {}, &durable_);
      return true;
    });
  } else {
    if (event.kind == Kind::kMakeDirectory) durable_[event.file].is_directory = true;
    unsynced_.push_back({event, Owner(event)});
  }
  names_.Apply(event);
}

void Disk::Put(const Event& event, int owner, const Fate& fate, Files* files) {
  File& file = (*files)[owner];
  switch (event.kind) {
    case Kind::kMakeDirectory:
    case Kind::kCreate:
      file.entries[event.path] = event.file;
      break;
    case Kind::kRename:
      file.entries.erase(event.path);
      file.entries[event.to] = event.file;
      break;
    case Kind::kUnlink:
      file.entries.erase(event.path);
      break;
    case Kind::kResize:
      file.bytes.resize(event.number);
      break;
    case Kind::kWrite:
      PutWrite(event, fate, &file.bytes);
      break;
    default:
      break;
  }
}

Tree Disk::Build(const Fates& fates) const {
  Files files = durable_;
  for (size_t i = 0; i < fates.size(); i++) {
    if (fates[i].kept) Put(unsynced_[i].event, unsynced_[i].owner, fates[i], &files);
  }
  Tree tree;
  Add(files, kRoot, &tree);
  return tree;
}

// Only what can be reached from the root has a name.
void Disk::Add(const Files& files, int directory, Tree* tree) {
  for (const auto& [path, number] : files.at(directory).entries) {
    const auto found = files.find(number);
    if (found != files.end() && found->second.is_directory) {
      (*tree)[path] = std::nullopt;
      Add(files, number, tree);
    } else {
      (*tree)[path] = found == files.end() ? std::string() : found->second.bytes;
    }
  }
}

std::vector<Fate> Disk::WaysToTear(const Event& event) const {
  if (event.kind != Kind::kWrite) return {};
  const uint64_t begin = event.number;
  const uint64_t end = begin + event.bytes.size();
  std::vector<Fate> ways{{.lost_from = begin, .lost_to = end}};  // a size, and nothing else
  const std::vector<uint64_t> borders = Borders(event);
  for (const uint64_t border : borders) {
    ways.push_back({.lost_from = border, .lost_to = end, .short_size = true});
    ways.push_back({.lost_from = border, .lost_to = end});
    ways.push_back({.lost_from = begin, .lost_to = border});
  }
  for (size_t i = 1; i < borders.size(); i++) {
    ways.push_back({.lost_from = borders[i - 1], .lost_to = borders[i]});
  }
  return ways;
}

void Disk::ForEachPowerCut(const Visitor& visit) const {
  const size_t count = unsynced_.size();
  const Fates all(count);
  const Fates none(count, Fate{.kept = false});
  std::vector<Fates> states;
  if (count <= kMostSubsets) {
    for (size_t subset = 0; subset < size_t{1} << count; subset++) {
      Fates& fates = states.emplace_back(none);
      for (size_t i = 0; i < count; i++) fates[i].kept = (subset >> i & 1) != 0;
    }
  } else {
    for (size_t i = 0; i <= count; i++) {
      Fates& first_ones = states.emplace_back(none);
      for (size_t j = 0; j < i; j++) first_ones[j].kept = true;
      if (i == count) break;
      states.emplace_back(none)[i].kept = true;
      states.emplace_back(all)[i].kept = false;
    }
  }
  for (size_t i = 0; i < count; i++) {
    for (const Fate& torn : WaysToTear(unsynced_[i].event)) {
      states.emplace_back(all)[i] = torn;
      states.emplace_back(none)[i] = torn;
      Fates& before = states.emplace_back(none);
      for (size_t j = 0; j < i; j++) before[j].kept = true;
      before[i] = torn;
    }
  }
  for (const Fates& fates : states) {
    if (!visit(fates)) return;
  }
}

void Disk::ForEachKill(const Visitor& visit) const {
  const Fates all(unsynced_.size());
  if (!visit(all) || !last_is_write_) return;
  for (const Fate& torn : WaysToTear(unsynced_.back().event)) {
    if (!torn.short_size) continue;
    Fates fates = all;
    fates.back() = torn;
    if (!visit(fates)) return;
  }
}

Journal Disk::WaitsFor(int file) const {
  Journal waits;
  for (const Unsynced& unsynced : unsynced_) {
    if (unsynced.owner == file) waits.push_back(unsynced.event);
  }
  return waits;
}

std::string Disk::Describe(const Fates& fates) const {
  std::string text;
  for (size_t i = 0; i < fates.size(); i++) {
    const Fate& fate = fates[i];
    const std::string call = crash::Describe(unsynced_[i].event);
    text += "\n    ";
    if (!fate.kept) {
      text += "lost: " + call;
    } else if (fate.is_torn()) {
      text += "torn, " + std::to_string(fate.lost_from) + " to " + std::to_string(fate.lost_to) +
              (fate.short_size ? " cut off: " : " lost: ") + call;
    } else {
      text += "kept: " + call;
    }
  }
  return text;
}

}  // namespace crash
