from math import log, sqrt

import pytest
import torch

from hir.losses import (
    chosen_log_probs,
    contrastive_instruction_loss,
    mean_entropy,
    row_means,
    smoothed_nll,
    token_log_probs,
    unlikelihood,
)
from hir.methods.ppo import clipped_policy_loss, clipped_value_loss, whiten
from tests.methods.fake import FIRST, LN2, SECOND


def log_probs_of(*probabilities: list[float]) -> torch.Tensor:
    """(N, V), of logits with an offset that softmax must ignore."""
    return token_log_probs(torch.tensor(probabilities).log() + 7.0)


def test_nll_without_smoothing_is_cross_entropy() -> None:
    torch.manual_seed(0)
    logits, labels = torch.randn(7, 5), torch.randint(5, (7,))
    expected = torch.nn.functional.cross_entropy(logits, labels)
    torch.testing.assert_close(smoothed_nll(token_log_probs(logits), labels, 0.0), expected)


def test_weights_scale_the_smoothed_cost_and_not_the_count() -> None:
    likely, unlikely = (0.8 * nll + 0.2 * 5 / 3 * LN2 for nll in (LN2, 2 * LN2))
    loss = smoothed_nll(log_probs_of(FIRST, FIRST), torch.tensor([0, 1]), 0.2, torch.tensor([1.0, 0.25]))
    assert loss.item() == pytest.approx((likely + 0.25 * unlikely) / 2)


def test_a_rows_mean_is_over_its_tokens() -> None:
    chosen = chosen_log_probs(log_probs_of(FIRST, SECOND, FIRST, FIRST), torch.tensor([0, 0, 0, 1]))
    # Row 0: -(1 + 2 + 1)/3 ln 2. Row 1: its one token, -2 ln 2. Row 2: nothing.
    means = row_means(chosen, torch.tensor([0, 0, 0, 1]), 3)
    assert means.tolist() == pytest.approx([-4 / 3 * LN2, -2 * LN2, 0])


def test_entropy_is_a_mean_over_tokens() -> None:
    # FIRST: 1/2 ln 2 + 2 * 1/4 * 2 ln 2 = 3/2 ln 2; a fair coin: ln 2.
    assert mean_entropy(log_probs_of(FIRST, [0.5, 0.5, 1e-12])).item() == pytest.approx(1.25 * LN2, abs=1e-6)
    assert mean_entropy(token_log_probs(torch.tensor([[0.0, -1e4, -1e4]]))).item() == 0


def test_nothing_costs_nothing() -> None:
    nothing = torch.zeros(0, 3)
    assert smoothed_nll(nothing, torch.zeros(0, dtype=torch.long), 0.2).item() == 0
    assert mean_entropy(nothing).item() == 0


@pytest.mark.parametrize(
    ("shares", "epsilon", "expected"),
    [
        ([3 / 4, 1 / 4], 0.0, -log(3 / 4)),
        ([3 / 4, 1 / 4], 0.2, 0.8 * -log(3 / 4) + 0.2 * log(4)),
        ([1 / 2, 3 / 8, 1 / 8], 0.0, LN2),
        # The epsilon is shared by the two others: 0.8 ln 2 + 0.1 ln(8/3) + 0.1 ln 8
        ([1 / 2, 3 / 8, 1 / 8], 0.2, 0.8 * LN2 + 0.1 * log(8 / 3) + 0.1 * log(8)),
        ([1 / 8, 3 / 8, 1 / 2], 0.0, log(8)),  # its own instruction is in row 0, not the likeliest
    ],
)
def test_contrast_by_hand(shares: list[float], epsilon: float, expected: float) -> None:
    log_probs = torch.tensor(shares).log().unsqueeze(1) - 5.0  # the common factor drops out
    # Beside a row that all instructions make as likely: the mean over both.
    even = log(len(shares))
    loss = contrastive_instruction_loss(torch.cat([log_probs, torch.zeros_like(log_probs)], 1), epsilon)
    assert loss.item() == pytest.approx((expected + even) / 2, rel=1e-5)


@pytest.mark.parametrize(
    "loss",
    [
        lambda log_p, labels: smoothed_nll(log_p, labels, 0.2),
        lambda log_p, labels: contrastive_instruction_loss(chosen_log_probs(log_p, labels).view(2, 6), 0.2),
        lambda log_p, labels: mean_entropy(log_p),
    ],
    ids=["nll", "contrast", "entropy"],
)
def test_bf16_logits_are_computed_in_float32_and_gradients_are_finite_at_extremes(loss) -> None:
    torch.manual_seed(0)
    logits, labels = (5 * torch.randn(12, 50)).bfloat16(), torch.randint(50, (12,))
    result = loss(token_log_probs(logits), labels)
    assert result.dtype == torch.float32
    exact = loss(token_log_probs(logits.double()), labels).float()
    torch.testing.assert_close(result, exact, rtol=1e-6, atol=0)
    logits = (1e4 * torch.randn(12, 50)).requires_grad_()
    value = loss(token_log_probs(logits), labels)
    value.backward()
    assert value.isfinite() and logits.grad.isfinite().all()


def test_clipped_policy_loss_by_hand() -> None:
    log_ratios = torch.tensor([1.5, 1.1, 0.5, 0.9, 1.5, 0.5]).log().requires_grad_()
    advantages = torch.tensor([1.0, 1.0, -1.0, -1.0, -1.0, 2.0])
    loss = clipped_policy_loss(log_ratios, advantages, 0.2)
    # Clipped where it went with the advantage (first and third), never where it went against it.
    assert loss.tolist() == pytest.approx([-1.2, -1.1, 0.8, 0.9, 1.5, -1.0])
    loss.sum().backward()
    assert log_ratios.grad.tolist() == pytest.approx([0, -1.1, 0, 0.9, 1.5, -1.0])


def test_clipped_value_loss_by_hand() -> None:
    # Around an old value of 1/2, the new one is held in 0.3 .. 0.7; the greater error counts.
    values = torch.tensor([0.9, 0.6, 0.9, 0.1], requires_grad=True)
    returns = torch.tensor([1.0, 1.0, 0.0, 0.0])
    loss = clipped_value_loss(values, torch.full((4,), 0.5), returns, 0.2)
    assert loss.tolist() == pytest.approx([0.3**2 / 2, 0.4**2 / 2, 0.9**2 / 2, 0.3**2 / 2])
    loss.sum().backward()
    assert values.grad.tolist() == pytest.approx([0, -0.4, 0.9, 0])


def test_whitened() -> None:
    whitened = whiten(torch.tensor([4.0, 4.0, 1.0, 7.0]))
    assert whitened.tolist() == pytest.approx([0, 0, -sqrt(2), sqrt(2)], abs=1e-3)
    assert whiten(torch.full((7,), 0.3)).abs().max() < 1e-2  # rounding is not blown up
    assert whiten(torch.tensor([0.3])).item() == 0


def test_unlikelihood_by_hand() -> None:
    # P = 1/2, 1/8 and 3/4: -log of 1/2, 7/8 and 1/4.
    log_probs = torch.tensor([1 / 2, 1 / 8, 3 / 4]).log().requires_grad_()
    costs = unlikelihood(log_probs)
    assert costs.tolist() == pytest.approx([LN2, log(8 / 7), 2 * LN2], rel=1e-5)
    # The slope by log P is P / (1 - P): where an answer is certain it is as steep as it can be, and finite.
    costs.sum().backward()
    assert log_probs.grad.tolist() == pytest.approx([1, 1 / 7, 3], rel=1e-5)
    certain = torch.tensor([-1e-5, 0.0], requires_grad=True)
    cost = unlikelihood(certain)
    cost.sum().backward()
    assert cost.isfinite().all() and certain.grad.tolist() == pytest.approx([1e5, 0], rel=1e-3)
