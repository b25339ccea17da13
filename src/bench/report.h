// What a benchmark prints: tables for people, JSON for programs. Pure.
#ifndef KEYSTONE_BENCH_REPORT_H_
#define KEYSTONE_BENCH_REPORT_H_

#include <string>

#include "bench/load.h"

namespace keystone {

std::string LoadTable(const LoadOptions& options, const LoadResult& result);
std::string LoadJson(const LoadOptions& options, const LoadResult& result);

}  // namespace keystone

#endif  // KEYSTONE_BENCH_REPORT_H_
