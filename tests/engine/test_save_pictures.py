import types

import engine_toy
import numpy as np
import pytest
import torch

from mmweather.engine.hooks.save_pictures import SavePicturesHook, to_picture
from mmweather.errors import ConfigError
from mmweather.utils.arrays import side_by_side
from mmweather.utils.images import read_image


def sample(key='s 1/../x', level=10, **fields):
    data = engine_toy.ToySample(input=torch.full((3, 4, 5), float(level)), gt_img=torch.full((3, 4, 5), 30).byte(),
                                **fields)
    data.output = engine_toy.ToySample(pred_img=torch.full((3, 4, 5), 20.4))
    data.set_metainfo({'sample_key': key} if key else {'img_path': '/data/night/007.png'})
    return data


def runner(tmp_path, iteration=40):
    warnings = []
    return types.SimpleNamespace(work_dir=str(tmp_path), _train_loop=types.SimpleNamespace(iter=iteration),
                                 logger=types.SimpleNamespace(warning=warnings.append), warnings=warnings)


def test_pictures_stand_side_by_side(tmp_path):
    hook = SavePicturesHook()
    hook.after_val_iter(runner(tmp_path), 0, outputs=[sample('a', ir=torch.full((1, 6, 2), 300.))])
    picture = read_image(tmp_path / 'pictures' / '40' / 'a.png')
    assert picture.shape == (6, 5 * 3 + 2 + 3 * 4, 3)
    assert [int(picture[0, x, 0]) for x in (0, 5, 9, 18, 27)] == [10, 255, 20, 30, 255]
    assert (picture[5, :23] == 255).all()  # the shorter ones are filled with white
    assert not list((tmp_path / 'pictures' / '40').glob('.*'))


def test_limit_counts_each_validation_anew_and_keys_stay_in_the_folder(tmp_path):
    hook, run = SavePicturesHook(limit=2), runner(tmp_path)
    for _ in range(2):
        hook.before_val_epoch(run)
        hook.after_val_iter(run, 0, outputs=[sample(), sample(None), sample('third')])
        run._train_loop.iter += 10
    names = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob('*.png'))
    assert names == [f'pictures/{i}/{k}.png' for i in (40, 50) for k in ('007', 's_1_.._x')]


def test_a_test_run_has_iteration_zero_and_its_own_folder(tmp_path):
    run = runner(tmp_path)
    run._train_loop = {'type': 'not built'}
    hook = SavePicturesHook(limit=None, out_dir=str(tmp_path / 'out'))
    hook.before_test_epoch(run)
    hook.after_test_iter(run, 0, outputs=sample('k'))
    assert [p.name for p in (tmp_path / 'out' / '0').iterdir()] == ['k.png']


def test_samples_without_a_picture_are_told_once(tmp_path):
    run, hook = runner(tmp_path), SavePicturesHook()
    for outputs in ([engine_toy.ToySample()], [{'boxes': 1}], None):
        hook.after_val_iter(run, 0, outputs=outputs)
    assert len(run.warnings) == 1 and 'pred_img' in run.warnings[0] and not list(tmp_path.iterdir())
    hook.after_val_iter(run, 0, outputs=[{'pred_img': torch.zeros(3, 2, 2), 'sample_key': 'd'}])
    assert (tmp_path / 'pictures' / '40' / 'd.png').is_file()


def test_values_are_rounded_and_clipped():
    wild = torch.tensor([-5., 0.5, 1.5, 254.6, 999., float('nan')]).reshape(1, 1, 6)
    picture = to_picture(wild)
    assert picture.shape == (1, 6, 3) and picture.dtype == np.uint8
    assert picture[0, :, 1].tolist() == [0, 0, 2, 255, 255, 0]
    with pytest.raises(ValueError, match=r'\(2, 3, 3\)'):
        to_picture(torch.zeros(2, 3, 3))
    assert side_by_side([picture]).shape == (1, 6, 3)


def test_a_negative_limit_is_refused():
    with pytest.raises(ConfigError, match='limit'):
        SavePicturesHook(limit=-1)


def test_bands_of_sentinel_are_shown_as_brightened_colour():
    bands = torch.zeros(13, 2, 2)
    bands[3], bands[2], bands[1] = 10, 20, 90
    assert to_picture(bands)[0, 0].tolist() == [30, 60, 255]
