#include "net/redis_info.h"

#include <algorithm>
#include <string>
#include <vector>

#include "config.h"
#include "net/letter_case.h"
#include "net/session.h"

namespace keystone {

namespace {

// The lines of STATS, by name.
class Figures {
 public:
  explicit Figures(std::vector<std::string> lines) : lines_(std::move(lines)) {}

  std::string_view Get(std::string_view name) const {
    for (const std::string_view line : lines_) {
      const size_t space = line.find(' ');
      if (line.substr(0, space) == name) return line.substr(space + 1);
    }
    return "0";
  }

 private:
  const std::vector<std::string> lines_;
};

class Section {
 public:
  Section(std::string_view title, std::string* out) : out_(out) {
    if (!out->empty()) out->append("\r\n");
    out->append("# ").append(title).append("\r\n");
  }

  Section& Add(std::string_view name, std::string_view value) {
    out_->append(name).append(":").append(value).append("\r\n");
    return *this;
  }

 private:
  std::string* const out_;
};

uint64_t Number(std::string_view text) { return std::stoull(std::string(text)); }

void AddServer(const Figures& figures, std::string* out) {
  Section("Server", out)
      .Add("redis_version", kRedisVersion)
      .Add("keystonelight_version", PACKAGE_VERSION)
      .Add("redis_mode", "standalone")
      .Add("process_id", figures.Get("pid"))
      .Add("uptime_in_seconds", figures.Get("uptime_seconds"));
}

void AddClients(const Figures& figures, std::string* out) {
  Section("Clients", out).Add("connected_clients", figures.Get("connections_current"));
}

void AddMemory(const Figures& figures, std::string* out) {
  Section("Memory", out)
      .Add("used_memory", figures.Get("index_bytes"))
      .Add("maxmemory", "0")
      .Add("maxmemory_policy", "noeviction");
}

void AddPersistence(const Figures& figures, std::string* out) {
  Section("Persistence", out)
      .Add("loading", "0")
      .Add("aof_enabled", "1")
      .Add("aof_rewrite_in_progress", figures.Get("compaction_running"))
      .Add("aof_rewrites", figures.Get("compactions"))
      .Add("aof_last_write_status", figures.Get("read_only") == "0" ? "ok" : "err")
      .Add("aof_current_size", figures.Get("log_bytes"));
}

void AddStats(const Figures& figures, std::string* out) {
  uint64_t commands = 0;
  for (const char* kind : {"commands_get", "commands_set", "commands_delete", "commands_other"}) {
    commands += Number(figures.Get(kind));
  }
  Section("Stats", out)
      .Add("total_connections_received", figures.Get("connections_total"))
      .Add("total_commands_processed", std::to_string(commands))
      .Add("total_net_input_bytes", figures.Get("bytes_read"))
      .Add("total_net_output_bytes", figures.Get("bytes_written"))
      .Add("rejected_connections", figures.Get("connections_rejected"))
      .Add("expired_keys", figures.Get("expired"))
      .Add("evicted_keys", "0")
      .Add("keyspace_hits", figures.Get("get_hits"))
      .Add("keyspace_misses", figures.Get("get_misses"));
}

void AddReplication(const Figures&, std::string* out) {
  Section("Replication", out).Add("role", "master").Add("connected_slaves", "0");
}

void AddKeyspace(const Figures& figures, std::string* out) {
  Section section("Keyspace", out);
  if (figures.Get("keys") == "0") return;
  std::string keys = "keys=";
  keys.append(figures.Get("keys")).append(",expires=").append(figures.Get("keys_expiring"));
  section.Add("db0", keys.append(",avg_ttl=0"));
}

struct Part {
  std::string_view name;
  void (*add)(const Figures& figures, std::string* out);
};

constexpr Part kParts[] = {{"server", AddServer},    {"clients", AddClients},
                           {"memory", AddMemory},    {"persistence", AddPersistence},
                           {"stats", AddStats},      {"replication", AddReplication},
                           {"keyspace", AddKeyspace}};

bool IsWanted(const Part& part, Words words) {
  return words.empty() || std::any_of(words.begin(), words.end(), [&](std::string_view word) {
           for (const std::string_view name :
                {part.name, std::string_view("default"), std::string_view("all"),
                 std::string_view("everything")}) {
             if (EqualsIgnoringCase(word, name)) return true;
           }
           return false;
         });
}

}  // namespace

void ExecuteInfo(const Request& request, const Environment& environment, Reply* reply) {
  reply->kind = Reply::Kind::kBytes;
  const Figures figures(environment.host->StatsLines());
  for (const Part& part : kParts) {
    if (IsWanted(part, request.words)) part.add(figures, &reply->text);
  }
}

}  // namespace keystone
