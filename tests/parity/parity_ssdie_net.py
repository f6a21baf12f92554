"""SSDIE-Net's golden vectors: networks, losses, training steps and classical operators."""

from __future__ import annotations

from collections.abc import Callable

from parity_compare import GoldenFolder
from parity_ssdie_net_classical import check_classical
from parity_ssdie_net_inputs import Arrays, Rows
from parity_ssdie_net_losses import check_losses
from parity_ssdie_net_networks import SHAPES, check_network
from parity_ssdie_net_steps import check_dark_step, check_pretrain_step, check_train_step, check_train_step_msff


def _network_check(stem: str) -> Callable[[GoldenFolder, Arrays], Rows]:
    return lambda folder, reference: check_network(folder, reference, stem)


CHECKS: dict[str, Callable[[GoldenFolder, Arrays], Rows]] = {
    **{f'golden_{stem}.npz': _network_check(stem) for stem in SHAPES},
    'golden_classical.npz': check_classical,
    'golden_losses.npz': check_losses,
    'golden_dark_step.npz': check_dark_step,
    'golden_pretrain_step.npz': check_pretrain_step,
    'golden_train_step.npz': check_train_step,
    'golden_train_step_msff.npz': check_train_step_msff,
}
