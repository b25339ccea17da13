// keystoned(8): main and the daemon's life, a list of steps.
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/bus_guard.h"
#include "base/file.h"
#include "base/log.h"
#include "base/status.h"
#include "config.h"
#include "daemon/daemonize.h"
#include "daemon/notify.h"
#include "daemon/options.h"
#include "daemon/pid_file.h"
#include "daemon/privileges.h"
#include "daemon/signal_pipe.h"
#include "net/server.h"
#include "store/store.h"

namespace keystone {

namespace {

constexpr char kPortFile[] = "keystoned.port";
constexpr uint64_t kRecoveryGraceMs = 60000;  // progress is told about once a second

// For errors before there is a log.
int Complain(const Status& status) {
  std::fprintf(stderr, "keystoned: %s\n", status.message().c_str());
  if (status.code() == Code::kUsage) std::fprintf(stderr, "Try 'keystoned --help'.\n");
  return ExitCode(status.code());
}

// The exit code, unless the daemon is to serve.
std::optional<int> AnswerOnly(const Options& options) {
  std::string text;
  switch (options.action) {
    case Action::kServe:
      return std::nullopt;
    case Action::kHelp:
      text = HelpText();
      break;
    case Action::kVersion:
      text = PACKAGE_NAME " " PACKAGE_VERSION "\n";
      break;
    case Action::kCheckConfig:
      text = (options.config.empty() ? "" : options.config + ": ") + "configuration is fine\n";
      break;
  }
  const Status status = WriteAll(STDOUT_FILENO, text, "stdout");
  return status.ok() ? 0 : Complain(status);
}

// systemd names the journal's stream as "device:inode" to whoever writes to it.
bool StderrIsJournal() {
  const char* stream = ::getenv("JOURNAL_STREAM");
  struct stat info {};
  if (stream == nullptr || ::fstat(STDERR_FILENO, &info) < 0) return false;
  return stream == std::to_string(info.st_dev) + ":" + std::to_string(info.st_ino);
}

Log OpenLog(const Options& options) {
  if (options.foreground) {
    return {StderrIsJournal() ? Log::Sink::kStderrJournal : Log::Sink::kStderr, options.log_level};
  }
  ::openlog("keystoned", LOG_PID, options.syslog_facility);
  return {Log::Sink::kSyslog, options.log_level};
}

ServerOptions ServerOptionsOf(const Options& options, const Identity& identity) {
  ServerOptions server;
  server.listen = options.listen;
  server.listen_memcached = options.listen_memcached;
  server.listen_metrics = options.listen_metrics;
  server.unix_access = {options.unix_mode, identity.uid, identity.gid};
  server.max_connections = options.max_connections;
  server.io_threads = options.io_threads;
  server.limits.max_key_size = options.max_key_size_bytes;
  server.limits.max_value_size = options.max_value_size_bytes;
  server.idle_timeout = std::chrono::milliseconds(options.idle_timeout_ms);
  server.request_timeout = std::chrono::milliseconds(options.request_timeout_ms);
  server.write_timeout = std::chrono::milliseconds(options.write_timeout_ms);
  server.drain_timeout = std::chrono::milliseconds(options.drain_timeout_ms);
  server.compact_stale_percent = options.compact_stale_percent;
  server.compact_min_size_bytes = options.compact_min_size_bytes;
  return server;
}

StoreOptions StoreOptionsOf(const Options& options) {
  StoreOptions store;
  store.directory = options.data_dir;
  store.segment_size_bytes = options.segment_size_bytes;
  switch (options.fsync) {
    case Fsync::kAlways:
      store.fsync = FsyncPolicy::kAlways;
      break;
    case Fsync::kEverySecond:
      store.fsync = FsyncPolicy::kEverySecond;
      break;
    case Fsync::kNo:
      store.fsync = FsyncPolicy::kNo;
      break;
  }
  return store;
}

// Opens the store; SIGTERM and SIGINT cancel it. Signals that come meanwhile are put back, for the
// server to act upon.
Result<std::unique_ptr<Store>> OpenStore(const Options& options, const Log& log,
                                         const Notify& notify, SignalPipe* signals) {
  std::vector<int> pending;
  bool stop = false;
  const auto progress = [&](const RecoveryProgress& recovery) {
    for (const int signal : signals->Drain()) {
      pending.push_back(signal);
      stop = stop || signal == SIGTERM || signal == SIGINT;
    }
    const uint64_t percent =
        recovery.bytes_done * 100 / std::max<uint64_t>(recovery.bytes_total, 1);
    notify.Status("recovering: " + std::to_string(percent) + " %");
    notify.Extend(kRecoveryGraceMs);
    return !stop;
  };
  auto store = Store::Open(StoreOptionsOf(options), log, progress);
  for (const int signal : pending) signals->Put(signal);
  return store;
}

ServerEvents EventsFor(const Notify& notify) {
  return {[&notify] { notify.Reloading(); }, [&notify] { notify.Ready(); },
          [&notify] { notify.Stopping(); }};
}

// On a full disk an older file still has its room. Not whole after a crash, which ends what it
// tells of anyhow.
Status Overwrite(const std::string& path, std::string_view content) {
  auto fd = OpenFile(path, O_WRONLY);
  if (!fd.ok()) return fd.status();
  Status status = WriteAll(fd.value().get(), content, path);
  return status.ok() ? Truncate(fd.value().get(), content.size(), path) : status;
}

// Where the daemon can be reached, an address a line: needed with port 0, handy in scripts. The log
// says it, too, so a full disk is no reason not to serve what is on it.
void WritePortFile(const Options& options, const Log& log, const Server& server) {
  std::string lines;
  for (const std::string& address : server.Addresses()) lines += address + "\n";
  const std::string path = options.data_dir + "/" + kPortFile;
  bool renamed = false;
  const Status status = ReplaceFile(options.data_dir, kPortFile, lines, &renamed);
  if (status.ok() || Overwrite(path, lines).ok()) return;
  log.Write(Priority::kWarning, "%s", status.message().c_str());
  // An older one would name addresses that are not served any more; there may be none.
  (void)RemoveFile(path);
}

// Removes what only a running daemon has, and says how it went; `synced` is the store's last word.
Status Finish(const Options& options, const Log& log, PidFile* pid_file, Status synced) {
  const std::string port_file = options.data_dir + "/" + kPortFile;
  const Status removed = RemoveFile(port_file);
  if (!removed.ok() && ::access(port_file.c_str(), F_OK) == 0) {
    log.Write(Priority::kWarning, "%s", removed.message().c_str());
  }
  pid_file->Remove();
  if (synced.ok()) log.Write(Priority::kNotice, "stopped");
  return synced;
}

// For when a thread still uses the store: nothing may be taken down under it.
[[noreturn]] void LeaveStuck(const Options& options, const Log& log, PidFile* pid_file,
                             Store* store, Status status) {
  if (status.ok()) log.Write(Priority::kWarning, "a thread hangs in the disk; leaving without it");
  const Status finished = Finish(options, log, pid_file, store->Sync());
  if (status.ok()) status = finished;
  if (!status.ok()) log.Write(Priority::kError, "%s", status.message().c_str());
  ::_exit(ExitCode(status.code()));
}

// The daemon's life, in the process that stays.
Status Serve(const Options& options, const Log& log, Verdict* verdict) {
  const Notify notify(Notify::SocketFromEnvironment(), log);
  if (Status status = SettleProcess(); !status.ok()) return status;
  if (Status status = BusGuard::Install(); !status.ok()) return status;
  auto signals = SignalPipe::Create();
  if (!signals.ok()) return signals.status();
  auto pid_file = options.pid_file.empty() ? PidFile() : PidFile::Create(options.pid_file);
  if (!pid_file.ok()) return pid_file.status();

  std::unique_ptr<Store> store;  // declared first: it outlives the server, which borrows it
  const auto identity = FindIdentity(options.user, options.group);
  if (!identity.ok()) return identity.status();
  auto server = Server::Bind(ServerOptionsOf(options, identity.value()), log);
  if (!server.ok()) return server.status();
  if (Status status = DropPrivileges(identity.value(), log); !status.ok()) return status;
  auto opened = OpenStore(options, log, notify, &signals.value());
  if (opened.status().code() == Code::kCancelled) {
    log.Write(Priority::kNotice, "stopped during recovery");
    verdict->Failed({Code::kCancelled, "stopped during recovery"});
    return Status::Ok();
  }
  if (!opened.ok()) return opened.status();
  store = std::move(opened.value());

  Status status = server.value()->Start(store.get(), signals.value().read_fd(), EventsFor(notify));
  if (!status.ok()) return status;
  WritePortFile(options, log, *server.value());
  log.Write(Priority::kNotice, "keystoned %s ready, pid %d", PACKAGE_VERSION, ::getpid());
  verdict->Ready();
  notify.Ready();
  const Status ran = server.value()->Run();

  if (!server.value()->drained()) LeaveStuck(options, log, &pid_file.value(), store.get(), ran);
  server.value().reset();
  return Finish(options, log, &pid_file.value(), store->Close());
}

int Main(int argc, char** argv) {
  if (Status status = SecureStandardFds(); !status.ok()) return Complain(status);
  const auto parsed = ParseOptions(argc, argv);
  if (!parsed.ok()) return Complain(parsed.status());
  const Options& options = parsed.value();
  if (const auto exit_code = AnswerOnly(options)) return *exit_code;

  const Log log = OpenLog(options);
  Verdict verdict;
  if (!options.foreground) {
    auto detached = Detach();
    if (!detached.ok()) return Complain(detached.status());
    if (detached.value().exit_code) return *detached.value().exit_code;
    verdict = std::move(detached.value().verdict);
  }
  const Status status = Serve(options, log, &verdict);
  if (!status.ok()) {
    log.Write(Priority::kError, "%s", status.message().c_str());
    verdict.Failed(status);
  }
  return ExitCode(status.code());
}

}  // namespace

}  // namespace keystone

int main(int argc, char** argv) { return keystone::Main(argc, argv); }
