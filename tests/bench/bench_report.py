# SPDX-License-Identifier: Apache-2.0
"""What the rounds of tests/bench/channel say: medians, ratios, verdicts.

Ratios are taken within a round, where both runs were a few seconds apart, so
that what slows the machine for minutes cancels out.

The interval of a median is one of order statistics: with n independent rounds
the true median lies below the k-th smallest of them with the probability that
a fair coin shows heads fewer than k times in n throws, whatever the
distribution (Conover, Practical Nonparametric Statistics, 3rd ed., section
3.2; Le Boudec, Performance Evaluation of Computer and Communication Systems,
theorem 2.1). The narrowest interval from the k-th smallest to the k-th largest
is taken that covers 95 %. Six rounds are the least for which there is one; for
fewer it is the whole range, and what that covers is said with it.
"""

import math
import statistics

LEVEL = 0.95
VALUES = ("iops", "mean_us", "p99_us", "cpu_us_per_io")
# Which systems are compared with which; and what must be reached: system,
# compared with, bs, depths, the least ratio.
RATIOS = (("torus", "ublk"), ("torus", "nbd"), ("torus", "null_blk"), ("torus-messages", "ublk"))
BARS = (("torus", "ublk", "4k", (1, 32, 128), 1.0), ("torus", "ublk", "128k", (8,), 0.9),
        ("torus", "nbd", "4k", (32,), 3.0))


def coverage(count, k):
    """How probably the true median is in [k-th smallest, k-th largest]."""
    return 1 - 2 * sum(math.comb(count, i) for i in range(k)) / 2 ** count


def interval(values):
    """(low, high) of the median."""
    count = len(values)
    k = 1
    while 2 * (k + 1) <= count + 1 and coverage(count, k + 1) >= LEVEL:
        k += 1
    ordered = sorted(values)
    return ordered[k - 1], ordered[count - k]


def interval_words(count):
    if coverage(count, 1) >= LEVEL:
        return "95 % intervals (order statistics)"
    return (f"the range over {count} rounds, which covers the median with {coverage(count, 1):.0%} only; "
            "95 % needs --rounds 6")


def runs_of(runs, cell, system):
    """{round: run}."""
    return {run["round"]: run for run in runs if run["cell"] == cell and run["system"] == system}


def ratios(runs, cell, one, other):
    """IOPS of one system by those of another, for each round that has both."""
    ours, theirs = runs_of(runs, cell, one), runs_of(runs, cell, other)
    return [ours[number]["iops"] / theirs[number]["iops"] for number in sorted(ours.keys() & theirs.keys())]


def rows(runs, cells, systems):
    """What channel.json holds: one object per cell and system."""
    result = []
    for cell in cells:
        for system in systems:
            rounds = list(runs_of(runs, cell.name, system).values())
            if rounds:
                row = {"system": system, "rw": cell.rw, "bs": cell.bs, "depth": cell.depth, "jobs": cell.jobs}
                row.update({value: round(statistics.median(run[value] for run in rounds), 2) for value in VALUES})
                row["rounds"] = len(rounds)
                result.append(row)
    return result


def ratio_text(values):
    if not values:
        return ""
    low, high = interval(values)
    return f"{statistics.median(values):.2f} [{low:.2f}, {high:.2f}]"


def print_table(runs, cells, systems):
    others = [other for other in ("ublk", "nbd", "null_blk") if other in systems]
    print(f"{'':18} {'':15} {'IOPS':>9} {'mean us':>9} {'p99 us':>9} {'CPU us/IO':>10}  "
          + "".join(f"{'IOPS / ' + other:21}" for other in others))
    for cell in cells:
        for number, row in enumerate(rows(runs, [cell], systems)):
            compared = [ratio_text(ratios(runs, cell.name, row["system"], other))
                        if (row["system"], other) in RATIOS else "" for other in others]
            label = "" if number else cell.name
            print((f"{label:18} {row['system']:15} {row['iops']:9.0f} {row['mean_us']:9.0f} {row['p99_us']:9.0f} "
                   f"{row['cpu_us_per_io']:10.1f}  " + "".join(f"{text:21}" for text in compared)).rstrip())


def verdicts(runs, cells):
    """(bar, cell, ratios, reached) of each bar that was measured."""
    for one, other, bs, depths, least in BARS:
        for cell in cells:
            values = ratios(runs, cell.name, one, other)
            if cell.bs == bs and cell.depth in depths and values:
                yield f"{one} / {other} >= {least}", cell, values, interval(values)[1] >= least


def print_verdicts(runs, cells):
    found = list(verdicts(runs, cells))
    for bar, cell, values, reached in found:
        print(f"{cell.name:18} {bar:22} {ratio_text(values):22} {'reached' if reached else 'NOT reached'}")
    if found:
        print(f"{sum(reached for *_, reached in found)} of {len(found)} bars reached")
