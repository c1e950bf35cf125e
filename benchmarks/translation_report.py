"""What the windows of `translation.py` come to, as a table, and on which machine."""

import os
import pathlib
import platform
import statistics
import time

OURS = "seqkeras"


def summary(answers):
    """Returns, for each contestant, median and range, and how many times as fast seqkeras is.

    The ratio is that of the medians; its range is that of the windows taken side by side.
    """
    rates = {name: [answer["rate"] for answer in list_] for name, list_ in answers.items()}
    medians = {name: statistics.median(values) for name, values in rates.items()}
    found = {}
    for name, values in rates.items():
        ratios = [ours / theirs for ours, theirs in zip(rates[OURS], values, strict=True)]
        found[name] = {
            "median": medians[name],
            "range": [min(values), max(values)],
            "ratio": medians[OURS] / medians[name],
            "ratio_range": [min(ratios), max(ratios)],
        }
    return found


def table(results):
    """Returns the results as a Markdown table."""
    lines = [
        "| measure | against | seqkeras, median (range) | theirs, median (range) | ratio (range) |",
        "| --- | --- | --- | --- | --- |",
    ]
    for measure, result in results.items():
        found = result["summary"]
        rates = {
            name: f"{s['median']:,.1f} ({s['range'][0]:,.1f}-{s['range'][1]:,.1f})"
            for name, s in found.items()
        }
        for name, s in found.items():
            if name != OURS:
                low, high = s["ratio_range"]
                ratio = f"{s['ratio']:.2f} ({low:.2f}-{high:.2f})"
                lines.append(f"| {measure} | {name} | {rates[OURS]} | {rates[name]} | {ratio} |")
    return "\n".join(lines)


def machine():
    """Returns what the numbers depend on besides the code."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
        "time": time.strftime("%Y-%m-%d %H:%M:%S"),
    }


def processor():
    """Returns the processor's name."""
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()
