// What a benchmark prints: tables for people, JSON for programs. Pure.
#ifndef KEYSTONE_BENCH_REPORT_H_
#define KEYSTONE_BENCH_REPORT_H_

#include <string>
#include <vector>

#include "bench/embedded.h"
#include "bench/load.h"

namespace keystone {

std::string LoadTable(const LoadOptions& options, const LoadResult& result);
std::string LoadJson(const LoadOptions& options, const LoadResult& result);

// The workloads of several engines stand side by side.
std::string EmbeddedTable(const EmbeddedOptions& options, const std::vector<EmbeddedTime>& times);
std::string EmbeddedJson(const EmbeddedOptions& options, const std::vector<EmbeddedTime>& times);

}  // namespace keystone

#endif  // KEYSTONE_BENCH_REPORT_H_
