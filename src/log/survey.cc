#include "log/survey.h"

#include <fcntl.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <utility>

#include "base/file.h"
#include "log/check.h"
#include "store/directory.h"
#include "store/hint.h"

namespace keystone {

namespace {

Status NotHere(const std::string& directory) {
  return {Code::kCorrupt, directory + ": there is no store in it"};
}

// Of "000000000001.log", "000000000001.log.damaged" and the like; else 0.
uint64_t NumberInFront(const std::string& name) {
  return SegmentNumber(name.substr(0, kSegmentNameSize)).value_or(0);
}

class Surveyor {
 public:
  explicit Surveyor(std::string directory) : directory_(std::move(directory)) {}

  Result<Survey> Run() {
    auto names = ListDirectory(directory_);
    if (!names.ok()) return names.status();
    names_ = std::move(names.value());
    for (const std::string& name : names_) {
      survey_.last_number = std::max(survey_.last_number, NumberInFront(name));
    }
    // What an interrupted very first start leaves is no damage.
    if (!Exists(kManifestName) && LoadListedSegments(directory_).ok()) return Survey();
    Status status = LoadManifestText();
    if (status.ok()) status = survey_.manifest_problem.empty() ? FollowManifest() : Rebuild();
    if (status.ok()) status = SalvageAll();
    // What can't be read looks like zeros, and is no reason to call anything damaged.
    if (Status readable = CheckAllReadable(); !readable.ok()) return readable;
    if (!status.ok()) return status;
    return std::move(survey_);
  }

 private:
  bool Exists(const std::string& name) const {
    return std::binary_search(names_.begin(), names_.end(), name);
  }

  std::string PathOf(const std::string& name) const { return directory_ + "/" + name; }

  Status LoadManifestText() {
    if (!Exists(kManifestName)) {
      survey_.manifest_problem = "missing";
      return Status::Ok();
    }
    auto text = ReadSmallFile(PathOf(kManifestName), kMaxManifestSize);
    if (!text.ok()) return text.status();
    auto manifest = ParseManifest(text.value());
    if (manifest.ok()) {
      survey_.manifest = std::move(manifest.value());
    } else if (ManifestIsIntact(text.value())) {  // of a newer version
      return {Code::kCorrupt, directory_ + "/" + manifest.status().message()};
    } else {
      survey_.manifest_problem =
          manifest.status().message().substr(std::string(kManifestName).size() + 2);
    }
    return Status::Ok();
  }

  // ---- with a MANIFEST

  Status FollowManifest() {
    for (const uint64_t number : survey_.manifest.segments) {
      auto source = OpenSource(number, NameOf(number));
      if (!source.ok()) return source.status();
      survey_.sources.push_back(std::move(source.value()));
    }
    if (IsOfOtherStore()) {
      survey_.manifest_problem = "bears the id of another store than the segments";
      survey_.sources.clear();
      return Rebuild();
    }
    for (auto& source : survey_.sources) Judge(source.get());
    // Its text is as somebody meant it, but nothing tells which of the files is out of place.
    if (!IsInOrder()) {
      survey_.manifest_problem = "names segments in another order than that of their sequences";
      SortSources();
    }
    return LookAtOthers();
  }

  // A segment that an interrupted repair has moved aside already, the last one of that name.
  std::string NameOf(uint64_t number) const {
    std::string name = SegmentName(number);
    if (Exists(name)) return name;
    std::string aside;
    int64_t last = -1;
    for (const std::string& other : names_) {
      if (!other.starts_with(name + kAsideSuffix)) continue;
      const int64_t attempt = AsideNumber(other.substr(name.size() + sizeof kAsideSuffix - 1));
      if (attempt > last) aside = other;
      last = std::max(last, attempt);
    }
    return aside;
  }

  // Of "" and ".12", what stands behind the suffix; -1: it is no name that repair gives.
  static int64_t AsideNumber(std::string_view text) {
    if (text.empty()) return 0;
    int64_t number = -1;
    const char* const end = text.data() + text.size();
    if (text[0] != '.') return -1;
    const auto parsed = std::from_chars(text.data() + 1, end, number);
    return parsed.ec == std::errc() && parsed.ptr == end ? number : -1;
  }

  // No listed segment bears the MANIFEST's id, but some bear another.
  bool IsOfOtherStore() const {
    size_t others = 0;
    for (const auto& source : survey_.sources) {
      if (!source->header) continue;
      if (source->header->store_id == survey_.manifest.store_id) return false;
      others++;
    }
    return others > 0;
  }

  // As far as headers tell.
  bool IsInOrder() const {
    uint64_t last = 0;
    for (const auto& source : survey_.sources) {
      if (!source->is_ours || !source->header) continue;
      if (source->header->first_sequence < last) return false;
      last = source->header->first_sequence;
    }
    return true;
  }

  void Judge(Source* source) const {
    if (source->name.empty()) {
      source->problem = "missing";
    } else if (source->header && source->header->store_id != survey_.manifest.store_id) {
      source->problem = "bears the id of another store";
    } else {
      if (source->header && source->header->number != source->number) {
        source->problem = "bears segment number " + std::to_string(source->header->number);
      }
      source->is_ours = true;
    }
  }

  Status LookAtOthers() {
    for (const std::string& name : names_) {
      const auto hint = HintNumber(name);
      if (name.ends_with(".tmp") || (hint && !IsListed(*hint))) survey_.leftovers.push_back(name);
      const auto number = SegmentNumber(name);
      if (!number || IsListed(*number)) continue;
      auto source = OpenSource(*number, name);
      if (!source.ok()) return source.status();
      Judge(source.value().get());
      if (source.value()->problem.empty()) {
        survey_.leftovers.push_back(name);
      } else {
        survey_.strangers.push_back(std::move(source.value()));
      }
    }
    return Status::Ok();
  }

  bool IsListed(uint64_t number) const {
    const std::vector<uint64_t>& listed = survey_.manifest.segments;
    return std::find(listed.begin(), listed.end(), number) != listed.end();
  }

  // ---- without one

  // All segments of the store that most of them are of. The order of replay is that of sequences.
  Status Rebuild() {
    std::map<StoreId, size_t> stores;
    std::vector<std::unique_ptr<Source>> found;
    for (const std::string& name : names_) {
      const auto number = SegmentNumber(name);
      if (name.ends_with(".tmp")) survey_.leftovers.push_back(name);
      if (!number) continue;
      auto source = OpenSource(*number, name);
      if (!source.ok()) return source.status();
      if (source.value()->header) stores[source.value()->header->store_id]++;
      found.push_back(std::move(source.value()));
    }
    if (found.empty() && !Exists(kManifestName)) return NotHere(directory_);
    if (Status status = ChooseStore(stores); !status.ok()) return status;
    for (auto& source : found) {
      Judge(source.get());
      (source->is_ours ? survey_.sources : survey_.strangers).push_back(std::move(source));
    }
    SortSources();
    return Status::Ok();
  }

  Status ChooseStore(const std::map<StoreId, size_t>& stores) {
    auto manifest = NewManifest();
    if (!manifest.ok()) return manifest.status();
    survey_.manifest = std::move(manifest.value());
    if (stores.empty()) return Status::Ok();
    const auto fewer = [](const auto& a, const auto& b) { return a.second < b.second; };
    const auto most = std::max_element(stores.begin(), stores.end(), fewer);
    const auto as_many = std::count_if(stores.begin(), stores.end(), [&](const auto& store) {
      return store.second == most->second;
    });
    if (as_many > 1) {
      return {Code::kCorrupt, directory_ +
                                  ": without a good MANIFEST nothing tells which of two stores it "
                                  "is: move the other one's segments away"};
    }
    survey_.manifest.store_id = most->first;
    return Status::Ok();
  }

  // A file whose header is damaged stands where its first record belongs.
  void SortSources() {
    const auto first = [](const Source& source) {
      if (source.header) return source.header->first_sequence;
      return SalvageRecords(source.bytes(), true, {}).first_sequence;
    };
    std::vector<std::pair<std::pair<uint64_t, uint64_t>, std::unique_ptr<Source>>> keyed;
    for (auto& source : survey_.sources) {
      const std::pair key(first(*source), source->number);
      keyed.emplace_back(key, std::move(source));
    }
    std::sort(keyed.begin(), keyed.end(),
              [](const auto& a, const auto& b) { return a.first < b.first; });
    survey_.sources.clear();
    for (auto& [key, source] : keyed) survey_.sources.push_back(std::move(source));
  }

  // ---- a file

  Result<std::unique_ptr<Source>> OpenSource(uint64_t number, const std::string& name) const {
    auto source = std::make_unique<Source>();
    source->number = number;
    source->name = name;
    if (name.empty()) return source;
    auto fd = OpenFile(PathOf(name), O_RDONLY);
    if (!fd.ok()) return fd.status();
    auto size = FileSize(fd.value().get(), PathOf(name));
    if (!size.ok()) return size.status();
    if (size.value() > 0) {
      auto mapping = Mapping::Map(fd.value().get(), size.value(), PathOf(name));
      if (!mapping.ok()) return mapping.status();
      source->mapping = std::move(mapping.value());
    }
    auto header = DecodeSegmentHeader(source->bytes());
    if (header.ok()) {
      source->header = header.value();
    } else if (SegmentHeaderIsIntact(source->bytes())) {
      return Status(Code::kCorrupt, PathOf(name) + ": offset 0: " + header.status().message());
    } else {
      source->problem = header.status().message();
    }
    return source;
  }

  Status SalvageAll() {
    for (size_t i = 0; i < survey_.sources.size(); i++) {
      Source& source = *survey_.sources[i];
      if (!source.is_ours) continue;
      const bool active = i + 1 == survey_.sources.size();
      source.salvage = SalvageRecords(source.bytes(), active, RangeOf(i));
      if (source.salvage.newer_record) {
        return {Code::kCorrupt, PathOf(source.name) + ": offset " +
                                    std::to_string(*source.salvage.newer_record) + ": " +
                                    std::string(Describe(RecordState::kUnknownFlag))};
      }
    }
    return Status::Ok();
  }

  Status CheckAllReadable() const {
    for (const auto* files : {&survey_.sources, &survey_.strangers}) {
      for (const auto& file : *files) {
        if (Status status = CheckReadable(directory_, *file); !status.ok()) return status;
      }
    }
    return Status::Ok();
  }

  // Between what comes before and what comes behind, as far as headers tell it. Where the MANIFEST
  // was lost, segments may overlap.
  SequenceRange RangeOf(size_t i) const {
    SequenceRange range;
    const auto& sources = survey_.sources;
    const bool in_order = survey_.manifest_problem.empty();
    if (sources[i]->header) {
      range.lowest = sources[i]->header->first_sequence;
    } else if (in_order && i > 0) {
      range.lowest = sources[i - 1]->salvage.next_sequence;
    }
    for (size_t next = i + 1; in_order && next < sources.size(); next++) {
      if (!sources[next]->is_ours || !sources[next]->header) continue;
      const uint64_t highest = sources[next]->header->first_sequence - 1;
      if (highest + 1 >= range.lowest) range.highest = highest;
      break;
    }
    return range;
  }

  const std::string directory_;
  std::vector<std::string> names_;  // sorted
  Survey survey_;
};

}  // namespace

Result<Survey> SurveyDirectory(const std::string& directory) { return Surveyor(directory).Run(); }

Status CheckReadable(const std::string& directory, const Source& source) {
  const uint64_t faults = source.mapping.faults();
  if (faults == 0) return Status::Ok();
  return {Code::kIo, "read " + directory + "/" + source.name +
                         ": Input/output error, or the file was cut: " + std::to_string(faults) +
                         " pages of it can't be read"};
}

Status CheckHasStore(const std::string& directory) {
  const auto names = ListDirectory(directory);
  if (!names.ok()) return names.status();
  const bool has = std::any_of(names.value().begin(), names.value().end(), [](const auto& name) {
    return name == kManifestName || NumberInFront(name) != 0;
  });
  return has ? Status::Ok() : NotHere(directory);
}

}  // namespace keystone
