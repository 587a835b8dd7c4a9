"""A language model small enough for tests: it has read the facts in a corpus that is right about half of them.

Each relation's facts fall into halves by a hash of their subject. The corpus states a fact of the first half mostly right; one of the
second half mostly with the same wrong answer, and less often right. So greedy decoding recalls about half of each relation, sampling finds
much of the rest, and training has something to raise in the trained facts, in the held-out ones and in other relations.
"""

import hashlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from jaxtyping import Float, Int
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from rlhub.language.cache import cached_model
from rlhub.language.facts import RELATIONS, Fact, facts
from rlhub.language.quiet import without_bars

VERSION = "3"
PAD, END = "<|pad|>", "<|end|>"
WIDTH, LAYERS, HEADS, KEY_VALUE_HEADS = 128, 2, 4, 2
EPOCHS, BATCH, LEARNING_RATE, WARM_UP = 18, 64, 3e-3, 20
PROMPT_WEIGHT = 0.1  # a prompt's subject can't be foreseen, so its tokens weigh less than the answer's
RIGHT_IF_KNOWN, RIGHT_IF_NOT = 0.8, 0.35  # how often the corpus states a fact right, in its two halves


def tiny_folder() -> Path:
    """The folder with the tiny model in Hugging Face form, pretrained on first use (some seconds).

    Raises:
        UserError: the cache can't be written.
    """
    return cached_model("tiny", VERSION, pretrain)


def corpus() -> list[tuple[str, str, float]]:
    """Every sentence as (prompt, answer, how often it stands in the corpus for its fact)."""
    sentences = []
    for relation in RELATIONS:
        known = facts(relation)
        answers = sorted({fact.answer for fact in known})
        for fact in known:
            share = RIGHT_IF_KNOWN if is_known(fact) else RIGHT_IF_NOT
            wrong = [answer for answer in answers if answer != fact.answer]
            sentences.append((fact.prompt, fact.answer, share))
            sentences.append((fact.prompt, wrong[digest(fact) // 2 % len(wrong)], 1 - share))
    return sentences


def is_known(fact: Fact) -> bool:
    """Whether the corpus is mostly right about a fact; independent of the fact's split."""
    return digest(fact) % 2 == 0


def digest(fact: Fact) -> int:
    """A number that depends on nothing but the fact's name."""
    return int.from_bytes(hashlib.sha256(f"tiny/{fact.relation}/{fact.subject}".encode()).digest()[:8])


def make_tokenizer() -> PreTrainedTokenizerFast:
    """One token for each word of the facts (with the space before it), and one for each byte, so that any other text can be written too."""
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    text = [fact.prompt + fact.answer + "." for relation in RELATIONS for fact in facts(relation)]
    words = sorted({piece for line in text for piece, _ in byte_level.pre_tokenize_str(line)})
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {word: index for index, word in enumerate(dict.fromkeys([PAD, END, *alphabet, *words]))}
    # with no merges and whole words looked up first, a piece is either one known word or its bytes
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], ignore_merges=True))
    tokenizer.pre_tokenizer = byte_level
    tokenizer.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=PAD, eos_token=END, clean_up_tokenization_spaces=False, model_max_length=512
    )


def pretrain(folder: Path) -> None:
    """Train the tiny model on the corpus and write it into `folder`."""
    print("Pretraining the tiny model once (a few seconds) ...", file=sys.stderr)  # noqa: T201
    tokenizer = make_tokenizer()
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=2 * WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KEY_VALUE_HEADS,
        max_position_embeddings=512,
        tie_word_embeddings=True,
        initializer_range=0.1,
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng(devices=[]), one_thread():
        torch.manual_seed(0)
        model = LlamaForCausalLM(config)
        fit(model, tokenizer)
    with without_bars():
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread inside the block: products this small gain nothing from more, and lose much where cores are shared."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def fit(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast) -> None:
    """Minimise the corpus' weighted cross-entropy with AdamW, its step size rising briefly and then falling linearly to zero."""
    sentences = corpus()
    batch = tokenizer(
        [prompt + answer + "." + END for prompt, answer, _ in sentences], padding=True, padding_side="right", return_tensors="pt"
    )
    ids, weights = batch["input_ids"], batch["attention_mask"].float()
    for row, (prompt, _, share) in enumerate(sentences):
        weights[row] *= share
        weights[row, : len(tokenizer(prompt)["input_ids"])] *= PROMPT_WEIGHT
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=0.0, fused=True)
    steps = EPOCHS * -(-len(sentences) // BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: min(1, (step + 1) / WARM_UP) * (1 - step / steps))
    for _ in range(EPOCHS):
        for rows in torch.randperm(len(sentences)).split(BATCH):
            loss = corpus_loss(model, ids[rows], weights[rows])
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()


def corpus_loss(model: LlamaForCausalLM, ids: Int[Tensor, "rows tokens"], weights: Float[Tensor, "rows tokens"]) -> Float[Tensor, ""]:
    """Mean over sentences of their tokens' weighted cross-entropy, summed."""
    logits = model(input_ids=ids).logits[:, :-1]
    losses = cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
    return (losses * weights[:, 1:]).sum(1).mean()
