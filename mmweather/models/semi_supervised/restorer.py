"""A restorer that learns from labelled and unlabelled images at once."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from typing import Any

import torch
from mmengine.dist import all_reduce_params
from mmengine.logging import MessageHub
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import Tensor, nn

from mmweather.errors import ConfigError
from mmweather.registry import MODELS
from mmweather.utils.checkpoint import load_checkpoint, load_into, unwrap_state_dict

from ..losses.image import discriminator_loss
from ..ops.batch_groups import statistics_per_group
from ..ops.contract import InferenceContract
from ..ops.tiling import run_tiled
from ..ops.wrapping import bare, keep_keys_plain, leave_out_of_state
from ..restorers.restorer import Restorer, contract_of_network
from .terms import STREAMS, CriticObjective, LossTerm, Step

Terms = dict[str, LossTerm]


@MODELS.register_module()
class SemiSupervisedRestorer(Restorer):
    """A network trained with any number of named terms, some on labelled images and some on unlabelled ones.

    A batch (see :class:`~mmweather.datasets.labelled_unlabelled.LabelledUnlabelled`) holds what the terms in use ask
    for: labelled images ``img`` with targets ``gt``, unlabelled images ``unlabelled``, views of both (``gt_views``,
    ``unlabelled_views``), labels that a classical method made (``pseudo_label``). One iteration first steps each
    critic, then the generator, each with its own optimizer.

    The generator's terms are differentiated stream by stream and copy by copy, and what a pass needed is freed before
    the next; the gradients are those of the sum of all terms. Batch norms see one copy of the batch at a time.

    Args:
        generator: config of the network that restores; None where only a critic is trained.
        terms: ``{name: config of a LossTerm}``; a config of None drops a term that a base config has. None at all
            leaves the generator as it is.
        networks: ``{name: config}`` of helper networks: critics, classifiers, feature extractors. Those without an
            objective are frozen and stay in evaluation mode.
        objectives: ``{name of a helper network: config of a CriticObjective}``: these networks are trained.
        pretrained: ``{network: file}`` to start from, ``generator`` among them: a checkpoint of this class that has
            the network, or a state dict of the network alone, such as a published one. A network with a method
            ``load`` reads its source itself (``vgg='imagenet'``). Read when training starts.
        signed: the networks take and give [-1, 1] in place of [0, 1].
        noise_copies: noisy copies of the unlabelled images that the stream 'noisy' has.
        noise_std: standard deviation of that noise, in the networks' range.
        copies_per_pass: views or noisy copies that go through the networks together: more are faster on a GPU and
            take more memory.
        recompute_views: restore the views once for the critics and again for the generator, as the published code
            of SSDIE-Net does. This moves the batch-norm statistics twice and takes longer, but no more than
            ``copies_per_pass`` views are kept at a time.
        tile: as in :class:`Restorer`.
        tile_overlap: as in :class:`Restorer`.
        init_cfg: initialisation, see :class:`mmengine.model.BaseModule`.
        data_preprocessor: config; ``mmweather.ImageSetPreprocessor`` by default.

    Raises:
        ConfigError: an objective names no network, a name is taken, or a number is out of range.
    """

    def __init__(
        self,
        generator: dict | None = None,
        terms: Mapping[str, dict | None] | None = None,
        networks: Mapping[str, dict | None] | None = None,
        objectives: Mapping[str, dict | None] | None = None,
        pretrained: Mapping[str, str | None] | None = None,
        signed: bool = False,
        noise_copies: int = 5,
        noise_std: float = 0.1,
        copies_per_pass: int = 1,
        recompute_views: bool = False,
        tile: int | str | None = None,
        tile_overlap: int | None = None,
        init_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
    ) -> None:
        super().__init__(generator, tile=tile, tile_overlap=tile_overlap, init_cfg=init_cfg,
                         data_preprocessor=data_preprocessor)
        if copies_per_pass < 1 or noise_copies < 1 or noise_std < 0:
            raise ConfigError('SemiSupervisedRestorer: copies_per_pass and noise_copies must be at least 1, noise_std '
                              f'0 or more, got {copies_per_pass}, {noise_copies} and {noise_std}')
        self.signed = signed
        self.noise_copies = noise_copies
        self.noise_std = noise_std
        self.copies_per_pass = copies_per_pass
        self.recompute_views = recompute_views
        self.pretrained = {name: source for name, source in (pretrained or {}).items() if source}
        self.terms = nn.ModuleDict(_built(terms))
        self.objectives = nn.ModuleDict(_built(objectives))
        helpers = _built(networks)
        for name, network in helpers.items():
            if hasattr(self, name):
                raise ConfigError(f"model.networks: '{name}' is taken; choose another name")
            self.add_module(name, network)
        self.helpers = tuple(helpers)
        # Without a generator, the helpers are what the model is.
        self.training_only = ('terms', 'objectives', *(() if self.generator is None else self.helpers))
        unknown = sorted({*self.objectives, *self.pretrained} - {'generator', *self.helpers})
        if unknown or (self.terms and self.generator is None):
            raise ConfigError(f"model: there is no network {unknown or 'generator'}; add it to model.networks, or drop "
                              'its objective, weights or terms')
        self.frozen = tuple(name for name in self.helpers if name not in self.objectives)
        for name in self.frozen:
            self.get_submodule(name).requires_grad_(False)
        if self.generator is not None and not self.terms:
            self.generator.requires_grad_(False)
        self.trained = (('generator', ) if self.terms else ()) + tuple(self.objectives)
        keep_keys_plain(self)
        leave_out_of_state(self, [name for name in self.frozen
                                  if not getattr(self.get_submodule(name), 'in_checkpoints', True)])

    def train(self, mode: bool = True) -> SemiSupervisedRestorer:
        """Set the mode; frozen networks always stay in evaluation mode."""
        super().train(mode)
        for name in self.frozen:
            self.get_submodule(name).eval()
        return self

    def init_weights(self) -> None:
        """Initialise, then read the ``pretrained`` weights."""
        super().init_weights()
        for name, source in self.pretrained.items():
            network = bare(self.get_submodule(name))
            if hasattr(network, 'load'):
                network.load(source)
                continue
            state = unwrap_state_dict(load_checkpoint(source))
            own = {key.removeprefix(f'{name}.'): value for key, value in state.items() if key.startswith(f'{name}.')}
            load_into(network, own or state, source)

    # Inference --------------------------------------------------------------------------------------------------

    def forward(self, inputs: Any, data_samples: Any = None, mode: str = 'tensor', **kwargs: Any) -> Any:
        """As :class:`Restorer`, but there is no ``'loss'`` mode: :meth:`train_step` steps several optimizers."""
        if mode == 'loss':
            raise ConfigError('SemiSupervisedRestorer trains in train_step alone: for several processes set '
                              "model_wrapper_cfg=dict(type='mmengine.MMSeparateDistributedDataParallel')")
        if self.generator is None:
            raise ConfigError('this model has no generator, only critics to train: nothing can be restored with it')
        return super().forward(inputs, data_samples, mode, **kwargs)

    @property
    def inference_contract(self) -> InferenceContract:
        """The generator's contract."""
        return contract_of_network(bare(self.generator))

    def predict_images(self, images: dict[str, Tensor], tile: int | str | None = None, overlap: int | None = None,
                       progress: Any = None) -> Tensor:
        """As :class:`Restorer`: (B, C, H, W) in [0, 1] each and out, any size."""
        given = tuple(self.to_networks(image) for image in self.select(images))
        output = run_tiled(bare(self.generator), given, self.inference_contract, tile or self.tile,
                           self.tile_overlap if overlap is None else overlap, progress)
        return (output * 0.5 + 0.5 if self.signed else output).clamp(0, 1)

    def to_networks(self, image: Tensor) -> Tensor:
        """[0, 1] to the networks' range."""
        return image * 2 - 1 if self.signed else image

    # Training ---------------------------------------------------------------------------------------------------

    def train_step(self, data: dict, optim_wrapper: OptimWrapperDict | OptimWrapper) -> dict[str, Tensor]:
        """One iteration; returns the weighted terms, the critics' losses and their sum ``loss``, without gradient."""
        batch = self.data_preprocessor(data, True)['inputs']
        return self.optimise({name: self.to_networks(image) for name, image in batch.items()}, optim_wrapper)

    def optimise(self, images: Mapping[str, Tensor],
                 optim_wrapper: OptimWrapperDict | OptimWrapper) -> dict[str, Tensor]:
        """Step every trained network once.

        Args:
            images: the batch by name, (B, C, H, W) or, for views, (B, K, C, H, W), in the networks' range.
            optim_wrapper: one wrapper a trained network, by name, or the wrapper itself where one is trained.

        Returns:
            As :meth:`train_step`.

        Raises:
            ConfigError: a trained network has no optimizer.
            DataError: a term asks for images that the batch has not.
        """
        wrappers = self._wrappers(optim_wrapper)
        hub = MessageHub.get_current_instance()
        step = Step(images, {name: bare(self.get_submodule(name)) for name in self.helpers},
                    int(hub.get_info('iter', 0) or 0), int(hub.get_info('epoch', 0) or 0))
        terms: dict[str, Terms] = {stream: {} for stream in STREAMS}
        for name, term in self.terms.items():
            if term.active(step):
                terms[term.stream][name] = term
        log: dict[str, Tensor] = {}
        generator = wrappers.get('generator')

        if terms['labelled']:
            self._differentiate(self._restore(step.image('img'), generator), terms['labelled'], step, generator, log)
        anchor = None
        if terms['unlabelled'] or terms['noisy']:
            anchor = self._restore(step.image('unlabelled'), generator)
            # Everything else leads to a leaf in the anchor's place: its own pass is differentiated once, at the end.
            step.anchor = anchor.detach().requires_grad_()
            if terms['unlabelled']:
                self._differentiate(step.anchor, terms['unlabelled'], step, generator, log)
        views = self._step_critics(step, wrappers, bool(terms['views']), log)
        self._differentiate_copies(terms, step, views, generator, log)
        if anchor is not None and step.anchor is not None and step.anchor.grad is not None:
            # Scaled already, where the loss is.
            anchor.backward(step.anchor.grad)
        if any(terms.values()):
            total = torch.stack([log[f'loss_{name}'] for name in self.terms if f'loss_{name}' in log]).sum()
            self._finish('generator', generator, total)
        # A schedule may leave nothing to learn in an iteration.
        log['loss'] = torch.stack(list(log.values())).sum() if log else torch.zeros((), device=self._device())
        return log

    def _device(self) -> torch.device:
        return next(self.parameters()).device

    def draw_noise(self, image: Tensor, copy: int) -> Tensor:
        """Noise for one noisy copy of the unlabelled images, the shape of ``image``."""
        return self.noise_std * torch.randn_like(image)

    def _wrappers(self, given: OptimWrapperDict | OptimWrapper) -> dict[str, OptimWrapper]:
        if isinstance(given, OptimWrapperDict):
            found = dict(given.items())
        else:
            found = {self.trained[0]: given} if len(self.trained) == 1 else {}
        if set(found) != set(self.trained):
            raise ConfigError(f'optim_wrapper has {sorted(found) or "one optimizer"}, and the model trains '
                              f"{sorted(self.trained)}: give each an optimizer (constructor="
                              "'mmagic.MultiOptimWrapperConstructor')")
        return found

    def _restore(self, images: Tensor, wrapper: OptimWrapper | None, groups: int = 1) -> Tensor:
        """A pass of the generator, in mixed precision where the optimizer asks for it; float32 out."""
        network = bare(self.generator)
        context = contextlib.nullcontext() if wrapper is None else wrapper.optim_context(network)
        with context, statistics_per_group(network, groups):
            return network(images).float()

    def _differentiate(self, restored: Tensor, terms: Terms, step: Step, wrapper: OptimWrapper | None,
                       log: dict[str, Tensor], groups: int = 1, share: float = 1.0) -> None:
        """Add the terms to the log and their gradients to the parameters."""
        values = []
        with self._critics_fixed():
            for name, term in terms.items():
                values.append(term.weight * share * term(restored, step, groups))
                _add(log, f'loss_{name}', values[-1])
            _backward(torch.stack(values).sum(), wrapper)
        step.forget()

    def _differentiate_copies(self, terms: dict[str, Terms], step: Step, views: list[Tensor | None],
                              wrapper: OptimWrapper | None, log: dict[str, Tensor]) -> None:
        noisy_ranges = self._ranges(self.noise_copies) if terms['noisy'] else []
        view_ranges = self._ranges(step.copies('unlabelled_views')) if terms['views'] else []
        # In turn, as the published code does: the running statistics depend on the order.
        for index, (noisy, seen) in enumerate(zip_longest(noisy_ranges, view_ranges)):
            if noisy is not None:
                image, count = step.image('unlabelled'), noisy[1] - noisy[0]
                copies = torch.cat([image + self.draw_noise(image, copy) for copy in range(*noisy)])
                self._differentiate(self._restore(copies, wrapper, count), terms['noisy'], step, wrapper, log, count,
                                    count / self.noise_copies)
            if seen is not None:
                restored, count = views[index] if views else None, seen[1] - seen[0]
                if restored is None:
                    restored = self._restore(step.part('unlabelled_views', *seen)[0], wrapper, count)
                else:
                    views[index] = None
                self._differentiate(restored, terms['views'], step, wrapper, log, count,
                                    count / step.copies('unlabelled_views'))

    def _step_critics(self, step: Step, wrappers: Mapping[str, OptimWrapper], wanted: bool,
                      log: dict[str, Tensor]) -> list[Tensor | None]:
        """Step the critics.

        Args:
            wanted: the restored views are needed with their gradient afterwards.

        Returns:
            The restored views, pass by pass; empty where they were not kept.
        """
        active = {name: objective for name, objective in self.objectives.items() if objective.active(step)}
        views: list[Tensor] = []
        keep = wanted and not self.recompute_views
        if any(objective.other == CriticObjective.RESTORED for objective in active.values()):
            if self.generator is None:
                raise ConfigError("objectives: 'restored' images need a generator; name others of the batch (other=)")
            with torch.set_grad_enabled(keep):
                for first, last in self._ranges(step.copies('unlabelled_views')):
                    images, count = step.part('unlabelled_views', first, last)
                    views.append(self._restore(images, wrappers.get('generator'), count))
        for name, objective in active.items():
            self._step_critic(name, objective, step, views, wrappers[name], log)
        return list(views) if keep else []

    def _step_critic(self, name: str, objective: CriticObjective, step: Step, views: Sequence[Tensor],
                     wrapper: OptimWrapper, log: dict[str, Tensor]) -> None:
        restored = objective.other == CriticObjective.RESTORED
        copies = step.copies('unlabelled_views' if restored else objective.other)
        for index, (first, last) in enumerate(self._ranges(copies)):
            other, count = ((views[index].detach(), last - first) if restored
                            else step.part(objective.other, first, last))
            clean, clean_count = step.part(objective.clean, first, last)
            with wrapper.optim_context(step.network(name)):
                logits = (step.run(name, objective.look(clean), clean_count).float(),
                          step.run(name, objective.look(other), count).float())
            loss = objective.weight * (last - first) / copies * discriminator_loss(*logits)
            _add(log, f'loss_{name}', loss)
            _backward(loss, wrapper)
        self._finish(name, wrapper, log[f'loss_{name}'])

    def _ranges(self, copies: int) -> list[tuple[int, int]]:
        return [(first, min(first + self.copies_per_pass, copies)) for first in range(0, copies, self.copies_per_pass)]

    @contextlib.contextmanager
    def _critics_fixed(self) -> Iterator[None]:
        """Inside, no gradient is computed for the weights of critics."""
        critics = [self.get_submodule(name) for name in self.objectives]
        for critic in critics:
            critic.requires_grad_(False)
        try:
            yield
        finally:
            for critic in critics:
                critic.requires_grad_(True)

    def _finish(self, name: str, wrapper: OptimWrapper | None, total: Tensor) -> None:
        """Step a network whose gradients are there.

        The networks run more than once before a step, often in parts, so the gradients are averaged over processes
        here and not by a data-parallel wrapper.
        """
        assert wrapper is not None
        # The gradients have been computed in parts; this counts the iteration, and hooks on `backward` see the loss.
        wrapper.backward(total.detach().requires_grad_())
        if wrapper.should_update():
            parameters = bare(self.get_submodule(name)).parameters()
            all_reduce_params([p.grad for p in parameters if p.grad is not None], op='mean')
            wrapper.step()
            wrapper.zero_grad()


def _built(configs: Mapping[str, dict | None] | None) -> dict[str, nn.Module]:
    return {name: MODELS.build(config) for name, config in (configs or {}).items() if config is not None}


def _add(log: dict[str, Tensor], name: str, value: Tensor) -> None:
    log[name] = log[name] + value.detach() if name in log else value.detach()


def _backward(loss: Tensor, wrapper: OptimWrapper | None) -> None:
    """What ``wrapper.backward`` does, without counting an iteration."""
    assert wrapper is not None
    loss = wrapper.scale_loss(loss)
    scaler = getattr(wrapper, 'loss_scaler', None)
    (loss if scaler is None else scaler.scale(loss)).backward()
