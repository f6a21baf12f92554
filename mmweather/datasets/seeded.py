"""Augmentation as a function of (seed, position in the stream)."""

from __future__ import annotations

from typing import Any

from torch.utils.data import Dataset

from ..registry import DATASETS
from ..utils.seeding import derive_seed, seeded


@DATASETS.register_module()
class SeededDataset(Dataset):
    """Seeds the random generators around each ``__getitem__`` of another data set.

    Python's, NumPy's and torch's global CPU generators start from (seed, position) while a sample is made and are put
    back afterwards.  So a sample does not depend on the number of workers, on which worker makes it, or on what was
    made before; a resumed run sees the crops that it would have seen.

    With :class:`~mmweather.datasets.samplers.Draw` indices, seed and position come from the sampler.  With plain
    integers the position is the index itself, and every pass makes the same sample of it.

    Args:
        dataset: the data set or its config.
        seed: used with plain indices, >= 0.
    """

    def __init__(self, dataset: Dataset | dict, seed: int = 0) -> None:
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        self.seed = seed

    @property
    def metainfo(self) -> dict:
        """Meta information of the wrapped data set; empty where it has none."""
        return getattr(self.dataset, 'metainfo', {})

    def full_init(self) -> None:
        """Read the annotations of the wrapped data set, where it defers that."""
        if hasattr(self.dataset, 'full_init'):
            self.dataset.full_init()

    def get_data_info(self, idx: int) -> dict:
        """The wrapped data set's description of sample ``idx``."""
        return self.dataset.get_data_info(int(idx))

    def update_skip_type_keys(self, skip_type_keys: list[str]) -> None:
        """Tell the wrapped ``mmdet.MultiImageMixDataset`` what to skip, as ``mmdet.YOLOXModeSwitchHook`` asks."""
        self.dataset.update_skip_type_keys(skip_type_keys)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, idx: int) -> Any:
        position, seed = getattr(idx, 'position', int(idx)), getattr(idx, 'seed', self.seed)
        with seeded(derive_seed(seed, position)):
            return self.dataset[int(idx)]
