"""Stop before a value that is not finite reaches the weights or a checkpoint."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from typing import Any

import torch
from mmengine.dist import all_gather_object, all_reduce, get_rank, get_world_size
from mmengine.hooks import CheckpointHook, Hook
from mmengine.model import is_model_wrapper
from mmengine.optim import OptimWrapper, OptimWrapperDict
from torch import Tensor, nn

from ...errors import CheckpointError, NonFiniteLossError
from ...registry import HOOKS
from ...utils.finite import checkpoint_faults, float_tensors, infinite_by_design, largest, norms, not_finite
from ...utils.text import shorten
from ..non_finite_report import Finding, check_batches, describe, find_files

# GradScaler halves its factor at each skipped step; after so many the factor is far below 1, and no overflow is left.
_MAX_SKIPPED = 50
_BAD_GRADIENT, _BAD_LOSS = 1, 2
_SAVERS = ('_save_checkpoint_with_step', '_save_best_checkpoint')


@HOOKS.register_module()
class NonFiniteLossHook(Hook):
    """Guard of losses, gradients, weights and optimizer states against NaN and infinity.

    ``backward`` and ``step`` of every optimizer wrapper are guarded during training, and with them ``update_params``,
    which calls both.  Before a step, the losses since the last one and the gradients are checked together: one wait
    for the device a step, none more where the wrapper clips by norm, which waits anyway.  A refused step leaves the
    weights and the optimizer as they are.  The processes agree by one all-reduce, so they stop together.  Gradients
    that overflow under mixed precision are left to GradScaler, which skips such steps, unless it skips without end.

    Weights and optimizer states are checked when training starts, which finds a bad checkpoint that was loaded, and
    before each checkpoint is saved, before an older one is removed for it.  What a checkpoint holds is checked once
    more before it is written.

    The error names the cause that was found: files of the batch (every metainfo key of the data samples, or key of a
    plain dict, that ends in ``_path``), parameters with bad gradients, weights that grew, and the learning rate.
    """

    priority = 'LOWEST'

    def __init__(self) -> None:
        self.guards: list[_Guard] = []
        self._savers: list[CheckpointHook] = []
        self._allowed: frozenset[str] = frozenset()
        self._runner: Any = None
        self.batch: Any = None
        self.iteration = 0
        self.first_largest = 0.

    def before_run(self, runner: Any) -> None:
        """Note which buffers of the new model are infinite by design, before a checkpoint is loaded."""
        self._allowed = infinite_by_design(_unwrapped(runner.model))

    def before_train(self, runner: Any) -> None:
        """Check the weights and guard every optimizer wrapper and checkpoint hook.

        Raises:
            CheckpointError: the weights or the optimizer state are not finite.
        """
        self._release()
        self._runner, model = runner, _unwrapped(runner.model)
        wrapper = runner.optim_wrapper
        names = wrapper.optim_wrappers if isinstance(wrapper, OptimWrapperDict) else {'': wrapper}
        for name, single in names.items():
            self.guard(name, single, model)
        try:
            self.check_start()
        except CheckpointError:
            self._release()
            raise
        self.first_largest = largest(model.parameters())
        for hook in getattr(runner, 'hooks', ()):
            if isinstance(hook, CheckpointHook):
                self._guard_saver(hook)

    def before_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None) -> None:
        """Keep the batch, in case its loss or gradients are bad."""
        self.batch, self.iteration = data_batch, runner.iter + 1

    def after_train_iter(self, runner: Any, batch_idx: int, data_batch: Any = None, outputs: Any = None) -> None:
        """Release the batch."""
        for guard in self.guards:
            guard.close_iteration()
        self.batch = None

    def after_train(self, runner: Any) -> None:
        """Remove the guards."""
        self._release()

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Refuse a checkpoint that is not finite, whoever saves it.

        Raises:
            NonFiniteLossError: weights or optimizer states of the checkpoint are not finite.
        """
        self._refuse(checkpoint_faults(checkpoint, self._allowed))

    def guard(self, name: str, wrapper: OptimWrapper, module: nn.Module | None = None) -> None:
        """Guard one more wrapper until training ends.

        Args:
            name: stands in the message; may be empty.
            wrapper: of the optimizer.
            module: network that it trains, for the names of parameters.
        """
        self.guards.append(_Guard(self, name, wrapper, module))

    # Weights and optimizer states -------------------------------------------------------------------------------

    def _modules(self) -> list[nn.Module]:
        averaged = [hook.ema_model for hook in getattr(self._runner, 'hooks', ()) if hasattr(hook, 'ema_model')]
        found = [guard.module for guard in self.guards if guard.module is not None] + averaged
        return list({id(module): module for module in found}.values())

    def bad_weights(self) -> tuple[list[str], list[str]]:
        """Return the names of the parameters and of the buffers that are not finite."""
        modules = self._modules()
        parameters = [pair for module in modules for pair in float_tensors(dict(module.named_parameters()))]
        buffers = [pair for module in modules for pair in float_tensors(dict(module.named_buffers()))]
        allowed = (*self._allowed, *(f'module.{name}' for name in self._allowed))
        return not_finite(parameters), [name for name in not_finite(buffers) if name not in allowed]

    def bad_state(self) -> list[str]:
        """Return the names of the entries of the optimizers' states that are not finite."""
        return not_finite((f'{key} of {names.get(id(parameter), "a parameter")}', tensor)
                          for guard in self.guards for names in [guard.names()]
                          for parameter, entries in guard.wrapper.optimizer.state.items()
                          for key, tensor in float_tensors(entries))

    def check_start(self) -> None:
        """Check what the guarded optimizers train, before the first step.

        Raises:
            CheckpointError: weights or optimizer states are not finite.
        """
        weights, buffers = self.bad_weights()
        state = self.bad_state()
        if not weights + buffers + state:
            return
        source = getattr(self._runner, '_load_from', None)
        what = 'weights' if weights + buffers else 'optimizer states'
        found = f'{what} that are not finite ({shorten(weights + buffers + state)})'
        if source and getattr(self._runner, '_has_loaded', True):
            raise CheckpointError(f"'{source}' gives {found}; give another checkpoint")
        raise CheckpointError(f'the model starts with {found}, without a checkpoint (load_from); look at the files '
                              'that the config of the model loads')

    def _guard_saver(self, hook: CheckpointHook) -> None:
        for name in _SAVERS:
            if hasattr(hook, name):
                vars(hook)[name] = self._checked(getattr(hook, name), hook)
        self._savers.append(hook)

    def _checked(self, save: Any, hook: CheckpointHook) -> Any:

        def checked_save(*args: Any, **kwargs: Any) -> Any:
            # Before MMEngine removes an older checkpoint for the new one.
            weights, buffers = self.bad_weights()
            self._refuse([*weights, *buffers, *self.bad_state()], getattr(hook, 'last_ckpt', None), together=True)
            return save(*args, **kwargs)

        return checked_save

    def _refuse(self, faults: list[str], last: str | None = None, together: bool = False) -> None:
        bad = bool(faults)
        if together and get_world_size() > 1:
            every = all_gather_object(faults)
            faults, bad = next((found for found in every if found), []), any(every)
        if not bad:
            return
        rates = sorted({rate for guard in self.guards for rate in guard.rates()})
        self._release()
        good = f"; the last one that was saved is '{last}'" if last else ''
        now = f', now {", ".join(f"{rate:g}" for rate in rates[:3])}' if rates else ''
        raise NonFiniteLossError(
            f'no checkpoint is saved at iteration {self.iteration}: not finite are {shorten(faults)}{good}; lower the '
            f'learning rate (optim_wrapper.optimizer.lr{now}) and continue from the last good checkpoint (--resume)')

    # The refused step -------------------------------------------------------------------------------------------

    def stop(self, guard: _Guard, bad_norms: list[int] | None) -> None:
        """Raise if a loss or a gradient of ``guard`` is not finite on any process, saying why.

        Args:
            guard: of the wrapper whose step was about to be taken.
            bad_norms: numbers of the gradients whose norm is not finite.

        Raises:
            NonFiniteLossError: it is so; where norms had overflowed only, nothing happens.
        """
        found = Finding(get_rank(), skipped=guard.skipped, rates=guard.rates(), first_largest=self.first_largest)
        found.losses, found.gradients = guard.bad_losses(), guard.bad_gradients(bad_norms)
        if found.losses or found.gradients:
            found.loss = guard.last_loss()
            batches = [*guard.earlier, self.batch]
            found.bad_batch, found.tensors, found.bad_files = check_batches(batches)
            found.files = find_files(batches)
        found.weights, found.buffers = self.bad_weights()
        found.state = self.bad_state()
        found.largest = largest(parameter for module in self._modules() for parameter in module.parameters())
        findings = all_gather_object(found)
        if not any(each.guilty for each in findings):
            return
        self._release()
        findings.sort(key=lambda each: not each.guilty)
        raise NonFiniteLossError(describe(findings, guard.name, self.iteration))

    def _release(self) -> None:
        for guard in self.guards:
            guard.remove()
        self.guards.clear()
        for hook in self._savers:
            for name in _SAVERS:
                vars(hook).pop(name, None)
        self._savers.clear()


class _Guard:
    """The guard of one optimizer wrapper; its methods stand in the place of the wrapper's."""

    def __init__(self, hook: NonFiniteLossHook, name: str, wrapper: OptimWrapper, module: nn.Module | None) -> None:
        self.hook, self.name, self.wrapper, self.module = hook, name, wrapper, module
        self.skipped = 0
        self.earlier: list[Any] = []
        self._losses: list[tuple[int, Tensor]] = []
        self._norms: Tensor | None = None
        self._code: Tensor | None = None
        self._backward, self._step = wrapper.backward, wrapper.step
        self._clip: Any = getattr(wrapper, 'clip_func', None)
        # On the instance, which may have a step already: schedulers put a counter of steps there.
        self._own = {key: vars(wrapper)[key] for key in ('backward', 'step') if key in vars(wrapper)}
        wrapper.backward = self.backward
        wrapper.step = functools.wraps(self._step)(lambda **kwargs: self.step(**kwargs))
        clip = getattr(wrapper, 'clip_grad_kwargs', None) or {}
        self._clips = bool(clip) and wrapper.grad_name == 'grad_norm' and not clip.get('error_if_nonfinite')
        if self._clips:
            wrapper.clip_func = self.clip

    def remove(self) -> None:
        for name in ('backward', 'step'):
            vars(self.wrapper).pop(name, None)
        vars(self.wrapper).update(self._own)
        if self._clips:
            self.wrapper.clip_func = self._clip

    def backward(self, loss: Tensor, **kwargs: Any) -> None:
        self._losses.append((self.hook.iteration, loss.detach()))
        self._backward(loss, **kwargs)

    def step(self, **kwargs: Any) -> None:
        gradients = list(self._gradients())
        self._norms = norms(gradients) if gradients else None
        self._code = self._look()
        clips = self._clips and any(p.requires_grad and p.grad is not None for p in self._parameters())
        if self._code is not None and not clips:
            self._judge(self._code.item())
        self._step(**kwargs)

    def clip(self, parameters: Any, **kwargs: Any) -> Tensor | float:
        """Clip as the wrapper does; the norm, which it logs, comes with the same wait as the check."""
        total = self._clip(parameters, **kwargs)
        if self._code is None:
            return total
        code, norm = torch.stack((self._code, total.to(self._code))).tolist()
        self._judge(code)
        return norm

    def close_iteration(self) -> None:
        """Keep a batch whose gradients are accumulated for a later step."""
        if self._losses:
            self.earlier.append(self.hook.batch)

    def _parameters(self) -> Iterator[Tensor]:
        return (parameter for group in self.wrapper.optimizer.param_groups for parameter in group['params'])

    def _gradients(self) -> Iterator[Tensor]:
        return (parameter.grad for parameter in self._parameters()
                if parameter.grad is not None and parameter.grad.numel())

    def _look(self) -> Tensor | None:
        """Return what is bad, as a sum of ``_BAD_*`` on the device; None where there is nothing to check."""
        code = None
        if self._norms is not None:
            code = (~self._norms.isfinite().all()).float() * _BAD_GRADIENT
        if self._losses:
            finite = torch.stack([loss.isfinite().all() for _, loss in self._losses])
            bad = (~finite.all()).float() * _BAD_LOSS
            code = bad if code is None else code + bad.to(code.device)
        if code is not None and get_world_size() > 1:
            all_reduce(code, 'max')
        return code

    def _judge(self, code: float) -> None:
        self._code = None
        scaler = getattr(self.wrapper, 'loss_scaler', None)
        scales = scaler is not None and scaler.is_enabled()
        bad = code >= _BAD_LOSS or (code and not scales)
        if code and not bad:
            self.skipped += 1
            bad = self.skipped >= _MAX_SKIPPED
        elif not code:
            self.skipped = 0
        if bad:
            wrong = None if self._norms is None else (~self._norms.isfinite()).nonzero().flatten().tolist()
            self.hook.stop(self, wrong)
        self._losses.clear()
        self.earlier.clear()

    def bad_losses(self) -> list[tuple[int, float]]:
        """Return (iteration, value) of the losses that are not finite."""
        return [(iteration, value) for iteration, loss in self._losses if not math.isfinite(value := _mean(loss))]

    def last_loss(self) -> float | None:
        """Return the loss of the last backward pass."""
        return _mean(self._losses[-1][1]) if self._losses else None

    def bad_gradients(self, numbers: list[int] | None) -> list[str]:
        """Return the names of the parameters whose gradient is not finite, among those with these numbers."""
        having = [parameter for parameter in self._parameters()
                  if parameter.grad is not None and parameter.grad.numel()]
        names = self.names()
        return not_finite((names.get(id(having[number]), f'parameter {number} of the optimizer'), having[number].grad)
                          for number in numbers or ())

    def names(self) -> dict[int, str]:
        """Return the names of the guarded network's parameters by their ids."""
        return {} if self.module is None else {id(own): name for name, own in self.module.named_parameters()}

    def rates(self) -> list[float]:
        """Return the learning rates of the optimizer."""
        return [float(group['lr']) for group in self.wrapper.optimizer.param_groups]


def _mean(loss: Tensor) -> float:
    return loss.cpu().double().mean().item()


def _unwrapped(model: nn.Module) -> nn.Module:
    return model.module if is_model_wrapper(model) else model
