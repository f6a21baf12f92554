"""Domain critics: their options, the features that they see, and the phases in which they learn."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor, nn

from mmweather.errors import ConfigError
from mmweather.registry import MODELS

from .adversarial import KINDS, confusion_loss, critic_loss

_NAME = re.compile(r'([\w.]+?)(?:\[(-?\d+)\])?$')
# Images of the trial run that finds the number of channels; large enough for five halvings and a pyramid of 6x6 bins.
_TRIAL_SIZE = 128
_IMAGE_CHANNELS = 4


@dataclass(frozen=True)
class CriticOptions:
    """Options of domain critics.

    Attributes:
        features: modules of the segmentor whose outputs the critics see, one critic each, with an index where the
            output is a sequence: ``'decode_head.conv_seg'`` (the logits) or ``'backbone[3]'``.
        critic: config of a critic; ``in_channels`` is filled in.
        in_channels: number of channels of each feature map; found by a trial run of the segmentor if None.
        loss_weight: weight of the confusion loss.
        critic_weights: weights of the critics in the confusion loss; ones if None.
        adversarial: ``'MSE'`` or ``'BCE'``.
        both_directions: confuse both domains (first towards the critics' second label and second towards the first);
            otherwise push both towards the first.
        initial_critic_iters: iterations of the first phase, in which only the critics learn.
        seg_iters: iterations of a segmentation phase.
        critic_iters: iterations of a later critic phase; 0 trains the critics in the first phase only.
        domains: names of the two domains; the critics answer 1 for the first.
        domain_key: key of a data sample's metainfo that holds its domain.
        weight_by_certainty: where the segmentor writes a ``certainty`` (H, W) into the second domain's samples, weight
            each pixel's confusion by 1 - certainty.
        published_certainty_mean: scale the confusion of both domains by the mean of 1 - certainty instead.
        follow_schedule: multiply the critics' learning rate by the share that the segmentor's schedule has reached;
            otherwise it is what ``param_scheduler`` makes of it.

    Raises:
        ConfigError: a value cannot work.
    """

    features: Sequence[str] = ('decode_head.conv_seg', )
    critic: Mapping[str, Any] = field(default_factory=lambda: dict(type='mmweather.DomainCritic'))
    in_channels: Sequence[int] | None = None
    loss_weight: float = 0.01
    critic_weights: Sequence[float] | None = None
    adversarial: str = 'MSE'
    both_directions: bool = True
    initial_critic_iters: int = 1
    seg_iters: int = 1
    critic_iters: int = 1
    domains: Sequence[str] = ('day', 'night')
    domain_key: str = 'domain'
    weight_by_certainty: bool = True
    published_certainty_mean: bool = False
    follow_schedule: bool = True

    @classmethod
    def of(cls, given: Mapping[str, Any] | None) -> CriticOptions:
        """Return the options of a config.

        Raises:
            ConfigError: an option is unknown or cannot work.
        """
        known = [option.name for option in fields(cls)]
        for name in given or ():
            if name not in known:
                raise ConfigError(f"domain critics have no option '{name}'; they take {', '.join(known)}")
        return cls(**(given or {}))

    def __post_init__(self) -> None:
        if not self.features or isinstance(self.features, str):
            raise ConfigError("critics.features must list at least one name, as ['decode_head.conv_seg']")
        if isinstance(self.domains, str) or len(self.domains) != 2:
            raise ConfigError(f'critics.domains must name two, got {self.domains!r}')
        if self.adversarial not in KINDS:
            raise ConfigError(f"critics.adversarial must be 'MSE' or 'BCE', got {self.adversarial!r}")
        lengths = (self.seg_iters, self.initial_critic_iters, self.critic_iters)
        whole = all(isinstance(count, int) and not isinstance(count, bool) for count in lengths)
        if not whole or self.seg_iters < 1 or min(lengths) < 0:
            raise ConfigError('critics.seg_iters must be at least 1, initial_critic_iters and critic_iters at least 0, '
                              f'got {", ".join(map(str, lengths))}')
        for name in ('critic_weights', 'in_channels'):
            values = getattr(self, name)
            if values is not None and len(values) != len(self.features):
                raise ConfigError(f'critics: {len(self.features)} features need as many {name}, got {len(values)}')

    def phase(self, iteration: int) -> str:
        """Return ``'critic'`` or ``'segmentation'``."""
        if iteration < self.initial_critic_iters:
            return 'critic'
        place = (iteration - self.initial_critic_iters) % (self.seg_iters + self.critic_iters)
        return 'segmentation' if place < self.seg_iters else 'critic'


class DomainCritics(nn.ModuleList):
    """Critics that classify the domain of feature maps, one for each map.

    Args:
        options: see :class:`CriticOptions`.
        channels: number of channels of each map.
    """

    def __init__(self, options: CriticOptions, channels: Sequence[int]) -> None:
        # A function of the run's seed only; the segmentor's random numbers do not depend on the critics.
        with torch.random.fork_rng():
            torch.manual_seed(torch.initial_seed())
            super().__init__(MODELS.build({'in_channels': count, **options.critic}) for count in channels)
        self.options, self.channels = options, tuple(channels)
        self.requires_grad_(False)

    def scores(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Return each critic's raw scores of its map.

        Args:
            maps: (B, C, h, w) of each feature.

        Raises:
            ConfigError: a map has other channels than its critic, or is too small for it.
        """
        for critic, feature, name in zip(self, maps, self.options.features, strict=True):
            shape = feature.shape[1:2] if feature.ndim == 4 else ()
            if shape and shape[0] != self.channels[self.options.features.index(name)]:
                found = [each.shape[1] for each in maps]
                raise ConfigError(f"'{name}' has {shape[0]} channels, and its critic takes "
                                  f'{list(self.channels)}: set critics.in_channels={found}')
            side = getattr(critic, 'minimum', 1)
            if min(feature.shape[2:]) < side:
                raise ConfigError(f"'{name}' is {feature.shape[3]}x{feature.shape[2]}, and its critic needs {side} "
                                  'pixels a side: crop larger images, or name a finer map')
        return [critic(feature) for critic, feature in zip(self, maps, strict=True)]

    def confusion(self, first: Sequence[Tensor], second: Sequence[Tensor], certainty: Tensor | None) -> Tensor:
        """Return the segmentor's loss against the critics, weighted.

        Args:
            first: feature maps of the first domain.
            second: feature maps of the second domain.
            certainty: (B, H, W) of the second domain, or None.
        """
        options = self.options
        return options.loss_weight * confusion_loss(
            self.scores(first), self.scores(second), options.adversarial, options.both_directions,
            certainty if options.weight_by_certainty else None, options.critic_weights,
            options.published_certainty_mean)

    def loss(self, first: Sequence[Tensor], second: Sequence[Tensor]) -> Tensor:
        """Return the critics' loss for their scores of the two domains."""
        return critic_loss(first, second, self.options.adversarial)


class Features:
    """Feature maps of a segmentor, by the names of the modules that return them.

    Args:
        model: the segmentor.
        names: see :class:`CriticOptions`.

    Raises:
        ConfigError: a name is not a module of the segmentor.
    """

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        self.names = tuple(names)
        modules = dict(model.named_modules())
        self._wanted = []
        for name in self.names:
            found = _NAME.match(name)
            if found is None or found[1] not in modules:
                shown = ', '.join(key for key in modules if key and key.count('.') < 2)
                raise ConfigError(f"critics.features: the segmentor has no module '{name}'; features may be {shown} "
                                  'and what is inside them')
            self._wanted.append((found[1], None if found[2] is None else int(found[2])))

    @contextlib.contextmanager
    def capture(self, model: nn.Module) -> Iterator[list[Tensor]]:
        """Yield a list that holds the maps, in the order of the names, once the block has run the segmentor.

        Raises:
            ConfigError: a module did not run, or its output is not a feature map.
        """
        caught: dict[int, Tensor] = {}
        maps: list[Tensor] = []
        handles = []
        try:
            for number, (module, index) in enumerate(self._wanted):

                def keep(_: nn.Module, inputs: Any, output: Any, number: int = number,
                         module: str = module, index: int | None = index) -> None:
                    caught[number] = _entry(output, self.names[number], module, index)

                handles.append(model.get_submodule(module).register_forward_hook(keep))
            yield maps
            silent = [name for number, name in enumerate(self.names) if number not in caught]
            if silent:
                raise ConfigError(f"critics.features: {', '.join(silent)} did not run; name a module that the "
                                  'segmentor calls in training (of a decode head, which loss() enters, a layer)')
            maps += [caught[number] for number in range(len(self.names))]
        finally:
            for handle in handles:
                handle.remove()

    def count_channels(self, model: nn.Module) -> list[int]:
        """Return the number of channels of each map, by a trial run on a blank image.

        Raises:
            ConfigError: the trial run fails.
        """
        modes = [(module, module.training) for module in model.modules()]
        try:
            model.eval()
            with torch.no_grad(), torch.random.fork_rng(), self.capture(model) as maps:
                model(_blank(model), None, mode='tensor')
        except ConfigError:
            raise
        except Exception as error:
            raise ConfigError(f'critics.in_channels: a trial run cannot count the channels of {", ".join(self.names)} '
                              f'({type(error).__name__}); list them, as in_channels=[13, 2048]') from error
        finally:
            for module, mode in modes:
                module.training = mode
        return [feature.shape[1] for feature in maps]


def _blank(model: nn.Module) -> Tensor:
    """A blank image of as many channels as the segmentor takes."""
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))
    count = _IMAGE_CHANNELS if isinstance(getattr(model, 'channels', None), slice) else first.in_channels
    return first.weight.new_zeros(1, count, _TRIAL_SIZE, _TRIAL_SIZE)


def _entry(output: Any, name: str, module: str, index: int | None) -> Tensor:
    if index is not None:
        if isinstance(output, Tensor) or not -len(output) <= index < len(output):
            raise ConfigError(f"critics.features: '{name}': the output of {module} has no entry {index}")
        output = output[index]
    if not isinstance(output, Tensor):
        raise ConfigError(f"critics.features: the output of '{name}' is a {type(output).__name__}, not a feature map; "
                          f"take one entry, as '{name}[0]'")
    return output
