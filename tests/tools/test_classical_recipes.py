"""Classical restorers by the tools: tested and used without a checkpoint, which everything else needs."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / 'datasets'))
from sand_dust_toy import write_set  # noqa: E402

from mmweather import cli, get_model  # noqa: E402
from mmweather.engine import runner  # noqa: E402
from mmweather.errors import ConfigError  # noqa: E402
from mmweather.utils.images import read_image, write_image  # noqa: E402

CONFIGS = Path(__file__).parents[2] / 'configs'


@pytest.fixture
def root(tmp_path):
    root = write_set(tmp_path / 'sand_dust', clean=1, dust=1, test=2)
    for path in (root / 'test').iterdir():
        photo = read_image(path)
        write_image(path, (photo // 2 + np.array([90, 50, 10])).astype(np.uint8))
        write_image(root / 'reference' / f'{path.stem}.png', photo)
    return root


def arguments(*words: object):
    return runner.test_parser().parse_args([*map(str, words)])


@pytest.mark.parametrize('config', sorted(path.name for path in (CONFIGS / 'classical').glob('*.py')))
def test_they_are_tested_without_a_checkpoint(config, root, tmp_path):
    found = runner.test(arguments(
        CONFIGS / 'classical' / config, '--work-dir', tmp_path / 'work', '--cfg-options',
        f'test_dataloader.dataset.data_root={root}', f'experiment_name={config}'))
    assert found['colour_cast_input'] > 5
    if 'grey-world' in config:
        assert found['colour_cast'] < 0.2 * found['colour_cast_input']
    assert ('psnr_rgb' in found) == ('mini' in config)
    assert not list(get_model(str(CONFIGS / 'classical' / config)).parameters())


def test_they_restore_files_without_a_checkpoint(root, tmp_path):
    config = CONFIGS / 'classical/grey-world_dusty.py'
    assert cli.main(['restore', str(root / 'test'), '--model', str(config), '--out', str(tmp_path / 'out')]) == 0
    before, after = (read_image(folder / name).reshape(-1, 3).mean(0) for folder, name in (
        (root / 'test', '000.jpg'), (tmp_path / 'out', '000.png')))
    assert before.max() - before.min() > 50 > 5 > after.max() - after.min()


def test_a_network_needs_one(root, tmp_path, capsys):
    config = CONFIGS / 'ssdie_net/ssdie-net_msff-s_1xb4-20e_mini.py'
    with pytest.raises(ConfigError, match='give a checkpoint after the config') as error:
        runner.test(arguments(config, '--work-dir', tmp_path, '--cfg-options',
                              f'test_dataloader.dataset.data_root={root}', 'experiment_name=needs_one'))
    assert '\n' not in str(error.value)
    with pytest.raises(SystemExit):
        cli.main(['restore', str(root / 'test'), '--model', str(config), '--out', str(tmp_path / 'out')])
    assert 'no weights are shipped for it; give a checkpoint' in capsys.readouterr().err
    assert not (tmp_path / 'out').exists()
