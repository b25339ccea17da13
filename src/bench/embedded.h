// Stores in this process, measured as LevelDB's db_bench does: one thread, one operation at a time.
//
//   fillseq     every key once, in order, into an empty store
//   fillrandom  every key once, in random order, into an empty store
//   overwrite   as many random keys again
//   readrandom  as many random keys; all are there
#ifndef KEYSTONE_BENCH_EMBEDDED_H_
#define KEYSTONE_BENCH_EMBEDDED_H_

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/status.h"
#include "bench/engine.h"

namespace keystone {

struct EmbeddedOptions {
  std::vector<EngineKind> engines;
  std::string directory = ".";  // where stores are made for the time of the run
  uint64_t keys = 1'000'000;
  size_t value_size_bytes = 100;
  bool verify = false;  // compare each value with what was stored
};

// The time that one engine took for one workload.
struct EmbeddedTime {
  std::string workload;
  EngineKind engine = EngineKind::kKeystone;
  double seconds = 0;
};

// Runs all workloads, engine by engine. kCancelled once `stop` can be read; nothing is read from
// it. kCorrupt for a value that is not what was stored.
Result<std::vector<EmbeddedTime>> RunEmbedded(const EmbeddedOptions& options, int stop);

}  // namespace keystone

#endif  // KEYSTONE_BENCH_EMBEDDED_H_
