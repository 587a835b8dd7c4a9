"""The systems that the hub can train: one line each."""

from typing import NamedTuple


class Entry(NamedTuple):
    """One system, as it is listed.

    Attributes:
        name: what a person types after ``rlhub train``.
        place: where its class is, ``module:Class``; imported only when it is asked for.
        what: one line on what it does.
        source: the paper it follows.
    """

    name: str
    place: str
    what: str
    source: str


SYSTEMS = (
    Entry("sft", "rlhub.language.sft:SFT", "imitates answers, token by token", "Ouyang et al. 2022, arXiv:2203.02155"),
    Entry("dpo", "rlhub.language.dpo:DPO", "learns which of two answers is preferred", "Rafailov et al. 2023, arXiv:2305.18290"),
    Entry("grpo", "rlhub.language.grpo:GRPO", "tries a group of answers, reinforces the better", "Shao et al. 2024, arXiv:2402.03300"),
    Entry("simpo", "rlhub.language.simpo:SimPO", "prefers without a reference model", "Meng et al. 2024, arXiv:2405.14734"),
    Entry("orpo", "rlhub.language.orpo:ORPO", "imitates and prefers in one loss", "Hong et al. 2024, arXiv:2403.07691"),
    Entry("kto", "rlhub.language.kto:KTO", "learns from answers marked good or bad", "Ethayarajh et al. 2024, arXiv:2402.01306"),
    Entry("reward-model", "rlhub.language.reward_model:RewardModel", "scores answers", "Ouyang et al. 2022, arXiv:2203.02155"),
    Entry("ppo-rlhf", "rlhub.language.ppo_rlhf:PPORLHF", "PPO on a reward model", "Ouyang et al. 2022, arXiv:2203.02155"),
    Entry("online-dpo", "rlhub.language.online_dpo:OnlineDPO", "prefers among answers it gives now", "Guo et al. 2024, arXiv:2402.04792"),
    Entry("constitutional", "rlhub.language.constitutional:Constitutional", "taught by principles", "Bai et al. 2022, arXiv:2212.08073"),
    Entry("r1", "rlhub.language.r1:R1", "learns to reason, in stages", "DeepSeek-AI 2025, arXiv:2501.12948"),
    Entry("process-reward", "rlhub.language.process_reward:ProcessReward", "judges each step", "Lightman et al. 2023, arXiv:2305.20050"),
    Entry("expert-iteration", "rlhub.language.expert_iteration:ExpertIteration", "imitates its best", "Zelikman 2022, arXiv:2203.14465"),
    Entry("think", "rlhub.language.think:Think", "finds its way by long or short thoughts", "Mirtaheri et al. 2025, arXiv:2505.21825"),
    Entry("rloo", "rlhub.language.rloo:RLOO", "reinforces against a prompt's other answers", "Ahmadian et al. 2024, arXiv:2402.14740"),
    Entry("reinforce++", "rlhub.language.reinforce_plus_plus:ReinforcePlusPlus", "PPO without values", "Hu 2025, arXiv:2501.03262"),
    Entry("q-learning", "rlhub.foundations.q_learning:QLearning", "tables what actions are worth", "Watkins 1989, PhD thesis"),
    Entry("vpg", "rlhub.agents.vpg:VPG", "climbs the policy's gradient", "Sutton et al. 1999; Schulman et al. 2016, arXiv:1506.02438"),
    Entry("dqn", "rlhub.agents.dqn:DQN", "learns what actions are worth, from replay; up to Rainbow", "Mnih et al. 2015, Nature 518"),
    Entry("a2c", "rlhub.agents.a2c:A2C", "actor and critic, environments in step", "Mnih et al. 2016, arXiv:1602.01783"),
    Entry("a3c", "rlhub.agents.a3c:A3C", "actor and critic, workers that don't wait", "Mnih et al. 2016, arXiv:1602.01783"),
    Entry("trpo", "rlhub.agents.trpo:TRPO", "natural gradients within a trust region", "Schulman et al. 2015, arXiv:1502.05477"),
    Entry("ppo", "rlhub.agents.ppo:PPO", "several epochs on each roll-out, with a clip", "Schulman et al. 2017, arXiv:1707.06347"),
    Entry("ddpg", "rlhub.agents.ddpg:DDPG", "Q-learning for continuous actions", "Lillicrap et al. 2015, arXiv:1509.02971"),
    Entry("td3", "rlhub.agents.td3:TD3", "DDPG with two critics, blurred and delayed", "Fujimoto et al. 2018, arXiv:1802.09477"),
    Entry("sac", "rlhub.agents.sac:SAC", "rewarded for entropy, too", "Haarnoja et al. 2018, arXiv:1812.05905"),
)  # fmt: skip
