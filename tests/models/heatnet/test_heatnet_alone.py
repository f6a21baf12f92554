"""HeatNet needs mmseg alone of the toolboxes: it builds and trains where mmagic and mmdet cannot be imported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip('mmseg')
ROOT = Path(__file__).parents[3]

SCRIPT = '''
import sys

class Block:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in ('mmagic', 'mmdet'):
            raise ModuleNotFoundError(f'No module named {name!r}', name=name)

sys.meta_path.insert(0, Block())
import mmweather.registry as registry
sys.meta_path.insert(0, Block())  # the fixes may have put finders before ours

import torch
from mmengine.config import Config
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

for toolbox in ('mmagic', 'mmdet'):
    try:
        __import__(toolbox)
    except ModuleNotFoundError:
        continue
    raise SystemExit(f'{toolbox} is there')

config = Config.fromfile('configs/heatnet/heatnet_rgbt-s-critics_1xb4-2k_mini.py')
model = registry.MODELS.build(config.model)
registry.HOOKS.build(config.custom_hooks[3])
registry.METRICS.build(config.test_evaluator[0])
for kind in ('FreiburgThermal', 'MFDataset'):
    assert registry.DATASETS.get(f'mmweather.{kind}')
for step in config.train_dataloader.dataset.dataset.pipeline:
    registry.TRANSFORMS.build(step)
sample = SegDataSample(metainfo=dict(domain='day', img_shape=(32, 48), ori_shape=(32, 48), img_path='a.png'))
sample.gt_sem_seg = PixelData(data=torch.zeros(1, 32, 48, dtype=torch.long))
batch = dict(inputs=[torch.rand(4, 32, 48)] * 2, data_samples=[sample, sample.clone()])
data = model.data_preprocessor(batch, True)
loss = model(**data, mode='loss')['decode.loss_ce']
loss.backward()
assert model.backbone.conv1_2.weight.grad.abs().sum() > 0
print('trained', sorted(name for name in sys.modules if name in ('mmagic', 'mmdet')))
'''


@pytest.mark.slow
def test_heatnet_builds_and_trains_without_mmagic_and_mmdet():
    done = subprocess.run([sys.executable, '-c', SCRIPT], cwd=ROOT, env={**os.environ, 'PYTHONPATH': str(ROOT)},
                          capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1] == 'trained []'
