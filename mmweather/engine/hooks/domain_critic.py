"""Adversarial domain critics for any mmseg segmentor, by config alone."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmengine.dist import all_reduce_params, broadcast, get_world_size
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import AmpOptimWrapper, OptimWrapperDict, build_optim_wrapper
from mmengine.runner.checkpoint import weights_to_cpu
from mmengine.utils import apply_to
from torch import Tensor, nn

from ...errors import CheckpointError, ConfigError, DataError
from ...models.adaptation.adversarial import KINDS, confusion_loss, critic_loss
from ...models.adaptation.domains import group_by_domain, take
from ...registry import HOOKS, MODELS
from .non_finite_loss import NonFiniteLossHook

_KEY = 'domain_critics'
_NAME = re.compile(r'([\w.]+?)(?:\[(-?\d+)\])?$')


@HOOKS.register_module()
class DomainCriticHook(Hook):
    """Trains critics that tell two domains apart by a segmentor's feature maps, and the segmentor to confuse them.

    Attach it to any segmentor whose batches hold samples of both domains (``mmweather.DomainPairSampler`` deals them)
    and whose data samples say their ``domain``. Each domain goes through the network apart, the first one first. Three
    phases alternate, counted in iterations: critics alone for ``initial_critic_iters``, then in turn the segmentor for
    ``seg_iters`` and the critics for ``critic_iters``. While the critics learn, the segmentor runs in training mode
    without gradients, so its batch statistics move and its weights do not. While the segmentor learns, its losses are
    its own on the samples that have labels, and the confusion loss through the fixed critics.

    The critics and their optimizer belong to the hook: the segmentor's checkpoint stays that of the segmentor alone,
    beside an entry ``domain_critics`` from which a resumed run goes on. The phase is a function of the iteration.
    Their learning rate follows the schedule of the segmentor's. In distributed training their gradients are averaged
    over the processes; under ``AmpOptimWrapper`` they get one of their own.

    Args:
        features: what the critics see, one critic each: names of modules of the segmentor whose output it is, with an
            index where that is a sequence, as ``'decode_head.conv_seg'`` (the logits) or ``'backbone[3]'``.
        critic: config of the critics; ``in_channels`` is filled in when the first batch has shown the feature map.
        optimizer: config of the critics' optimizer.
        loss_weight: of the confusion loss.
        critic_weights: of the critics in the confusion loss; ones by default.
        adversarial: ``'MSE'`` or ``'BCE'``.
        both_directions: confuse both domains (first towards the critics' second label and second towards the first);
            otherwise push both towards the first.
        initial_critic_iters: iterations of the first phase.
        seg_iters: iterations of a segmentation phase.
        critic_iters: iterations of a later critic phase; 0 trains the critics in the first phase only.
        domains: names of the two domains; the critics answer 1 for the first.
        domain_key: where the metainfo of a data sample says its domain.
        weight_by_certainty: where the segmentor leaves a ``certainty`` (H, W) in the second domain's samples, weight
            each pixel's confusion by 1 - certainty.
        published_certainty_mean: scale the confusion of both domains by the mean of 1 - certainty instead.

    Raises:
        ConfigError: a value cannot work, or a feature's name is not a module of the segmentor.
    """

    priority = 'LOW'  # before NonFiniteLossHook, which then guards the critics as well

    def __init__(self,
                 features: Sequence[str] = ('decode_head.conv_seg', ),
                 critic: dict | None = None,
                 optimizer: dict | None = None,
                 loss_weight: float = 0.01,
                 critic_weights: Sequence[float] | None = None,
                 adversarial: str = 'MSE',
                 both_directions: bool = True,
                 initial_critic_iters: int = 1,
                 seg_iters: int = 1,
                 critic_iters: int = 1,
                 domains: Sequence[str] = ('day', 'night'),
                 domain_key: str = 'domain',
                 weight_by_certainty: bool = True,
                 published_certainty_mean: bool = False) -> None:
        if not features or isinstance(features, str):
            raise ConfigError("DomainCriticHook: features must list at least one name, as ['decode_head.conv_seg']")
        if len(domains) != 2:
            raise ConfigError(f'DomainCriticHook: domains must name two, got {tuple(domains)}')
        if adversarial not in KINDS:
            raise ConfigError(f"DomainCriticHook: adversarial must be 'MSE' or 'BCE', got {adversarial!r}")
        if seg_iters < 1 or min(initial_critic_iters, critic_iters) < 0:
            raise ConfigError('DomainCriticHook: seg_iters must be at least 1 and the critics\' iterations at least 0, '
                              f'got {seg_iters}, {initial_critic_iters} and {critic_iters}')
        if critic_weights is not None and len(critic_weights) != len(features):
            raise ConfigError(f'DomainCriticHook: {len(features)} features need as many critic_weights, got '
                              f'{len(critic_weights)}')
        self.features = tuple(features)
        self.critic = dict(critic or dict(type='mmweather.DomainCritic'))
        self.optimizer = dict(optimizer or dict(type='mmengine.RMSprop', lr=1e-4))
        self.loss_weight = loss_weight
        self.critic_weights = critic_weights
        self.adversarial = adversarial
        self.both_directions = both_directions
        self.initial_critic_iters = initial_critic_iters
        self.seg_iters = seg_iters
        self.critic_iters = critic_iters
        self.domains = tuple(domains)
        self.domain_key = domain_key
        self.weight_by_certainty = weight_by_certainty
        self.published_certainty_mean = published_certainty_mean
        self.critics: nn.ModuleList | None = None
        self.optim_wrapper: Any = None
        self._resumed: dict | None = None
        self._captured: dict[int, Tensor] | None = None
        self._handles: list[Any] = []
        self._runner: Any = None

    def phase(self, iteration: int) -> str:
        """``'critic'`` or ``'segmentation'``."""
        if iteration < self.initial_critic_iters:
            return 'critic'
        place = (iteration - self.initial_critic_iters) % (self.seg_iters + self.critic_iters)
        return 'segmentation' if place < self.seg_iters else 'critic'

    # Attaching --------------------------------------------------------------------------------------------------

    def before_train(self, runner: Any) -> None:
        """Attach to the runner's segmentor."""
        self._detach()
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if isinstance(runner.optim_wrapper, OptimWrapperDict):
            raise ConfigError('DomainCriticHook: optim_wrapper must be one wrapper (that of the segmentor); the hook '
                              'has the critics\' own (its argument optimizer)')
        self._runner, self._model = runner, model
        for number, name in enumerate(self.features):
            self._listen(model, number, name)
        self._own_forward, self._own_step = model.forward, runner.model.train_step
        # On the instances: deleting them uncovers the methods. Distributed wrappers call the bare model's forward.
        model.forward, runner.model.train_step = self._forward, self._train_step

    def after_train(self, runner: Any) -> None:
        """Leave the segmentor as it was."""
        self._detach()

    def _detach(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles.clear()
        if self._runner is not None:
            self._model.__dict__.pop('forward', None)
            self._runner.model.__dict__.pop('train_step', None)
            self._runner = None

    def _listen(self, model: nn.Module, number: int, name: str) -> None:
        found = _NAME.match(name)
        modules = dict(model.named_modules())
        if found is None or found[1] not in modules:
            shown = ', '.join(key for key in modules if key and key.count('.') < 2)
            raise ConfigError(f"DomainCriticHook: the segmentor has no module '{name}'; features may be {shown} and "
                              'what is inside them')
        index = None if found[2] is None else int(found[2])

        def keep(module: nn.Module, inputs: Any, output: Any) -> None:
            if self._captured is None:
                return
            if index is not None:
                if isinstance(output, Tensor) or not -len(output) <= index < len(output):
                    raise ConfigError(f"DomainCriticHook: '{name}': the output of {found[1]} has no entry {index}")
                output = output[index]
            if not isinstance(output, Tensor):
                raise ConfigError(f"DomainCriticHook: the output of '{name}' is a {type(output).__name__}, not a "
                                  f"feature map; take one entry, as '{name}[0]'")
            self._captured[number] = output

        self._handles.append(modules[found[1]].register_forward_hook(keep))

    @contextlib.contextmanager
    def _capture(self) -> Iterator[list[Tensor]]:
        self._captured, features = {}, []
        try:
            yield features
            silent = [name for number, name in enumerate(self.features) if number not in self._captured]
            if silent:
                raise ConfigError(f"DomainCriticHook: {', '.join(silent)} did not run; name a module that the "
                                  'segmentor calls in training (of a decode head, which loss() enters, a layer)')
            features += [self._captured[number] for number in range(len(self.features))]
        finally:
            self._captured = None

    # The critics ------------------------------------------------------------------------------------------------

    def build(self, channels: Sequence[int], device: torch.device | str = 'cpu', like: Any = None) -> None:
        """Make the critics and their optimizer.

        Args:
            channels: of each feature map.
            device: where they live.
            like: wrapper of the segmentor's optimizer; mixed precision if it has that, in the same type.
        """
        # The segmentor's random numbers must not depend on when the critics are made.
        with torch.random.fork_rng():
            self.critics = nn.ModuleList(MODELS.build({'in_channels': count, **self.critic}) for count in channels)
        self.critics.to(device).requires_grad_(False)
        for tensor in self.critics.state_dict().values():
            broadcast(tensor, 0)
        wrapper: dict[str, Any] = dict(type='mmengine.OptimWrapper', optimizer=dict(self.optimizer))
        if isinstance(like, AmpOptimWrapper):
            wrapper.update(type='mmengine.AmpOptimWrapper', dtype=like.cast_dtype)
        self.critics.requires_grad_(True)
        self.optim_wrapper = build_optim_wrapper(self.critics, wrapper)
        self.critics.requires_grad_(False)
        self._rates = [group['lr'] for group in self.optim_wrapper.param_groups]
        if self._resumed is not None:
            self._resume(self._resumed)
            self._resumed = None

    def _ready(self, features: Sequence[Tensor]) -> nn.ModuleList:
        if self.critics is None:
            self.build([feature.shape[1] for feature in features], features[0].device, self._runner.optim_wrapper)
            for hook in getattr(self._runner, 'hooks', ()):
                if isinstance(hook, NonFiniteLossHook):
                    hook.guard('domain critics', self.optim_wrapper, self.critics)
                    hook.check_start()
        for critic, feature, name in zip(self.critics, features, self.features, strict=True):
            least = getattr(critic, 'minimum', 1)
            if min(feature.shape[2:]) < least:
                raise ConfigError(f"DomainCriticHook: '{name}' is {feature.shape[3]}x{feature.shape[2]}, and its "
                                  f'critic needs {least} pixels a side: crop larger images, or name a finer map')
        return self.critics

    def _scores(self, features: Sequence[Tensor]) -> list[Tensor]:
        return [critic(feature) for critic, feature in zip(self._ready(features), features, strict=True)]

    # Training ---------------------------------------------------------------------------------------------------

    def _groups(self, samples: Sequence[Any] | None) -> dict[str, list[int]]:
        groups = group_by_domain(samples or (), self.domains, self.domain_key)
        for domain, index in groups.items():
            if not index:
                raise DataError(f"a batch holds no sample of domain '{domain}': use mmweather.DomainPairSampler and an "
                                'even batch_size')
        return groups

    def _train_step(self, data: Any, optim_wrapper: Any) -> dict[str, Tensor]:
        if self.phase(self._runner.iter) == 'critic':
            return self._critic_step(data)
        return self._own_step(data, optim_wrapper)

    def _forward(self, inputs: Any, data_samples: Any = None, mode: str = 'tensor', **kwargs: Any) -> Any:
        """The segmentor's forward; its losses of both domains and the confusion loss in mode ``'loss'``."""
        if mode != 'loss':
            return self._own_forward(inputs, data_samples, mode=mode, **kwargs)
        losses: dict[str, Any] = {}
        features: dict[str, list[Tensor]] = {}
        groups = self._groups(data_samples)
        for domain, index in groups.items():
            part, samples = take(inputs, index), [data_samples[i] for i in index]
            with self._capture() as features[domain]:
                if (all('gt_sem_seg' in sample for sample in samples)
                        or getattr(self._model, 'supervises_unlabelled', False)):
                    found = self._own_forward(part, samples, mode='loss', **kwargs)
                    losses.update({f'{domain}.{name}': value for name, value in found.items()})
                else:
                    self._own_forward(part, samples, mode='tensor')
        first, second = (self._scores(features[domain]) for domain in self.domains)
        certain = [data_samples[i].get('certainty') for i in groups[self.domains[1]]]
        weighted = self.weight_by_certainty and not any(value is None for value in certain)
        losses['loss_confusion'] = self.loss_weight * confusion_loss(
            first, second, self.adversarial, self.both_directions, torch.stack(certain) if weighted else None,
            self.critic_weights, self.published_certainty_mean)
        return losses

    def _critic_step(self, data: Any) -> dict[str, Tensor]:
        data = self._model.data_preprocessor(data, True)
        inputs, samples = data['inputs'], data['data_samples']
        features: dict[str, list[Tensor]] = {}
        with self._runner.optim_wrapper.optim_context(self._runner.model), torch.no_grad():
            for domain, index in self._groups(samples).items():
                with self._capture() as features[domain]:
                    self._own_forward(take(inputs, index), [samples[i] for i in index], mode='tensor')
        critics = self._ready(features[self.domains[0]]).requires_grad_(True).train()
        self._follow_schedule()
        try:
            with self.optim_wrapper.optim_context(critics):
                first, second = (self._scores([feature.detach() for feature in features[domain]])
                                 for domain in self.domains)
            loss = critic_loss(first, second, self.adversarial)
            self.optim_wrapper.backward(loss)
            if get_world_size() > 1:
                all_reduce_params([p.grad for p in critics.parameters() if p.grad is not None], op='mean')
            self.optim_wrapper.step()
            self.optim_wrapper.zero_grad()
        finally:
            critics.requires_grad_(False)
        return {'loss_critic': loss.detach(),
                f'critic_{self.domains[0]}': torch.stack([score.detach().float().mean() for score in first]).mean(),
                f'critic_{self.domains[1]}': torch.stack([score.detach().float().mean() for score in second]).mean()}

    def _follow_schedule(self) -> None:
        group = self._runner.optim_wrapper.param_groups[0]
        share = group['lr'] / group.get('initial_lr', group['lr']) if group['lr'] else 0.
        for own, rate in zip(self.optim_wrapper.param_groups, self._rates, strict=True):
            own['lr'] = rate * share

    # Checkpoints ------------------------------------------------------------------------------------------------

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Put the critics and their optimizer beside the segmentor."""
        if self.critics is not None:
            checkpoint[_KEY] = dict(
                features=list(self.features), state_dict=weights_to_cpu(self.critics.state_dict()),
                optimizer=apply_to(self.optim_wrapper.state_dict(), lambda x: hasattr(x, 'cpu'), lambda x: x.cpu()))
        elif self._resumed is not None:
            checkpoint[_KEY] = self._resumed

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Keep the critics of a checkpoint that is resumed until the first batch shows the feature maps."""
        if not getattr(runner, '_resume', False):
            return
        found = checkpoint.get(_KEY)
        if not isinstance(found, dict) or found.get('features') != list(self.features):
            has = f"critics of {', '.join(found['features'])}" if isinstance(found, dict) else 'no critics'
            raise CheckpointError(f"the resumed checkpoint holds {has}, and DomainCriticHook wants critics of "
                                  f"{', '.join(self.features)}: resume with the config it was trained with, or start "
                                  'from its weights (load_from)')
        self._resumed, self.critics = found, None

    def _resume(self, found: dict) -> None:
        own = self.critics.state_dict()
        if own.keys() != found['state_dict'].keys() or any(
                own[key].shape != value.shape for key, value in found['state_dict'].items()):
            raise CheckpointError('the critics of the resumed checkpoint are others than those of DomainCriticHook: '
                                  'give the config it was trained with')
        self.critics.load_state_dict(found['state_dict'])
        self.optim_wrapper.load_state_dict(found['optimizer'])
