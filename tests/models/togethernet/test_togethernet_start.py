"""Starting from mmdet's, Megvii's and published YOLOX checkpoints."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

pytest.importorskip('mmdet', reason='the detector is built from mmdet')

from mmengine.registry import DefaultScope  # noqa: E402

from mmweather.errors import CheckpointError  # noqa: E402
from mmweather.models.togethernet import start  # noqa: E402
from mmweather.registry import MODELS  # noqa: E402

PREPROCESSOR = dict(type='mmdet.DetDataPreprocessor', mean=[123.675, 116.28, 103.53], std=[58.395, 57.12, 57.375],
                    bgr_to_rgb=True)


def together(**options):
    with DefaultScope.overwrite_default_scope('mmweather'):
        return MODELS.build(dict(dict(type='mmweather.TogetherNet', arch=(0.33, 0.125), num_classes=5,
                                      data_preprocessor=PREPROCESSOR), **options))


@pytest.fixture(scope='module')
def yolox():
    """mmdet's own YOLOX-s config, narrower, with weights that are no start values."""
    import mmdet
    config = Config.fromfile(Path(mmdet.__file__).parent / '.mim/configs/yolox/yolox_s_8xb8-300e_coco.py').model
    config.backbone.widen_factor = 0.125
    config.neck.update(in_channels=[32, 64, 128], out_channels=32)
    config.bbox_head.update(in_channels=32, feat_channels=32)
    config.data_preprocessor.pop('batch_augments')
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(dict(config, type='mmdet.YOLOX'))
    for name, value in model.state_dict().items():
        if name.endswith('running_mean'):
            value.normal_()
        elif name.endswith('running_var'):
            value.uniform_(0.5, 2)
    # The stem sees values up to 255.
    model.backbone.stem.conv.bn.running_var.fill_(4e4)
    return model.eval()


@pytest.fixture
def file(yolox, tmp_path) -> Path:
    torch.save({'state_dict': yolox.state_dict(), 'meta': {}}, tmp_path / 'yolox.pth')
    return tmp_path / 'yolox.pth'


def test_the_folded_stem_sees_what_yolox_sees(yolox, file):
    detector = together(start_from=str(file)).eval()
    detector.init_weights()
    image = torch.randint(0, 256, (3, 64, 96), dtype=torch.uint8)
    theirs = yolox.data_preprocessor(dict(inputs=[image], data_samples=None))['inputs']
    ours = detector.data_preprocessor(dict(inputs=[image], data_samples=None))['inputs']
    assert theirs.max() > 200 and ours.abs().max() < 4
    with torch.no_grad():
        a, b = yolox.backbone.stem(theirs), detector.backbone.stem(ours)
    # The border is padded with black there and with the mean colour here.
    assert torch.allclose(a[..., 1:-1, 1:-1], b[..., 1:-1, 1:-1], atol=1e-4)
    assert not torch.allclose(a, b, atol=1e-2)
    # Behind the stem all is copied.
    assert torch.equal(detector.backbone.stage4[2].final_conv.conv.weight,
                       yolox.backbone.stage4[2].final_conv.conv.weight)


def test_without_normalisation_nothing_is_folded(yolox, file):
    detector = together(start_from=str(file), data_preprocessor=dict(type='mmdet.DetDataPreprocessor'))
    detector.init_weights()
    assert torch.equal(detector.backbone.stem.conv.conv.weight, yolox.backbone.stem.conv.conv.weight)


def test_the_report_says_what_was_taken_and_what_not(yolox, file, caplog):
    detector = together()
    with caplog.at_level(logging.INFO):
        report = start.load_start(detector, str(file))
    own = detector.state_dict()
    assert sum(map(len, (report['taken'], report['fresh'], report['other_shape']))) == len(own)
    assert not report['unused']
    # 80 classes there, 5 here: weight and bias at three levels.
    assert sorted(report['other_shape']) == sorted(
        f'bbox_head.multi_level_conv_cls.{i}.{kind}' for i in range(3) for kind in ('weight', 'bias'))
    assert {'.'.join(key.split('.')[:2]) for key in report['fresh']} == {
        'backbone.dtfe', 'neck.calibrated', 'restoration_head.conv_1', 'restoration_head.conv_2',
        'restoration_head.conv_3', 'restoration_head.conv_4'}
    same = [key for key in report['taken'] if torch.equal(own[key], yolox.state_dict()[key])]
    assert set(report['taken']) - set(same) == {'backbone.stem.conv.conv.weight', 'backbone.stem.conv.bn.running_mean'}


def test_layouts_are_told_apart(yolox):
    detector = together()
    own = detector.state_dict()
    stem = 'backbone.stem.conv.conv.weight'
    published = {f'backbone.{key}' if key.startswith('backbone.') else key: value for key, value in own.items()
                 if key.startswith('backbone.stem.')}
    # Published names take what we take; Megvii wraps the same names in `model` and takes what mmdet takes.
    assert torch.equal(start.adapt(published, detector, 'x')[stem], own[stem])
    megvii = start.adapt({'model': published}, detector, 'x')[stem]
    assert torch.equal(megvii, start.adapt(dict(own), detector, 'x', 'bgr255')[stem])
    assert not torch.allclose(megvii, own[stem])
    assert torch.equal(start.adapt(own, detector, 'x')[stem], own[stem])  # one of this project's


def test_from_imagenet_input_to_a_detector_of_plain_values():
    model = together(data_preprocessor=dict(type='mmdet.DetDataPreprocessor'))
    given, plain = together(), together(data_preprocessor=dict(type='mmdet.DetDataPreprocessor'))
    plain.load_state_dict({**model.state_dict(), **start.adapt(given.state_dict(), plain, 'x', 'imagenet')})
    image = torch.randint(0, 256, (3, 32, 32), dtype=torch.uint8)
    with torch.no_grad():
        a, b = (each.eval().backbone.stem(each.data_preprocessor(dict(inputs=[image], data_samples=None))['inputs'])
                for each in (given, plain))
    assert torch.allclose(a[..., 1:-1, 1:-1], b[..., 1:-1, 1:-1], atol=1e-4)


def test_strangers_are_named_in_one_line(yolox, file, tmp_path):
    with pytest.raises(CheckpointError, match=r'has a stem of 8 channels, this model one of 16: .* model\.arch'):
        start.load_start(together(arch=(0.33, 0.25)), str(file))
    torch.save({'a.weight': torch.zeros(2)}, tmp_path / 'other.pth')
    with pytest.raises(CheckpointError, match='it is no YOLOX and no TogetherNet'):
        start.load_start(together(), str(tmp_path / 'other.pth'))
    with pytest.raises(CheckpointError, match='no such checkpoint'):
        start.load_start(together(), str(tmp_path / 'gone.pth'))
