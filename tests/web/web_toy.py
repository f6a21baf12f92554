"""Small models for the page: configs with checkpoints, and a stand-in for what a detector and a segmentor answer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from mmweather.apis.hub import get_model
from mmweather.apis.inference.report import Outcome, Report
from mmweather.utils.checkpoint import save_state_dict
from mmweather.utils.images import read_image

CONFIGS = Path(__file__).resolve().parents[2] / 'configs' / 'nitedr'
BASES = {
    'clean': ("nitedr_cleannet-s_1xb4-300_mini.py", "model = dict(generator=dict(dim=8))"),
    'fuse': ("nitedr_joint-s_mini.py", "model = dict(cleaner=dict(dim=8), fusion=dict(growth=8))"),
}


def small_model(folder: Path, name: str) -> tuple[str, str]:
    """A config and a checkpoint of random weights: ``'clean'`` takes a picture, ``'fuse'`` an infrared one too."""
    base, change = BASES[name]
    config, weights = folder / f'{name}.py', folder / f'{name}.pth'
    config.write_text(f'_base_ = {str(CONFIGS / base)!r}\n{change}\n')
    torch.manual_seed(0)
    save_state_dict(weights, get_model(str(config)).state_dict())
    return str(config), str(weights)


class StandIn:
    """An Inferencer whose answers are known."""

    entry = None
    model = torch.nn.Identity()
    inputs = ('img', )

    def __init__(self, model: str, checkpoint: str | None = None, device: str | None = None) -> None:
        self.task = model
        self.classes = ('car', 'person', '<b>sky</b>')
        self.palette = ((1, 2, 3), (4, 5, 6), (7, 8, 9)) if model == 'segment' else ()

    def __call__(self, files, dtype, score_thr, show_progress) -> Report:
        image = read_image(files['img'])
        height, width = image.shape[:2]
        if self.task == 'segment':
            labels = np.zeros((height, width), np.uint8)
            labels[:height // 4] = 2
            return Report(outcomes=[Outcome(files['img'], image, labels=labels, picture=image // 2)])
        found = [dict(label=1, name='person', score=0.75, box=[1.0, 2.0, 30.4, 40.0]),
                 dict(label=0, name='car', score=0.35, box=[5.0, 5.0, 9.0, 9.0])]
        found = [box for box in found if box['score'] >= score_thr]
        return Report(outcomes=[Outcome(files['img'], image, restored=255 - image, detections=found,
                                        picture=image // 2)])
