"""HeatNet on mmseg: equal to the plain network, any backbone, supervision of the night, batch statistics."""

from __future__ import annotations

import math
import runpy
from pathlib import Path

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmweather.errors import CheckpointError, ConfigError, DataError
from mmweather.models.heatnet.pspnet import HeatNetPSPNet
from mmweather.models.heatnet.state_dict_adapter import mmseg_keys, network_keys
from mmweather.registry import MODELS
from mmweather.utils.checkpoint import load_checkpoint, load_into

NETWORK = dict(width=4, blocks=(1, 1, 2, 1))


def config(streams=(3, 1), **options):
    return dict(
        type='mmweather.HeatNet',
        backbone=dict(type='mmweather.HeatNetEncoder', in_channels=streams[0], thermal_channels=streams[1], **NETWORK),
        decode_head=dict(type='mmweather.HeatNetPSPHead', in_channels=128, channels=64, up_channels=(16, 4, 4),
                         in_index=4, num_classes=5, dropout=(0., 0.)), **options)


def samples(domains, size=(32, 48), labelled=('day', )):
    result = []
    for number, domain in enumerate(domains):
        sample = SegDataSample(metainfo=dict(domain=domain, ori_shape=size, img_shape=size, img_path=f'{number}.png'))
        if domain in labelled:
            sample.gt_sem_seg = PixelData(data=torch.full((1, *size), number % 5))
        result.append(sample)
    return result


@pytest.fixture(scope='module')
def teacher_file(tmp_path_factory):
    torch.manual_seed(1)
    teacher = HeatNetPSPNet(1, 0, num_classes=5, **NETWORK)
    path = tmp_path_factory.mktemp('teacher') / 'teacher.pth'
    # As published: prefixes of the whole model and of data-parallel training, critics beside it.
    state = {f'module.trgb_segnet.{key}': value for key, value in teacher.state_dict().items()}
    torch.save({'state_dict': {**state, 'module.critics.0.conv1.weight': torch.zeros(1)}}, path)
    return path, teacher.eval()


@pytest.mark.parametrize(('streams', 'modalities'), [
    ((3, 1), ('rgb', 'thermal')), ((4, 0), ('rgb', 'thermal')), ((3, 0), ('rgb', )), ((1, 0), ('thermal', ))])
def test_it_is_the_plain_network_with_other_names(streams, modalities):
    torch.manual_seed(0)
    network = HeatNetPSPNet(*streams, num_classes=5, **NETWORK).eval()
    model = MODELS.build(config(streams, modalities=modalities)).eval()
    state = mmseg_keys(network.state_dict())
    model.load_state_dict(state)
    assert network_keys(state).keys() == network.state_dict().keys()
    image = torch.randn(2, 4, 36, 50)
    seen = image[:, {('rgb', ): slice(0, 3), ('thermal', ): slice(3, 4)}.get(modalities, slice(0, 4))]
    with torch.no_grad():
        wanted = network(*(seen.split((3, 1), 1) if streams[1] else (seen, )))[0]
        torch.testing.assert_close(model(image, mode='tensor'), wanted)
        result = model(image, samples(['day', 'night'], (36, 50)), mode='predict')
    assert wanted.shape[2:] == (40, 56) and result[0].pred_sem_seg.data.shape == (1, 36, 50)


@pytest.mark.parametrize('fusion', ['concat', 'sum', 'max'])
def test_two_mmseg_backbones_and_a_stock_head(fusion):
    def stream(channels):
        return dict(type='mmseg.ResNet', depth=18, in_channels=channels, base_channels=4, stem_channels=4,
                    norm_cfg=dict(type='mmengine.BN'))

    # ResNet-18 of base width 4 ends in 32 channels.
    model = MODELS.build(dict(
        type='mmweather.HeatNet',
        backbone=dict(type='mmweather.TwoStreamBackbone', visible=stream(3), thermal=stream(1), fusion=fusion),
        decode_head=dict(type='mmseg.FCNHead', in_channels=64 if fusion == 'concat' else 32, channels=8, num_classes=5,
                         in_index=3, norm_cfg=dict(type='mmengine.BN'),
                         loss_decode=dict(type='mmseg.CrossEntropyLoss'))))
    losses = model(torch.randn(2, 4, 32, 48), samples(['day', 'day']), mode='loss')
    losses['decode.loss_ce'].backward()
    assert model.backbone.thermal.conv1.weight.grad.abs().sum() > 0
    with pytest.raises(ConfigError, match='fusion must be one of concat, sum, max'):
        MODELS.build(dict(type='mmweather.TwoStreamBackbone', visible=stream(3), thermal=stream(1), fusion='add'))


def test_a_timm_backbone():
    pytest.importorskip('timm')
    model = MODELS.build(dict(
        type='mmweather.HeatNet',
        backbone=dict(type='mmseg.TIMMBackbone', model_name='resnet10t', pretrained=False, in_channels=4),
        decode_head=dict(type='mmseg.FCNHead', in_channels=512, channels=8, num_classes=5, in_index=4,
                         norm_cfg=dict(type='mmengine.BN'), loss_decode=dict(type='mmseg.CrossEntropyLoss')))).eval()
    with torch.no_grad():
        assert model(torch.randn(1, 4, 64, 64), mode='tensor').shape == (1, 5, 2, 2)


def test_the_teacher_judges_the_night_by_what_its_weights_see(teacher_file):
    path, plain = teacher_file
    torch.manual_seed(2)
    model = MODELS.build(config(teacher=str(path)))
    assert not any('teacher' in key for key in model.state_dict()) and model.supervises_unlabelled
    image, batch = torch.randn(4, 4, 32, 48), samples(['day', 'night', 'day', 'night'])
    losses = model(image, batch, mode='loss')
    assert set(losses) == {'decode.loss_ce', 'teacher.loss_ce'}
    with torch.no_grad():
        judged = plain(image[[1, 3], 3:])[0]
        logits = model(image[[1, 3]], mode='tensor')  # in training mode, with the night's statistics
    certain = judged.softmax(1).amax(1)
    wanted = (torch.nn.functional.cross_entropy(logits, judged.argmax(1), reduction='none') * certain).mean()
    torch.testing.assert_close(losses['teacher.loss_ce'].detach(), wanted)
    torch.testing.assert_close(torch.stack([batch[1].certainty, batch[3].certainty]), certain)
    assert 'certainty' not in batch[0]


def test_stored_labels_and_certainty_give_the_loss_of_the_teacher_itself(teacher_file):
    path, plain = teacher_file
    torch.manual_seed(2)
    model = MODELS.build(config(teacher=str(path)))
    image, batch = torch.randn(2, 4, 32, 48), samples(['night', 'night'])
    wanted = model(image, batch, mode='loss')['teacher.loss_ce']
    stored = samples(['night', 'night'])
    with torch.no_grad():
        certain, classes = plain(image[:, 3:])[0].softmax(1).max(1)
    for i, sample in enumerate(stored):
        sample.gt_sem_seg = PixelData(data=classes[i:i + 1])
        sample.set_field(certain[i], 'certainty', dtype=torch.Tensor)
    model.set_teacher(None)
    torch.testing.assert_close(model(image, stored, mode='loss')['teacher.loss_ce'], wanted)
    # Ignored pixels are out of the mean: half of the image gives the mean over the other half.
    logits = model(image, mode='tensor')
    losses = torch.nn.functional.cross_entropy(logits, classes, reduction='none') * certain
    for sample in stored:
        sample.gt_sem_seg.data[:, :16] = 255
    torch.testing.assert_close(model(image, stored, mode='loss')['teacher.loss_ce'], losses[:, 16:].mean())
    model.weight_by_certainty = False
    assert set(model(image, stored, mode='loss')) == {'decode.loss_ce'}


def test_the_teacher_stays_as_it_is_unless_as_published(teacher_file):
    path, _ = teacher_file
    for published in (False, True):
        model = MODELS.build(config(teacher=str(path), published_teacher_mode=published)).train()
        model.init_weights()
        before = {key: value.clone() for key, value in model._teacher[0].state_dict().items()}
        model(torch.randn(2, 4, 32, 48), samples(['night', 'night']), mode='loss')
        after = model._teacher[0].state_dict()
        assert all(torch.equal(after[key], value) for key, value in before.items()) is not published


def test_domains_go_through_batch_norm_apart():
    torch.manual_seed(3)
    model = MODELS.build(config()).train()
    image = torch.randn(4, 4, 32, 48)
    image[2:] = image[2:] * 5 + 3
    both = samples(['day', 'day', 'night', 'night'], labelled=('day', 'night'))
    norm = model.backbone.bn1
    model(image, both, mode='loss')
    assert norm.num_batches_tracked == 2
    with torch.no_grad():
        first, second = (model.backbone.conv1(part[:, :3]).mean((0, 2, 3)) for part in (image[:2], image[2:]))
    torch.testing.assert_close(norm.running_mean, 0.9 * 0.1 * first + 0.1 * second, atol=1e-6, rtol=1e-4)


def test_batch_statistics_at_test_are_those_of_each_image_and_are_not_kept():
    torch.manual_seed(4)
    model = MODELS.build(config(bn_test='batch')).eval()
    image = torch.randn(2, 4, 32, 48) * 3 + 1
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with torch.no_grad():
        both = [s.seg_logits.data for s in model(image, samples(['day', 'day']), mode='predict')]
        one = model(image[1:], samples(['day']), mode='predict')[0].seg_logits.data
        model.bn_test = 'running'
        running = model(image[1:], samples(['day']), mode='predict')[0].seg_logits.data
    torch.testing.assert_close(both[1], one)
    assert (one - running).abs().max() > 1e-3
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in before.items())
    assert model.backbone.bn1.momentum == 0.1 and not model.backbone.bn1.training


def test_published_initialisation():
    torch.manual_seed(5)
    model = MODELS.build(config())
    model.init_weights()
    weight = model.decode_head.up_1.conv[0].weight
    assert weight.std().item() == pytest.approx(0.02, rel=0.1)
    assert model.backbone.bn1.bias.abs().max() == 0 and model.backbone.bn1.weight.std() > 0


def test_ignored_pixels_do_not_dilute_the_loss():
    model = MODELS.build(config()).eval()
    logits = torch.zeros(1, 5, 32, 48)
    sample = samples(['day'])
    sample[0].gt_sem_seg.data[:, :16] = 255
    assert model.decode_head.loss_by_feat(logits, sample)['loss_ce'].item() == pytest.approx(math.log(5))


@pytest.mark.parametrize(('change', 'error', 'message'), [
    (dict(modalities=('thermal', 'rgb')), ConfigError, "got .'thermal', 'rgb'."),
    (dict(bn_test='both'), ConfigError, "'running' or 'batch', got 'both'"),
])
def test_mistakes_of_the_config(change, error, message):
    with pytest.raises(error, match=message):
        MODELS.build(config(**change))


def test_a_teacher_that_is_not_there_is_told_when_training_starts_and_not_missed_in_a_test():
    model = MODELS.build(config(teacher='gone.pth'))
    model.eval()(torch.randn(1, 4, 32, 48), samples(['night']), mode='predict')
    with pytest.raises(CheckpointError, match='gone.pth: no such checkpoint'):
        model.init_weights()


def test_mistakes_of_the_data():
    model = MODELS.build(config())
    image = torch.randn(2, 4, 32, 48)
    with pytest.raises(ConfigError, match="'1.png' has no label and HeatNet no teacher"):
        model(image, samples(['day', 'night']), mode='loss')
    with pytest.raises(DataError, match="domain 'dusk', which is not among day, night"):
        model(image, samples(['day', 'dusk'], labelled=('day', 'dusk')), mode='loss')
    mixed = samples(['day', 'day'])
    del mixed[0].gt_sem_seg
    with pytest.raises(ConfigError, match='all have labels or none'):
        model(image, mixed, mode='loss')


def test_a_published_file_becomes_a_checkpoint_of_the_configs(teacher_file, tmp_path, monkeypatch, capsys):
    path, plain = teacher_file
    script = Path(__file__).parents[3] / 'tools/model_converters/heatnet_to_mmseg.py'
    monkeypatch.setattr('sys.argv', ['heatnet_to_mmseg.py', str(path), str(tmp_path / 'ours.pth')])
    runpy.run_path(str(script), run_name='__main__')
    assert f'wrote {tmp_path / "ours.pth"}' in capsys.readouterr().out
    model = MODELS.build(config((1, 0), modalities=('thermal', ))).eval()
    load_into(model, load_checkpoint(tmp_path / 'ours.pth'), 'ours.pth')
    image = torch.randn(1, 4, 32, 48)
    with torch.no_grad():
        torch.testing.assert_close(model(image, mode='tensor'), plain(image[:, 3:])[0])
    monkeypatch.setattr('sys.argv', ['heatnet_to_mmseg.py', str(tmp_path / 'gone.pth'), str(tmp_path / 'x.pth')])
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(script), run_name='__main__')
    assert caught.value.code == 2
