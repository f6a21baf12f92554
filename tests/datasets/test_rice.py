"""RICE: layouts, splits, masks, transforms, putting it into place, and the published test loader."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from parity_compare import COMMITTED
from parity_fill import fill_input
from PIL import Image

from mmweather import cli
from mmweather.datasets.rice import RICE, install_rice, split_stems
from mmweather.errors import ConfigError, DataError
from mmweather.evaluation.functional import bands
from mmweather.registry import DATASETS, METRICS, MODELS, TRANSFORMS

SHARED = Path(__file__).parents[2] / '..' / 'shared'
STEMS = [str(number) for number in range(1, 21)]


def write_image(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(path)


def draw(root: Path, stems=STEMS, folders=('cloud', 'label'), size: int = 8) -> Path:
    rng = np.random.default_rng(0)
    for folder in folders:
        for stem in stems:
            shape = (size, size) if folder == 'mask' else (size, size, 3)
            picture = rng.integers(0, 256, shape, np.uint8)
            write_image(root / folder / f'{stem}.png', picture if folder != 'mask' else (picture > 128) * np.uint8(255))
    return root


def stems_of(root: Path, split: str, **options) -> list[str]:
    dataset = RICE(data_root=str(root), split=split, **options)
    assert list(dataset.metainfo['stems']) == [dataset.get_data_info(i)['sample_key'] for i in range(len(dataset))]
    return list(dataset.metainfo['stems'])


@pytest.mark.parametrize('seed', [None, 3])
def test_the_rule_divides_all_images_without_overlap(tmp_path, seed):
    root = draw(tmp_path)
    parts = {split: stems_of(root, split, split_seed=seed) for split in ('train', 'val', 'test')}
    assert [len(parts[split]) for split in ('train', 'val', 'test')] == [14, 2, 4]
    assert sorted(sum(parts.values(), [])) == sorted(STEMS) == stems_of(root, 'all')
    if seed is None:
        assert parts['test'] == sorted(STEMS)[::5]
    else:
        assert parts['test'] != sorted(STEMS)[::5]
        assert parts == {split: stems_of(root, split, split_seed=seed) for split in parts}
        assert parts['test'] != stems_of(root, 'test', split_seed=4)


def test_intervals_are_checked():
    for options in (dict(test_every=1), dict(val_every=0), dict(val_every=2.5), dict(test_every=True)):
        with pytest.raises(ConfigError, match='at least 2'):
            split_stems(STEMS, **options)
    assert split_stems(STEMS, 2, 2) == split_stems(reversed(STEMS), 2, 2)


def test_lists_beside_the_images_go_before_the_rule(tmp_path):
    root = draw(tmp_path)
    (root / 'splits').mkdir()
    (root / 'splits/train.txt').write_text('3\n2\n')
    (root / 'splits/test.txt').write_text('# mine\n7\n')
    assert (stems_of(root, 'train'), stems_of(root, 'test')) == (['2', '3'], ['7'])
    assert 'splits/test.txt: 7' in RICE(data_root=str(root), split='test').metainfo['split']
    with pytest.raises(DataError, match='no val.txt'):
        RICE(data_root=str(root), split='val')
    (root / 'splits/test.txt').write_text('7\n3\n')
    with pytest.raises(DataError, match='more than one split: 3 .train and test.'):
        RICE(data_root=str(root), split='train')
    (root / 'splits/test.txt').write_text('99\n')
    with pytest.raises(DataError, match='names 99'):
        RICE(data_root=str(root), split='test')


def test_a_list_of_ones_own(tmp_path):
    root = draw(tmp_path)
    (root / 'some.txt').write_text('11\n4\n')
    assert stems_of(root, 'val', ann_file='some.txt') == ['11', '4']


def test_the_published_layout_keeps_its_test_images(tmp_path):
    draw(tmp_path / 'RICE2-train', STEMS[:16], ('cloud', 'label', 'mask'))
    draw(tmp_path / 'RICE2-test', STEMS[16:], ('cloud', 'label', 'mask'))
    parts = {split: stems_of(tmp_path, split, keys=('img', 'gt', 'mask')) for split in ('train', 'val', 'test')}
    assert parts['test'] == sorted(STEMS[16:]) and parts['val'] == sorted(STEMS[:16])[::8]
    assert sorted(parts['train'] + parts['val']) == sorted(STEMS[:16])
    draw(tmp_path / 'RICE1-train', ['1'])
    with pytest.raises(DataError, match='several sets'):
        RICE(data_root=str(tmp_path), split='train')


def test_missing_partners_and_folders_are_named(tmp_path):
    root = draw(tmp_path)
    (root / 'label/7.png').unlink()
    with pytest.raises(DataError, match="without a matching file in .*label.*: 7"):
        RICE(data_root=str(root), split='all')
    with pytest.raises(DataError, match='mask'):
        RICE(data_root=str(root), split='all', keys=('img', 'gt', 'mask'))
    for options in (dict(split='validation'), dict(keys=('img', 'ir'))):
        with pytest.raises(ConfigError):
            RICE(data_root=str(root), **options)


def test_masks_move_with_the_images(tmp_path):
    """A pixel that is white in the image, and set in the mask, stays so through resizing, cropping and turning."""
    for number in range(4):
        cells = np.random.default_rng(number).integers(0, 2, (16, 16)).astype(np.uint8) * 255
        picture = np.kron(cells, np.ones((4, 4), np.uint8))
        write_image(tmp_path / f'cloud/{number}.png', np.repeat(picture[..., None], 3, 2))
        write_image(tmp_path / f'label/{number}.png', 255 - np.repeat(picture[..., None], 3, 2))
        write_image(tmp_path / f'mask/{number}.png', picture // 255)
    keys = ('img', 'gt', 'mask')
    dataset = DATASETS.build(dict(
        type='mmweather.SeededDataset', dataset=dict(
            type='mmweather.RICE', data_root=str(tmp_path), split='all', keys=keys, pipeline=[
                dict(type='mmweather.LoadImages', keys=keys, cache=True),
                dict(type='mmweather.PairedResize', keys=('img', 'gt'), size=32),
                dict(type='mmweather.PairedCrop', keys=keys, size=16),
                dict(type='mmweather.PairedDihedral', keys=keys),
                dict(type='mmweather.PackImages', keys=('img', ), mask='mask')])))
    for index in range(4):
        item = dataset[index]
        image, mask = item['inputs']['img'], item['data_samples'].mask
        assert mask.shape == (1, 16, 16) and mask.dtype == torch.uint8 and set(mask.unique().tolist()) == {0, 1}
        assert torch.equal((image[:1] > 127).byte(), mask)
        assert torch.equal(item['data_samples'].gt_img, 255 - image)


def test_resizing_masks_either_way():
    mask = np.zeros((8, 8), np.uint8)
    mask[4, 4] = 255
    picture = np.zeros((8, 8, 3), np.uint8)
    sums = {}
    for published in (False, True):
        resize = TRANSFORMS.build(dict(type='mmweather.PairedResize', size=(16, 4), published_masks=published))
        out = resize({'img': picture, 'gt': picture, 'mask': mask})
        assert out['img'].shape == (16, 4, 3) and out['mask'].shape == (16, 4) and out['mask'].max() <= 1
        sums[published] = out['mask'].sum()
    assert sums[True] > sums[False]
    resize = TRANSFORMS.build(dict(type='mmweather.PairedResize', size=4))
    with pytest.raises(DataError, match='float32'):
        resize({'img': picture.astype(np.float32), 'gt': picture})
    with pytest.raises(DataError, match='differ in size'):
        resize({'img': picture, 'gt': picture[:4]})


def test_packing_bands_and_masks():
    pack = TRANSFORMS.build(dict(type='mmweather.PackImages', keys=('img', 'sar'), mask='mask'))
    rng = np.random.default_rng(0)
    img, sar, gt = (rng.random((5, 6, count), np.float32) for count in (13, 2, 13))
    out = pack({'img': img, 'sar': sar, 'gt': gt, 'mask': np.full((5, 6), 7, np.int8)})
    assert out['inputs']['img'].shape == (13, 5, 6) and out['inputs']['img'].dtype == torch.float32
    assert np.allclose(out['inputs']['img'].numpy().transpose(1, 2, 0), img * 255)
    assert np.array_equal(img, rng.__class__(np.random.PCG64(0)).random((5, 6, 13), np.float32))  # not scaled in place
    sample = out['data_samples']
    assert sample.eight_bit is False and sample.mask.sum() == 30 and sample.gt_img.shape == (13, 5, 6)
    batch = MODELS.build(dict(type='mmweather.ImageSetPreprocessor'))(
        {'inputs': [out['inputs']], 'data_samples': [sample]})
    assert np.allclose(batch['inputs']['sar'][0].numpy().transpose(1, 2, 0), sar, atol=1e-6)
    with pytest.raises(DataError, match='float64'):
        pack({'img': img.astype(float), 'sar': sar, 'gt': gt, 'mask': img[..., 0]})
    with pytest.raises(DataError, match='mask'):
        pack({'img': img, 'sar': sar, 'gt': gt, 'mask': img})
    with pytest.raises(ConfigError, match="no 'mask'"):
        pack({'img': img, 'sar': sar, 'gt': gt})


@pytest.mark.parametrize('copy', [False, True])
def test_a_download_is_put_into_place_with_its_split(tmp_path, copy, capsys):
    draw(tmp_path / 'download/RICE_DATASET/RICE2', folders=('cloud', 'label', 'mask'))
    words = ['prepare', 'rice', str(tmp_path / 'download'), str(tmp_path / 'rice2'), *(['--copy'] if copy else [])]
    assert cli.main(words) == 0
    assert '14 training, 2 validation and 4 test images' in capsys.readouterr().out
    assert (tmp_path / 'rice2/cloud/1.png').is_symlink() != copy
    assert {path.name for path in (tmp_path / 'rice2').iterdir()} == {'cloud', 'label', 'mask', 'splits'}
    by_list = stems_of(tmp_path / 'rice2', 'test', keys=('img', 'gt', 'mask'), test_every=2)
    assert by_list == stems_of(tmp_path / 'download/RICE_DATASET/RICE2', 'test')
    with pytest.raises(DataError, match='not an empty folder'):
        install_rice(tmp_path / 'download', tmp_path / 'rice2')


def test_the_published_layout_and_own_lists_are_put_into_place(tmp_path):
    draw(tmp_path / 'a/RICE1-train', STEMS[:16])
    draw(tmp_path / 'a/RICE1-test', STEMS[16:])
    assert install_rice(tmp_path, tmp_path / 'rice1') == {'train': 14, 'val': 2, 'test': 4}
    for split in ('train', 'val', 'test'):
        assert stems_of(tmp_path / 'rice1', split) == stems_of(tmp_path / 'a', split)
    (tmp_path / 'lists').mkdir()
    (tmp_path / 'lists/train.txt').write_text('1\n2\n')
    (tmp_path / 'lists/test.txt').write_text('2\n')
    with pytest.raises(DataError, match='more than one split: 2 .train and test.'):
        install_rice(tmp_path / 'a', tmp_path / 'other', lists=tmp_path / 'lists')
    (tmp_path / 'lists/test.txt').write_text('21\n')
    with pytest.raises(DataError, match='names 21'):
        install_rice(tmp_path / 'a', tmp_path / 'other', lists=tmp_path / 'lists')
    (tmp_path / 'lists/test.txt').write_text('20\n')
    assert install_rice(tmp_path / 'a', tmp_path / 'other', lists=tmp_path / 'lists') == {
        'train': 1, 'val': 1, 'test': 1}
    assert [stems_of(tmp_path / 'other', split) for split in ('train', 'val', 'test')] == [['2'], ['1'], ['20']]
    assert not list(tmp_path.glob('.*'))


def test_wrong_downloads_are_told(tmp_path):
    with pytest.raises(DataError, match='no such folder'):
        install_rice(tmp_path / 'gone', tmp_path / 'rice1')
    (tmp_path / 'empty').mkdir()
    with pytest.raises(DataError, match="no folder 'cloud'"):
        install_rice(tmp_path / 'empty', tmp_path / 'rice1')
    draw(tmp_path / 'both/RICE1', ['1'])
    draw(tmp_path / 'both/RICE2', ['1'])
    with pytest.raises(DataError, match='several sets'):
        install_rice(tmp_path / 'both', tmp_path / 'rice1')
    draw(tmp_path / 'leak/RICE1-train', ['1', '2'])
    draw(tmp_path / 'leak/RICE1-test', ['2', '3'])
    with pytest.raises(DataError, match='more than one split: 2 .train and test.'):
        install_rice(tmp_path / 'leak', tmp_path / 'rice1')


def test_the_published_test_loader_from_files_to_figures(tmp_path):
    """Data set, transforms, restorer and evaluator together against the arrays of the published loader."""
    golden = np.load(COMMITTED / 'aca_crnet/golden_pipeline_rice.npz')
    for name in ('cloud', 'label'):
        picture = (256 * fill_input(f'aca_pipe_{name}', (512, 512, 3))).astype(np.uint8)
        write_image(tmp_path / name / '1.png', picture)
    mask = np.kron(fill_input('aca_pipe_mask', (16, 16)) > 0.7, np.ones((32, 32))).astype(np.uint8) * 255
    write_image(tmp_path / 'mask/1.png', mask)
    keys = ('img', 'gt', 'mask')
    dataset = RICE(data_root=str(tmp_path), split='all', keys=keys, pipeline=[
        dict(type='mmweather.LoadImages', keys=keys),
        dict(type='mmweather.PairedResize', keys=('img', 'gt'), size=256, published_masks=True),
        dict(type='mmweather.PairedCrop', keys=keys, size=128, random=False),
        dict(type='mmweather.PackImages', keys=('img', ), mask='mask')])
    item = dataset[0]
    assert np.array_equal(item['inputs']['img'].numpy(), golden['cloud'])
    assert np.array_equal(item['data_samples'].gt_img.numpy(), golden['label'])
    assert np.array_equal(item['data_samples'].mask.numpy(), golden['mask'])
    torch.manual_seed(0)
    model = MODELS.build(dict(type='mmweather.CloudRemover',
                              generator=dict(type='mmweather.ACACRNet', width=4, num_blocks=4))).eval()
    with torch.no_grad():
        out = model.test_step({'inputs': [item['inputs']], 'data_samples': [item['data_samples']]})
        x = torch.from_numpy(golden['cloud'])[None] / 255
        wanted = ((model.generator(2 * x - 1).tanh() + 1) / 2)[0].permute(1, 2, 0).double().numpy()
    metric = METRICS.build(dict(type='mmweather.BandMetrics'))
    metric.process(None, [out[0].to_dict()])
    figures = metric.evaluate(1)
    cloud, truth = (golden[name].transpose(1, 2, 0) / 255.0 for name in ('cloud', 'label'))
    assert figures['psnr'] == pytest.approx(bands.psnr(wanted, truth), abs=1e-4)
    assert figures['ssim'] == pytest.approx(bands.ssim(wanted, truth, published=True), abs=1e-6)
    assert figures['mae_input'] == pytest.approx(bands.mae(cloud, truth), abs=1e-9)
    assert figures['psnr_input'] == pytest.approx(bands.psnr(cloud, truth), abs=1e-6)


def test_the_real_pairs_are_read():
    root = SHARED / 'data/rice1'
    if not root.is_dir():
        pytest.skip('needs ../shared/data/rice1')
    sizes = [len(RICE(data_root=str(root), split=split)) for split in ('train', 'val', 'test')]
    assert sizes == [56, 8, 16]
