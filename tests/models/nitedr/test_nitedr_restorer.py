"""The second stage as a restorer: inference, training steps, published switches, joining of checkpoints."""

from __future__ import annotations

import pytest
import torch
from mmagic.structures import DataSample
from mmengine.optim import OptimWrapper, OptimWrapperDict

from mmweather import from_official, published_forward
from mmweather.errors import CheckpointError, ConfigError, DataError
from mmweather.models.nitedr import colour
from mmweather.models.nitedr.cleannet import CleanNet
from mmweather.models.nitedr.restorer import NiteDR
from mmweather.models.nitedr.state_dict_adapter import cleannet_options, drop_shared, join_stages
from mmweather.models.restorers.restorer import Restorer

TINY = dict(type='mmweather.CleanNet', dim=16, num_blocks=(1, 1, 1, 1), heads=(1, 1, 2, 2))


def tiny(**options) -> NiteDR:
    torch.manual_seed(0)
    fusion = dict(type='mmweather.LuminanceFusion', growth=4, layers=2)
    return NiteDR(fusion, dict(type='mmweather.IlluminationRefiner'),
                  **options)


def wrappers(model: NiteDR, lr: float = 1e-3) -> OptimWrapperDict:
    return OptimWrapperDict(
        fusion=OptimWrapper(torch.optim.Adam(model.fusion.parameters(), lr=lr)),
        refiner=OptimWrapper(torch.optim.Adam(model.refiner.parameters(), lr=1e-3)))


def batch(size=(24, 24), count=2) -> dict:
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (count, 3, *size), dtype=torch.uint8, generator=generator)
    grey = images.float().mean(1, keepdim=True).byte().expand(-1, 3, -1, -1)
    return {'inputs': {'img': list(images), 'ir': list(grey)}, 'data_samples': [DataSample() for _ in range(count)]}


@pytest.mark.parametrize('size', [(1, 1), (1, 9), (7, 13), (33, 20)])
def test_any_size(size):
    model = tiny(cleaner=TINY).eval()
    out = model.test_step(batch(size, 1))[0]
    for value in (out.output.pred_img, out.output.clean, out.output.fused, out.input, out.ir):
        assert value.shape == (3, *size) and value.dtype == torch.uint8


def test_training_steps_both_networks_and_leaves_the_cleaner():
    model = tiny(cleaner=TINY).train()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    log = model.train_step(batch(), wrappers(model))
    assert {'fusion_loss_ssim', 'fusion_loss_mse', 'refine_loss', 'loss'} <= set(log)
    changed = {key.split('.')[0] for key, value in model.state_dict().items() if not torch.equal(value, before[key])}
    assert changed == {'fusion', 'refiner'}
    assert not model.cleaner.training and model.fusion.training


def test_fusion_learns():
    model = tiny().train()
    optimizers = wrappers(model, lr=1e-2)
    data = batch()
    first = model.train_step(data, optimizers)['fusion_loss_mse']
    for _ in range(20):
        last = model.train_step(data, optimizers)['fusion_loss_mse']
    assert last < 0.7 * first


def test_loss_mode_says_how_to_train():
    with pytest.raises(ConfigError, match='optim_wrapper'):
        tiny()(batch()['inputs'], mode='loss')


def test_published_norm_freezes_after_the_first_validation():
    model = tiny(published_frozen_norm=True)
    assert model.train().refiner.training
    model.eval()
    model.test_step(batch(count=1))
    assert not model.train().refiner.training
    ours = tiny()
    ours.eval()
    ours.test_step(batch(count=1))
    assert ours.train().refiner.training


def test_published_colour_stretches_contrast():
    ours, published = tiny().eval(), tiny(published_colour=True).eval()
    clean = torch.rand(1, 3, 16, 16)
    ir = clean.mean(1, keepdim=True).expand(-1, 3, -1, -1)
    a, b = (model.fuse(clean, ir)['fused'] for model in (ours, published))
    planes = colour.to_unit(torch.cat((ours.fuse(clean, ir)['fused_y'], ours.planes(clean)[:, 1:]), 1))
    assert torch.allclose(colour.rgb_to_ycrcb(a), planes, atol=1e-5)
    assert b.std() > 1.1 * a.std()


def test_more_passes_use_the_detail_of_the_infrared():
    clean, ir = torch.rand(1, 3, 16, 16), torch.rand(1, 1, 16, 16).expand(-1, 3, -1, -1)
    one, two = (tiny(test_passes=n).eval().fuse(clean, ir)['refined'] for n in (1, 2))
    assert not torch.allclose(one, two)


def test_published_loop_differs_and_stays_in_unit_range():
    data = batch()
    logs = []
    for options in ({}, dict(published_loop=True, published_colour=True)):
        model = tiny(**options).train()
        logs.append(model.train_step(data, wrappers(model))['refine_loss'])
    assert logs[0] != logs[1]


def test_join_stages(tmp_path):
    stage1 = Restorer(TINY, dict(type='mmagic.L1Loss'))
    stage2, joint = tiny(), tiny(cleaner=TINY)
    joint.load_state_dict(join_stages(stage1.state_dict(), stage2.state_dict()))
    published = {'fusion_model': stage2.fusion.state_dict(), 'refine_model': stage2.refiner.state_dict()}
    joint.load_state_dict(join_stages(stage1.generator.state_dict(), published))
    with pytest.raises(CheckpointError, match='stage 1 first'):
        join_stages(stage2.state_dict(), stage1.state_dict())


def test_restorer_predicts_rounded_pictures_of_any_size():
    model = Restorer(TINY, dict(type='mmagic.L1Loss')).eval()
    data = batch((13, 21), 1)
    with torch.no_grad():
        out = model.val_step(data)[0]
    assert out.output.pred_img.shape == (3, 13, 21) and out.output.pred_img.dtype == torch.uint8
    assert torch.equal(out.input, data['inputs']['img'][0])


def test_restorer_loss_needs_a_target():
    model = Restorer(TINY, dict(type='mmagic.L1Loss'))
    with pytest.raises(DataError, match="no 'gt_img'"):
        model(**model.data_preprocessor(batch()), mode='loss')


def test_batch_of_different_sizes_names_the_fix():
    data = batch()
    data['inputs']['img'][1] = data['inputs']['img'][1][:, :-1]
    with pytest.raises(DataError, match='batch_size=1'):
        tiny().data_preprocessor(data)


@pytest.mark.parametrize('options', [
    dict(dim=16, num_blocks=(1, 2, 1, 3), heads=(1, 2, 2, 4)),
    dict(dim=16, num_blocks=(1, 1, 1, 1), heads=(1, 1, 1, 1), bias=True, norm='BiasFree', ffn_expansion=2.0),
])
def test_cleannet_is_rebuilt_from_its_shapes(options):
    torch.manual_seed(0)
    network = CleanNet(**options).eval()
    state = {f'module.{key}': value for key, value in network.state_dict().items()}
    rebuilt = from_official('nitedr/cleannet', {'params': state}).eval()
    x = torch.rand(1, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(rebuilt(x), network(x))
    assert cleannet_options(network.state_dict())['heads'] == options['heads']


def test_from_official_lists_wrong_keys():
    state = CleanNet(dim=16, num_blocks=(1, 1, 1, 1), heads=(1, 1, 1, 1)).state_dict()
    del state['output.weight']
    with pytest.raises(CheckpointError, match='output.weight'):
        from_official('nitedr/cleannet', state)
    with pytest.raises(ConfigError, match='nitedr/cleannet'):
        from_official('nitedr/cleanet', {})


def test_shared_names_are_dropped_only_if_equal():
    refiner = tiny().refiner
    state = dict(refiner.state_dict())
    doubled = {**state, **{key.replace('balance.conv', 'balance.blocks.0'): value for key, value in state.items()
                           if key.startswith('balance.conv')}}
    assert drop_shared(doubled).keys() == state.keys()
    x = torch.rand(1, 3, 8, 8)
    assert len(published_forward('nitedr/refinement', doubled, x, x)) == 12
    assert len(published_forward('nitedr/finetune', doubled, x, x)) == 2
    doubled['balance.blocks.0.0.weight'] = doubled['balance.blocks.0.0.weight'] + 1
    with pytest.raises(CheckpointError, match='should be one tensor'):
        drop_shared(doubled)


def test_cleannet_refuses_what_it_cannot_build():
    with pytest.raises(ValueError, match='must equal'):
        CleanNet(in_channels=4)
    with pytest.raises(ValueError, match='four levels'):
        CleanNet(num_blocks=(1, 1))
