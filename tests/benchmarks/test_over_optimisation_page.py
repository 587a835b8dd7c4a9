"""The page on over-optimisation says what was measured, and its lines come from their seeds."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_the_page_holds_what_was_measured():
    script = "benchmarks/over_optimisation_report.py"
    done = subprocess.run([sys.executable, script, "--check"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_planted_laws_come_out_in_the_table(script):
    report = script("over_optimisation_report")
    kls = [0.25 * step for step in range(40)]

    def seed(start):
        gold = [start + kl**0.5 * (0.4 - 0.1 * kl**0.5) for kl in kls]
        best = {"n": [*range(1, 41)], "kl": kls, "proxy": kls, "gold": gold}
        rl = [{"kl": kl, "proxy": kl, "gold": value} for kl, value in zip(kls[1:], gold[1:], strict=True)]
        return {"setting": {"pairs": [8]}, "proxies": [{"pairs": 8, "accuracy": 0.75, "best_of_n": best, "rl": rl}]}

    seeds = [seed(0.2), seed(0.4)]
    law = report.law(seeds, 0, "best-of-n")
    assert (law.alpha, law.beta) == pytest.approx((0.4, 0.1))
    best, _ = report.rows(seeds)
    assert "| 8 | 75% (75% to 75%) | best of n | 30% | 70% at 2.00 |" in best
    assert "| 0.400, 0.100 | 2 |" in best
