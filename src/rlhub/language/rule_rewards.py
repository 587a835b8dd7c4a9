"""Rewards by rule (DeepSeek-AI 2025, DeepSeek-R1, arXiv:2501.12948, Sec. 2.2.2 and 2.3.2), and what is counted beside.

A completion thinks between <think> tags and answers between <answer> tags. The task itself says whether the answer is right; these
functions look at the form, the language, and the words of second thoughts.
"""

import re
import unicodedata
from typing import Any

from rlhub.core.errors import UserError
from rlhub.language.model import load_tokenizer, model_source
from rlhub.language.rewards import Text, content

FORM = re.compile(r"\s*<think>(?P<thought>.*?)</think>\s*<answer>(?P<answer>.*?)</answer>\s*", re.DOTALL)
TAGS = ("<think>", "</think>", "<answer>", "</answer>")
WORD = re.compile(r"[^\W\d_]+")
REFLECTION = re.compile(
    r"\b(wait|hmm|actually|alternatively|again|re-?check|double-?check|check|verify|mistake|wrong|reconsider)\b", re.IGNORECASE
)

INSTRUCTION = (
    "Think about the question first, between <think> and </think>; then give nothing but the answer, between <answer> and </answer>."
)
"""What asks for this form."""


def has_form(text: str) -> bool:
    """Whether a text is a thought and an answer in their tags, each tag once, and nothing else."""
    return FORM.fullmatch(text) is not None and all(text.count(tag) == 1 for tag in TAGS)


def thought(text: str) -> str:
    """What a text thinks: all up to the end of its thought, or up to its answer where the tag is missing."""
    before = text.partition("</think>")[0].partition("<answer>")[0]
    return before.removeprefix("<think>").strip()


def wants_form(reward: str) -> bool:
    """Whether a reward, as it is written (`right+0.2*format`), looks at the form."""
    return "format" in re.split(r"[+*]", reward)


def check_template(reward: str, prompt: Text, *, model: str) -> None:
    """See that the form, where it is rewarded, can be judged by completions alone.

    Args:
        reward: as it is written.
        prompt: one of the prompts.
        model: what answers, as the person called it.

    Raises:
        UserError: the model's chat template opens the thought itself, so that no completion does.
    """
    if not wants_form(reward) or isinstance(prompt, str):
        return
    tokenizer = load_tokenizer(model, model_source(model))
    if tokenizer.chat_template is None:
        return
    asked = tokenizer.apply_chat_template([{"role": "user", "content": "?"}], add_generation_prompt=True, tokenize=False)
    if str(asked).rstrip().endswith("<think>"):
        raise UserError(
            f"the chat template of {model} ends with <think>, so that no answer has that tag and the reward format: give a template that "
            "doesn't open the thought, or a reward without format"
        )


def tag_format(prompts: list[Text], completions: list[Text], **_: Any) -> list[float]:
    """1 where a completion has the form <think>...</think><answer>...</answer>, else 0."""
    return [float(has_form(content(completion))) for completion in completions]


def language_consistency(prompts: list[Text], completions: list[Text], **_: Any) -> list[float]:
    """The share of a thought's words that are written as its prompt is: all their letters in scripts of the prompt's letters.

    A thought without words is consistent. Languages of one script are not told apart.
    """
    scripts = [scripts_of(spoken(prompt)) for prompt in prompts]
    return [share_in(known, thought(content(completion))) for known, completion in zip(scripts, completions, strict=True)]


def reflections(prompts: list[Text], completions: list[Text], **_: Any) -> list[float]:
    """How many words of second thoughts a completion has ("wait", "check", "mistake" ...)."""
    return [float(len(REFLECTION.findall(content(completion)))) for completion in completions]


def thought_words(prompts: list[Text], completions: list[Text], **_: Any) -> list[float]:
    """How many words and numbers a completion thinks."""
    return [float(len(thought(content(completion)).split())) for completion in completions]


def spoken(prompt: Text) -> str:
    """A prompt's text."""
    return prompt if isinstance(prompt, str) else " ".join(message["content"] for message in prompt)


def scripts_of(text: str) -> set[str]:
    """The scripts of a text's letters, by the first word of each letter's Unicode name: LATIN, CYRILLIC, CJK, HANGUL ..."""
    return {unicodedata.name(letter, "?").split()[0] for letter in text if letter.isalpha()}


def share_in(scripts: set[str], text: str) -> float:
    """The share of a text's words whose letters all belong to some scripts; 1 where it has no words."""
    words = WORD.findall(text)
    return sum(scripts_of(word) <= scripts for word in words) / len(words) if words else 1.0
