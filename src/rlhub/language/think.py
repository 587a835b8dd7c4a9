"""Long chains of thought against many short ones, on bridge graphs (Mirtaheri et al. 2025, "Let Me Think!", arXiv:2505.21825, Sec. 4).

A transformer of 4 layers, 4 heads and width 128 learns from nothing to answer questions on bridge graphs with one kind of chain of thought.
What it can then do with one long answer, or with many short ones of as many tokens together, depends on that kind alone.

The paper trains on half a million questions for many epochs. Most of that goes into finding how to read a list of edges: on which neighbour
of a token to look, and which of two neighbours is a node's partner. Two beginnings and a few lessons (`reading_lessons`) spare it. The
heads of the first layer begin by looking one, one, two and no places back (Olsson et al. 2022, arXiv:2209.11895, found that models come to
this by themselves, late and suddenly); and positions are turned by pi a place, so that the fastest angle tells odd places from even ones.
"""

import math
import time
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rlhub.core.errors import UserError
from rlhub.core.run import Run
from rlhub.core.seeding import derive
from rlhub.core.system import check_fields
from rlhub.language.bridges import Question, check_chain, node_count, think
from rlhub.language.judged import rewards_of
from rlhub.language.logprobs import Scored
from rlhub.language.model import Policy, encode, encode_completion, settled
from rlhub.language.optimisation import Optimisation
from rlhub.language.reading_lessons import Curriculum, Lesson
from rlhub.language.rollout import generate
from rlhub.language.rows import Group, completion_mask
from rlhub.language.sft import answered, imitation, response
from rlhub.language.task import Example, Task, load_task
from rlhub.language.update import Schedule, Terms

LAYERS, HEADS, WIDTH = 4, 4, 128
LOOKS_BACK = (1, 1, 2, 0)
PAD, START, END, UNKNOWN = "PAD", "BOS", "EOS", "UNK"
WORDS = ("graph", "task", "work", "decision", "to", "or", ":", "[", "]", "/")


@dataclass(frozen=True, kw_only=True)
class Think(Optimisation):
    """A small transformer that learns to find its way, from questions answered with one kind of chain of thought.

    Attributes:
        blocks: how many blocks the graphs have (d).
        chain: the kind of chain of thought: shortest, path, dfs, dfs-pruned or walk-L.
        steps: optimisation steps.
        batch: questions in one step.
        answers: chains of thought that are shown of each question, drawn at random; all the same ones count once.
        lessons: steps of lessons in reading edges that come before; 0 leaves them out.
        learning_rate: AdamW's step size.
        test_every: steps between two measurements on questions that were never shown.
        tested: how many questions that takes.
        max_new_tokens: longest answer, in tokens.
    """

    blocks: int = 3
    chain: str = "path"
    steps: int = 1_000
    batch: int = 32
    answers: int = 4
    lessons: int = 900
    learning_rate: float = 1e-3
    schedule: Schedule = "cosine"
    warmup: int = 50
    test_every: int = 250
    tested: int = 200
    max_new_tokens: int = 128
    micro_tokens: int = 32_768

    def __post_init__(self) -> None:
        """Refuse what can't be trained with."""
        super().__post_init__()
        check_fields(self, at_least={1: "blocks batch answers test_every tested max_new_tokens", 0: "lessons"})
        check_chain(self.chain)
        if self.lora_rank:
            raise UserError("a model that begins from nothing trains all its weights: set lora_rank to 0")

    @property
    def all_steps(self) -> int:
        """Lessons and optimisation steps."""
        return self.lessons + self.steps

    def train(self, run: Run) -> None:
        """Train in a run."""
        task = load_task(f"bridges:{self.blocks}?chain={self.chain}", seed=run.seed)
        model, tokenizer = new_model(self.blocks, room=self.room, seed=run.seed)
        optimizer = torch.optim.AdamW(model.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay, fused=True)
        policy = Policy(model, tokenizer, optimizer, precision=settled("bf16" if self.precision == "bf16" else "fp32", model))

        curriculum = Curriculum(self.blocks, names=node_count(self.blocks), longest=self.max_new_tokens)

        for passed in run.resume(self.all_steps, policy=policy, curriculum=curriculum):
            started, step = time.perf_counter(), passed - self.lessons
            if step < 1:
                run.log(passed, **self.teach(policy, curriculum, passed, seed=run.seed))
                continue
            groups = [self.shown(policy, example) for example in task.sample(self.batch, step=step, seed=run.seed)]
            tokens = sum(len(answer) for group in groups for answer in group.completions)
            metrics = self.change(policy, groups, imitation, step=step, normaliser=float(tokens))
            metrics["entropy"] /= tokens
            seconds = time.perf_counter() - started
            if step % self.test_every == 0 or step == self.steps:
                metrics |= tested(policy, task, count=self.tested, max_new_tokens=self.max_new_tokens)
            run.log(passed, **metrics, length=tokens / sum(len(group.completions) for group in groups), tokens_per_second=tokens / seconds)

    def shown(self, policy: Policy, example: Example) -> Group:
        """A question with some of its chains of thought, which are computed after it without computing it again."""
        asked, columns = answered(policy, example), example.columns
        target, other = columns["target"], columns["other"]
        # Only the prompt, which is there already, depends on the targets' order.
        question = Question(columns["edges"], columns["start"], target, other, (target, other))
        draw = np.random.default_rng(derive(0, "chains", str(example.prompt)))
        texts = dict.fromkeys(question.answer(think(question, self.chain, draw)) for _ in range(self.answers - 1))
        others = [response(policy, text, to=example.prompt) for text in texts if text != example.answer]
        return replace(asked, completions=[*asked.completions, *others])

    def teach(self, policy: Policy, curriculum: Curriculum, step: int, *, seed: int) -> dict[str, float]:
        """One step of lessons."""
        draws = [np.random.default_rng(derive(seed, "lessons", step, place)) for place in range(self.batch)]
        drawn = [curriculum.lesson(draw) for draw in draws]
        groups = [as_group(policy, each) for each in drawn]
        counted = completion_mask(torch.tensor([len(each.said) for each in drawn]))
        counted[counted.clone()] = torch.tensor([known for each in drawn for known in each.counted])
        total = float(counted.sum())
        lessons = replace(self, steps=self.lessons, schedule="constant")
        metrics = lessons.change(policy, groups, recital, step=step, normaliser=total, columns={"counted": counted})
        curriculum.observe(metrics["loss"])
        return metrics | {"entropy": metrics["entropy"] / total, "mastered": float(curriculum.mastered)}

    @property
    def room(self) -> int:
        """Tokens of the longest question with its answer, or of the longest lesson."""
        return 2 * 22 * self.blocks + 16 + max(self.max_new_tokens, node_count(self.blocks))


def recital(scored: Scored, *, counted: Bool[Tensor, "completions tokens"]) -> Terms:
    """The negative log-likelihood of the tokens that count."""
    return Terms(loss=-(scored.logprobs * counted).sum(), sums={"entropy": (scored.entropy * counted).sum()})


def tested(policy: Policy, task: Task, *, count: int, max_new_tokens: int) -> dict[str, float]:
    """Evidence, decision and the walk's length on questions of the test split, answered with the likeliest tokens."""
    examples = task.split("test")[:count]
    drawn = generate(policy, list(examples), max_new_tokens=max_new_tokens, temperature=0.0)
    rewards, measured = rewards_of(task, drawn, step=0, seed=0)
    return {"test_evidence": float(rewards.mean()), **{f"test_{name}": value for name, value in measured.items()}}


def new_model(blocks: int, *, room: int, seed: int) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """A model with weights drawn at random, and the tokenizer of its questions."""
    tokenizer = make_tokenizer(node_count(blocks))
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=room,
        attention_bias=True,
        rope_parameters=half_turns(room),
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "think"))
        model = LlamaForCausalLM(config).eval()
    for head, places in enumerate(LOOKS_BACK):
        look_back(model, head, places)
    return model, tokenizer


def half_turns(room: int) -> dict[str, Any]:
    """Rotary positions whose fastest angle is pi a place: transformers' longrope, whose factors divide each frequency."""
    factors = [1 / math.pi] * (WIDTH // HEADS // 2)
    kept = {"factor": 1.0, "attention_factor": 1.0, "original_max_position_embeddings": room}
    return {"rope_type": "longrope", "rope_theta": 1e6, "short_factor": factors, "long_factor": factors, **kept}


@torch.no_grad()
def look_back(model: LlamaForCausalLM, head: int, places: int, *, strength: float = 2.0) -> None:
    """Let a head of the first layer begin by attending so many places back.

    Rotary positions turn a query at place i and a key at j by i w and j w for each frequency w. With the biases q = s (1, 0) and
    k = s (cos w n, sin w n) in each plane, their product is s^2 sum over w of cos w (i - j - n), which is largest n places back.
    """
    attention: Any = model.model.layers[0].self_attn
    angles = places * model.model.rotary_emb.inv_freq
    width = 2 * len(angles)
    part = slice(head * width, (head + 1) * width)
    attention.q_proj.bias[part] = strength * torch.cat([torch.ones_like(angles), torch.zeros_like(angles)])
    attention.k_proj.bias[part] = strength * torch.cat([angles.cos(), angles.sin()])


def as_group(policy: Policy, taught: Lesson) -> Group:
    """A lesson's tokens."""
    said = encode_completion(policy.tokenizer, " ".join(map(str, taught.said)))
    return Group(prompt=encode(policy.tokenizer, taught.prompt), completions=[said])


def make_tokenizer(names: int) -> PreTrainedTokenizerFast:
    """One token for each node's name, word and sign; a prompt begins with the start token."""
    from tokenizers.processors import TemplateProcessing

    vocabulary = [*(str(name) for name in range(names)), *WORDS, PAD, START, END, UNKNOWN]
    tokenizer = Tokenizer(models.WordLevel({word: index for index, word in enumerate(vocabulary)}, unk_token=UNKNOWN))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[A-Za-z]+|\d+|\S"), behavior="removed", invert=True)
    tokenizer.post_processor = TemplateProcessing(single=f"{START} $A", special_tokens=[(START, vocabulary.index(START))])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=START,
        eos_token=END,
        unk_token=UNKNOWN,
        clean_up_tokenization_spaces=False,
    )
