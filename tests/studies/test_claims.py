"""Verdicts follow from numbers by the rule, whatever the words around them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rlhub.studies.claims import CLAIMS, Evidence, Rule, joined_interval, judge, seed_interval

ABOVE_ZERO = Rule(low=0.0, null="needed both ways")
QUIET = (-0.01, 0.0, 0.01)


def evidence(value, interval, *, seeds=3, null=QUIET):
    return Evidence(value=value, interval=interval, seeds=seeds, null=null, null_kind="seed against seed")


def test_an_interval_beyond_the_threshold_and_its_null_agrees():
    assert judge(ABOVE_ZERO, evidence(0.5, (0.4, 0.6))).verdict == "agrees"


def test_an_interval_on_the_other_side_disagrees():
    assert judge(ABOVE_ZERO, evidence(-0.5, (-0.6, -0.4))).verdict == "disagrees"


@pytest.mark.parametrize(
    ("given_evidence", "why"),
    [
        (evidence(0.5, (0.4, 0.6), seeds=1), "1 seed, and the rule needs 3"),
        (evidence(0.5, (0.4, 0.6), seeds=2), "2 seeds, and the rule needs 3"),
        (evidence(0.5, None), "no interval"),
        (evidence(0.5, (math.nan, 0.6)), "no interval"),
        (evidence(0.5, (0.4, 0.6), null=()), "0 null values"),
        (evidence(0.5, (0.4, 0.6), null=(0.0, math.nan)), "1 null values"),
        (evidence(0.5, (-0.1, 1.1)), "holds both"),
        (evidence(0.02, (0.01, 0.03)), "reaches into its null's"),
        (evidence(-0.02, (-0.03, -0.01)), "reaches into its null's"),
    ],
)
def test_whatever_is_missing_or_unclear_cannot_be_told(given_evidence, why):
    judgement = judge(ABOVE_ZERO, given_evidence)
    assert judgement.verdict == "can't tell at this scale"
    assert why in judgement.reason


def test_what_had_nothing_to_measure_cannot_be_told_whatever_its_number():
    nothing = Evidence(value=0.9, interval=(0.8, 0.95), seeds=3, null=QUIET, missing="nothing was forgotten")
    judgement = judge(ABOVE_ZERO, nothing)
    assert (judgement.verdict, judgement.reason) == ("can't tell at this scale", "nothing was forgotten")


def test_a_range_holds_inside_and_fails_outside_on_either_side():
    rule = Rule(low=0.05, high=0.3)
    for value, told in ((0.1, "agrees"), (0.9, "disagrees"), (0.01, "disagrees"), (0.3, "can't tell at this scale")):
        assert judge(rule, evidence(value, (value - 0.005, value + 0.005), null=())).verdict == told


def test_a_null_that_is_needed_to_agree_is_not_needed_to_disagree():
    rule = Rule(low=0.71, null="needed")
    assert judge(rule, evidence(0.9, (0.8, 0.95), null=(0.8, 0.9, 0.95))).verdict == "can't tell at this scale"
    assert judge(rule, evidence(0.1, (0.0, 0.2), null=(0.1, 0.1, 0.2))).verdict == "disagrees"


def test_without_a_rule_nothing_was_tested_and_without_a_number_nothing_can_be_told():
    assert judge(None, evidence(0.5, (0.4, 0.6))).verdict == "not tested"
    assert judge(ABOVE_ZERO, None).verdict == "can't tell at this scale"
    assert judge(ABOVE_ZERO, evidence(math.nan, None)).verdict == "can't tell at this scale"


@given(st.floats(-1, 1), st.floats(0, 0.5), st.integers(0, 5))
def test_a_claim_and_its_opposite_never_both_hold(value, reach, seeds):
    given_evidence = evidence(value, (value - reach, value + reach), seeds=seeds)
    told = judge(ABOVE_ZERO, given_evidence).verdict, judge(Rule(high=0.0, null="needed both ways"), given_evidence).verdict
    assert told in {("agrees", "disagrees"), ("disagrees", "agrees"), ("can't tell at this scale",) * 2}


def test_the_interval_over_seeds_is_students():
    low, high = seed_interval([1.0, 2.0, 3.0])
    assert (low + high) / 2 == pytest.approx(2.0)
    assert high - 2.0 == pytest.approx(4.303 / 3**0.5, rel=1e-3)
    assert seed_interval([1.0]) is None
    assert seed_interval([1.0, math.nan]) is None


def test_seeds_that_agree_are_no_surer_than_the_questions_they_share():
    same = [{"value": 0.5, "interval": (0.4, 0.6)}] * 3
    assert joined_interval(same) == pytest.approx((0.4, 0.6))
    seeds = [{"value": value, "interval": (value - 0.1, value + 0.1)} for value in (0.4, 0.5, 0.6)]
    reach = math.hypot(4.303 * 0.1 / 3**0.5, 0.1)
    assert joined_interval(seeds) == pytest.approx((0.5 - reach, 0.5 + reach), rel=1e-3)
    assert joined_interval([{"value": 0.5}, {"value": 0.7}]) == seed_interval([0.5, 0.7])
    assert joined_interval(same[:1]) == (0.4, 0.6)
    assert joined_interval([{"value": 0.5}]) is None


def test_every_claim_has_a_key_of_its_own_and_says_what_was_measured():
    assert len({claim.key for claim in CLAIMS}) == len(CLAIMS)
    assert all(claim.text and claim.source and claim.measured for claim in CLAIMS)
    assert all("needs 3 seeds" in claim.rule.words for claim in CLAIMS if claim.rule)
