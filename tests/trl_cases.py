"""The same batch through TRL's trainers and through ours: a random Llama, ragged prompts and completions, a reference that differs.

TRL's side builds each trainer on the model and calls its loss on a prepared batch, so that no sampling or data loading takes part.
"""

from types import SimpleNamespace
from typing import Any

import torch
from families import tiny_random, tiny_tokenizer
from policies import toy_groups, toy_scorer

from rlhub.language.dpo import DPO
from rlhub.language.grpo import GRPO
from rlhub.language.kto import KTO
from rlhub.language.logprobs import score
from rlhub.language.losses import policy_normaliser
from rlhub.language.model import Policy
from rlhub.language.pairs import mean_logprobs
from rlhub.language.preference_losses import orpo_loss
from rlhub.language.reward_model import RewardModel
from rlhub.language.rloo import RLOO
from rlhub.language.rows import Group, completion_mask
from rlhub.language.scorer import read_head
from rlhub.language.sft import imitation
from rlhub.language.simpo import SimPO

GROUPS = toy_groups(4, 2, seed=5)
SEQUENCES = [(group.prompt, completion) for group in GROUPS for completion in group.completions]
LENGTHS = torch.tensor([len(completion) for _, completion in SEQUENCES])
MASK = completion_mask(LENGTHS)
MAX_NEW_TOKENS, BETA, MARGIN = 9, 0.3, 0.2
KL_CASES = ((0.0, True), (0.07, True), (0.07, False))
DESIRABLE = torch.tensor([True, False, True, False])
DPO_CASES = {
    "dpo": {},
    "ipo": {"loss": "ipo"},
    "cdpo": {"label_smoothing": 0.1},
    "robust": {"loss": "robust", "label_smoothing": 0.1},
}
REWARD_CASES = {
    "reward": {},
    "reward margin": {"margin": 1.0},
    "reward centring": {"centring": 0.3},
    "reward both": {"margin": 1.0, "centring": 0.3},
}
LEADS = (0.5, 2.0, 1.0, 0.25)
"""By how much the first of each prompt's answers is said to be better."""
ADVANTAGES = torch.linspace(-1.4, 1.1, len(SEQUENCES))
GRPO_CASES = {
    "grpo": {"aggregation": "grpo", "clip_low": 0.2, "clip_high": 0.2},
    "dr_grpo": {"aggregation": "dr_grpo", "clip_low": 0.2, "clip_high": 0.2},
    "dapo": {"aggregation": "dapo", "clip_low": 0.2, "clip_high": 0.28},
    "gspo": {"aggregation": "gspo", "clip_low": 0.003, "clip_high": 0.004},
    "cispo": {"aggregation": "cispo", "clip_high": 1.2},
}
"""Each without and with a KL term; gspo's clip is wide enough that some sequences lie within it."""


def models() -> tuple[Any, Any]:
    """The policy, and a reference near it."""
    policy, reference = tiny_random("llama"), tiny_random("llama")
    draw = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in reference.parameters():
            parameter += 0.01 * torch.randn(parameter.shape, generator=draw)
    return policy, reference


def old_and_reference() -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probs of the policy that sampled (the policy's with noise) and of the reference."""
    policy, reference = models()
    with torch.no_grad():
        current, compared = score(policy, GROUPS).logprobs, score(reference, GROUPS).logprobs
    noise = 0.2 * torch.randn(MASK.shape, generator=torch.Generator().manual_seed(2))
    return (current + noise) * MASK, compared


def ours() -> dict[str, float]:
    """Our losses, by case."""
    policy, reference = models()
    with torch.no_grad():
        scored, compared = score(policy, GROUPS), score(reference, GROUPS)
        old, ref = old_and_reference()
        losses = {"sft": imitation(scored).loss / LENGTHS.sum()}
        for name, options in DPO_CASES.items():
            losses[name] = DPO(beta=BETA, **options).objective(scored, reference=compared.logprobs).loss / len(GROUPS)
        losses["simpo"] = SimPO(beta=BETA, margin=MARGIN).objective(scored).loss / len(GROUPS)
        losses["orpo"] = orpo_loss(*mean_logprobs(scored)).mean()
        losses["kto"] = our_kto(policy, reference)
        losses |= our_rewards()
        losses["rloo"] = RLOO().objective(scored, old=old, advantages=ADVANTAGES).loss / len(SEQUENCES)
        for name, options in GRPO_CASES.items():
            normaliser = policy_normaliser(LENGTHS.float(), options["aggregation"], MAX_NEW_TOKENS)
            for kl, corrected in KL_CASES:
                system = GRPO(kl=kl, kl_correction=corrected, **options)
                terms = system.objective(scored, advantages=ADVANTAGES, counted=MASK, old=old, reference=ref if kl else None)
                losses[f"{name} kl={kl} corrected={corrected}"] = terms.loss / normaliser
    return {name: float(loss) for name, loss in losses.items()}


def our_rewards() -> dict[str, torch.Tensor]:
    """Reward models on the pairs, the first of each the better one."""
    outputs = read_head(toy_scorer().bare, GROUPS)
    prompts = torch.arange(len(GROUPS)).repeat_interleave(2)
    columns = {"scores": torch.tensor([score for lead in LEADS for score in (lead, 0.0)]), "prompts": prompts}
    return {name: RewardModel(**options).objective(outputs, **columns).loss / len(GROUPS) for name, options in REWARD_CASES.items()}


def our_kto(policy: Any, reference: Any) -> torch.Tensor:
    """KTO with the first answer of each prompt, every other one desirable."""
    system = KTO(beta=BETA, undesirable_weight=0.6)
    holder = Policy(policy, tiny_tokenizer(), torch.optim.SGD(policy.parameters()), precision="fp32")
    groups = [Group(prompt=group.prompt, completions=group.completions[:1]) for group in GROUPS]
    columns = {
        "reference": score(reference, groups).logprobs,
        "desirable": DESIRABLE,
        "point": system.reference_point(holder, reference, groups).expand(len(groups)),
    }
    return system.objective(score(policy, groups), **columns).loss / len(groups)


def theirs(folder: str) -> dict[str, float]:
    """TRL's losses, by case; its trainers want a folder."""
    alone = {"sft": trl_sft(folder), "kto": trl_kto(folder), "rloo": trl_rloo(folder)}
    return alone | trl_dpo(folder) | trl_pairs() | trl_rewards(folder) | trl_grpo(folder)


def settings(folder: str) -> dict[str, Any]:
    """What every TRL config needs here: the CPU, float32, silence."""
    return {
        "output_dir": folder,
        "use_cpu": True,
        "bf16": False,
        "gradient_checkpointing": False,
        "report_to": "none",
        "disable_tqdm": True,
        "per_device_train_batch_size": len(SEQUENCES),
    }


def trl_sft(folder: str) -> float:
    """TRL's completion-only cross-entropy."""
    from datasets import Dataset
    from trl import SFTConfig, SFTTrainer

    rows = [{"input_ids": prompt + completion, "labels": [-100] * len(prompt) + completion} for prompt, completion in SEQUENCES]
    data = Dataset.from_list([{"prompt": "w5", "completion": "w6"}])
    config = SFTConfig(**settings(folder), max_length=None, completion_only_loss=True)
    trainer = SFTTrainer(model=models()[0], args=config, train_dataset=data, processing_class=tiny_tokenizer())
    trainer.model.eval()
    with torch.no_grad():
        return float(trainer.compute_loss(trainer.model, trainer.data_collator(rows)))


def trl_dpo(folder: str) -> dict[str, float]:
    """TRL's DPO and IPO; its cDPO is the mix of the loss with that of the pairs swapped, as TRL smooths no labels of the sigmoid loss."""
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer

    def loss(kind: str, first: int) -> float:
        rows = [
            {"prompt_ids": group.prompt, "chosen_ids": group.completions[first], "rejected_ids": group.completions[1 - first]}
            for group in GROUPS
        ]
        smoothing = 0.1 if kind == "robust" else 0.0
        config = DPOConfig(**settings(folder), beta=BETA, loss_type=kind, label_smoothing=smoothing, max_length=None)
        data = Dataset.from_list([{"prompt": "w5", "chosen": "w6", "rejected": "w7"}])
        policy, reference = models()
        trainer = DPOTrainer(model=policy, ref_model=reference, args=config, train_dataset=data, processing_class=tiny_tokenizer())
        trainer.model.eval()
        with torch.no_grad():
            return float(trainer.compute_loss(trainer.model, trainer.data_collator(rows)))

    straight = loss("sigmoid", 0)
    return {"dpo": straight, "ipo": loss("ipo", 0), "cdpo": 0.9 * straight + 0.1 * loss("sigmoid", 1), "robust": loss("robust", 0)}


def trl_pairs() -> dict[str, float]:
    """TRL's SimPO and the odds ratio part of its ORPO, whose loss functions look at nothing of their trainers but some settings.

    The other part of its ORPO imitates the prompt as well as the answer, which the paper's (Hong et al. 2024, Eq. 2) and ours don't.
    """
    from trl.experimental.cpo import CPOTrainer
    from trl.experimental.orpo import ORPOTrainer

    with torch.no_grad():
        chosen, rejected = mean_logprobs(score(models()[0], GROUPS))
    shared = {"beta": BETA, "accelerator": SimpleNamespace(device="cpu")}
    simple = SimpleNamespace(**shared, alpha=0.0, loss_type="simpo", simpo_gamma=MARGIN, label_smoothing=0.0)
    odds = ORPOTrainer.odds_ratio_loss(SimpleNamespace(**shared), chosen, rejected)[0]
    return {"simpo": float(CPOTrainer.cpo_loss(simple, chosen, rejected)[0].mean()), "orpo": float(-odds.mean() / BETA)}


def trl_rewards(folder: str) -> dict[str, float]:
    """TRL's reward trainer on the pairs."""
    from datasets import Dataset
    from trl import RewardConfig, RewardTrainer

    losses = {}
    for name, options in REWARD_CASES.items():
        rows = [
            {"chosen_ids": group.prompt + group.completions[0], "rejected_ids": group.prompt + group.completions[1]}
            | ({"margin": lead} if "margin" in options else {})
            for group, lead in zip(GROUPS, LEADS, strict=True)
        ]
        config = RewardConfig(**settings(folder), center_rewards_coefficient=options.get("centring"), max_length=None)
        data = Dataset.from_list([{"prompt": "w5", "chosen": "w6", "rejected": "w7"}])
        trainer = RewardTrainer(model=toy_scorer().model, args=config, train_dataset=data, processing_class=tiny_tokenizer())
        trainer.model.eval()
        with torch.no_grad():
            losses[name] = float(trainer.compute_loss(trainer.model, trainer.data_collator(rows)))
    return losses


def trl_kto(folder: str) -> float:
    """TRL's KTO on the same answers, each crossed with the prompt after its own."""
    from datasets import Dataset
    from trl import KTOConfig, KTOTrainer

    first = [group.completions[0] for group in GROUPS]
    rows = [
        {"prompt_ids": group.prompt, "completion_ids": answer, "KL_completion_ids": other, "label": bool(label)}
        for group, answer, other, label in zip(GROUPS, first, [first[-1], *first[:-1]], DESIRABLE, strict=True)
    ]
    config = KTOConfig(**settings(folder), beta=BETA, undesirable_weight=0.6, max_length=None)
    data = Dataset.from_list([{"prompt": "w5", "completion": "w6", "label": label} for label in (True, False)])
    policy, reference = models()
    trainer = KTOTrainer(model=policy, ref_model=reference, args=config, train_dataset=data, processing_class=tiny_tokenizer())
    trainer.model.eval()
    with torch.no_grad():
        return float(trainer.compute_loss(trainer.model, trainer.data_collator(rows)))


def roll_out() -> dict[str, torch.Tensor]:
    """A roll-out as TRL's leave it: prompts padded on the left and completions on the right."""
    longest = max(len(prompt) for prompt, _ in SEQUENCES)
    width = MASK.shape[1]
    old, ref = old_and_reference()
    return {
        "prompt_ids": torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt, _ in SEQUENCES]),
        "prompt_mask": torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt, _ in SEQUENCES]),
        "completion_ids": torch.tensor([completion + [0] * (width - len(completion)) for _, completion in SEQUENCES]),
        "completion_mask": MASK.long(),
        "advantages": ADVANTAGES,
        "old_per_token_logps": old,
        "ref_per_token_logps": ref,
        "num_items_in_batch": MASK.sum(),
    }


def trl_rloo(folder: str) -> float:
    """TRL's RLOO on the same roll-out as its GRPO."""
    from datasets import Dataset
    from trl import RLOOConfig, RLOOTrainer

    config = RLOOConfig(**settings(folder), num_generations=2, beta=0.0, epsilon=0.2, max_completion_length=MAX_NEW_TOKENS)
    trainer = RLOOTrainer(
        model=models()[0],
        reward_funcs=lambda completions, **_: [0.0 for _ in completions],
        args=config,
        train_dataset=Dataset.from_list([{"prompt": "w5"}]),
        processing_class=tiny_tokenizer(),
    )
    trainer.model.eval()
    inputs = roll_out() | {"old_logps": (old_and_reference()[0] * MASK).sum(1)}
    with torch.no_grad():
        return float(trainer._compute_loss(trainer.model, inputs))


def trl_grpo(folder: str) -> dict[str, float]:
    """TRL's GRPO losses."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    inputs = roll_out()
    losses = {}
    for name, options in GRPO_CASES.items():
        for kl, corrected in KL_CASES:
            config = GRPOConfig(
                **settings(folder),
                num_generations=2,
                max_completion_length=MAX_NEW_TOKENS,
                beta=kl,
                use_bias_correction_kl=corrected,
                loss_type="grpo" if name == "gspo" else name,
                importance_sampling_level="sequence" if name == "gspo" else "token",
                epsilon=options.get("clip_low", 0.2),
                epsilon_high=options["clip_high"],
                temperature=1.0,
            )
            model = models()[0]
            model.save_pretrained(f"{folder}/start")
            model.config._name_or_path = f"{folder}/start"  # where TRL takes its reference from
            trainer = GRPOTrainer(
                model=model,
                reward_funcs=lambda completions, **_: [0.0] * len(completions),
                args=config,
                train_dataset=Dataset.from_list([{"prompt": "w5"}]),
                processing_class=tiny_tokenizer(),
            )
            trainer.model.eval()
            with torch.no_grad():
                losses[f"{name} kl={kl} corrected={corrected}"] = float(trainer._compute_loss(trainer.model, dict(inputs)))
    return losses
