// The figures of STATS in Prometheus's text format, version 0.0.4:
// https://prometheus.io/docs/instrumenting/exposition_formats/
//
// Names follow its conventions: what only grows ends in _total, times are in seconds. Pure; any
// thread.
#ifndef KEYSTONE_NET_METRICS_H_
#define KEYSTONE_NET_METRICS_H_

#include <string>
#include <string_view>
#include <vector>

namespace keystone {

inline constexpr std::string_view kMetricsContentType = "text/plain; version=0.0.4; charset=utf-8";

// `stats`: what FormatStats returns.
std::string FormatMetrics(const std::vector<std::string>& stats);

}  // namespace keystone

#endif  // KEYSTONE_NET_METRICS_H_
