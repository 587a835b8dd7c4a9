"""Long chains of thought against many short ones, on bridge graphs (Mirtaheri et al. 2025, "Let Me Think!", arXiv:2505.21825, Sec. 4).

A transformer of 4 layers, 4 heads and width 128 learns from nothing to answer questions on bridge graphs with one kind of chain of thought.
What it can then do with one long answer, or with many short ones of as many tokens together, depends on that kind alone.
"""

import time
from dataclasses import dataclass

import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rlhub.core.errors import UserError
from rlhub.core.run import Run
from rlhub.core.seeding import derive
from rlhub.core.system import check_fields
from rlhub.language.bridges import check_chain
from rlhub.language.judged import rewards_of
from rlhub.language.model import Policy
from rlhub.language.optimisation import Optimisation
from rlhub.language.rollout import generate
from rlhub.language.sft import answered, imitation
from rlhub.language.task import Task, load_task
from rlhub.language.update import Schedule

LAYERS, HEADS, WIDTH = 4, 4, 128
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
        learning_rate: AdamW's step size.
        test_every: steps between two measurements on questions that were never shown.
        tested: how many questions that takes.
        max_new_tokens: longest answer, in tokens.
    """

    blocks: int = 3
    chain: str = "path"
    steps: int = 4_000
    batch: int = 128
    learning_rate: float = 1e-3
    schedule: Schedule = "cosine"
    warmup: int = 200
    test_every: int = 500
    tested: int = 200
    max_new_tokens: int = 128
    micro_tokens: int = 32_768

    def __post_init__(self) -> None:
        """Refuse what can't be trained with."""
        super().__post_init__()
        check_fields(self, at_least={1: "blocks batch test_every tested max_new_tokens"})
        check_chain(self.chain)
        if self.lora_rank:
            raise UserError("a model that begins from nothing trains all its weights: set lora_rank to 0")

    def train(self, run: Run) -> None:
        """Train in a run."""
        task = load_task(f"bridges:{self.blocks}?chain={self.chain}", seed=run.seed)
        model, tokenizer = new_model(self.blocks, room=self.room, seed=run.seed)
        optimizer = torch.optim.AdamW(model.parameters(), lr=self.learning_rate, weight_decay=self.weight_decay, fused=True)
        policy = Policy(model, tokenizer, optimizer, precision="bf16" if self.precision == "bf16" else "fp32")

        for step in run.resume(self.steps, policy=policy):
            started = time.perf_counter()
            groups = [answered(policy, example) for example in task.sample(self.batch, step=step, seed=run.seed)]
            tokens = sum(len(answer) for group in groups for answer in group.completions)
            metrics = self.change(policy, groups, imitation, step=step, normaliser=float(tokens))
            metrics["entropy"] /= tokens
            seconds = time.perf_counter() - started
            if step % self.test_every == 0 or step == self.steps:
                metrics |= tested(policy, task, count=self.tested, max_new_tokens=self.max_new_tokens)
            run.log(step, **metrics, length=tokens / len(groups), tokens_per_second=tokens / seconds)

    @property
    def room(self) -> int:
        """Tokens of the longest question with its answer."""
        return 2 * 22 * self.blocks + 16 + self.max_new_tokens


def tested(policy: Policy, task: Task, *, count: int, max_new_tokens: int) -> dict[str, float]:
    """Evidence, decision and the walk's length on questions of the test split, answered with the likeliest tokens."""
    examples = task.split("test")[:count]
    drawn = generate(policy, list(examples), max_new_tokens=max_new_tokens, temperature=0.0)
    rewards, measured = rewards_of(task, drawn, step=0, seed=0)
    return {"test_evidence": float(rewards.mean()), **{f"test_{name}": value for name, value in measured.items()}}


def new_model(blocks: int, *, room: int, seed: int) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    """A model with weights drawn at random, and the tokenizer of its questions."""
    tokenizer = make_tokenizer(2 * (10 * blocks + 1))
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=HEADS,
        max_position_embeddings=room,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(seed, "think"))
        return LlamaForCausalLM(config).eval(), tokenizer


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
