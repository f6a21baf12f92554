"""Detections drawn on the restored image as well."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from mmdet.engine.hooks import DetVisualizationHook

from ...registry import HOOKS


@HOOKS.register_module()
class RestoredDetVisualizationHook(DetVisualizationHook):
    """mmdet's hook, which also draws the test's detections on ``restored_img`` where a sample has one.

    Those pictures lie in the folder ``restored`` of ``test_out_dir``, under the same names.  ``restored_img`` is uint8
    RGB (3, H, W) in the size of the original image, as ``mmweather.TogetherNet`` and ``mmweather.RestoreThenDetect``
    give it on demand.  Arguments are those of ``mmdet.DetVisualizationHook``.
    """

    def after_test_iter(self, runner: Any, batch_idx: int, data_batch: dict, outputs: Sequence[Any]) -> None:
        """Draw the batch."""
        super().after_test_iter(runner, batch_idx, data_batch, outputs)
        if not self.draw or self.test_out_dir is None:
            return
        for sample in outputs:
            restored = sample.get('restored_img')
            if restored is None:
                continue
            self._visualizer.add_datasample(
                'restored', restored.permute(1, 2, 0).cpu().numpy(), data_sample=sample, draw_gt=False,
                pred_score_thr=self.score_thr,
                out_file=os.path.join(self.test_out_dir, 'restored', os.path.basename(sample.img_path)))
