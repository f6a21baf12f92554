"""Samplers without a state: the n-th draw of the stream is a function of (seed, n).

Positions are dealt to the processes in turn (``rank, rank + world_size, ...``), so two processes with batch size B
see, iteration by iteration, the samples that one process with batch size 2 B sees.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence, Sized
from typing import Any

import torch
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from ..errors import ConfigError, DataError
from ..registry import DATA_SAMPLERS
from ..utils.seeding import derive_seed


class Draw(int):
    """An index into a data set that remembers where in the stream it stands.

    It is an ``int``, so every data set takes it; :class:`~mmweather.datasets.seeded.SeededDataset` reads the rest.

    Attributes:
        position: place in the stream of all processes, from 0.
        seed: seed of the stream.
    """

    position: int
    seed: int

    def __new__(cls, index: int, position: int, seed: int = 0) -> Draw:
        self = super().__new__(cls, index)
        self.position = position
        self.seed = seed
        return self

    def __getnewargs__(self) -> tuple[int, int, int]:  # for pickle and copy: workers get draws through a queue
        return int(self), self.position, self.seed

    def __repr__(self) -> str:
        return f'Draw({int(self)}, position={self.position}, seed={self.seed})'


class _SeededSampler(Sampler):

    def __init__(self, dataset: Sized, shuffle: bool = True, seed: int | None = None) -> None:
        self.rank, self.world_size = get_dist_info()
        self.size = len(dataset)
        if self.size < 1:
            raise ValueError('the data set is empty')
        self.shuffle = shuffle
        self.seed = int(sync_random_seed() if seed is None else seed)

    def order(self, block: int) -> list[int]:
        """The indices of one pass over the data, a permutation that depends on (seed, block) alone."""
        if not self.shuffle:
            return list(range(self.size))
        generator = torch.Generator().manual_seed(derive_seed(self.seed, block))
        return torch.randperm(self.size, generator=generator).tolist()


@DATA_SAMPLERS.register_module()
class SeededInfiniteSampler(_SeededSampler):
    """An endless stream of :class:`Draw` that can start anywhere.

    Passes over the data follow each other without a gap; each is a permutation of its own.

    Args:
        dataset: what is sampled; only its length is used.
        shuffle: whether the order of a pass is random.
        seed: of the stream, the same in all processes; MMEngine's runner gives ``randomness.seed``.  None draws one.
    """

    def __init__(self, dataset: Sized, shuffle: bool = True, seed: int | None = None) -> None:
        super().__init__(dataset, shuffle, seed)
        self.start = 0

    def set_position(self, drawn: int) -> None:
        """Let the next iterator start where a process that has drawn ``drawn`` samples itself stands."""
        if drawn < 0:
            raise ValueError(f'a position cannot be negative: {drawn}')
        self.start = int(drawn)

    def __iter__(self) -> Iterator[Draw]:
        position = self.start * self.world_size + self.rank
        block, order = -1, []
        while True:
            if position // self.size != block:
                block = position // self.size
                order = self.order(block)
            yield Draw(order[position % self.size], position, self.seed)
            position += self.world_size

    def __len__(self) -> int:
        """Size of the data set: the sampler never ends."""
        return self.size


@DATA_SAMPLERS.register_module()
class SeededEpochSampler(_SeededSampler):
    """One pass an epoch, as :class:`Draw`; the order depends on (seed, epoch) alone.

    Args:
        dataset: what is sampled; only its length is used.
        shuffle: whether the order is random.
        seed: as in :class:`SeededInfiniteSampler`.
        round_up: repeat the first samples so that every process draws equally many.
    """

    def __init__(self, dataset: Sized, shuffle: bool = True, seed: int | None = None, round_up: bool = True) -> None:
        super().__init__(dataset, shuffle, seed)
        self.epoch = 0
        share = self.size / self.world_size
        self.total = math.ceil(share) * self.world_size if round_up else self.size

    def set_epoch(self, epoch: int) -> None:
        """Called by MMEngine's DistSamplerSeedHook before each epoch."""
        self.epoch = int(epoch)

    def __iter__(self) -> Iterator[Draw]:
        order = self.order(self.epoch)
        for i in range(self.rank, self.total, self.world_size):
            yield Draw(order[i % self.size], self.epoch * self.total + i, self.seed)

    def __len__(self) -> int:
        """Samples that this process draws in an epoch."""
        return len(range(self.rank, self.total, self.world_size))


@DATA_SAMPLERS.register_module()
class DomainPairSampler(_SeededSampler):
    """An endless stream of pairs: a sample of the first domain, then one of the second, as :class:`Draw`.

    Each domain is passed through in permutations of its own, without regard to the other, so a day frame meets another
    night frame each time. Pairs are dealt to the processes in turn; with an even batch size every batch holds as many
    samples of one domain as of the other.

    Args:
        dataset: its ``get_data_info`` must say each sample's ``domain``.
        domains: names of the two domains.
        shuffle: whether the order of a pass is random.
        seed: as in :class:`SeededInfiniteSampler`.

    Raises:
        DataError: a domain has no sample.
    """

    def __init__(self, dataset: Any, domains: Sequence[str] = ('day', 'night'), shuffle: bool = True,
                 seed: int | None = None) -> None:
        super().__init__(dataset, shuffle, seed)
        found = [dataset.get_data_info(index).get('domain') for index in range(len(dataset))]
        self.indices = [[i for i, domain in enumerate(found) if domain == name] for name in domains]
        for name, indices in zip(domains, self.indices, strict=True):
            if not indices:
                raise DataError(f"DomainPairSampler: the data set has no sample of domain '{name}' among "
                                f'{sorted(set(map(str, found)))}; give it both, or use mmweather.SeededInfiniteSampler')
        self.start = 0

    def set_position(self, drawn: int) -> None:
        """Let the next iterator start where a process that has drawn ``drawn`` samples itself stands."""
        if drawn < 0 or drawn % 2:
            raise ConfigError(f'DomainPairSampler: {drawn} samples are no whole pairs; give an even batch_size')
        self.start = drawn // 2

    def _index(self, domain: int, pair: int) -> int:
        indices = self.indices[domain]
        block, place = divmod(pair, len(indices))
        if not self.shuffle:
            return indices[place]
        key = (domain, block)
        if self._orders.get(domain, (None, ))[0] != key:
            generator = torch.Generator().manual_seed(derive_seed(self.seed, domain, block))
            self._orders[domain] = (key, torch.randperm(len(indices), generator=generator).tolist())
        return indices[self._orders[domain][1][place]]

    def __iter__(self) -> Iterator[Draw]:
        self._orders: dict[int, tuple] = {}
        pair = self.start * self.world_size + self.rank
        while True:
            for domain in (0, 1):
                yield Draw(self._index(domain, pair), 2 * pair + domain, self.seed)
            pair += self.world_size

    def __len__(self) -> int:
        """Samples in as many pairs as the first domain has samples."""
        return 2 * len(self.indices[0])
