"""A conversation with a model, as the hub keeps it."""

import torch

from rlhub.core.seeding import derive
from rlhub.language.model import Policy, encode
from rlhub.language.rollout import complete


class Conversation:
    """What was said to a model, and what it answered.

    Attributes:
        name: what the person calls the model.
        messages: all that was said.
    """

    def __init__(self, name: str, policy: Policy, seed: int) -> None:
        """Begin without a word."""
        self.name, self._policy, self._seed = name, policy, seed
        self.messages: list[dict[str, str]] = []

    def say(self, text: str, *, max_new_tokens: int, temperature: float) -> str:
        """Say something, and hear the answer; what no longer fits the model is forgotten, the oldest first."""
        self.messages.append({"role": "user", "content": text})
        room = getattr(self._policy.bare.config.get_text_config(), "max_position_embeddings", None)
        while room and len(self.messages) > 1 and len(encode(self._policy.tokenizer, self.messages)) + max_new_tokens > room:
            del self.messages[:2]
        draw = torch.Generator().manual_seed(derive(self._seed, "chat", len(self.messages)))
        prompt = encode(self._policy.tokenizer, self.messages)
        drawn = complete(self._policy, [prompt], max_new_tokens=max_new_tokens, temperature=temperature, generator=draw)
        answer = drawn.texts[0][0].strip()
        self.messages.append({"role": "assistant", "content": answer})
        return answer
