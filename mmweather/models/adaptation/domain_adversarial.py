"""Adversarial domain adaptation for any mmseg segmentor, by config."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.dist import all_reduce_params, get_world_size
from mmengine.logging import MessageHub
from mmengine.model import BaseModule, MMDistributedDataParallel, is_model_wrapper
from mmengine.optim import DefaultOptimWrapperConstructor, OptimWrapper, OptimWrapperDict
from torch import Tensor, nn

from mmweather.errors import ConfigError, DataError
from mmweather.registry import MODEL_WRAPPERS, MODELS, OPTIM_WRAPPER_CONSTRUCTORS

from ..ops.wrapping import bare
from .critics import CriticOptions, DomainCritics, Features
from .domains import group_by_domain, take

_DEFAULT_OPTIMIZER = dict(type='mmengine.RMSprop', lr=1e-4)
_OPTIMIZERS = "optim_wrapper=dict(constructor='mmweather.DomainAdversarialOptim', optimizer=..., " \
              'critics=dict(optimizer=...))'


@MODELS.register_module()
class DomainAdversarial(BaseModule):
    """A segmentor and domain critics that learn in turn.

    The critics classify the domain of the segmentor's feature maps, and the segmentor learns to confuse them. Batches
    hold samples of both domains (``mmweather.DomainPairSampler``), whose metainfo holds their ``domain``. Each domain
    goes through the segmentor separately, the first one first. Three phases alternate, counted in iterations: the
    critics for ``initial_critic_iters``, then in turn the segmentor for ``seg_iters`` and the critics for
    ``critic_iters``. While the critics learn, the segmentor runs in training mode without gradients, so its batch
    statistics change and its weights do not. While the segmentor learns, its losses are its own on the samples that
    have labels, and the confusion loss through the fixed critics. The phase is a function of the iteration.

    The state dict holds the segmentor's keys as they are, and ``critics.*``; so a checkpoint serves the segmentor's own
    config, and a checkpoint of the segmentor serves this model except for resuming. Outside of training the model is
    the segmentor: what it does not have itself, such as ``decode_head``, is the segmentor's.

    ``optim_wrapper`` needs the constructor ``mmweather.DomainAdversarialOptim``; distributed training needs
    ``model_wrapper_cfg=dict(type='mmweather.DomainAdversarialDDP')``.

    Args:
        segmentor: config of a segmentor, or the segmentor.
        critics: options of the critics, see :class:`~mmweather.models.adaptation.critics.CriticOptions`.
        init_cfg: see :class:`mmengine.model.BaseModule`.

    Raises:
        ConfigError: an option cannot work, or a feature's name is not a module of the segmentor.
    """

    #: Parts that a checkpoint may lack unless a training is resumed.
    optional_parts = ('critics', )

    def __init__(self, segmentor: Mapping[str, Any] | nn.Module, critics: Mapping[str, Any] | None = None,
                 init_cfg: dict | None = None) -> None:
        super().__init__(init_cfg)
        options = CriticOptions.of(critics)
        self.segmentor: Any = segmentor if isinstance(segmentor, nn.Module) else MODELS.build(
            ConfigDict(segmentor))  # mmseg reads test_cfg by attributes
        self.features = Features(self.segmentor, options.features)
        self.critics = DomainCritics(options, options.in_channels or self.features.count_channels(self.segmentor))
        self.critics.to(next(self.segmentor.parameters()).device)
        self.register_state_dict_post_hook(_take_prefix_off)
        self.register_load_state_dict_pre_hook(_put_prefix_on)

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            segmentor = self.__dict__.get('_modules', {}).get('segmentor')
            if segmentor is None or name.startswith('_'):
                raise
            return getattr(segmentor, name)

    @property
    def message_hub(self) -> MessageHub:
        """Hub of the run, whose ``iter`` is the iteration."""
        return MessageHub.get_current_instance()

    @property
    def options(self) -> CriticOptions:
        """Options of the critics."""
        return self.critics.options

    def phase(self, iteration: int) -> str:
        """Return ``'critic'`` or ``'segmentation'``."""
        return self.options.phase(iteration)

    def val_step(self, data: Any) -> list:
        """Return the segmentor's predictions."""
        return self.segmentor.val_step(data)

    def test_step(self, data: Any) -> list:
        """Return the segmentor's predictions."""
        return self.segmentor.test_step(data)

    def forward(self, inputs: Any, data_samples: Any = None, mode: str = 'tensor', **kwargs: Any) -> Any:
        """Run the segmentor; in mode ``'loss'``, return its losses of both domains and the confusion loss."""
        if mode != 'loss':
            return self.segmentor(inputs, data_samples, mode=mode, **kwargs)
        losses: dict[str, Any] = {}
        maps: dict[str, list[Tensor]] = {}
        groups = self._groups(data_samples)
        for domain, index in groups.items():
            part, samples = take(inputs, index), [data_samples[i] for i in index]
            with self.features.capture(self.segmentor) as maps[domain]:
                if (all('gt_sem_seg' in sample for sample in samples)
                        or getattr(self.segmentor, 'supervises_unlabelled', False)):
                    found = self.segmentor(part, samples, mode='loss', **kwargs)
                    losses.update({f'{domain}.{name}': value for name, value in found.items()})
                else:
                    self.segmentor(part, samples, mode='tensor')
        first, second = self.options.domains
        certain = [data_samples[i].get('certainty') for i in groups[second]]
        losses['loss_confusion'] = self.critics.confusion(
            maps[first], maps[second], None if any(value is None for value in certain) else torch.stack(certain))
        return losses

    def train_step(self, data: Any, optim_wrapper: Any, whole: nn.Module | None = None) -> dict[str, Tensor]:
        """Train the half whose turn it is.

        Args:
            data: batch of the data loader.
            optim_wrapper: wrappers ``'segmentor'`` and ``'critics'``.
            whole: the data-parallel wrapper of this model, if there is one.

        Returns:
            Losses for the log.

        Raises:
            ConfigError: ``optim_wrapper`` or the runner's hooks do not fit this model.
            DataError: the batch has no sample of one of the domains.
        """
        if not isinstance(optim_wrapper, OptimWrapperDict) or set(optim_wrapper.keys()) != {'segmentor', 'critics'}:
            raise ConfigError(f'DomainAdversarial trains with two optimizers: set {_OPTIMIZERS}')
        iteration = self.message_hub.get_info('iter')
        if iteration is None:
            raise ConfigError("DomainAdversarial needs the iteration: keep mmengine.RuntimeInfoHook in default_hooks")
        if self.phase(iteration) == 'critic':
            return self._train_critics(data, optim_wrapper['segmentor'], optim_wrapper['critics'])
        wrapper, model = optim_wrapper['segmentor'], self if whole is None else whole
        with wrapper.optim_context(model):
            losses = model(**self.segmentor.data_preprocessor(data, True), mode='loss')
        loss, logs = self.segmentor.parse_losses(losses)
        wrapper.update_params(loss)
        return logs

    def _train_critics(self, data: Any, segmentor: OptimWrapper, wrapper: OptimWrapper) -> dict[str, Tensor]:
        data = self.segmentor.data_preprocessor(data, True)
        inputs, samples = data['inputs'], data['data_samples']
        maps: dict[str, list[Tensor]] = {}
        with segmentor.optim_context(self), torch.no_grad():
            for domain, index in self._groups(samples).items():
                with self.features.capture(self.segmentor) as maps[domain]:
                    self.segmentor(take(inputs, index), [samples[i] for i in index], mode='tensor')
        if self.options.follow_schedule:
            _follow(segmentor, wrapper)
        critics = self.critics.requires_grad_(True)
        try:
            with wrapper.optim_context(critics):
                first, second = (critics.scores([each.detach() for each in maps[domain]])
                                 for domain in self.options.domains)
            loss = critics.loss(first, second)
            wrapper.backward(loss)
            if get_world_size() > 1:
                all_reduce_params([p.grad for p in critics.parameters() if p.grad is not None], op='mean')
            wrapper.step()
            wrapper.zero_grad()
        finally:
            critics.requires_grad_(False)
        logs = {'loss_critic': loss.detach()}
        for domain, scores in zip(self.options.domains, (first, second), strict=True):
            logs[f'critic_{domain}'] = torch.stack([score.detach().float().mean() for score in scores]).mean()
        return logs

    def _groups(self, samples: Sequence[Any] | None) -> dict[str, list[int]]:
        groups = group_by_domain(samples or (), self.options.domains, self.options.domain_key)
        for domain, index in groups.items():
            if not index:
                raise DataError(f"a batch holds no sample of domain '{domain}': use mmweather.DomainPairSampler and an "
                                'even batch_size')
        return groups


def _follow(segmentor: OptimWrapper, critics: OptimWrapper) -> None:
    """Set the critics' learning rate to the share of the initial one that the segmentor's has reached."""
    group = segmentor.param_groups[0]
    share = group['lr'] / group.get('initial_lr', group['lr']) if group['lr'] else 0.
    for own in critics.param_groups:
        own['lr'] = own['initial_lr'] * share


def _take_prefix_off(module: nn.Module, state: dict[str, Any], prefix: str, metadata: Any) -> None:
    for key in [key for key in state if key.startswith(prefix)]:
        state[prefix + key[len(prefix):].removeprefix('segmentor.')] = state.pop(key)


def _put_prefix_on(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    for key in [key for key in state if key.startswith(prefix) and not key.startswith(f'{prefix}critics.')]:
        state[f'{prefix}segmentor.{key[len(prefix):]}'] = state.pop(key)


@MODEL_WRAPPERS.register_module()
class DomainAdversarialDDP(MMDistributedDataParallel):
    """Data-parallel wrapper of :class:`DomainAdversarial`, whose ``train_step`` chooses the optimizer.

    Args:
        module: the model.
        broadcast_buffers: copy the first process's buffers to the others before each pass.
        **kwargs: see MMEngine.
    """

    def __init__(self, module: nn.Module, broadcast_buffers: bool = False, **kwargs: Any) -> None:
        super().__init__(module, broadcast_buffers=broadcast_buffers, **kwargs)

    def train_step(self, data: Any, optim_wrapper: Any) -> dict[str, Tensor]:
        """Train the half whose turn it is; see :meth:`DomainAdversarial.train_step`."""
        return self.module.train_step(data, optim_wrapper, whole=self)


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class DomainAdversarialOptim:
    """Optimizer wrappers of a :class:`DomainAdversarial` model: ``'segmentor'`` and ``'critics'``.

    Args:
        optim_wrapper_cfg: wrapper of the segmentor's optimizer, and ``critics``, the wrapper of the critics'; RMSprop
            with a learning rate of 1e-4 by default, and mixed precision where the segmentor has it.
        paramwise_cfg: options of the segmentor's parameters, see MMEngine.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        self.own = dict(optim_wrapper_cfg)
        self.critics = dict(self.own.pop('critics', None) or {})
        self.paramwise = paramwise_cfg

    def __call__(self, model: nn.Module) -> OptimWrapperDict:
        """Return the wrappers of a model.

        Raises:
            ConfigError: the model is not a ``DomainAdversarial``, or its data-parallel wrapper cannot train it.
        """
        inner = bare(model)
        if not isinstance(inner, DomainAdversarial):
            raise ConfigError('optim_wrapper.constructor mmweather.DomainAdversarialOptim needs the model '
                              f'mmweather.DomainAdversarial, got {type(inner).__name__}')
        if is_model_wrapper(model) and not isinstance(model, DomainAdversarialDDP):
            raise ConfigError(f'DomainAdversarial cannot be trained in several processes by {type(model).__name__}: '
                              "set model_wrapper_cfg=dict(type='mmweather.DomainAdversarialDDP')")
        segmentor = DefaultOptimWrapperConstructor(self.own, self.paramwise)(inner.segmentor)
        return OptimWrapperDict(segmentor=segmentor, critics=critic_optimizer(inner.critics, self.critics, self.own))


def critic_optimizer(critics: DomainCritics, own: Mapping[str, Any], like: Mapping[str, Any]) -> OptimWrapper:
    """Return the wrapper of the critics' optimizer.

    Args:
        critics: the critics.
        own: config of the wrapper.
        like: config of the segmentor's wrapper; the critics use mixed precision as it does.
    """
    config = {'type': 'mmengine.OptimWrapper', 'optimizer': dict(_DEFAULT_OPTIMIZER),
              **{key: like[key] for key in ('type', 'dtype', 'loss_scale') if key in like}, **own}
    critics.requires_grad_(True)
    wrapper = DefaultOptimWrapperConstructor(config)(critics)
    critics.requires_grad_(False)
    for group in wrapper.param_groups:
        group.setdefault('initial_lr', group['lr'])
    return wrapper
