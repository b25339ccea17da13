// keystone-bench: how fast is a server, and how soon does it answer?
#include <signal.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sysexits.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <utility>

#include "base/fd.h"
#include "base/file.h"
#include "base/status.h"
#include "bench/embedded.h"
#include "bench/engine.h"
#include "bench/load.h"
#include "bench/options.h"
#include "bench/report.h"
#include "cli/endpoint.h"
#include "config.h"

namespace keystone {
namespace {

constexpr int kProblemExit = 1;

int Fail(const Status& status, int exit_code) {
  std::fprintf(stderr, "keystone-bench: %s\n", status.message().c_str());
  return exit_code;
}

int Print(const std::string& text) {
  const Status status = WriteAll(STDOUT_FILENO, text, "standard output");
  return status.ok() ? EX_OK : Fail(status, ExitCode(status.code()));
}

// As many descriptors as there may be: each client is one.
void RaiseDescriptorLimit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  (void)::setrlimit(RLIMIT_NOFILE, &limit);
}

// Becomes readable when somebody wants the run to end.
Result<Fd> CatchSignals() {
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGINT);
  ::sigaddset(&signals, SIGTERM);
  Fd fd(::sigprocmask(SIG_BLOCK, &signals, nullptr) == 0 ? ::signalfd(-1, &signals, SFD_CLOEXEC)
                                                         : -1);
  if (!fd.valid()) return Status::FromErrno("catch", "signals", errno);
  return fd;
}

int ConnectExit(const Status& status) {
  return status.code() == Code::kSystem ? EX_OSERR : EX_UNAVAILABLE;
}

int RunLoad(const BenchOptions& options) {
  auto stop = CatchSignals();
  if (!stop.ok()) return Fail(stop.status(), EX_OSERR);
  RaiseDescriptorLimit();
  auto addresses = EndpointAddresses::Find(options.endpoint);
  if (!addresses.ok()) return Fail(addresses.status(), ConnectExit(addresses.status()));
  auto load = BenchLoad::Connect(options.load, std::move(addresses.value()), stop.value().get());
  if (!load.ok()) return Fail(load.status(), ConnectExit(load.status()));
  if (options.load.preload) {
    if (Status status = load.value()->Preload(); !status.ok()) return Fail(status, kProblemExit);
  }
  const LoadResult result = load.value()->Run();
  const int printed =
      Print(options.json ? LoadJson(options.load, result) : LoadTable(options.load, result));
  if (printed != EX_OK || result.first_problem.empty()) return printed;
  return Fail({Code::kIo, result.first_problem}, kProblemExit);
}

int RunStores(const BenchOptions& options) {
  if (options.stores.engines.back() == EngineKind::kLevelDb && !HasLevelDb()) {
    return Fail({Code::kInvalid, "this keystone-bench was built without LevelDB"}, EX_UNAVAILABLE);
  }
  auto stop = CatchSignals();
  if (!stop.ok()) return Fail(stop.status(), EX_OSERR);
  auto times = RunEmbedded(options.stores, stop.value().get());
  if (!times.ok()) {
    const Code code = times.status().code();
    const bool problem = code == Code::kCorrupt || code == Code::kCancelled;
    return Fail(times.status(), problem ? kProblemExit : ExitCode(code));
  }
  return Print(options.json ? EmbeddedJson(options.stores, times.value())
                            : EmbeddedTable(options.stores, times.value()));
}

}  // namespace
}  // namespace keystone

int main(int argc, char** argv) {
  using namespace keystone;
  ::signal(SIGPIPE, SIG_IGN);
  BenchOptions options;
  const Status status = ParseBenchOptions(argc, argv, &options);
  if (!status.ok()) return Fail(status, EX_USAGE);
  if (options.help) return Print(BenchHelp());
  if (options.version) return Print("keystone-bench (keystonelight) " PACKAGE_VERSION "\n");
  return options.embedded ? RunStores(options) : RunLoad(options);
}
