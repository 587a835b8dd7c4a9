"""What more tokens buy without training: many answers to one question and a choice among them, or a tree of steps that a judge prunes.

Voting and choosing are compared on the same samples, so that for each number of answers they cost the same tokens; a beam's tokens are
counted.
"""

from collections.abc import Sequence
from typing import Any

from rlhub.core.seeding import generator
from rlhub.language.model import Policy
from rlhub.language.rollout import generate
from rlhub.language.scorer import Scorer
from rlhub.language.search import Search, chosen, step_judge
from rlhub.language.task import Example, Task
from rlhub.studies.behaviour import share

TEMPERATURE = 0.8


def searched(
    policy: Policy, judge: Scorer, task: Task, examples: Sequence[Example], *, answers: int, width: int, max_new_tokens: int
) -> dict[str, Any]:
    """Shares of questions answered rightly by each way of spending tokens, as JSON.

    Args:
        policy: who answers.
        judge: a process reward model.
        task: what says which answers are right.
        examples: the questions.
        answers: most answers to one question, a power of 2; 1, 2, 4, ... of them are tried.
        width: continuations of each beam; 0 leaves beams out, which go question by question and so take the longest.
        max_new_tokens: longest answer.

    Returns:
        By strategy a list of points, each with `answers`, `tokens` a question (sampled) and the share `right`. `any` counts a question as
        soon as one answer is right: no choice among these answers can do better. `likeliest` is the greedy answer, one to each question:
        answers that are drawn are right less often, so that one of them is not what training begins from.
    """
    greedy = generate(policy, list(examples), max_new_tokens=max_new_tokens, temperature=0.0)
    likeliest = {
        "answers": 1,
        "tokens": float(greedy.lengths.float().mean()),
        "right": share([int(hit) for hit in task.right(examples, [texts[0] for texts in greedy.texts])]),
    }
    drawn = generate(
        policy,
        list(examples),
        group=answers,
        max_new_tokens=max_new_tokens,
        temperature=TEMPERATURE,
        generator=generator(0, "searched"),
    )
    value = step_judge(judge, "min")
    worths = [value(example, texts, ended) for example, texts, ended in zip(examples, drawn.texts, drawn.ended.tolist(), strict=True)]
    right = [task.right([example] * answers, texts) for example, texts in zip(examples, drawn.texts, strict=True)]
    lengths = drawn.lengths.view(len(examples), answers).float()
    found: dict[str, list[dict[str, Any]]] = {"majority": [], "best-of-n": [], "weighted-vote": [], "any": []}
    count = 1
    while count <= answers:
        cost = {"answers": count, "tokens": float(lengths[:, :count].sum(1).mean())}
        picks = {
            "majority": [chosen(texts[:count], [1.0] * count, vote=True) for texts in drawn.texts],
            "best-of-n": [chosen(texts[:count], worth[:count], vote=False) for texts, worth in zip(drawn.texts, worths, strict=True)],
            "weighted-vote": [chosen(texts[:count], worth[:count], vote=True) for texts, worth in zip(drawn.texts, worths, strict=True)],
        }
        for strategy, texts in picks.items():
            found[strategy].append(cost | {"right": share([int(hit) for hit in task.right(examples, texts)])})
        found["any"].append(cost | {"right": share([int(any(hits[:count])) for hits in right])})
        count *= 2
    told = {"questions": len(examples), "temperature": TEMPERATURE, "strategies": found, "likeliest": likeliest}
    if not width:
        return told
    search = Search(strategy="beam", n=answers, width=width, max_new_tokens=max_new_tokens, temperature=TEMPERATURE)
    beams = [search(policy, example, judge=value, generator=generator(0, "beam", place)) for place, example in enumerate(examples)]
    hits = task.right(examples, [one.text for one in beams])
    tokens = sum(one.tokens for one in beams) / len(beams)
    found["beam"] = [{"answers": answers, "tokens": tokens, "right": share([int(hit) for hit in hits])}]
    return told
