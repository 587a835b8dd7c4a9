"""Advantages and returns of roll-outs, and the error of values against them, as pure functions; time is the first axis.

The observation after an episode's last step is the next row's, so that row t + 1's value is what row t bootstraps from, cut off or not.
"""

import torch
from jaxtyping import Bool, Float
from torch import Tensor


def generalised_advantages(
    rewards: Float[Tensor, "steps ..."],
    values: Float[Tensor, "rows ..."],
    terminated: Bool[Tensor, "steps ..."],
    truncated: Bool[Tensor, "steps ..."],
    *,
    discount: float,
    decay: float,
) -> Float[Tensor, "steps ..."]:
    """A_t = sum_l (discount decay)^l delta_(t+l), delta_t = r_t + discount V(s_(t+1)) - V(s_t).

    Schulman et al. 2016 (arXiv:1506.02438), Eq. 16. The sum ends with the episode. V is 0 after a terminated
    step, and the value of the last observation after a truncated one.

    Args:
        rewards: r_t.
        values: V(s_t), with the value of what is seen at the end.
        terminated: the episode ended by itself in this step.
        truncated: it was cut off after this step.
        discount: gamma.
        decay: lambda; 1 gives returns minus values, 0 one-step errors.
    """
    deltas = torch.addcmul(rewards, values[1:], (~terminated).to(values.dtype), value=discount).sub_(values[:-1])
    carries = (~(terminated | truncated)).to(values.dtype).mul_(discount * decay)
    advantages = torch.empty_like(deltas)
    following = torch.zeros_like(deltas[0])
    for step in range(len(deltas) - 1, -1, -1):
        following = torch.addcmul(deltas[step], carries[step], following, out=advantages[step])
    return advantages


def clipped_value_error(
    values: Float[Tensor, "..."], before: Float[Tensor, "..."], targets: Float[Tensor, "..."], *, clip: float
) -> Float[Tensor, "..."]:
    """(V - target)^2, or the larger of that and the error of V held within `clip` of what it was (0 does without).

    Not in the paper but in its authors' code (github.com/openai/baselines, ppo2).
    """
    errors = (values - targets).square()
    if not clip:
        return errors
    held = before + (values - before).clamp(-clip, clip)
    return torch.maximum(errors, (held - targets).square())


def v_trace(
    rewards: Float[Tensor, "steps ..."],
    values: Float[Tensor, "rows ..."],
    terminated: Bool[Tensor, "steps ..."],
    truncated: Bool[Tensor, "steps ..."],
    log_ratios: Float[Tensor, "steps ..."],
    *,
    discount: float,
    clip_rho: float = 1.0,
    clip_c: float = 1.0,
) -> tuple[Float[Tensor, "steps ..."], Float[Tensor, "steps ..."]]:
    """Off-policy corrected values and advantages (Espeholt et al. 2018, IMPALA, arXiv:1802.01561, Eq. 1 and Sec. 4.2).

    v_t = V_t + sum_k discount^k (prod_(i<k) c_(t+i)) rho_(t+k) delta_(t+k), with rho, c = min(clip, pi/mu).

    Args:
        rewards: r_t.
        values: V(s_t) of the learner, with the value of what is seen at the end.
        terminated: the episode ended by itself in this step.
        truncated: it was cut off after this step.
        log_ratios: log pi(a_t|s_t) - log mu(a_t|s_t).
        discount: gamma.
        clip_rho: how far a ratio counts in the error (rho-bar).
        clip_c: how far it carries on (c-bar).

    Returns:
        The targets v_t, and the advantages rho_t (r_t + discount v_(t+1) - V_t) for the policy's gradient.
    """
    ratios = log_ratios.exp()
    rho, carry = ratios.clamp(max=clip_rho), ratios.clamp(max=clip_c)
    alive = (~terminated).to(values.dtype)
    going = (~(terminated | truncated)).to(values.dtype)
    deltas = rho * (rewards + discount * alive * values[1:] - values[:-1])
    corrections = torch.empty_like(deltas)
    following = torch.zeros_like(deltas[0])
    for step in range(len(deltas) - 1, -1, -1):
        following = deltas[step] + discount * going[step] * carry[step] * following
        corrections[step] = following
    targets = values[:-1] + corrections
    nexts = torch.cat([targets[1:], values[-1:]])
    nexts = torch.where(going.bool(), nexts, values[1:])
    return targets, rho * (rewards + discount * alive * nexts - values[:-1])
