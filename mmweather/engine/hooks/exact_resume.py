"""A resumed run continues bit for bit."""

from __future__ import annotations

from typing import Any

from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop

from ...registry import HOOKS
from ...utils.seeding import derive_seed, seed_everything
from ..loops import find_sampler

_KEY = 'exact_resume'
_MEANING = {
    'total_batch_size': 'batch size times processes',
    'world_size': 'number of processes',
    'dataset_length': 'length of the data set',
}


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Makes every random draw of training a function of (seed, rank, iteration).

    Before each training iteration Python's, NumPy's and torch's generators are seeded from (seed, rank, iteration), so
    dropout or noise inside the model does not depend on the past.  The order of the data and their augmentation are
    the business of the seeded samplers and :class:`~mmweather.datasets.seeded.SeededDataset`.

    Each checkpoint records the seed, the number of processes, the batch size and the length of the data set under
    ``meta['exact_resume']``.  A resumed run takes the sampler's seed from there (MMEngine restores the runner's) and
    warns, in one line, where the rest or a seed given in the config differs.  Loops that count epochs continue exactly
    from checkpoints at the end of an epoch.
    """

    priority = 'HIGHEST'

    def __init__(self) -> None:
        self._record: dict | None = None

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Record what the continuation depends on."""
        checkpoint['meta'][_KEY] = self._describe(runner)

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Keep the record of the checkpoint until training starts."""
        meta = checkpoint.get('meta')
        self._record = meta.get(_KEY, {}) if isinstance(meta, dict) else {}

    def before_train(self, runner: Any) -> None:
        """Check a resumed run against the record and give the sampler its seed back."""
        if self._record is None or (runner.iter == 0 and runner.epoch == 0):
            return
        sampler = find_sampler(runner.train_dataloader)
        found = self._describe(runner)
        complaints = [
            f'{meaning} was {self._record[key]}, is {found[key]}' for key, meaning in _MEANING.items()
            if self._record.get(key) is not None and self._record[key] != found[key]
        ]
        if self._record.get('seed') is not None and hasattr(sampler, 'seed'):
            sampler.seed = self._record['seed']
        wanted = runner.cfg.get('randomness', {}).get('seed')
        if wanted is not None and self._record.get('seed') not in (None, wanted):
            runner.logger.warning(f"randomness.seed={wanted} is ignored: the resumed run keeps the checkpoint's seed "
                                  f"{self._record['seed']}")
        if not self._record:
            complaints.append('the checkpoint was written without ExactResumeHook')
        if isinstance(runner.train_loop, EpochBasedTrainLoop) and runner.iter % len(runner.train_dataloader):
            complaints.append('the checkpoint lies inside an epoch, which starts again from its first batch')
        if complaints:
            runner.logger.warning('The resumed run will not continue bit for bit: ' + '; '.join(complaints))

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Seed the process for this iteration."""
        seed_everything(derive_seed(runner.seed, get_rank(), runner.iter))

    @staticmethod
    def _describe(runner: Any) -> dict[str, int | None]:
        loader = runner.train_dataloader
        batch_size = getattr(loader.batch_sampler, 'batch_size', None)
        seed = getattr(find_sampler(loader), 'seed', None)
        return {
            'seed': None if seed is None else int(seed),
            'world_size': get_world_size(),
            'total_batch_size': None if batch_size is None else batch_size * get_world_size(),
            'dataset_length': len(loader.dataset),
        }
