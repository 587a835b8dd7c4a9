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


def seed(start, alpha, beta):
    """One whose gold reward follows best-of-n's law, however it is pushed."""
    kls = [0.25 * step for step in range(40)]
    gold = [start + kl**0.5 * (alpha - beta * kl**0.5) for kl in kls]
    best = {"n": [*range(1, 41)], "kl": kls, "proxy": kls, "gold": gold}
    rl = [{"kl": kl, "proxy": kl, "gold": value} for kl, value in zip(kls[1:], gold[1:], strict=True)]
    return {"setting": {"pairs": [8]}, "proxies": [{"pairs": 8, "accuracy": 0.75, "best_of_n": best, "rl": rl}]}


def test_planted_laws_come_out_in_the_table(script):
    report = script("over_optimisation_report")
    seeds = [seed(0.2, 0.4, 0.1), seed(0.4, 0.4, 0.1)]
    law = report.law(seeds, 0, "best-of-n")
    assert (law.alpha, law.beta) == pytest.approx((0.4, 0.1))
    best, _ = report.rows(seeds)
    assert "| 8 | 75% (75% to 75%) | best of n | 30% | 70% at 2.00 |" in best
    assert "| 0.400, 0.100 | 2 |" in best


@pytest.mark.parametrize(
    ("alpha", "beta", "course"), [(0.4, -0.1, "never falls"), (-0.1, 0.1, "falls from the start"), (-0.4, -0.01, "falls from the start")]
)
def test_a_law_without_a_peak_says_which_way_it_goes(script, alpha, beta, course):
    report = script("over_optimisation_report")
    best, _ = report.rows([seed(0.5, alpha, beta)])
    assert best.endswith(f"| {course} |")


def test_the_preface_says_what_the_laws_say(script):
    report = script("over_optimisation_report")
    rises, falls = (report.Law(push="best-of-n", alpha=alpha, beta=0.1) for alpha in (0.4, -0.4))
    assert report.courses([rises, rises, falls]) == "first rises and then falls in 2 and falls from the start in 1 of 3 cases"
    assert report.courses([falls, falls]) == "falls from the start in every case"
