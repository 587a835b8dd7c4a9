"""What arms of studies are called, and what each does, in words. Nothing here loads torch."""

CONTROL = "random"
NAMES = {
    "base": "base",
    "sft": "SFT",
    "dpo": "DPO",
    "ppo": "PPO",
    "rloo": "RLOO",
    "grpo": "GRPO",
    "process": "process rewards",
    "r1": "R1",
    "constitutional": "Constitutional AI",
    CONTROL: "random reward",
}
"""Every arm of every study in the order in which they are told, by the name that its runs have."""
WORDS = {
    "sft": "imitates the right answers",
    "dpo": "learns to prefer the right answer to a wrong one that the base drew; the drawing is not in its cost",
    "ppo": "tries answers, is rewarded for right ones; a value model says what each token was worth",
    "rloo": "tries a group of answers; each is compared with the mean of the others",
    "grpo": "tries a group of answers, is rewarded for right ones",
    "process": "GRPO, rewarded for right answers and, step by step, by a process reward model",
    "r1": "imitates worked answers, GRPO with a reward for form, imitates its own right answers from the base, GRPO again",
    "constitutional": "imitates its own revisions by principles, then PPO on what it prefers by them; no task, no right answers",
    CONTROL: "GRPO rewarded by a coin: the control",
}
