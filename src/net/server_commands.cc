#include "net/server_commands.h"

#include <chrono>
#include <string>
#include <utility>

#include "config.h"
#include "net/session.h"

namespace keystone {

namespace {

constexpr size_t kHelpColumn = 32;

void FindKeys(const KeyRange& range, const Environment& environment, Reply* reply) {
  reply->status = environment.store->Range(range, &reply->lines);
  if (reply->status.ok()) reply->kind = Reply::Kind::kKeys;
}

}  // namespace

void ExecuteCount(const Request&, const Environment& environment, Reply* reply) {
  reply->kind = Reply::Kind::kInteger;
  reply->number = static_cast<int64_t>(environment.store->Count());
}

void ExecuteScan(const Request& request, const Environment& environment, Reply* reply) {
  ScanResult result;
  reply->status = environment.store->Scan(request.cursor, request.count, request.prefix, &result);
  if (!reply->status.ok()) return;
  reply->kind = Reply::Kind::kScan;
  reply->number = static_cast<int64_t>(result.next_cursor);
  reply->lines = std::move(result.keys);
}

void ExecuteKeys(const Request& request, const Environment& environment, Reply* reply) {
  if (request.matches_nothing) {
    reply->kind = Reply::Kind::kKeys;
    return;
  }
  if (!request.key.empty()) return ExecuteRange(request, environment, reply);
  FindKeys({.prefix = request.prefix}, environment, reply);
}

void ExecuteRange(const Request& request, const Environment& environment, Reply* reply) {
  FindKeys({.start = request.key, .end = request.end, .limit = request.limit}, environment, reply);
}

void ExecuteCompact(const Request&, const Environment& environment, Reply* reply) {
  reply->status = environment.store->Compact(CompactionMode::kOnline);
  // No room for new files yet: unlike after a write that found none, writes go on.
  const Code code = reply->status.code();
  if (code == Code::kNoSpace || code == Code::kFileLimit) {
    reply->status = reply->status.As(Code::kIo);
  }
}

void ExecuteClear(const Request& request, const Environment& environment, Reply* reply) {
  environment.host->ClearLater(std::chrono::milliseconds(request.number));
  if (request.number == 0) reply->status = environment.store->Clear();
}

void ExecuteSync(const Request&, const Environment& environment, Reply* reply) {
  reply->status = environment.store->Sync();
}

void ExecuteStats(const Request&, const Environment& environment, Reply* reply) {
  reply->kind = Reply::Kind::kLines;
  reply->lines = environment.host->StatsLines();
}

void ExecutePing(const Request& request, const Environment&, Reply* reply) {
  const bool echoes = !request.words.empty();
  reply->kind = echoes ? Reply::Kind::kBytes : Reply::Kind::kText;
  reply->text = echoes ? request.words[0] : "PONG";
}

void ExecuteVersion(const Request&, const Environment&, Reply* reply) {
  reply->kind = Reply::Kind::kText;
  reply->text = "keystonelight " PACKAGE_VERSION;
}

void ExecuteHelp(const Request&, const Environment&, Reply* reply) {
  reply->kind = Reply::Kind::kLines;
  for (const Command& command : Commands()) {
    if (command.arguments == Command::Arguments::kNotALine) continue;
    std::string line(command.usage);
    line.resize(kHelpColumn, ' ');
    line += command.help;
    reply->lines.push_back(std::move(line));
  }
}

}  // namespace keystone
