// The command line of keystone-bench. Pure.
#ifndef KEYSTONE_BENCH_OPTIONS_H_
#define KEYSTONE_BENCH_OPTIONS_H_

#include <string>

#include "base/status.h"
#include "bench/embedded.h"
#include "bench/load.h"
#include "cli/endpoint.h"

namespace keystone {

struct BenchOptions {
  Endpoint endpoint;
  LoadOptions load;
  bool embedded = false;  // measure stores in this process instead of a server
  EmbeddedOptions stores;
  bool json = false;
  bool help = false;
  bool version = false;
};

// kUsage, naming the option, where an argument can't be used.
Status ParseBenchOptions(int argc, char** argv, BenchOptions* options);

std::string BenchHelp();

}  // namespace keystone

#endif  // KEYSTONE_BENCH_OPTIONS_H_
