#include "log/repair.h"

#include <unistd.h>

#include <algorithm>
#include <utility>
#include <vector>

#include "base/escape.h"
#include "base/file.h"
#include "log/rewriter.h"
#include "log/survey.h"
#include "store/hint.h"

namespace keystone {

namespace {

// Segments that stay as they are, or whose records are written anew together.
struct Part {
  std::vector<const Source*> sources;
  uint64_t last_sequence = 0;  // of it, and of all parts before
  bool rewrite = false;
};

struct Divider {
  const bool in_order;  // by a MANIFEST that is good
  std::vector<Part> parts;

  // Sources whose sequences overlap are one part, with what stands between them: a merge puts them
  // in order.
  void Add(const Source* source) {
    const Salvage& salvage = source->salvage;
    Part part;
    part.sources.push_back(source);
    part.rewrite = source->damaged();
    if (salvage.records > 0) part.last_sequence = salvage.next_sequence - 1;
    while (salvage.records > 0 && !parts.empty() &&
           salvage.first_sequence <= parts.back().last_sequence) {
      Absorb(&part);
    }
    if (!parts.empty())
      part.last_sequence = std::max(part.last_sequence, parts.back().last_sequence);
    parts.push_back(std::move(part));
  }

  void Absorb(Part* part) {
    Part& before = parts.back();
    part->sources.insert(part->sources.begin(), before.sources.begin(), before.sources.end());
    part->last_sequence = std::max(part->last_sequence, before.last_sequence);
    part->rewrite = part->rewrite || before.rewrite || !in_order;
    parts.pop_back();
  }
};

std::vector<Part> Divide(const Survey& survey) {
  Divider divider{survey.manifest_problem.empty(), {}};
  for (const auto& source : survey.sources) divider.Add(source.get());
  return std::move(divider.parts);
}

std::string DescribeLoss(const LostBytes& lost) {
  std::string text = "damaged at offset " + std::to_string(lost.begin) + ": " + lost.reason +
                     "; lost: " + std::to_string(lost.end - lost.begin) + " bytes";
  if (lost.last_sequence == 0) {
    text += ", sequences from " + std::to_string(lost.first_sequence) + " on";
  } else if (lost.first_sequence == lost.last_sequence) {
    text += ", sequence " + std::to_string(lost.first_sequence);
  } else if (lost.first_sequence < lost.last_sequence) {
    text += ", sequences " + std::to_string(lost.first_sequence) + " to " +
            std::to_string(lost.last_sequence);
  } else {
    text += ", no sequence";
  }
  if (lost.key) return text + ", key '" + Escape(*lost.key) + "' if that is not what is damaged";
  return text;
}

class Repairer {
 public:
  Repairer(std::string directory, Survey survey, const Teller& tell)
      : directory_(std::move(directory)),
        survey_(std::move(survey)),
        parts_(Divide(survey_)),
        tell_(tell),
        rewriter_(directory_, survey_.manifest.store_id, survey_.last_number) {}

  // True where there is something to do.
  bool TellFindings() const {
    if (!survey_.manifest_problem.empty()) {
      tell_(std::string(kManifestName) + ": " + survey_.manifest_problem);
    }
    for (const auto& source : survey_.sources) TellOf(*source);
    for (const auto& stranger : survey_.strangers) {
      tell_(stranger->name + ": not in the MANIFEST, and not this store's: " + stranger->problem);
    }
    for (const std::string& name : survey_.leftovers) {
      tell_(name + ": left over, will be removed at start");
    }
    return !survey_.manifest_problem.empty() || !survey_.strangers.empty() ||
           std::any_of(parts_.begin(), parts_.end(), [](const Part& part) { return part.rewrite; });
  }

  // What it did, for people, is in done() then.
  Status CarryOut() {
    Status status = WriteAnew();
    if (status.ok()) status = SyncDirectory();
    if (!status.ok()) {
      for (const auto& segment : made_) segment->Remove();
      return status;
    }
    status = MoveAside();
    if (status.ok()) status = SyncDirectory();
    if (status.ok()) status = Commit();
    if (!status.ok()) return {status.code(), status.message() + "; run repair again to finish"};
    RemoveHints();
    if (LosesRecords()) {
      done_.emplace_back(
          "a key whose newest record was lost shows an older value now, or is back though it was "
          "deleted");
    }
    return SyncDirectory();
  }

  const std::vector<std::string>& done() const { return done_; }

 private:
  void TellOf(const Source& source) const {
    const std::string name = SegmentName(source.number) + ": ";
    if (!source.problem.empty()) {
      tell_(name + source.problem + (source.is_ours ? "" : "; lost: all of it"));
    }
    for (const LostBytes& lost : source.salvage.lost) tell_(name + DescribeLoss(lost));
    if (!source.salvage.tail_is_torn) return;
    tell_(name + "torn tail of " +
          std::to_string(source.bytes().size() - source.salvage.tail_offset) + " bytes at offset " +
          std::to_string(source.salvage.tail_offset) +
          (source.damaged() ? ", not kept" : ", will be cut at start"));
  }

  bool LosesRecords() const {
    return std::any_of(survey_.sources.begin(), survey_.sources.end(), [](const auto& source) {
      return !source->is_ours || !source->salvage.lost.empty();
    });
  }

  // 1. New segments, and what the MANIFEST is to name.
  Status WriteAnew() {
    uint64_t next_sequence = 1;
    bool has_active = false;
    for (const Part& part : parts_) {
      for (const Source* source : part.sources) {
        next_sequence = std::max(next_sequence, source->salvage.unused_sequence);
      }
      has_active = !part.rewrite;
      if (Status status = part.rewrite ? Rewrite(part) : Keep(part); !status.ok()) return status;
    }
    if (has_active) return Status::Ok();
    auto active = rewriter_.MakeActive(next_sequence);
    if (active.ok()) Add(active.value());
    return active.status();
  }

  Status Keep(const Part& part) {
    for (const Source* source : part.sources) segments_.push_back(source->number);
    return Status::Ok();
  }

  Status Rewrite(const Part& part) {
    auto outputs = rewriter_.Rewrite(part.sources);
    if (!outputs.ok()) return outputs.status();
    Add(outputs.value());
    uint64_t records = 0;
    std::string text;
    for (const Source* source : part.sources) {
      text += (text.empty() ? "" : ", ") + SegmentName(source->number);
      records += source->salvage.records;
    }
    text += ": " + std::to_string(records) + " records kept";
    for (const auto& output : outputs.value()) text += ", in " + output->name();
    done_.push_back(text);
    return Status::Ok();
  }

  void Add(const SegmentSet::List& segments) {
    made_.insert(made_.end(), segments.begin(), segments.end());
    for (const auto& segment : segments) segments_.push_back(segment->number());
  }

  // 2.
  Status MoveAside() {
    for (const Part& part : parts_) {
      if (!part.rewrite) continue;
      for (const Source* source : part.sources) {
        if (Status status = MoveAside(*source); !status.ok()) return status;
      }
    }
    for (const auto& stranger : survey_.strangers) {
      if (Status status = MoveAside(*stranger); !status.ok()) return status;
    }
    return survey_.manifest_problem.empty() ? Status::Ok() : CopyManifestAside();
  }

  Status MoveAside(const Source& source) {
    if (source.name != SegmentName(source.number)) return Status::Ok();  // missing, or moved before
    const std::string aside = FreeName(source.name + kAsideSuffix);
    done_.push_back(source.name + ": moved aside to " + aside);
    return Rename(PathOf(source.name), PathOf(aside));
  }

  // Not moved: there is one at any time.
  Status CopyManifestAside() {
    if (!Exists(kManifestName)) return Status::Ok();
    auto text = ReadSmallFile(PathOf(kManifestName), kMaxManifestSize);
    if (!text.ok()) return text.status();
    const std::string aside = FreeName(std::string(kManifestName) + kAsideSuffix);
    done_.push_back(std::string(kManifestName) + ": copied aside to " + aside);
    bool renamed = false;
    return ReplaceFile(directory_, aside, text.value(), &renamed);
  }

  // 3.
  Status Commit() const {
    Manifest manifest = survey_.manifest;
    manifest.segments = segments_;
    bool renamed = false;
    return ReplaceFile(directory_, kManifestName, EncodeManifest(manifest), &renamed);
  }

  // 4. One that stays is removed by the next start.
  void RemoveHints() const {
    for (const Part& part : parts_) {
      if (!part.rewrite) continue;
      for (const Source* source : part.sources) {
        (void)::unlink(PathOf(HintName(source->number)).c_str());
      }
    }
  }

  Status SyncDirectory() const {
    auto self = OpenDirectory(directory_);
    return self.ok() ? SyncFile(self.value().get(), directory_) : self.status();
  }

  // So that no older evidence is overwritten.
  std::string FreeName(const std::string& name) const {
    std::string free = name;
    for (int attempt = 1; Exists(free); attempt++) free = name + "." + std::to_string(attempt);
    return free;
  }

  bool Exists(const std::string& name) const { return ::access(PathOf(name).c_str(), F_OK) == 0; }
  std::string PathOf(const std::string& name) const { return directory_ + "/" + name; }

  const std::string directory_;
  const Survey survey_;
  const std::vector<Part> parts_;
  const Teller& tell_;
  Rewriter rewriter_;
  SegmentSet::List made_;
  std::vector<uint64_t> segments_;  // of the new MANIFEST
  std::vector<std::string> done_;   // lines for people
};

}  // namespace

Status Repair(const std::string& directory, bool dry_run, const Teller& tell) {
  auto survey = SurveyDirectory(directory);
  if (!survey.ok()) return survey.status();
  Repairer repairer(directory, std::move(survey.value()), tell);
  if (!repairer.TellFindings()) {
    tell(directory + ": whole, nothing to repair");
    return Status::Ok();
  }
  if (dry_run) return {Code::kCorrupt, directory + ": damaged; a dry run changes nothing"};
  if (Status status = repairer.CarryOut(); !status.ok()) return status;
  for (const std::string& line : repairer.done()) tell(line);
  return Status::Ok();
}

}  // namespace keystone
