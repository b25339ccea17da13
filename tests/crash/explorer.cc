#include "explorer.h"

#include <stdio.h>
#include <unistd.h>
#include <xxhash.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <set>
#include <unordered_set>
#include <utility>

#include "base/file.h"
#include "log/repair.h"
#include "store/batch.h"
#include "store/hint.h"
#include "store/manifest.h"
#include "store/reserve.h"

namespace crash {

namespace {

using keystone::Status;
using Kind = Event::Kind;

constexpr char kProbe[] = "written after the crash";

uint64_t Hash(const Tree& tree) {
  uint64_t hash = 0;
  for (const auto& [path, bytes] : tree) {
    hash = XXH3_64bits_withSeed(path.data(), path.size(), hash + (bytes ? 1 : 2));
    if (bytes) hash = XXH3_64bits_withSeed(bytes->data(), bytes->size(), hash);
  }
  return hash;
}

uint64_t Hash(const Contents& contents) {
  uint64_t hash = 0;
  for (const auto& [key, value] : contents) {
    hash = XXH3_64bits_withSeed(key.data(), key.size(), hash);
    hash = XXH3_64bits_withSeed(value.data(), value.size(), hash);
  }
  return hash;
}

bool IsKeptTail(const std::string& name) { return name.find(".log.cut-") != std::string::npos; }
bool IsDamaged(const std::string& name) { return name.find(".damaged") != std::string::npos; }

// What is in the directory of a closed store and should not be.
std::string Leftovers(const std::string& directory) {
  const auto names = keystone::ListDirectory(directory);
  const auto manifest = keystone::LoadManifest(directory);
  if (!names.ok()) return names.status().message();
  if (!manifest.ok()) return manifest.status().message();
  std::set<std::string> left(names.value().begin(), names.value().end());
  for (const uint64_t number : manifest.value().segments) {
    if (left.erase(keystone::SegmentName(number)) == 0) return "a segment is missing";
    left.erase(keystone::HintName(number));
  }
  left.erase("LOCK");
  left.erase(keystone::kReserveName);
  left.erase(keystone::kManifestName);
  std::erase_if(left, IsKeptTail);
  std::erase_if(left, IsDamaged);
  return left.empty() ? "" : *left.begin() + " was left behind";
}

}  // namespace

std::string CutBytes(const std::string& directory) {
  std::string bytes;
  for (const auto& [name, content] : ReadTree(directory)) {
    if (IsKeptTail(name)) bytes += *content;
  }
  return bytes;
}

std::string ScratchParent() {
  constexpr char kMemory[] = "/dev/shm";
  return ::access(kMemory, W_OK | X_OK) == 0 ? kMemory : "";
}

void WriteTree(const Tree& tree, const std::string& path) {
  namespace fs = std::filesystem;
  fs::create_directory(path);
  for (const auto& [name, bytes] : tree) {
    const std::string target = path + "/" + name;
    if (!bytes) {
      fs::create_directory(target);
      fs::permissions(target, fs::perms::owner_all);
      continue;
    }
    std::ofstream out(target, std::ios::binary);
    out.write(bytes->data(), static_cast<std::streamsize>(bytes->size()));
  }
}

Tree ReadTree(const std::string& path) {
  Tree tree;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(path)) {
    const std::string name = entry.path().string().substr(path.size() + 1);
    if (entry.is_directory()) {
      tree[name] = std::nullopt;
      continue;
    }
    std::ifstream in(entry.path(), std::ios::binary);
    tree[name].emplace(std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>());
  }
  return tree;
}

void Explorer::Counts::Print(const char* what) const {
  printf("%s: %zu crash points, %zu states, %zu of them recovered from\n", what, points, states,
         opened);
}

Explorer::Counts& Explorer::Counts::operator+=(const Counts& more) {
  points += more.points;
  states += more.states;
  opened += more.opened;
  return *this;
}

Explorer::Counts& Explorer::total() {
  static Counts total;
  return total;
}

std::string Explorer::Explore(const Journal& journal, const std::vector<Contents>& after,
                              size_t from) {
  after_ = &after;
  Disk disk;
  Promise promise;
  for (size_t i = 0; i < journal.size(); i++) {
    const Event& event = journal[i];
    disk.Apply(event);
    if (event.kind == Kind::kSubmitted) promise.submitted = event.number;
    if (event.kind == Kind::kAcknowledged) promise.acknowledged = event.number;
    if (event.kind == Kind::kDurable) promise.durable = event.number;
    if (i < from) continue;
    counts_.points++;
    const std::string wrong = ExplorePoint(disk, promise);
    if (!wrong.empty()) return "after event " + std::to_string(i) + ", " + Describe(event) + wrong;
  }
  return {};
}

std::string Explorer::ExplorePoint(const Disk& disk, const Promise& promise) {
  std::unordered_set<uint64_t> seen;
  std::string wrong;
  const auto visit = [&](const Fates& fates, const char* crash, uint64_t least) {
    const Tree tree = disk.Build(fates);
    const uint64_t hash = Hash(tree);
    if (seen.insert(hash + least).second) counts_.states++;
    wrong = Judge(Recover(tree, hash), least, promise.submitted);
    if (!wrong.empty()) wrong = std::string(", a ") + crash + ": " + wrong + disk.Describe(fates);
    return wrong.empty();
  };
  disk.ForEachKill([&](const Fates& fates) { return visit(fates, "kill", promise.acknowledged); });
  if (!wrong.empty()) return wrong;
  disk.ForEachPowerCut(
      [&](const Fates& fates) { return visit(fates, "power cut", promise.durable); });
  return wrong;
}

std::string Explorer::Judge(const Outcome& outcome, uint64_t least, uint64_t most) const {
  if (!outcome.wrong.empty()) return outcome.wrong;
  for (uint64_t n = least; n <= most; n++) {
    if (outcome.contents == after_->at(n)) return {};
  }
  for (uint64_t n = 0; n < after_->size(); n++) {
    if (outcome.contents != (*after_)[n]) continue;
    return "the first " + std::to_string(n) + " groups are there, not between " +
           std::to_string(least) + " and " + std::to_string(most);
  }
  return "no first n groups make what is there; of the " + std::to_string(least) +
         " that must be: " + Difference(outcome.contents, after_->at(least));
}

const Explorer::Outcome& Explorer::Recover(const Tree& tree, uint64_t hash) {
  const auto [it, is_new] = outcomes_.try_emplace(hash);
  Outcome& outcome = it->second;
  if (!is_new) return outcome;
  counts_.opened++;
  const std::string place = scratch_ + "/state";
  WriteTree(tree, place);
  const std::string directory = place + "/" + kDataDirectory;
  outcome.wrong = Try(directory, &outcome.contents);
  if (outcome.wrong.empty() && check_) outcome.wrong = check_(tree, directory);
  std::filesystem::remove_all(place);
  return outcome;
}

std::string Explorer::Try(const std::string& directory, Contents* contents) {
  options_.directory = directory;
  if (repairs_) {
    const Status repaired = keystone::Repair(directory, false, [](const std::string&) {});
    if (!repaired.ok()) return "the store can't be repaired: " + repaired.message();
  }
  auto store = keystone::Store::Open(options_, Quiet());
  if (!store.ok()) return "the store can't be opened: " + store.status().message();
  auto found = ReadAll(store.value().get());
  if (!found.ok()) return "the store can't be read: " + found.status().message();
  *contents = found.value();
  keystone::Batch batch;
  batch.Set(kProbe, "");
  Status status = store.value()->Apply(&batch);
  if (!status.ok()) return "the store can't be written: " + status.message();
  status = store.value()->Close();
  if (!status.ok()) return "the store can't be closed: " + status.message();
  store.value().reset();
  Contents expected = *contents;
  expected[kProbe] = "";
  return TryAgain(directory, expected);
}

// Many states become the same by recovery; then once is enough.
std::string Explorer::TryAgain(const std::string& directory, const Contents& expected) {
  if (std::string wrong = Leftovers(directory); !wrong.empty()) return wrong;
  if (!closed_.insert(Hash(ReadTree(directory)) + Hash(expected)).second) return {};
  auto store = keystone::Store::Open(options_, Quiet());
  if (!store.ok()) return "the store can't be opened again: " + store.status().message();
  auto found = ReadAll(store.value().get());
  if (!found.ok()) return "the store can't be read again: " + found.status().message();
  const std::string wrong = Difference(found.value(), expected);
  if (!wrong.empty()) return "when it is opened again, " + wrong;
  Status status = store.value()->Close();
  if (!status.ok()) return "the store can't be closed again: " + status.message();
  return Leftovers(directory);
}

}  // namespace crash
