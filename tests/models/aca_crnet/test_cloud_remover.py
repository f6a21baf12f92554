"""ACA-CRNet as a restorer: value ranges, losses, sizes, and published weights through the commands."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from mmagic.structures import DataSample
from torch import Tensor, nn

from mmweather import cli
from mmweather.errors import ConfigError, DataError
from mmweather.models.aca_crnet.losses import CloudAdaptiveLoss
from mmweather.models.aca_crnet.network import ACACRNet
from mmweather.models.aca_crnet.restorer import CloudRemover
from mmweather.models.restorers.restorer import Restorer
from mmweather.registry import MODELS
from mmweather.utils.images import read_image, write_image

ROOT = Path(__file__).parents[3]
RGB = dict(type='mmweather.ACACRNet', width=8, num_blocks=4)
L1 = dict(type='mmagic.L1Loss')


def bands(in_channels: int = 15, **options) -> dict:
    return dict(RGB, in_channels=in_channels, out_channels=13, **options)


def remover(generator: dict = RGB, **options) -> CloudRemover:
    torch.manual_seed(0)
    return CloudRemover(generator, **{'pixel_loss': L1, **options}).eval()


def silent(model: CloudRemover) -> CloudRemover:
    """The network's convolutions give nothing, so that it returns its skip."""
    nn.init.zeros_(model.generator.refine.weight)
    nn.init.zeros_(model.generator.refine.bias)
    return model


def seen(model: CloudRemover, *images: Tensor) -> Tensor:
    """What the network is given."""
    kept = []
    handle = model.generator.register_forward_pre_hook(lambda module, inputs: kept.append(inputs[0]))
    model.run_network(*images)
    handle.remove()
    return kept[0]


def samples(count: int, size: int, mask: bool = False, channels: int = 3) -> list[DataSample]:
    generator = torch.Generator().manual_seed(2)
    result = []
    for _ in range(count):
        sample = DataSample(gt_img=torch.rand(channels, size, size, generator=generator) * 255)
        if mask:
            sample.set_data({'mask': (torch.rand(1, size, size, generator=generator) > 0.5).byte()})
        result.append(sample)
    return result


@torch.no_grad()
def test_rice_images_go_through_the_range_of_the_published_scripts():
    model, x = silent(remover()), torch.rand(2, 3, 8, 12)
    assert torch.allclose(seen(model, x), 2 * x - 1)
    assert torch.allclose(model.predict_images({'img': x}), ((2 * x - 1).tanh() + 1) / 2, atol=1e-6)
    assert torch.allclose(model({'img': x}), model.predict_images({'img': x}), atol=1e-6)


@pytest.mark.parametrize('sar_first', [True, False])
@torch.no_grad()
def test_sentinel_bands_go_through_the_range_of_the_published_loader(sar_first):
    model = silent(remover(bands(skip_from=2 if sar_first else 0), value_range='sentinel', sar_first=sar_first))
    img, sar = torch.rand(1, 13, 8, 8), torch.rand(1, 2, 8, 8)
    given = seen(model, img, sar)
    radar, optical = (given[:, :2], given[:, 2:]) if sar_first else (given[:, 13:], given[:, :13])
    assert torch.equal(radar, sar * 2) and torch.equal(optical, img * 5)
    assert torch.allclose(model.predict_images({'sar': sar, 'img': img}), img, atol=1e-6)
    assert model.inference_contract.inputs == ('img', 'sar')


@torch.no_grad()
def test_optical_bands_alone():
    model = silent(remover(bands(13), value_range='sentinel', inputs=('img', )))
    img = torch.rand(1, 13, 8, 8)
    assert torch.allclose(model.predict_images({'img': img}), img, atol=1e-6)


@torch.no_grad()
def test_predictions_are_clamped_and_of_any_size():
    model = remover(bands(13), value_range='sentinel', inputs=('img', ))
    nn.init.constant_(model.generator.refine.bias, 99.0)
    assert (model.predict_images({'img': torch.rand(1, 13, 7, 9)}) == 1).all()
    for size in ((1, 1), (1, 5), (7, 13)):
        out = remover().test_step({'inputs': {'img': [torch.zeros(3, *size, dtype=torch.uint8)]},
                                   'data_samples': [DataSample()]})[0]
        assert out.output.pred_img.shape == (3, *size)


@torch.no_grad()
def test_tiles_and_progress_reach_the_tiler():
    model, x, calls = silent(remover()), torch.rand(1, 3, 40, 40), []
    tiled = model.predict_images({'img': x}, tile=16, overlap=4, progress=lambda done, total: calls.append(total))
    assert len(calls) == calls[0] > 4
    assert torch.allclose(tiled, model.predict_images({'img': x}), atol=1e-6)


@pytest.mark.parametrize('published', [False, True])
def test_the_losses_are_taken_in_units_of_the_network(published):
    loss = dict(type='mmweather.CloudAdaptiveLoss', published=published)
    model, x, data = remover(cloud_loss=loss), torch.rand(2, 3, 8, 8), samples(2, 8, mask=True)
    losses = model({'img': x}, data, mode='loss')
    output = model.generator(2 * x - 1).tanh()
    target = torch.stack([sample.gt_img for sample in data]) / 255 * 2 - 1
    mask = torch.stack([sample.mask for sample in data]).float()
    assert set(losses) == {'loss_pixel', 'loss_cloud'}
    assert losses['loss_pixel'].item() == pytest.approx((output - target).abs().mean().item(), rel=1e-5)
    wanted = CloudAdaptiveLoss(published=published)(output, target, 2 * x - 1, mask)
    assert losses['loss_cloud'].item() == pytest.approx(wanted.item(), rel=1e-5)


def test_a_cloud_loss_alone_trains_and_the_loss_falls():
    model = remover(pixel_loss=None, cloud_loss=dict(type='mmweather.CloudAdaptiveLoss')).train()
    assert model.pixel_loss is None
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    x, data, values = torch.rand(2, 3, 16, 16), samples(2, 16, mask=True), []
    for _ in range(15):
        losses = model({'img': x}, data, mode='loss')
        assert set(losses) == {'loss_cloud'}
        optimizer.zero_grad()
        losses['loss_cloud'].backward()
        optimizer.step()
        values.append(losses['loss_cloud'].item())
    assert values[-1] < 0.8 * values[0]


def test_what_is_missing_is_named():
    model = remover(cloud_loss=dict(type='mmweather.CloudAdaptiveLoss'))
    with pytest.raises(DataError, match="no 'mask': load the mask"):
        model({'img': torch.rand(1, 3, 8, 8)}, samples(1, 8), mode='loss')
    with pytest.raises(DataError, match="no 'gt_img'"):
        remover()({'img': torch.rand(1, 3, 8, 8)}, [DataSample()], mode='loss')
    with pytest.raises(ConfigError, match='no loss'):
        remover(pixel_loss=None)({'img': torch.rand(1, 3, 8, 8)}, samples(1, 8), mode='loss')


@pytest.mark.parametrize('generator, options, message', [
    (RGB, dict(value_range='landsat'), 'value_range'),
    (RGB, dict(inputs=('img', 'sar')), 'inputs='),
    (bands(), dict(value_range='sentinel', sar_first=False), 'skip_from=0'),
    (bands(), dict(value_range='sentinel', inputs=('img', )), 'skip_from=0'),
    (bands(skip_from=0), dict(value_range='sentinel'), 'skip_from=2'),
])
def test_arguments_that_do_not_fit_are_told_in_one_line(generator, options, message):
    with pytest.raises(ConfigError, match=message) as error:
        remover(generator, **options)
    assert '\n' not in str(error.value)


@pytest.mark.parametrize('build, eight_bit, dtype', [
    (Restorer, True, torch.uint8), (Restorer, False, torch.float32), (CloudRemover, False, torch.float32),
    (CloudRemover, True, torch.uint8),
])
def test_predictions_are_rounded_where_asked(build, eight_bit, dtype):
    torch.manual_seed(0)
    model = build(RGB, L1, eight_bit=eight_bit).eval()
    picture = torch.randint(0, 256, (3, 8, 8), dtype=torch.uint8)
    out = model.test_step({'inputs': {'img': [picture]}, 'data_samples': [DataSample()]})[0]
    assert out.output.pred_img.dtype == dtype and torch.equal(out.input, picture)


def test_predictions_of_float_images_are_never_rounded():
    torch.manual_seed(0)
    model = Restorer(RGB, L1, eight_bit=True).eval()
    sample, image = DataSample(), torch.rand(3, 8, 8) * 255
    sample.set_metainfo({'eight_bit': False})
    out = model.test_step({'inputs': {'img': [image]}, 'data_samples': [sample]})[0]
    assert out.output.pred_img.dtype == out.input.dtype == torch.float32
    assert torch.allclose(out.input, image, atol=1e-4)
    assert (out.output.pred_img % 1 != 0).any()


def published(network: ACACRNet) -> dict[str, Tensor]:
    """The keys under which the published scripts save."""
    state, last = {}, len(network.blocks) + 2
    for key, value in network.state_dict().items():
        part, _, rest = key.partition('.')
        if part == 'blocks':
            number, _, rest = rest.partition('.')
            state[f'net.module.{int(number) + 2}.net.{rest}'] = value
        else:
            state[f'net.module.{0 if part == "stem" else last}.{rest}'] = value
    return state


def test_a_published_checkpoint_restores_through_the_commands(tmp_path):
    """Filled with drawn weights: convert, then restore with the shipped config, at a quarter of its width for speed."""
    torch.manual_seed(0)
    network = ACACRNet(width=64).eval()
    base = ROOT / 'configs/aca_crnet/aca-crnet_1xb12-299e_rice1.py'
    (tmp_path / 'narrow.py').write_text(f"_base_ = '{base}'\nmodel = dict(generator=dict(width=64))\n")
    torch.save(published(network), tmp_path / 'rice1.pth')
    picture = np.random.default_rng(0).integers(0, 256, (12, 18, 3), np.uint8)
    write_image(tmp_path / 'in/7.png', picture)
    assert cli.main(['convert', 'aca_crnet/rice_3to3', str(tmp_path / 'rice1.pth'),
                     str(tmp_path / 'ours.safetensors'), '--prefix', 'generator.']) == 0
    assert cli.main(['restore', str(tmp_path / 'in'), '--model', str(tmp_path / 'narrow.py'), '--checkpoint',
                     str(tmp_path / 'ours.safetensors'), '--out', str(tmp_path / 'out'), '--device', 'cpu']) == 0
    x = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        wanted = (network(2 * x - 1).tanh() + 1) / 2
    wanted = (wanted[0] * 255).round().permute(1, 2, 0).numpy()
    assert np.abs(read_image(tmp_path / 'out/7.png').astype(float) - wanted).max() <= 1
    assert np.abs(wanted - picture).mean() > 5


def test_the_registry_builds_it():
    model = MODELS.build(dict(type='mmweather.CloudRemover', generator=RGB, pixel_loss=L1))
    assert type(model) is CloudRemover
