"""Near-ties of CleanNet's selections: which of two almost equal scores counts as the larger.

CleanNet's attention keeps the k largest scores of a row. Where the k-th and the next differ by rounding only, the
processor and the number of threads decide which one is kept, and whole output values change. The published outputs
follow the selection of float64. It is recorded in ``choices_cleannet.json`` for every pair within :data:`NEAR`, and the
checks run under :func:`recorded_choices`, which moves such a pair by less than :data:`NEAR` into the recorded order.

`python tests/parity/parity_choices.py` records the file again (a few minutes).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mmweather.models.nitedr import layers

FILE = Path(__file__).parent / 'choices_cleannet.json'
NEAR = 1e-5
#: Attention module, image, head, row, the larger score's column, the smaller one's.
Choice = tuple[str, int, int, int, int, int]


@contextmanager
def _scores_seen(network: nn.Module, images: int, see: Callable[[str, int, Tensor, tuple[int, ...]], Tensor]
                 ) -> Iterator[None]:
    """Replace the scores of every selection by ``see(module, first image, scores, counts)``."""
    mix, running = layers.mixed_topk_softmax, ['', 0]

    def announce(name: str, combine: Callable[..., Tensor]) -> Callable[..., Tensor]:
        done = 0

        def announced(products: Tensor, *lengths: Tensor) -> Tensor:
            nonlocal done
            running[:] = name, done % images
            done += len(products)
            return combine(products, *lengths)

        return announced

    def seen(scores: Tensor, weights: Tensor, counts: tuple[int, ...]) -> Tensor:
        return mix(see(*running, scores, counts), weights, counts)

    attentions = {name: m for name, m in network.named_modules() if isinstance(m, layers.TopKChannelAttention)}
    for name, module in attentions.items():
        module.combine = announce(name, module.combine)  # type: ignore[method-assign]
    layers.mixed_topk_softmax = seen
    try:
        yield
    finally:
        layers.mixed_topk_softmax = mix
        for module in attentions.values():
            del module.combine


@contextmanager
def recorded_choices(network: nn.Module, images: int, choices: list[Any]) -> Iterator[None]:
    """Let the network select as recorded where two scores are within :data:`NEAR`.

    Args:
        network: holds the attentions under the recorded names.
        images: in a batch.
        choices: one list of the file.
    """

    def settle(module: str, first: int, scores: Tensor, counts: tuple[int, ...]) -> Tensor:
        shift = torch.zeros_like(scores)
        for name, image, head, row, larger, smaller in choices:
            if name == module and first <= image < first + len(scores):
                values = scores.detach()[image - first, head, row]
                gap = values[smaller] - values[larger]
                if 0 <= gap < NEAR:
                    shift[image - first, head, row, larger] = gap + torch.finfo(scores.dtype).eps
                    shift[image - first, head, row, smaller] = -gap
        return scores + shift if shift.any() else scores

    with _scores_seen(network, images, settle):
        yield


def near_ties(network: nn.Module, x: Tensor) -> list[Choice]:
    """Pairs at the edge of a selection within :data:`NEAR`, in the order that float64 gives them."""
    found: list[Choice] = []

    def look(module: str, first: int, scores: Tensor, counts: tuple[int, ...]) -> Tensor:
        values, order = scores.sort(-1, descending=True)
        for k in counts:
            for image, head, row in (values[..., k - 1] - values[..., k] < NEAR).nonzero().tolist():
                found.append((module, first + image, head, row, *order[image, head, row, k - 1:k + 1].tolist()))
        return scores

    network = network.double()
    with torch.no_grad(), _scores_seen(network, len(x), look):
        network(x.double())
    return found


if __name__ == '__main__':
    from parity_compare import COMMITTED, GoldenFolder
    from parity_nitedr import choice_inputs, cleannet

    torch.set_num_threads(1)
    folder, record = GoldenFolder(COMMITTED / 'nitedr'), {}
    for name, (stem, image) in choice_inputs().items():
        record[name] = near_ties(cleannet(folder, stem), image)
        lines = ',\n'.join(f'{json.dumps(key)}: {json.dumps(choices)}' for key, choices in record.items())
        FILE.write_text(f'{{\n{lines}\n}}\n')
