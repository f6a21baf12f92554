"""Domain critics for the segmentor of a config, added by a hook."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.model import MMDistributedDataParallel, is_model_wrapper
from mmengine.optim import AmpOptimWrapper, OptimWrapper, OptimWrapperDict

from ...errors import CheckpointError, ConfigError
from ...models.adaptation.critics import CriticOptions
from ...models.adaptation.domain_adversarial import DomainAdversarial, DomainAdversarialDDP, critic_optimizer
from ...registry import HOOKS

_OLD_KEY = 'domain_critics'


@HOOKS.register_module()
class DomainCriticHook(Hook):
    """Adapter that trains the segmentor of a config as the model ``mmweather.DomainAdversarial``.

    Before a training starts, the runner's model becomes the segmentor in ``mmweather.DomainAdversarial``, and its
    optimizer one of two. So a config gets critics by one entry of ``custom_hooks``; tests and inference see the
    segmentor only.

    Args:
        optimizer: config of the critics' optimizer.
        **critics: see :class:`~mmweather.models.adaptation.critics.CriticOptions`.

    Raises:
        ConfigError: an option cannot work.
    """

    priority = 'VERY_HIGH'  # before the hooks that look at the model

    def __init__(self, optimizer: dict | None = None, **critics: Any) -> None:
        CriticOptions.of(critics)
        self.optimizer = {} if optimizer is None else {'optimizer': dict(optimizer)}
        self.critics = critics

    def before_run(self, runner: Any) -> None:
        """Put the segmentor into the adversarial model, if a training starts."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if not isinstance(runner.optim_wrapper, OptimWrapper) or isinstance(model, DomainAdversarial):
            return
        if isinstance(runner.optim_wrapper, OptimWrapperDict):
            raise ConfigError('DomainCriticHook: optim_wrapper must be one wrapper (that of the segmentor); the hook '
                              'has the critics\' own (its argument optimizer)')
        whole = DomainAdversarial(model, self.critics)
        wrapper = runner.optim_wrapper
        like = ({'type': 'mmengine.AmpOptimWrapper', 'dtype': wrapper.cast_dtype}
                if isinstance(wrapper, AmpOptimWrapper) else {})
        runner.optim_wrapper = OptimWrapperDict(
            segmentor=wrapper, critics=critic_optimizer(whole.critics, self.optimizer, like))
        if runner.param_schedulers is not None:  # the critics follow the segmentor's
            runner.param_schedulers = {'segmentor': runner.param_schedulers, 'critics': []}
        runner.model = self._distributed(whole, runner.model) if is_model_wrapper(runner.model) else whole

    @staticmethod
    def _distributed(whole: DomainAdversarial, former: Any) -> DomainAdversarialDDP:
        if not isinstance(former, MMDistributedDataParallel):
            raise ConfigError(f'DomainCriticHook: {type(former).__name__} cannot train critics: leave '
                              'model_wrapper_cfg.type out')
        return DomainAdversarialDDP(
            whole, device_ids=former.device_ids, broadcast_buffers=former.broadcast_buffers,
            find_unused_parameters=former.find_unused_parameters)

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Bring a checkpoint of an earlier version, which kept the critics separately, to the present form.

        Raises:
            CheckpointError: the critics of the checkpoint saw other features.
        """
        found = checkpoint.pop(_OLD_KEY, None)
        if not isinstance(found, dict) or not isinstance(runner.optim_wrapper, OptimWrapperDict):
            return
        features = CriticOptions.of(self.critics).features
        if list(found['features']) != list(features):
            raise CheckpointError(f"the resumed checkpoint holds critics of {', '.join(found['features'])}, and "
                                  f"DomainCriticHook has critics of {', '.join(features)}: resume with the config it "
                                  'was trained with, or start from its weights (load_from)')
        checkpoint['state_dict'].update({f'critics.{key}': value for key, value in found['state_dict'].items()})
        for group, fresh in zip(found['optimizer']['param_groups'], runner.optim_wrapper['critics'].param_groups,
                                strict=True):
            group.setdefault('initial_lr', fresh['initial_lr'])
        checkpoint['optimizer'] = {'segmentor': checkpoint['optimizer'], 'critics': found['optimizer']}
        if 'param_schedulers' in checkpoint:
            checkpoint['param_schedulers'] = {'segmentor': checkpoint['param_schedulers'], 'critics': []}
