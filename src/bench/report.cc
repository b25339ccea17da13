#include "bench/report.h"

#include <cstdarg>
#include <cstdio>

namespace keystone {

namespace {

void Append(std::string* out, const char* format, ...) __attribute__((format(printf, 2, 3)));

void Append(std::string* out, const char* format, ...) {
  char line[512];
  va_list arguments;
  va_start(arguments, format);
  (void)std::vsnprintf(line, sizeof line, format, arguments);
  va_end(arguments);
  out->append(line);
}

const char* Name(BenchProtocol protocol) {
  switch (protocol) {
    case BenchProtocol::kLine:
      return "line";
    case BenchProtocol::kResp:
      return "resp";
    case BenchProtocol::kMemcached:
      return "memcached";
  }
  return "";
}

unsigned long long Number(uint64_t number) { return number; }

double PerSecond(uint64_t count, double seconds) {
  return seconds > 0 ? static_cast<double>(count) / seconds : 0;
}

double Us(uint64_t ns) { return static_cast<double>(ns) / 1e3; }

void AppendRow(const char* name, const Histogram& latency, double seconds, std::string* out) {
  if (latency.count() == 0) return;
  Append(out, "%-4s %12llu %12.0f %10.1f %10.1f %10.1f %10.1f\n", name, Number(latency.count()),
         PerSecond(latency.count(), seconds), Us(latency.Percentile(0.5)),
         Us(latency.Percentile(0.99)), Us(latency.Percentile(0.999)), Us(latency.max_ns()));
}

void AppendObject(const char* name, const Histogram& latency, double seconds, std::string* out) {
  Append(out,
         "\"%s\":{\"requests\":%llu,\"per_second\":%.1f,\"p50_us\":%.1f,\"p99_us\":%.1f,"
         "\"p999_us\":%.1f,\"max_us\":%.1f},",
         name, Number(latency.count()), PerSecond(latency.count(), seconds),
         Us(latency.Percentile(0.5)), Us(latency.Percentile(0.99)), Us(latency.Percentile(0.999)),
         Us(latency.max_ns()));
}

Histogram All(const LoadResult& result) {
  Histogram all = result.set;
  all.Merge(result.get);
  return all;
}

// The times of one workload, in the order of the engines.
std::vector<EmbeddedTime> TimesOf(const std::string& workload,
                                  const std::vector<EmbeddedTime>& times) {
  std::vector<EmbeddedTime> found;
  for (const EmbeddedTime& time : times) {
    if (time.workload == workload) found.push_back(time);
  }
  return found;
}

// Each workload once: those of the first engine.
std::vector<std::string> Workloads(const std::vector<EmbeddedTime>& times) {
  std::vector<std::string> workloads;
  for (const EmbeddedTime& time : times) {
    if (time.engine == times.front().engine) workloads.push_back(time.workload);
  }
  return workloads;
}

}  // namespace

std::string LoadTable(const LoadOptions& options, const LoadResult& result) {
  std::string out;
  Append(&out,
         "%s protocol, %zu clients, pipeline %zu%s, SET:GET %llu:%llu, %llu keys, "
         "values of %zu bytes\n\n",
         Name(options.protocol), options.clients, options.pipeline,
         options.reconnect ? ", a connection a batch" : "", Number(options.sets),
         Number(options.gets), Number(options.keys), options.value_size_bytes);
  Append(&out, "%-4s %12s %12s %10s %10s %10s %10s\n", "", "requests", "per second", "p50 us",
         "p99 us", "p99.9 us", "max us");
  AppendRow("SET", result.set, result.seconds, &out);
  AppendRow("GET", result.get, result.seconds, &out);
  AppendRow("all", All(result), result.seconds, &out);
  Append(&out, "\n%.2f s; the client took %.2f of a core\n", result.seconds, result.client_cores);
  Append(&out, "%llu keys found, %llu not found", Number(result.found), Number(result.not_found));
  if (options.verify) Append(&out, ", %llu wrong", Number(result.wrong));
  Append(&out, "; %llu errors\n", Number(result.errors));
  return out;
}

std::string LoadJson(const LoadOptions& options, const LoadResult& result) {
  std::string out;
  Append(&out,
         "{\"protocol\":\"%s\",\"clients\":%zu,\"pipeline\":%zu,\"reconnect\":%s,\"sets\":%llu,"
         "\"gets\":%llu,\"keys\":%llu,\"value_size\":%zu,\"seconds\":%.3f,\"client_cores\":%.3f,",
         Name(options.protocol), options.clients, options.pipeline,
         options.reconnect ? "true" : "false", Number(options.sets), Number(options.gets),
         Number(options.keys), options.value_size_bytes, result.seconds, result.client_cores);
  AppendObject("all", All(result), result.seconds, &out);
  AppendObject("set", result.set, result.seconds, &out);
  AppendObject("get", result.get, result.seconds, &out);
  Append(&out, "\"found\":%llu,\"not_found\":%llu,\"wrong\":%llu,\"errors\":%llu}\n",
         Number(result.found), Number(result.not_found), Number(result.wrong),
         Number(result.errors));
  return out;
}

std::string EmbeddedTable(const EmbeddedOptions& options, const std::vector<EmbeddedTime>& times) {
  std::string out;
  Append(&out, "in this process, %llu keys of %zu bytes, values of %zu bytes, no sync\n\n%-10s",
         Number(options.keys), kBenchKeySize, options.value_size_bytes, "");
  for (const EngineKind engine : options.engines) {
    Append(&out, " %9s us/op   per second", EngineName(engine));
  }
  Append(&out, options.engines.size() > 1 ? "      ratio\n" : "\n");
  for (const std::string& workload : Workloads(times)) {
    Append(&out, "%-10s", workload.c_str());
    const std::vector<EmbeddedTime> found = TimesOf(workload, times);
    for (const EmbeddedTime& time : found) {
      Append(&out, " %15.3f %12.0f", time.seconds * 1e6 / static_cast<double>(options.keys),
             PerSecond(options.keys, time.seconds));
    }
    if (found.size() > 1) Append(&out, " %10.2f", found[1].seconds / found[0].seconds);
    out.append("\n");
  }
  return out;
}

std::string EmbeddedJson(const EmbeddedOptions& options, const std::vector<EmbeddedTime>& times) {
  std::string out;
  Append(&out, "{\"keys\":%llu,\"value_size\":%zu,\"workloads\":{", Number(options.keys),
         options.value_size_bytes);
  const char* comma = "";
  for (const std::string& workload : Workloads(times)) {
    Append(&out, "%s\"%s\":{", comma, workload.c_str());
    const char* inner_comma = "";
    for (const EmbeddedTime& time : TimesOf(workload, times)) {
      Append(&out, "%s\"%s\":{\"us_per_op\":%.4f,\"per_second\":%.1f}", inner_comma,
             EngineName(time.engine), time.seconds * 1e6 / static_cast<double>(options.keys),
             PerSecond(options.keys, time.seconds));
      inner_comma = ",";
    }
    out.append("}");
    comma = ",";
  }
  out.append("}}\n");
  return out;
}

}  // namespace keystone
