"""``rlhub search``: a task's test problems solved with more tokens than one answer takes."""

import json
import sys
from dataclasses import dataclass, field
from typing import Annotated, Any

import tyro

from rlhub.core.errors import UserError
from rlhub.core.progress import progress, use_plain_lines
from rlhub.hub.options import parse
from rlhub.language.search import Search


@dataclass(frozen=True, kw_only=True)
class SearchOptions:
    """Solve a task's test problems by sampling and judging many solutions; how many are solved, and for how many tokens.

    Attributes:
        model: who solves: alias, hub id, folder or run.
        prm: who judges steps: a run of process-reward; needed by best-of-n, weighted-vote, beam and lookahead.
        task: the problems (docs/training.md).
        search: how to search.
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
    if search.needs_judge and not options.prm:
        raise UserError(f"the strategy {search.strategy} needs a judge of steps: give a run of process-reward (--prm)")
    with progress("loading the models"):
        from rlhub.core.seeding import generator
        from rlhub.core.statistics import bootstrap_interval
        from rlhub.language.model import load_policy
        from rlhub.language.scorer import StepScorer, load_scorer
        from rlhub.language.search import step_judge
        from rlhub.language.task import load_task

        task = load_task(options.task, seed=options.seed)
        policy = load_policy(options.model, learning_rate=0.0)
        judge = step_judge(load_scorer(options.prm, kind=StepScorer, fresh=False), search.worth) if options.prm else None
    examples = list(task.split("test")[: options.problems])
    found = []
    with progress("searching", len(examples)) as bar:
        for place, example in enumerate(examples):
            found.append(search(policy, example, judge=judge, generator=generator(options.seed, "search", place)))
            bar.advance(1)
    import torch

    solved = torch.tensor(task.right(examples, [one.text for one in found])).float()
    interval = bootstrap_interval(solved, generator=generator(0, "search")) if len(solved) > 1 else None
    told: dict[str, Any] = {
        "model": options.model,
        "task": options.task,
        "strategy": search.strategy,
        "problems": len(examples),
        "solved": float(solved.mean()),
        "interval": interval,
        "tokens_a_problem": sum(one.tokens for one in found) / len(found),
    }
    if options.json:
        told["found"] = [{"text": one.text, "tokens": one.tokens, "solved": bool(right)} for one, right in zip(found, solved, strict=True)]
        sys.stdout.write(json.dumps(told) + "\n")
        return 0
    for example, one, right in list(zip(examples, found, solved.tolist(), strict=True))[: options.show]:
        asked = example.prompt if isinstance(example.prompt, str) else example.prompt[-1]["content"]
        sys.stdout.write(f"{asked.strip()}\n--- {'solved' if right else 'not solved'}, {one.tokens} tokens:\n{one.text.strip()}\n\n")
    within = "" if interval is None else " (95% interval {:.1%} to {:.1%})".format(*interval)
    cost = f"{told['tokens_a_problem']:.0f} tokens a problem"
    sys.stdout.write(f"{search.strategy}: {told['solved']:.1%} of {len(examples)} problems solved{within}, {cost}\n")
    return 0
