"""HeatNet's ResNeXt and the ResNet critic, and published checkpoints of both."""

from __future__ import annotations

import pytest
import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmweather.apis.adapters import from_official, published_forward
from mmweather.errors import CheckpointError, ConfigError
from mmweather.models.heatnet.critic import ResNetCritic
from mmweather.models.heatnet.resnext import HeatNetResNeXt
from mmweather.models.heatnet.state_dict_adapter import load_teacher
from mmweather.registry import MODELS

SMALL = dict(num_classes=3, blocks=(1, 1, 2, 1), width=4, groups=2, pyramid=6)


def published(network: HeatNetResNeXt, teacher: bool = False) -> dict[str, torch.Tensor]:
    """The state dict as the published code would save it, unused modules included."""
    state = {}
    for key, value in network.state_dict().items():
        parts = key.split('.')
        if parts[:2] == ['aspp', 'convs']:
            branch, place = int(parts[2]), int(parts[3]) - (parts[2] == '4')
            key = f"aspp.conv{branch + 1}.{'conv1' if place == 0 else 'bn1.bn'}.{parts[4]}"
        elif parts[:2] == ['aspp', 'project']:
            key = f"aspp.fuse_conv.{'conv1' if parts[2] == '0' else 'bn1.bn'}.{parts[3]}"
        elif parts[0] == 'score':
            key = f"aspp.final_conv.{'.'.join(parts[1:])}"
        elif parts[0] == 'score_cert':
            key = f"aspp.final_conv2.{'.'.join(parts[1:])}"
        elif not teacher and parts[0].startswith('mod1') and parts[1] in ('conv1', 'bn1'):
            key = '.'.join([parts[0], parts[1] + '_2', *parts[2:]])
        state[key] = value
    norm = ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked')
    unused = [f'bn_out_2.bn.{leaf}' for leaf in norm] + ['up_borders_3.weight', 'up_inst_2.weight']
    if teacher:
        unused += [f'{fuse}.{part}' for fuse in ('fuse_border_2', 'fuse_regborder')
                   for part in (*(f'conv{i}.weight' for i in (1, 2, 3)), 'up.weight',
                                *(f'bn{i}.bn.{leaf}' for i in (1, 2) for leaf in norm))]
    elif not network.certainty:
        unused += ['aspp.final_conv2.conv1.weight', *(f'aspp.final_conv2.bn1.bn.{leaf}' for leaf in norm)]
    return {**state, **{key: torch.zeros(1) for key in unused}}


@pytest.mark.parametrize('size', [(32, 48), (33, 60), (70, 100)])
def test_any_size_goes_through(size):
    network = HeatNetResNeXt(**SMALL).eval()
    with torch.no_grad():
        logits, inputs = network(torch.rand(1, 3, *size), torch.rand(1, 1, *size))
    quarter = [-(-side // 4) for side in size]
    assert logits.shape == (1, 3, 4 * quarter[0], 4 * quarter[1]) and inputs[0] is logits
    # Pyramid beside the pooled skip of both streams, modules 4, 3, 2 (both streams) and both stems.
    assert [x.shape[1] for x in inputs] == [3, 6 + 32, 64, 32, 32, 8]
    assert [list(x.shape[2:]) for x in inputs[4:]] == [quarter, quarter]


def test_blocks_are_dilated_and_only_shape_changes_have_a_projection():
    network = HeatNetResNeXt(**SMALL)
    assert [block.convs.conv2.dilation for block in network.mod4_1] == [(2, 2), (2, 2)]
    assert [block.proj_conv is None for block in network.mod4_1] == [False, True]
    assert network.mod3_1[0].convs.conv1.stride == (2, 2)


def test_certainty_is_a_map_and_needs_one_stream():
    network = HeatNetResNeXt(4, 0, certainty=True, **SMALL).eval()
    with torch.no_grad():
        logits, _, certain = network(torch.rand(1, 4, 32, 48))
    assert certain.shape == (1, 1, *logits.shape[2:]) and 0 < certain.min() <= certain.max() < 1
    with pytest.raises(ConfigError, match='one stream'):
        HeatNetResNeXt(certainty=True, **SMALL)
    with pytest.raises(ValueError, match='2 image'):
        HeatNetResNeXt(**SMALL)(torch.rand(1, 3, 32, 32))


@pytest.mark.parametrize(('name', 'channels', 'teacher', 'certainty'), [
    ('conf_custom_late_c6', (3, 1), False, False),
    ('conf_custom_early_c6', (4, 0), False, False),
    ('conf_custom_early_c6', (4, 0), False, True),
    ('teacher_vistas_custom', (3, 0), True, False),
])
def test_published_names_are_ours(name, channels, teacher, certainty):
    source = HeatNetResNeXt(*channels, certainty=certainty, **SMALL).eval()
    state = published(source, teacher)
    if not teacher:
        state = {f'module.trgb_segnet.{key}': value for key, value in state.items()}
    images = [torch.rand(1, 3, 32, 32), torch.rand(1, 1, 32, 32)][:1 if teacher else 2]
    found = published_forward(f'heatnet/{name}', state, *images)
    with torch.no_grad():
        wanted = source(*images) if channels[1] or teacher else source(torch.cat(images, 1))
    assert len(found) == 1 if teacher else 7 + certainty
    torch.testing.assert_close(torch.from_numpy(found[0]), wanted[0])


@pytest.mark.parametrize('key', ['bn_out_2.bn.bias', 'aspp.final_conv2.conv1.weight', 'mod5_1.block1.bn1.bn.bias'])
def test_a_key_that_is_missing_is_told_whether_it_is_used_or_not(key):
    state = published(HeatNetResNeXt(**SMALL))
    del state[key]
    with pytest.raises(CheckpointError, match=key.split('.')[0].replace('_', '.')):
        from_official('heatnet/conf_custom_late_c6', {f'trgb_segnet.{name}': value for name, value in state.items()})


@pytest.mark.parametrize('depth', [18, 50])
def test_a_resnet_critic_is_recognised_by_its_shapes(depth):
    source = ResNetCritic(5, depth).eval()
    x = torch.rand(2, 5, 40, 48)
    with torch.no_grad():
        wanted = source(x)
    assert wanted.shape == (2, 1)
    found = published_forward('heatnet/critic_resnet18_in13', source.state_dict(), x)[0]
    torch.testing.assert_close(torch.from_numpy(found), wanted)
    with pytest.raises(ConfigError, match='18, 34, 50, 101, got 20'):
        ResNetCritic(5, 20)
    with pytest.raises(CheckpointError, match='no ResNet critic has'):
        from_official('heatnet/critic_resnet18_in13', {'conv1.weight': torch.zeros(64, 5, 7, 7)})


def segmentor(**options):
    return MODELS.build(dict(
        type='mmweather.HeatNet', modalities=('thermal', ),
        backbone=dict(type='mmweather.HeatNetResNeXtBackbone', in_channels=1, thermal_channels=0, certainty=True,
                      **SMALL),
        decode_head=dict(type='mmweather.HeatNetLogitsHead', num_classes=3, certainty_index=6), **options))


def labelled(label: torch.Tensor) -> list[SegDataSample]:
    samples = [SegDataSample(metainfo=dict(img_path='a.png', ori_shape=(32, 48), img_shape=(32, 48))) for _ in label]
    for sample, one in zip(samples, label, strict=True):
        sample.gt_sem_seg = PixelData(data=one[None])
    return samples


def test_as_a_segmentor_it_learns_classes_and_how_far_they_are_from_the_labels():
    torch.manual_seed(0)
    model = segmentor()
    model.init_weights()
    image, label = torch.randn(2, 1, 32, 48), torch.randint(0, 3, (2, 32, 48))
    label[:, :8] = 255
    losses = model(image, labelled(label), mode='loss')
    assert set(losses) == {'decode.loss_ce', 'decode.loss_certainty'}
    with torch.no_grad():
        logits, _, uncertain = HeatNetResNeXt.forward(model.backbone, image)
        assert torch.equal(model(image, mode='tensor'), logits)
    right = logits.softmax(1).gather(1, label.where(label < 3, 0)[:, None])[:, 0]
    wanted = 10 * (uncertain[:, 0] - (1 - right))[:, 8:].square().mean()
    torch.testing.assert_close(losses['decode.loss_certainty'].detach(), wanted)
    sum(losses.values()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_its_checkpoint_and_a_published_one_are_teachers_whose_branch_is_the_certainty(tmp_path):
    torch.manual_seed(1)
    model = segmentor().eval()
    torch.save({'state_dict': model.state_dict()}, tmp_path / 'ours.pth')
    plain = HeatNetResNeXt(1, 0, certainty=True, **SMALL).eval()
    plain.load_state_dict(model.backbone.state_dict())
    torch.save({'state_dict': {f'module.trgb_segnet.{k}': v for k, v in published(plain).items()}},
               tmp_path / 'theirs.pth')
    image = torch.randn(2, 4, 32, 48)
    with torch.no_grad():
        logits, _, uncertain = plain(image[:, 3:])
    for name in ('ours.pth', 'theirs.pth'):
        assert isinstance(load_teacher(str(tmp_path / name)), HeatNetResNeXt)
        student = segmentor(teacher=str(tmp_path / name))
        judged, certain = student.teach(image)
        torch.testing.assert_close(judged, logits)
        torch.testing.assert_close(certain, 1 - uncertain[:, 0])


def test_a_published_certainty_loss_mixes_the_images_of_a_batch():
    torch.manual_seed(2)
    model = segmentor()
    image, batch = torch.randn(2, 1, 32, 48), labelled(torch.randint(0, 3, (2, 32, 48)))
    apart = model(image, batch, mode='loss')['decode.loss_certainty']
    model.decode_head.published_certainty_loss = True
    assert model(image, batch, mode='loss')['decode.loss_certainty'] != apart
