"""Labelled and unlabelled samples in one: a data set of pairs, so that samplers, seeds and loaders work as they are."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch.utils.data import Dataset

from ..errors import ConfigError
from ..registry import DATASETS


@DATASETS.register_module()
class LabelledUnlabelled(Dataset):
    """Joins a sample of a labelled and one of an unlabelled data set.

    Both pipelines end in a packing transform; a sample is ``{'inputs': the inputs of both, 'data_samples': that of the
    labelled one, whose metainfo also has the unlabelled ``<key>_path``s}``. A batch then stacks both, and one iteration
    has as many labelled as unlabelled images. The longer data set is gone through once a pass. Inside
    :class:`~mmweather.datasets.seeded.SeededDataset` the partner is a function of seed and position, so the stream can
    be resumed and shared between processes.

    Args:
        labelled: config of a data set, or the data set; None where there are only unlabelled samples.
        unlabelled: see above.
        pairing: ``'random'`` draws the partner out of the shorter data set anew each time (NumPy's global state);
            ``'fixed'`` takes sample ``i`` modulo its length, the same in each pass, as SSDIE-Net's code does.

    Raises:
        ConfigError: there is no data set, or ``pairing`` is unknown.
    """

    def __init__(self, labelled: Dataset | dict | None = None, unlabelled: Dataset | dict | None = None,
                 pairing: str = 'random') -> None:
        if labelled is None and unlabelled is None:
            raise ConfigError('LabelledUnlabelled: give labelled, unlabelled or both')
        if pairing not in ('random', 'fixed'):
            raise ConfigError(f"LabelledUnlabelled: pairing must be 'random' or 'fixed', got {pairing!r}")
        self.pairing = pairing
        self.parts = {
            name: DATASETS.build(part) if isinstance(part, dict) else part
            for name, part in (('labelled', labelled), ('unlabelled', unlabelled)) if part is not None
        }

    @property
    def metainfo(self) -> dict:
        """Meta information of the first data set."""
        return getattr(next(iter(self.parts.values())), 'metainfo', {})

    def full_init(self) -> None:
        """Read the annotations of both, where they defer that."""
        for part in self.parts.values():
            if hasattr(part, 'full_init'):
                part.full_init()

    def __len__(self) -> int:
        return max(len(part) for part in self.parts.values())

    def partners(self, idx: int) -> dict[str, int]:
        """Index into each data set for sample ``idx``."""
        longest = len(self)
        return {name: idx if len(part) == longest else
                (int(np.random.randint(len(part))) if self.pairing == 'random' else idx % len(part))
                for name, part in self.parts.items()}

    def get_data_info(self, idx: int) -> dict:
        """The description of sample ``idx`` of the longer data set."""
        part = max(self.parts.values(), key=len)
        return part.get_data_info(int(idx))

    def __getitem__(self, idx: int) -> dict[str, Any]:
        samples = [self.parts[name][index] for name, index in self.partners(int(idx)).items()]
        inputs: dict[str, Any] = {}
        for sample in samples:
            twice = sorted(inputs.keys() & sample['inputs'].keys())
            if twice:
                raise ConfigError(f"LabelledUnlabelled: both data sets pack {twice}; give the unlabelled images "
                                  "another key, as in data_prefix=dict(unlabelled='train/dust')")
            inputs.update(sample['inputs'])
        joined = samples[0]['data_samples']
        for sample in samples[1:]:
            other = sample['data_samples'].metainfo
            joined.set_metainfo({key: value for key, value in other.items() if key not in joined.metainfo})
        return {'inputs': inputs, 'data_samples': joined}
