"""The head's number of classes against the data's."""

from __future__ import annotations

from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper

from ...errors import ConfigError
from ...registry import HOOKS


@HOOKS.register_module()
class ClassCountHook(Hook):
    """Stops a training or test whose data set has another number of classes than a head of the model.

    Every module with a ``num_classes`` is looked at; data sets without ``metainfo['classes']`` are passed over.

    Raises:
        ConfigError: the numbers differ.
    """

    priority = 'HIGHEST'

    def before_train(self, runner: Any) -> None:
        """Look at the training and the validation data."""
        self._check(runner, 'train_dataloader', runner.train_dataloader)
        if runner.val_loop is not None:
            self._check(runner, 'val_dataloader', runner.val_dataloader)

    def before_val(self, runner: Any) -> None:
        """Look at the validation data."""
        self._check(runner, 'val_dataloader', runner.val_dataloader)

    def before_test(self, runner: Any) -> None:
        """Look at the test data."""
        self._check(runner, 'test_dataloader', runner.test_dataloader)

    @staticmethod
    def _check(runner: Any, section: str, loader: Any) -> None:
        classes = (getattr(loader.dataset, 'metainfo', None) or {}).get('classes')
        if classes is None:
            return
        if isinstance(classes, str):
            raise ConfigError(f"{section}.dataset.metainfo.classes is the text '{classes}': write ('{classes}', )")
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        for name, module in model.named_modules():
            count = getattr(module, 'num_classes', None)
            if isinstance(count, int) and count != len(classes):
                raise ConfigError(f'{section}: the data set has {len(classes)} classes ({", ".join(classes[:6])}'
                                  f'{", ..." if len(classes) > 6 else ""}), model.{name} has num_classes={count}: '
                                  f'set model.num_classes={len(classes)} where the model has that key, or '
                                  f'model.{name}.num_classes')
