// What a data directory holds, damaged or not: its segments in the order of replay, and what can be
// kept of each.
//
// Reads only. The directory must be locked, or be nobody's. One thread.
#ifndef KEYSTONE_LOG_SURVEY_H_
#define KEYSTONE_LOG_SURVEY_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/mapping.h"
#include "base/status.h"
#include "log/salvage.h"
#include "store/manifest.h"
#include "store/segment.h"

namespace keystone {

// A file that is a segment, was one, or should be there.
struct Source {
  uint64_t number = 0;
  std::string name;     // in the directory; empty: it is missing
  std::string problem;  // of the file as a whole; empty: none
  Mapping mapping;
  std::optional<SegmentHeader> header;  // where it holds
  bool is_ours = false;                 // not another's: its records count
  Salvage salvage;

  std::string_view bytes() const { return {mapping.data(), mapping.size()}; }
  bool damaged() const { return !problem.empty() || !salvage.lost.empty(); }
};

struct Survey {
  Manifest manifest;                               // as it is, or as it has to be
  std::string manifest_problem;                    // empty: it is good
  std::vector<std::unique_ptr<Source>> sources;    // in replay order, the active one last
  std::vector<std::unique_ptr<Source>> strangers;  // named like segments, but none of this store
  std::vector<std::string> leftovers;              // that the next start removes
  uint64_t last_number = 0;                        // of all files named for a segment
};

// What is moved aside gets this behind its name.
inline constexpr char kAsideSuffix[] = ".damaged";

// kCorrupt: nothing in it has the name of a MANIFEST or a segment.
Status CheckHasStore(const std::string& directory);

// kCorrupt: there is no store, or one that nothing can be said of: a newer version's, or two. kIo:
// a file could not be read.
Result<Survey> SurveyDirectory(const std::string& directory);

// kIo where bytes of it could not be read so far: they look like zeros (see BusGuard).
Status CheckReadable(const std::string& directory, const Source& source);

}  // namespace keystone

#endif  // KEYSTONE_LOG_SURVEY_H_
