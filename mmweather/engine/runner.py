"""What ``tools/train.py`` and ``tools/test.py`` share: arguments, the config they make of them, and the runner."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config, ConfigDict, DictAction
from mmengine.dist import is_main_process
from mmengine.evaluator import DumpResults
from mmengine.model import is_model_wrapper
from mmengine.runner import Runner

from mmweather.utils.config_file import innermost

from ..compat.cpu_dist import leave_group
from ..config.explain import config_errors
from ..config.load import check_sections, default_work_dir, load_config
from ..datasets.leakage import refuse_leaking_config
from ..errors import CheckpointError, ConfigError
from ..registry import RUNNERS
from ..utils.checkpoint import load_checkpoint, load_into, missing_parts, same_shapes, unwrap_state_dict
from ..utils.finite import infinite_by_design
from ..utils.runs import end_forks_with_parent, end_with_launcher
from .processes import Company, OneRun
from .resume import find_resume_checkpoint

_AMP = 'mmengine.AmpOptimWrapper'
_WRAPPERS = (None, 'OptimWrapper', 'mmengine.OptimWrapper', 'AmpOptimWrapper', _AMP)


class SafeRunner(Runner):
    """MMEngine's runner with checkpoints that cannot run code and cannot be another network's.

    Resuming and testing demand that every key of the checkpoint fits the model.  Fine-tuning (``load_from`` without
    ``resume``) takes what fits and demands that something does.
    """

    strict_load = True

    def load_or_resume(self) -> None:
        """As MMEngine's, but an automatic resume passes over checkpoints that are cut short or not finite."""
        if self._resume and self._load_from is None and not self._has_loaded:
            found = find_resume_checkpoint(self.work_dir, infinite_by_design(self._bare_model()))
            if found is None:
                self.logger.info(f'No checkpoint in {self.work_dir}: training starts from the beginning.')
                self._resume = False
            else:
                self._load_from = str(found)
        super().load_or_resume()

    def _bare_model(self) -> torch.nn.Module:
        return self.model.module if is_model_wrapper(self.model) else self.model

    def save_checkpoint(self, out_dir: str, filename: str, *args: Any, **kwargs: Any) -> None:
        """As MMEngine's, but the file gets its name when it is complete.

        Args:
            out_dir: folder.
            filename: name in the folder.
            *args: see MMEngine.
            **kwargs: see MMEngine.

        Raises:
            OSError: the file cannot be written; nothing is left of it, and an older file of the name stays.
        """
        if '://' in str(out_dir):
            super().save_checkpoint(out_dir, filename, *args, **kwargs)
            return
        path = Path(out_dir, filename)
        part = path.with_name(f'.{path.name}.part')
        try:
            # Only the main process writes.
            super().save_checkpoint(str(part.parent), part.name, *args, **kwargs)
            if is_main_process():
                with part.open('rb+') as file:
                    os.fsync(file.fileno())
                os.replace(part, path)
        except BaseException:
            if is_main_process():
                part.unlink(missing_ok=True)
            raise

    def load_checkpoint(self, filename: str, map_location: str | Callable = 'cpu', strict: bool = False,
                        revise_keys: Any = None) -> dict:
        """Load weights into the model.

        Args:
            filename: a file or an address, see :func:`mmweather.utils.download.local_file`.
            map_location: unused. Everything is read on the CPU: an optimizer moves its moments itself, and step
                counters on a GPU would stop every step.
            strict: demand that all keys fit; always so when resuming or testing.
            revise_keys: unused; the prefixes of wrappers are known.

        Returns:
            The whole checkpoint.

        Raises:
            CheckpointError: the file is missing, broken, holds code, or belongs to another network.
        """
        path = str(filename)
        checkpoint = load_checkpoint(path)
        if self._resume and not {'epoch', 'iter'} <= set(checkpoint.get('meta') or ()):
            raise CheckpointError(f"'{path}' holds weights only, not the state of a training: it cannot be resumed; "
                                  'start from it with --cfg-options load_from=<path>')
        # Hooks may exchange the weights, as EMAHook does.
        self.call_hook('after_load_checkpoint', checkpoint=checkpoint)
        state = unwrap_state_dict(checkpoint)
        model = self.model.module if is_model_wrapper(self.model) else self.model
        lacking = missing_parts(model, state) if self._resume else []
        if lacking:
            raise CheckpointError(f"'{path}' holds no {' and no '.join(lacking)}, so the training cannot be resumed: "
                                  'start from it with --cfg-options load_from=<path>')
        strict = strict or self._resume or self.strict_load
        load_into(model, state if strict else self._fitting(model, state, path), path, strict=strict)
        self._has_loaded = True
        self.logger.info(f'Load checkpoint from {path}')
        return checkpoint

    def _fitting(self, model: torch.nn.Module, state: dict, path: str) -> dict:
        own = model.state_dict()
        fits = same_shapes(state, own)
        if not fits:
            raise CheckpointError(f"'{path}' (load_from) has no key and shape of {type(model).__name__}: it belongs to "
                                  'another network')
        left, fresh = sorted(set(state) - set(fits)), sorted(set(own) - set(fits))
        if left or fresh:
            self.logger.warning(f'{path}: {len(fits)} of {len(own)} entries are taken; not taken: {left or "none"}; '
                                f'newly initialised: {fresh or "none"}')
        return fits


class OptionsAction(DictAction):
    """``--cfg-options KEY=VALUE ...``; a malformed pair is a usage error instead of a traceback."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any,
                 option_string: str | None = None) -> None:
        try:
            super().__call__(parser, namespace, values, option_string)
        except (ValueError, AssertionError):
            bad = next((value for value in values if '=' not in value), ' '.join(values))
            raise argparse.ArgumentError(self, f"expected KEY=VALUE with balanced brackets, got '{bad}'") from None


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('--work-dir', help='folder of logs and checkpoints (./work_dirs/<config name>)')
    parser.add_argument('--cfg-options', nargs='+', action=OptionsAction, metavar='KEY=VALUE',
                        help='replace settings of the config, e.g. train_dataloader.batch_size=2 or '
                        'key="[(a,b),(c,d)]"; quotation marks are needed around brackets, white space is not allowed')
    parser.add_argument('--launcher', choices=('none', 'pytorch', 'slurm', 'mpi'), default='none',
                        help='what started the processes')
    # torch.distributed.launch passes it with a hyphen.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)


def train_parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/train.py``."""
    parser = argparse.ArgumentParser(
        description='Train a model', formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='example:\n  python tools/train.py configs/nitedr/<config>.py --work-dir work_dirs/run --resume')
    parser.add_argument('config', help='config file')
    _add_common(parser)
    parser.add_argument('--amp', action='store_true', help='automatic mixed precision')
    parser.add_argument('--auto-scale-lr', action='store_true',
                        help='scale the learning rate with the real batch size (auto_scale_lr of the config)')
    parser.add_argument('--resume', nargs='?', const='auto', metavar='CHECKPOINT',
                        help='continue from this checkpoint, or from the last one of the work directory')
    return parser


def test_parser() -> argparse.ArgumentParser:
    """The arguments of ``tools/test.py``."""
    parser = argparse.ArgumentParser(
        description='Test a model', formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog='example:\n  python tools/test.py configs/nitedr/<config>.py work_dirs/run/iter_1000.pth --show-dir out')
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', nargs='?', help='checkpoint file; only models without parameters need none')
    _add_common(parser)
    parser.add_argument('--out', metavar='FILE.pkl', help='write the predictions to a pickle file')
    parser.add_argument('--show', action='store_true', help='show each result in a window')
    parser.add_argument('--show-dir', help='folder for pictures of the results')
    parser.add_argument('--wait-time', type=float, default=2, help='seconds that a window stays')
    parser.add_argument('--tta', action='store_true', help='test-time augmentation (tta_model, tta_pipeline)')
    return parser


def _configure(args: argparse.Namespace, mode: str) -> Config:
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    config = load_config(args.config, args.cfg_options)
    check_sections(config, mode)
    config.launcher = args.launcher
    config.work_dir = args.work_dir or config.get('work_dir') or default_work_dir(args.config)
    return config


def train_config(args: argparse.Namespace) -> Config:
    """The config with the arguments of ``tools/train.py`` applied.

    Raises:
        ConfigError: the config or an argument cannot work.
        CheckpointError: ``--resume`` names a file that is not there.
    """
    config = _configure(args, 'train')
    if args.amp:
        _use_amp(config)
    if args.auto_scale_lr:
        scaling = config.get('auto_scale_lr') or {}
        if 'base_batch_size' not in scaling:
            raise ConfigError('--auto-scale-lr: the config has no auto_scale_lr.base_batch_size; add '
                              'auto_scale_lr = dict(enable=False, base_batch_size=<batch size of its lr>)')
        config.auto_scale_lr = dict(scaling, enable=True)
    if args.resume == 'auto':
        config.resume, config.load_from = True, None
    elif args.resume is not None:
        config.resume, config.load_from = True, _existing(args.resume, '--resume')
    return config


def test_config(args: argparse.Namespace) -> Config:
    """The config with the arguments of ``tools/test.py`` applied.

    Raises:
        ConfigError: the config or an argument cannot work.
        CheckpointError: the checkpoint is not there.
    """
    config = _configure(args, 'test')
    config.load_from = None if args.checkpoint is None else _existing(args.checkpoint, 'checkpoint')
    config.resume = False
    if args.out is not None and not args.out.endswith(('.pkl', '.pickle')):
        raise ConfigError(f"--out {args.out}: the file must end in .pkl or .pickle")
    if args.show or args.show_dir:
        _show(config, args)
    if args.tta:
        _use_tta(config)
    return config


def _existing(path: str, argument: str) -> str:
    if '://' not in path and not Path(path).is_file():
        raise CheckpointError(f"{argument}: no such file: '{path}'")
    return path


def _optim_wrappers(config: Config) -> Iterator[ConfigDict]:
    """The wrapper, or each of several optimizers' wrappers."""
    whole = config.optim_wrapper
    parts = [value for value in whole.values() if isinstance(value, dict) and 'optimizer' in value]
    yield from [whole] if 'optimizer' in whole else parts


def _use_amp(config: Config) -> None:
    if not torch.cuda.is_available():
        raise ConfigError('--amp: mixed-precision training needs a GPU, and there is none; leave --amp out')
    found = False
    for wrapper in _optim_wrappers(config):
        if wrapper.get('type') not in _WRAPPERS:
            raise ConfigError(f"--amp: optim_wrapper.type '{wrapper.type}' cannot be replaced by {_AMP}; "
                              'set mixed precision in the config')
        wrapper.type = _AMP
        wrapper.setdefault('loss_scale', 'dynamic')
        found = True
    if not found:
        raise ConfigError("--amp: optim_wrapper has no 'optimizer' that could be wrapped")


def _show(config: Config, args: argparse.Namespace) -> None:
    hook = config.get('default_hooks', {}).get('visualization')
    if hook:  # the drawing hooks of mmdet and mmseg
        hook.update(draw=True)
        if args.show:
            hook.update(show=True, wait_time=args.wait_time)
        if args.show_dir and str(hook.get('type')).split('.')[-1] == 'SegVisualizationHook':
            # mmseg's hook leaves the writing to the visualizer.
            config.visualizer = dict(config.get('visualizer') or dict(type='mmseg.SegLocalVisualizer'),
                                     save_dir=args.show_dir)
        elif args.show_dir:
            hook.update(test_out_dir=args.show_dir)
        return
    out_dir = args.show_dir and os.path.abspath(args.show_dir)
    others = [h for h in config.get('custom_hooks') or [] if h.get('type') != 'mmweather.SavePicturesHook']
    config.custom_hooks = [*others, dict(type='mmweather.SavePicturesHook', limit=None, out_dir=out_dir,
                                         show=args.show, wait_time=args.wait_time)]


def _use_tta(config: Config) -> None:
    for key in ('tta_model', 'tta_pipeline'):
        if config.get(key) is None:
            raise ConfigError(f"--tta: the config has no '{key}'; add it, or leave --tta out")
    for dataset in innermost(config.test_dataloader.dataset):
        dataset.pipeline = config.tta_pipeline
    config.model = ConfigDict(**config.tta_model, module=config.model)


def _company(config: Config) -> Company:
    return Company(((config.get('env_cfg') or {}).get('dist_cfg') or {}).get('timeout'))


def build_runner(config: Config) -> Runner:
    """The runner of a config: :class:`SafeRunner`, or the class that ``runner_type`` names."""
    end_forks_with_parent()
    end_with_launcher()
    return RUNNERS.build(config) if 'runner_type' in config else SafeRunner.from_cfg(config)


def train(args: argparse.Namespace) -> Runner:
    """Train as the arguments of :func:`train_parser` say.

    Returns:
        The runner, after training.

    Raises:
        MMWeatherError: something that the user can fix.
    """
    config = train_config(args)
    company = _company(config)
    with config_errors(config), company.end_together(), OneRun(config.work_dir, config.launcher != 'none') as run:
        refuse_leaking_config(config)
        runner = build_runner(config)
        company.meet()
        run.share()
        if isinstance(runner, SafeRunner):
            runner.strict_load = bool(config.get('resume'))
        runner.train()
        leave_group()
    return runner


def test(args: argparse.Namespace) -> dict[str, float]:
    """Test as the arguments of :func:`test_parser` say.

    Returns:
        The metrics.

    Raises:
        MMWeatherError: something that the user can fix.
    """
    config = test_config(args)
    company = _company(config)
    with config_errors(config), company.end_together():
        refuse_leaking_config(config)
        runner = build_runner(config)
        company.meet()
        if args.checkpoint is None and next(runner.model.parameters(), None) is not None:
            raise ConfigError(f"no weights to test '{args.config}' with; give a checkpoint after the config")
        if args.out is not None:
            runner.test_evaluator.metrics.append(DumpResults(out_file_path=args.out))
        metrics = runner.test()
        leave_group()
    return metrics
