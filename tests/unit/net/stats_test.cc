#include "net/stats.h"

#include <cstdint>
#include <string>
#include <vector>

#include "CppUTest/TestHarness.h"
#include "config.h"

using keystone::Counters;
using keystone::FormatStats;
using keystone::FsyncPolicy;
using keystone::NameOf;
using keystone::Outcome;
using keystone::ServerStats;
using keystone::StoreStats;

namespace {

// Another number for each figure, so that none can stand under another's name.
ServerStats SomeServer() {
  ServerStats server;
  server.pid = 101;
  server.uptime_seconds = 102;
  server.connections = {103, 104, 105};
  server.connections_limit = 106;
  server.threads = 107;
  return server;
}

void CountSome(Counters* counters) {
  counters->commands_get.Add(201);
  counters->commands_set.Add(202);
  counters->commands_delete.Add(203);
  counters->commands_other.Add(204);
  counters->get_hits.Add(205);
  counters->get_misses.Add(206);
  counters->protocol_errors.Add(207);
  counters->bytes_read.Add(208);
  counters->bytes_written.Add(209);
  counters->Of(Outcome::kDeleteHit).Add(210);
  counters->Of(Outcome::kDeleteMiss).Add(211);
  counters->Of(Outcome::kIncrHit).Add(212);
  counters->Of(Outcome::kIncrMiss).Add(213);
  counters->Of(Outcome::kDecrHit).Add(214);
  counters->Of(Outcome::kDecrMiss).Add(215);
  counters->Of(Outcome::kCasHit).Add(216);
  counters->Of(Outcome::kCasMiss).Add(217);
  counters->Of(Outcome::kCasBadValue).Add(218);
  counters->Of(Outcome::kTouchHit).Add(219);
  counters->Of(Outcome::kTouchMiss).Add(220);
  counters->flushes.Add(221);
}

StoreStats SomeStore() {
  StoreStats store;
  store.keys = 301;
  store.segments = 302;
  store.log_bytes = 303;
  store.live_bytes = 304;
  store.stale_bytes = 305;
  store.index_bytes = 306;
  store.fsync_policy = FsyncPolicy::kAlways;
  store.fsyncs = 307;
  store.fsync_last_us = 308;
  store.write_errors = 309;
  store.compactions = 310;
  store.compaction_last_us = 311;
  store.compaction_last_pause_us = 312;
  store.compaction_reclaimed_bytes = 313;
  store.recovery_us = 314;
  store.recovered_records = 315;
  store.recovered_truncated_bytes = 316;
  store.read_only = true;
  store.keys_expiring = 317;
  store.expired = UINT64_MAX;
  return store;
}

}  // namespace

TEST_GROUP(Stats){};

TEST(Stats, EachFigureStandsUnderItsNameInTheOrderThatClientsKnow) {
  Counters counters;
  CountSome(&counters);
  const std::vector<std::string> expected = {
      "pid 101",
      "uptime_seconds 102",
      "version " PACKAGE_VERSION,
      "connections_current 103",
      "connections_total 104",
      "connections_rejected 105",
      "commands_get 201",
      "commands_set 202",
      "commands_delete 203",
      "commands_other 425",
      "get_hits 205",
      "get_misses 206",
      "protocol_errors 207",
      "bytes_read 208",
      "bytes_written 209",
      "keys 301",
      "segments 302",
      "log_bytes 303",
      "live_bytes 304",
      "stale_bytes 305",
      "index_bytes 306",
      "fsync_policy always",
      "fsyncs 307",
      "fsync_last_us 308",
      "write_errors 309",
      "compactions 310",
      "compaction_running 0",
      "compaction_last_us 311",
      "compaction_last_pause_us 312",
      "compaction_reclaimed_bytes 313",
      "recovery_us 314",
      "recovered_records 315",
      "recovered_truncated_bytes 316",
      "read_only 1",
      "keys_expiring 317",
      "expired 18446744073709551615",
      "connections_limit 106",
      "threads 107",
      "memcached_delete_hits 210",
      "memcached_delete_misses 211",
      "memcached_incr_hits 212",
      "memcached_incr_misses 213",
      "memcached_decr_hits 214",
      "memcached_decr_misses 215",
      "memcached_cas_hits 216",
      "memcached_cas_misses 217",
      "memcached_cas_badval 218",
      "memcached_touch_hits 219",
      "memcached_touch_misses 220",
      "memcached_flushes 221",
  };
  const auto lines = FormatStats(SomeServer(), counters, SomeStore());
  for (size_t i = 0; i < expected.size() && i < lines.size(); i++) {
    STRCMP_EQUAL(expected[i].c_str(), lines[i].c_str());
  }
  LONGS_EQUAL(expected.size(), lines.size());
}

TEST(Stats, PoliciesHaveTheNamesOfTheConfiguration) {
  STRCMP_EQUAL("always", std::string(NameOf(FsyncPolicy::kAlways)).c_str());
  STRCMP_EQUAL("everysec", std::string(NameOf(FsyncPolicy::kEverySecond)).c_str());
  STRCMP_EQUAL("no", std::string(NameOf(FsyncPolicy::kNo)).c_str());
}
