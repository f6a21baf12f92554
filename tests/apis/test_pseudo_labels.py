"""A teacher's label maps and certainty beside the images, resumed, and not mixed with another's."""

from __future__ import annotations

import json
import os
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mmweather.apis.hub import get_model
from mmweather.apis.pseudo_labels import companion, write_pseudo_labels
from mmweather.datasets.freiburg_thermal import FreiburgThermal
from mmweather.datasets.rgb_thermal_sets import MFTeacherLabels
from mmweather.datasets.transforms.rgb_thermal import LoadRGBThermal
from mmweather.errors import ConfigError, DataError

SIZE = (40, 56)
CONFIG = """
meta_keys = ('img_path', 'ori_shape', 'img_shape', 'domain')
model = dict(
    type='mmweather.HeatNet', modalities=('thermal', ), data_preprocessor=dict(type='mmweather.RGBThermalPreprocessor'),
    backbone=dict({backbone}),
    decode_head=dict({head}))
pseudo_label_pipeline = [
    dict(type='mmweather.LoadRGBThermal', depth=16),
    dict(type='mmseg.Resize', scale=(48, 32), keep_ratio=False),
    dict(type='mmseg.PackSegInputs', meta_keys=meta_keys)]
pseudo_label_dataset = dict(type='mmweather.FreiburgThermal', data_root='{root}', labelled=())
"""
PSPNET = dict(
    backbone="type='mmweather.HeatNetEncoder', in_channels=1, thermal_channels=0, width=4, blocks=(1, 1, 1, 1)",
    head="type='mmweather.HeatNetPSPHead', in_channels=128, channels=16, up_channels=(8, 4, 4), in_index=4, "
    'num_classes=13')
RESNEXT = dict(
    backbone="type='mmweather.HeatNetResNeXtBackbone', in_channels=1, thermal_channels=0, width=4, groups=2, "
    "blocks=(1, 1, 1, 1), pyramid=8, certainty=True",
    head="type='mmweather.HeatNetLogitsHead', certainty_index=6")


@pytest.fixture
def root(tmp_path) -> Path:
    """Three frames of the night."""
    root, rng = tmp_path / 'freiburg', np.random.default_rng(0)
    for i in range(3):
        for folder, array in (('fl_rgb', rng.integers(0, 256, (*SIZE, 3), np.uint8)),
                              ('fl_ir_aligned', rng.integers(21000, 26000, SIZE).astype(np.uint16))):
            path = root / 'train/seq_01_night/00' / folder / f'{folder}_{i}_5.png'
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(array).save(path)
    return root


@pytest.fixture
def teach(root, tmp_path):
    """Write labels with a random teacher drawn from ``seed``."""
    def run(seed: int = 0, network: dict = PSPNET, **options):
        config, checkpoint = tmp_path / 'teacher.py', tmp_path / f'teacher_{seed}.pth'
        config.write_text(CONFIG.format(root=root, **network))
        torch.manual_seed(seed)
        model = get_model(config)
        torch.save({'state_dict': model.state_dict()}, checkpoint)
        return model, write_pseudo_labels(config, checkpoint, progress=False, device='cpu', **options)

    return run


def read(path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def probabilities(model, root: Path, i: int) -> torch.Tensor:
    """(13, H, W) of one frame, worked out by hand."""
    drive = root / 'train/seq_01_night/00'
    image = LoadRGBThermal(depth=16)({'img_path': str(drive / f'fl_rgb/fl_rgb_{i}_5.png'),
                                      'thermal_path': str(drive / f'fl_ir_aligned/fl_ir_aligned_{i}_5.png')})['img']
    import cv2
    thermal = cv2.resize(image, (48, 32), interpolation=cv2.INTER_LINEAR)[..., 3].clip(21800, 25000)
    with torch.no_grad():
        logits = model(torch.from_numpy((thermal - 23400) / 1600)[None, None], mode='tensor')
        return torch.nn.functional.interpolate(logits, SIZE, mode='bilinear')[0].softmax(0)


def test_labels_and_certainty_have_the_size_and_the_names_of_the_frames(root, teach):
    model, count = teach()
    assert count == {'written': 3, 'kept': 0}
    dataset = FreiburgThermal(str(root), domains=('night', ), labelled=('night', ), label_folder='teacher_labels',
                              certainty_folder={'night': 'teacher_certainty'})
    info = [dataset.get_data_info(i) for i in range(3)]
    assert info[1]['seg_map_path'].endswith('00/teacher_labels/teacher_labels_1_5.png')
    for i, item in enumerate(info):
        label, level = read(item['seg_map_path']), read(item['certainty_path'])
        assert label.shape == level.shape == SIZE and label.dtype == level.dtype == np.uint8
        wanted, classes = (value.numpy() for value in probabilities(model, root, i).max(0))
        assert (label == classes).mean() > 0.99
        assert np.abs(level / 255 - wanted).max() < 0.5 / 255 + 1e-4
    assert not list(root.rglob('*.part'))


def test_an_interrupted_run_goes_on(root, teach):
    teach()
    drive = root / 'train/seq_01_night/00'
    (drive / 'teacher_labels/teacher_labels_0_5.png').unlink()
    (drive / 'teacher_certainty/teacher_certainty_2_5.png').unlink()
    kept = (drive / 'teacher_labels/teacher_labels_1_5.png').stat().st_mtime_ns
    assert teach()[1] == {'written': 2, 'kept': 1}
    assert (drive / 'teacher_labels/teacher_labels_1_5.png').stat().st_mtime_ns == kept
    assert teach()[1] == {'written': 0, 'kept': 3}


def test_labels_of_two_teachers_are_not_mixed(root, teach):
    teach()
    path = root / 'train/seq_01_night/00/teacher_labels/teacher_labels_0_5.png'
    first = read(path)
    with pytest.raises(DataError, match=r"'teacher_labels' of 'teacher_0.pth': name another folder") as caught:
        teach(1)
    assert '\n' not in str(caught.value)
    assert np.array_equal(read(path), first)
    assert teach(1, overwrite=True)[1] == {'written': 3, 'kept': 0}
    assert not np.array_equal(read(path), first)
    assert json.loads((root / 'teacher_labels.json').read_text())['night']['teacher'] == 'teacher_1.pth'
    # What an interrupted overwriting leaves is this teacher's or nothing.
    assert teach(1)[1] == {'written': 0, 'kept': 3}


def test_an_image_that_is_newer_than_its_labels_is_labelled_again(root, teach):
    teach()
    label = root / 'train/seq_01_night/00/teacher_labels/teacher_labels_1_5.png'
    os.utime(label, (1, 1))
    assert teach()[1] == {'written': 1, 'kept': 2} and label.stat().st_mtime > 1


def test_labels_by_the_same_weights_and_another_config_are_not_mixed(root, teach):
    teach()
    with pytest.raises(DataError, match="of 'teacher_0.pth' with another config"):
        teach(network={**PSPNET, 'backbone': PSPNET['backbone'].replace('(1, 1, 1, 1)', '[1, 1, 1, 1]')})


def test_labels_that_somebody_else_drew_are_left_alone(root, teach):
    own = root / 'train/seq_01_night/00/by_hand/by_hand_1_5.png'
    own.parent.mkdir()
    Image.fromarray(np.full(SIZE, 7, np.uint8)).save(own)
    with pytest.raises(DataError, match="'by_hand' of another origin"):
        teach(labels='by_hand')
    assert (read(own) == 7).all()


def test_a_certainty_branch_is_asked_where_there_is_one(root, teach):
    model, _ = teach(network=RESNEXT)
    level = read(root / 'train/seq_01_night/00/teacher_certainty/teacher_certainty_0_5.png') / 255
    kept = []
    model.backbone.register_forward_hook(lambda module, inputs, output: kept.append(output[6]))
    likely = probabilities(model, root, 0).amax(0).numpy()
    wanted = 1 - torch.nn.functional.interpolate(kept[0], SIZE, mode='bilinear')[0, 0].numpy()
    assert np.abs(level - wanted).max() < 0.5 / 255 + 1e-4
    assert np.abs(level - likely).mean() > 0.05


def test_an_rgb_teacher_labels_the_day_of_another_set(tmp_path):
    """Its own loading, the other config's images: MF's files of four channels, of which it sees three."""
    teacher, data, checkpoint = (tmp_path / name for name in ('rgb.py', 'mf.py', 'rgb.pth'))
    teacher.write_text("""
model = dict(
    type='mmweather.HeatNet', modalities=('rgb', ),
    data_preprocessor=dict(type='mmseg.SegDataPreProcessor', bgr_to_rgb=True, mean=(90, 90, 90), std=(50, 50, 50)),
    backbone=dict(type='mmweather.HeatNetEncoder', in_channels=3, thermal_channels=0, width=4, blocks=(1, 1, 1, 1)),
    decode_head=dict(type='mmweather.HeatNetPSPHead', in_channels=128, channels=16, up_channels=(8, 4, 4), in_index=4))
pseudo_label_pipeline = [dict(type='mmengine.LoadImageFromFile'), dict(type='mmseg.PackSegInputs')]
""")
    data.write_text(
        f"pseudo_label_dataset = dict(type='mmweather.MFTeacherLabels', data_root='{tmp_path}', labelled=())")
    rng = np.random.default_rng(1)
    (tmp_path / 'images').mkdir()
    for name in ('1D', '2N'):
        Image.fromarray(rng.integers(0, 256, (*SIZE, 4), np.uint8)).save(tmp_path / f'images/{name}.png')
    (tmp_path / 'train.txt').write_text('1D\n2N')
    torch.manual_seed(0)
    model = get_model(teacher)
    torch.save({'state_dict': model.state_dict()}, checkpoint)
    count = write_pseudo_labels(teacher, checkpoint, data, domains=('day', ), labels='labels_from_rgbteacher',
                                certainty=None, progress=False, device='cpu')
    assert count == {'written': 1, 'kept': 0}
    rgb = torch.from_numpy(read(tmp_path / 'images/1D.png')[..., :3].astype(np.float32)).permute(2, 0, 1)
    with torch.no_grad():
        wanted = model((rgb[None] - 90) / 50, mode='tensor').argmax(1)[0].numpy()
    assert (read(tmp_path / 'labels_from_rgbteacher/1D.png') == wanted).mean() > 0.99
    assert 'seg_map_path' in MFTeacherLabels(data_root=str(tmp_path)).get_data_info(0)


def test_mistakes(root, teach, tmp_path):
    with pytest.raises(ConfigError, match='two plain names'):
        teach(labels='same', certainty='same')
    with pytest.raises(ConfigError, match='two plain names'):
        teach(labels='../elsewhere')
    with pytest.raises(DataError, match='no such folder'):
        teach(data_root=tmp_path / 'nowhere')
    bare = tmp_path / 'bare.py'
    bare.write_text('work_dir = "x"')
    with pytest.raises(ConfigError, match="bare.py' has no pseudo_label_dataset"):
        teach(data=bare)


def test_names_of_other_layouts():
    assert companion('mf/images/00001D.png', 'labels_x') == Path('mf/labels_x/00001D.png')
    assert companion('a/fl_rgb/frame_1_2.jpg', 'l') == Path('a/l/frame_1_2.png')


def test_the_tool(root, teach, tmp_path, monkeypatch, capsys):
    teach(labels='unused', certainty=None)
    assert not (root / 'train/seq_01_night/00/teacher_certainty').exists()
    script = Path(__file__).parents[2] / 'tools/dataset_converters/pseudo_labels.py'
    monkeypatch.setattr('sys.argv', ['pseudo_labels.py', str(tmp_path / 'teacher.py'), str(tmp_path / 'teacher_0.pth'),
                                     '--workers', '0', '--device', 'cpu'])
    runpy.run_path(str(script), run_name='__main__')
    assert 'teacher_labels: 3 written, 0 were there' in capsys.readouterr().out
