"""``rlhub search``: a task's test problems solved with more tokens than one answer takes."""

import json
import sys
from dataclasses import dataclass, field
from typing import Annotated, Any

import torch
import tyro

from rlhub.core.errors import UserError
from rlhub.core.progress import progress, use_plain_lines
from rlhub.core.seeding import generator
from rlhub.core.statistics import bootstrap_interval
from rlhub.hub.options import parse
from rlhub.language.equal_tokens import FROM_A_POOL, afforded, pool
from rlhub.language.model import load_policy
from rlhub.language.scorer import StepScorer, load_scorer
from rlhub.language.search import Found, Search, Strategy, step_judge
from rlhub.language.task import load_task


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """Solve a task's test problems by sampling and judging many solutions; how many are solved, and for how many tokens.

    Attributes:
        model: who solves: alias, hub id, folder or run.
        prm: who judges steps: a run of process-reward; needed by best-of-n, weighted-vote, beam and lookahead.
        task: the problems (docs/training.md).
        search: how to search.
        equal_tokens: also let the strategies that choose among whole solutions find an answer with as many tokens as this one took
            on each problem.
        problems: how many problems of the test split.
        seed: of what is sampled.
        show: how many problems are shown with what was found.
        json: print the result as JSON.
        plain: print progress as lines instead of live bars.
    """

    model: str = "smollm2"
    prm: str = ""
    task: str = "reasoning-gym:chain_sum?think=true&min_terms=2&max_terms=4&min_digits=1&max_digits=2"
    search: Search = field(default_factory=Search)
    equal_tokens: bool = False
    problems: Annotated[int, tyro.conf.arg(metavar="COUNT")] = 50
    seed: int = 0
    show: int = 2
    json: bool = False
    plain: bool = False


def run(arguments: list[str]) -> int:
    """Search, and say what was found."""
    options = parse(SearchOptions, arguments, prog="rlhub search")
    use_plain_lines(options.plain)
    if options.problems < 1:
        raise UserError(f"problems is {options.problems}; there is at least 1")
    search = options.search
    if (search.needs_judge or options.equal_tokens) and not options.prm:
        what = f"the strategy {search.strategy}" if search.needs_judge else "equal_tokens"
        raise UserError(f"{what} needs a judge of steps: give a run of process-reward (--prm)")
    with progress("loading the models"):
        task = load_task(options.task, seed=options.seed)
        policy = load_policy(options.model, learning_rate=0.0)
        judge = step_judge(load_scorer(options.prm, kind=StepScorer, fresh=False), search.worth) if options.prm else None
    examples = list(task.split("test")[: options.problems])
    found: dict[Strategy, list[Found]] = {search.strategy: []}
    with progress("searching", len(examples)) as bar:
        for place, example in enumerate(examples):
            one = search(policy, example, judge=judge, generator=generator(options.seed, "search", place))
            found[search.strategy].append(one)
            if options.equal_tokens and judge is not None:
                draws = generator(options.seed, "pool", place)
                solutions = pool(policy, example, search, judge, tokens=one.tokens, generator=draws)
                for strategy in FROM_A_POOL:
                    if strategy != search.strategy:
                        found.setdefault(strategy, []).append(afforded(solutions, strategy, tokens=one.tokens))
            bar.advance(1)
    solved = {strategy: [float(hit) for hit in task.right(examples, [one.text for one in each])] for strategy, each in found.items()}
    outcomes = {strategy: outcome(solved[strategy], each) for strategy, each in found.items()}
    own, rest = search.strategy, [strategy for strategy in found if strategy != search.strategy]
    if options.json:
        told = {"model": options.model, "task": options.task, "strategy": own, "problems": len(examples), **outcomes[own]}
        told |= {"equal_tokens": {strategy: outcomes[strategy] for strategy in rest}} if rest else {}
        pairs = zip(found[own], solved[own], strict=True)
        told["found"] = [{"text": one.text, "tokens": one.tokens, "solved": bool(right)} for one, right in pairs]
        sys.stdout.write(json.dumps(told) + "\n")
        return 0
    for example, one, right in list(zip(examples, found[own], solved[own], strict=True))[: options.show]:
        asked = example.prompt if isinstance(example.prompt, str) else example.prompt[-1]["content"]
        sys.stdout.write(f"{asked.strip()}\n--- {'solved' if right else 'not solved'}, {one.tokens} tokens:\n{one.text.strip()}\n\n")
    for strategy in [own, *rest]:
        sys.stdout.write(f"{strategy}: {sentence(outcomes[strategy], len(examples))}\n")
    return 0


def outcome(solved: list[float], found: list[Found]) -> dict[str, Any]:
    """The share that is solved, its interval, and what it cost."""
    values = torch.tensor(solved)
    return {
        "solved": float(values.mean()),
        "interval": bootstrap_interval(values, generator=generator(0, "search")) if len(solved) > 1 else None,
        "tokens_a_problem": sum(one.tokens for one in found) / len(found),
    }


def sentence(told: dict[str, Any], problems: int) -> str:
    """The same for a person."""
    within = "" if told["interval"] is None else " (95% interval {:.1%} to {:.1%})".format(*told["interval"])
    return f"{told['solved']:.1%} of {problems} problems solved{within}, {told['tokens_a_problem']:.0f} tokens a problem"
