"""Tables in Markdown and plots of what was measured."""

import os
import re
import shutil
import subprocess

from measure import load_results, medians, say

# metric: what to call it, whether more is better, or None where it is told without a ratio.
METRICS = {
    "per_second": ("requests a second", True),
    "p50_us": ("median latency, us", None),
    "p99_us": ("99th percentile of latency, us", False),
    "max_us": ("longest latency, us", False),
    "client_cores": ("cores that the client took", None),
    "seconds": ("seconds", False),
    "bytes": ("bytes", False),
    "extra_mib": ("extra memory, MiB", False),
    "took_s": ("seconds that it took", None),
    "here_to_elsewhere": ("99th percentile, as a multiple of that while another is attacked", None),
    "attacks": ("attacks a second", None),
    "p99_growth": ("99th percentile of latency, as a multiple of that before", None),
}
BARS = ("limit", "write+fdatasync", "cp and fsync")  # what shows a limit, not a peer
TITLES = {
    "throughput": "Throughput",
    "resp": "Throughput by RESP, 50 clients",
    "always": "Every write synced before its reply",
    "connect": "Short connections",
    "restart": "Restart",
    "memory": "Memory",
    "compaction": "Compaction",
    "embedded": "Embedded, beside LevelDB",
    "hostile": "Beside hostile clients",
}


def is_ours(server):
    return server.startswith("keystone")


def number(value):
    if value == 0 or abs(value) >= 100:
        return "%.0f" % value
    return "%.3g" % value


def markdown(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|---" + "|--:" * (len(header) - 1) + "|"]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def median_table(table, metric):
    cases = {case: medians(row) for (case, name), row in table.items() if name == metric}
    servers = list(dict.fromkeys(server for row in cases.values() for server in row))
    rows = [[case] + [number(row[s]) if s in row else "" for s in servers]
            for case, row in cases.items()]
    return markdown(["case"] + servers, rows)


def best_peer(row, more_is_better):
    peers = {server: value for server, value in row.items()
             if not is_ours(server) and not server.startswith(BARS)}
    if not peers:
        return None
    return (max if more_is_better else min)(peers, key=peers.get)


def ratio(ours, theirs, more_is_better):
    """Above 1 where we are ahead, whichever way is better."""
    upper, lower = (ours, theirs) if more_is_better else (theirs, ours)
    return "%.2f" % (upper / lower) if lower else "-"


def ratio_table(table, metric, more_is_better):
    """A row for each case and way of ours: how far ahead of each peer, and of the best."""
    cases = {case: medians(row) for (case, name), row in table.items() if name == metric}
    others = list(dict.fromkeys(s for row in cases.values() for s in row if not is_ours(s)))
    rows = []
    for case, row in cases.items():
        best = best_peer(row, more_is_better)
        for server in filter(is_ours, row):
            ahead = [ratio(row[server], row[other], more_is_better) if other in row else ""
                     for other in others]
            ahead.append("%s (%s)" % (ratio(row[server], row[best], more_is_better), best)
                         if best else "")
            rows.append([case, server] + ahead)
    return markdown(["case", "server"] + ["/ " + other for other in others] + ["/ best peer"], rows)


def subject_text(subject, table):
    text = ["## %s\n" % TITLES[subject]]
    runs = max(len(values) for row in table.values() for values in row.values())
    for metric in dict.fromkeys(metric for _, metric in table):
        name, more_is_better = METRICS[metric]
        text.append("Medians of %d, %s:\n" % (runs, name) if runs > 1 else "One run, %s:\n" % name)
        text.append(median_table(table, metric))
        has_peers = any(not is_ours(server) for row in table.values() for server in row)
        if has_peers and more_is_better is not None and metric != "max_us":
            text.append("How many times better (above 1: keystoned is ahead):\n")
            text.append(ratio_table(table, metric, more_is_better))
    return "\n".join(text)


def machine():
    with open("/proc/meminfo", encoding="ascii") as file:
        kib = int(re.search(r"MemTotal:\s+(\d+)", file.read()).group(1))
    return "%d cores, %d GiB of memory; client and server share them.\n" % (
        os.cpu_count(), round(kib / 2**20))


# ---- plots


def plot(output, name, title, labels, curves, logarithmic_y=False):
    """Draws NAME.svg: a curve of (x, y) points for each server."""
    program = ["set terminal svg size 800,500 background 'white'",
               "set output '%s.svg'" % name, "set title '%s'" % title,
               "set xlabel '%s'" % labels[0], "set ylabel '%s'" % labels[1],
               "set key outside right", "set grid", "set logscale x"]
    program.append("set logscale y" if logarithmic_y else "set yrange [0:*]")
    for index, points in enumerate(curves.values()):
        program.append("$curve%d << EOD" % index)
        program += ["%g %g" % point for point in sorted(points)]
        program.append("EOD")
    program.append("plot " + ", ".join(
        "$curve%d with linespoints lw %d title '%s'" % (index, 3 if is_ours(server) else 1, server)
        for index, server in enumerate(curves)))
    subprocess.run(["gnuplot"], input="\n".join(program) + "\n", check=True, cwd=output,
                   universal_newlines=True, timeout=60)


def curves_of(table, metric, pattern):
    """{server: [(x, median)]} of the cases that match; x is the pattern's group."""
    curves = {}
    for (case, name), row in table.items():
        match = re.fullmatch(pattern, case)
        if name == metric and match:
            for server, value in medians(row).items():
                curves.setdefault(server, []).append((float(match.group(1)), value))
    return curves


def draw(output, tables):
    """Draws all plots that there are figures for; their names."""
    wanted = []
    for command in ("GET", "SET"):
        pattern = command + r" (\d+) P1"
        wanted += [
            ("throughput", "per_second", pattern, command.lower() + "-throughput",
             command + ": throughput by clients", ("clients", "requests a second"), False),
            ("throughput", "p99_us", pattern, command.lower() + "-p99",
             command + ": 99th percentile of latency by clients", ("clients", "us"), True)]
    wanted.append(("always", "per_second", r"SET (\d+) P1", "always",
                   "SET, each synced: throughput by clients", ("clients", "requests a second"),
                   True))
    wanted.append(("compaction", "seconds", r"(\d+) MiB live", "compaction-pause",
                   "Stop-the-world compaction: pause by live bytes", ("MiB live", "s"), False))
    drawn = []
    for subject, metric, pattern, name, title, labels, logarithmic_y in wanted:
        curves = curves_of(tables.get(subject, {}), metric, pattern)
        if curves:
            plot(output, name, title, labels, curves, logarithmic_y)
            drawn.append((subject, name))
    return drawn


def write_report(output):
    """OUTPUT/results.md and the plots, from the .tsv files that are there."""
    tables = {}
    for subject in TITLES:
        path = os.path.join(output, subject + ".tsv")
        if os.path.exists(path):
            table = load_results(path)
            if table:
                tables[subject] = table
    plots = []
    if shutil.which("gnuplot"):
        plots = draw(output, tables)
    else:
        say("no plots: gnuplot is not installed")
    parts = [machine()]
    for subject, table in tables.items():
        parts.append(subject_text(subject, table))
        parts += ["![%s](%s.svg)\n" % (name, name) for owner, name in plots if owner == subject]
    with open(os.path.join(output, "results.md"), "w", encoding="utf-8") as file:
        file.write("\n".join(parts))
