"""The SEN12MS-CR recipes: their pipelines, a few steps of training in small, and what the published one differs in."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmweather.mini.write import make_mini
from mmweather.registry import MODELS

pytest.importorskip('rasterio')
ROOT = Path(__file__).parents[2]
FOLDER = ROOT / 'configs/aca_crnet'
NAMES = ('aca-crnet_1xb12-40e_sen12mscr', 'aca-crnet_1xb12-40e_sen12mscr_published',
         'aca-crnet-s_1xb4-300_sen12mscr_mini', 'aca-crnet_1xb12-40e_sen12mscr-optical')
LOADERS = ('train_dataloader', 'val_dataloader', 'test_dataloader')


@pytest.fixture(scope='module')
def mini(tmp_path_factory) -> Path:
    root = make_mini(tmp_path_factory.mktemp('mini'), train=2, test=1, only=['sen12ms-cr'], progress=False)
    return root / 'sen12mscr'


def config_of(name: str, data: Path) -> Config:
    config = Config.fromfile(FOLDER / f'{name}.py')
    config.model.generator.update(width=8, num_blocks=2)
    for loader in LOADERS:
        dataset = config[loader].dataset
        config[loader].update(num_workers=0, persistent_workers=False)
        dataset.get('dataset', dataset).data_root = str(data)
    config.train_dataloader.batch_size = 2
    return config


def learn(model: torch.nn.Module, loader, steps: int) -> list[float]:
    torch.manual_seed(0)
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    losses = []
    while len(losses) < steps:
        for batch in loader:
            loss = model(**model.data_preprocessor(batch, True), mode='loss')['loss_cloud']
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            if len(losses) == steps:
                break
    return losses


@pytest.mark.parametrize('name', NAMES)
def test_a_recipe_loads_trains_and_predicts(mini, name):
    config = config_of(name, mini)
    loader = Runner.build_dataloader(config.train_dataloader, seed=0)
    batch = next(iter(loader))
    side = 64 if 'mini' in name else 128
    assert [tuple(image.shape) for image in batch['inputs']['img']] == [(13, side, side)] * 2
    inputs = ('img', ) if 'optical' in name else ('img', 'sar')
    assert tuple(batch['inputs']) == inputs
    assert {tuple(image.shape) for image in batch['inputs'].get('sar', ())} <= {(2, side, side)}
    sample = batch['data_samples'][0]
    assert sample.mask.shape == (1, side, side) and sample.mask.dtype == torch.uint8
    assert sample.gt_img.shape == (13, side, side) and 1 < sample.gt_img.max() <= 255
    torch.manual_seed(0)
    model = MODELS.build(config.model)
    assert model.inference_contract.inputs == inputs
    if 'optical' in name:
        assert learn(model, loader, 1)[0] > 0
    if 'mini' in name:
        losses = learn(model, loader, 12)
        assert sum(losses[-4:]) < 0.6 * sum(losses[:4])
        test = Runner.build_dataloader(config.test_dataloader)
        assert [info['scene'] for info in map(test.dataset.get_data_info, range(len(test.dataset)))] == [
            'ROIs1158_spring_106']
        with torch.no_grad():
            done = model.eval()(**model.data_preprocessor(next(iter(test))), mode='predict')[0]
        assert done.output.pred_img.shape == (13, 128, 128) == done.gt_img.shape == done.input.shape
        assert done.output.pred_img.is_floating_point()
        assert done.output.pred_img.min() >= 0 and done.output.pred_img.max() <= 255


def test_what_the_published_recipe_does_differently():
    ours, published = (Config.fromfile(FOLDER / f'{name}.py') for name in NAMES[:2])
    assert (ours.train_cfg.max_epochs, published.train_cfg.max_epochs) == (40, 39)
    assert not ours.model.cloud_loss.get('published') and published.model.cloud_loss.published
    for config, floor in ((ours, -32.5), (published, -35.0)):
        for loader in LOADERS:
            dataset = config[loader].dataset
            assert dataset.get('dataset', dataset).pipeline[0].vh_floor == floor
        assert config.optim_wrapper.optimizer.lr == 7e-5 and config.train_dataloader.batch_size == 12
    turned = [next(step['keys'] for step in config.train_dataloader.dataset.dataset.pipeline
                   if step['type'] == 'mmweather.PairedDihedral') for config in (ours, published)]
    assert set(turned[0]) == {'img', 'gt', 'sar', 'mask'} and 'sar' not in turned[1]


def test_the_published_size_takes_a_published_checkpoint():
    from parity_compare import COMMITTED, GoldenFolder

    import mmweather
    state = GoldenFolder(COMMITTED / 'aca_crnet').state('sen12mscr_15to13')
    network = mmweather.from_official('aca_crnet/sen12mscr_15to13', state)
    with torch.device('meta'):
        model = MODELS.build(Config.fromfile(FOLDER / f'{NAMES[1]}.py').model)
    shapes = {key: value.shape for key, value in model.generator.state_dict().items()}
    assert shapes == {key: value.shape for key, value in network.state_dict().items()}


def test_the_pipeline_reads_real_patches():
    sample = ROOT / '../shared/data/sen12mscr_sample'
    if not sample.is_dir():
        pytest.skip('needs the sample of SEN12MS-CR in ../shared')
    config = config_of(NAMES[0], sample)
    for loader in LOADERS[::2]:
        batch = next(iter(Runner.build_dataloader(config[loader], seed=0)))
        packed = batch['data_samples'][0]
        scene = 'ROIs2017_winter_112_p797' if loader == LOADERS[0] else 'ROIs1970_fall_139_p839'
        assert packed.sample_key == scene and torch.isfinite(packed.gt_img).all()
