"""A policy around a toy model for tests: `from policies import toy_policy, toy_groups`."""

import torch
from families import tiny_random
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from rlhub.language.model import Policy
from rlhub.language.rows import Group
from rlhub.language.scorer import Scorer, StepScorer


def toy_tokenizer(vocabulary: int = 128, *, pad: str = "w0") -> PreTrainedTokenizerFast:
    """Words w0, w1, ... with ids 0, 1, ...; w2 ends a text."""
    words = Tokenizer(models.WordLevel({f"w{index}": index for index in range(vocabulary)}, unk_token="w3"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words, eos_token="w2", pad_token=pad)


def toy_policy(model: PreTrainedModel | str = "llama", *, learning_rate: float = 1.0, pad: str = "w0", precision: str = "fp32") -> Policy:
    """A policy trained by plain gradient descent, so that a step shows the gradient itself."""
    model = tiny_random(model) if isinstance(model, str) else model
    optimizer = torch.optim.SGD(model.parameters(), lr=learning_rate)
    return Policy(model, toy_tokenizer(pad=pad), optimizer, precision=precision)


def toy_scorer(family: PreTrainedModel | str = "llama", *, outputs: int = 1, pad: str = "w0") -> Scorer:
    """A scorer of a family, of answers or (with two outputs) of steps, trained by plain gradient descent."""
    kind = Scorer if outputs == 1 else StepScorer
    config = (tiny_random(family) if isinstance(family, str) else family).config
    config.num_labels, config.pad_token_id = outputs, 0
    torch.manual_seed(0)
    model = kind.kind.from_config(config).eval()
    # Not before: a model that is made with a padding token begins with zeros for its embedding.
    model.config.pad_token_id = int(pad[1:])
    return kind(model, toy_tokenizer(pad=pad), torch.optim.SGD(model.parameters(), lr=1.0), precision="fp32")


def toy_groups(prompts: int = 4, group: int = 2, *, seed: int = 0, longest: int = 6) -> list[Group]:
    """Random groups of ragged lengths, from 1 to `longest` tokens."""
    draw = torch.Generator().manual_seed(seed)

    def tokens() -> list[int]:
        length = int(torch.randint(1, longest + 1, (), generator=draw))
        return torch.randint(3, 128, (length,), generator=draw).tolist()

    return [Group(prompt=tokens(), completions=[tokens() for _ in range(group)]) for _ in range(prompts)]


def parameters_after(policy: Policy) -> torch.Tensor:
    """All parameters in one vector."""
    return torch.cat([parameter.detach().flatten() for parameter in policy.model.parameters()])
