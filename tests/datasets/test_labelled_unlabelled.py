"""Labelled and unlabelled samples in one stream: pairing, seeds, workers, two processes, resuming."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.runner import Runner

sys.path.insert(0, str(Path(__file__).parent))
from sand_dust_toy import write_set  # noqa: E402

from mmweather.datasets import samplers  # noqa: E402
from mmweather.datasets.labelled_unlabelled import LabelledUnlabelled  # noqa: E402
from mmweather.engine.loops import find_sampler  # noqa: E402
from mmweather.errors import ConfigError, DataError  # noqa: E402
from mmweather.registry import MODELS  # noqa: E402

SIZE = 32


def parts(root):
    labelled = dict(type='mmweather.SandDust', data_root=str(root), part='clean', pipeline=[
        dict(type='mmweather.LoadCleanAndDepth'), dict(type='mmweather.AddDust'),
        dict(type='mmweather.PairedResize', keys=('img', 'gt'), size=SIZE),
        dict(type='mmweather.WeakViews', source='gt', copies=2, size=SIZE),
        dict(type='mmweather.PackViews', keys=('img', 'gt'), views=('gt_views', ))])
    unlabelled = dict(type='mmweather.SandDust', data_root=str(root), part='dust', key='unlabelled', pipeline=[
        dict(type='mmweather.LoadImages', keys=('unlabelled', )), dict(type='mmweather.RetinexLabel'),
        dict(type='mmweather.PairedResize', keys=('unlabelled', 'pseudo_label'), size=SIZE),
        dict(type='mmweather.WeakViews', source='unlabelled', copies=2, size=SIZE),
        dict(type='mmweather.PackViews', keys=('unlabelled', 'pseudo_label'), views=('unlabelled_views', ))])
    return dict(labelled=labelled, unlabelled=unlabelled)


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    return write_set(tmp_path_factory.mktemp('set'))


def loader(root, sampler='mmweather.SeededInfiniteSampler', batch_size=2, workers=0):
    return Runner.build_dataloader(dict(
        batch_size=batch_size, num_workers=workers, sampler=dict(type=sampler),
        dataset=dict(type='mmweather.SeededDataset', dataset=dict(type='mmweather.LabelledUnlabelled', **parts(root)))),
        seed=3)


def first(data, count):
    stream = iter(data)
    return [next(stream) for _ in range(count)]


def prepared(batch):
    return MODELS.build(dict(type='mmweather.ImageSetPreprocessor'))(batch)['inputs']


def same(one, other):
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_a_batch_has_as_many_of_both(root):
    batch = first(loader(root), 1)[0]
    images = prepared(batch)
    assert {key: tuple(value.shape) for key, value in images.items()} == {
        **dict.fromkeys(('img', 'gt', 'unlabelled', 'pseudo_label'), (2, 3, SIZE, SIZE)),
        **dict.fromkeys(('gt_views', 'unlabelled_views'), (2, 2, 3, SIZE, SIZE))}
    assert all(value.min() >= 0 and value.max() <= 1 for value in images.values())
    sample = batch['data_samples'][0]
    assert 'train/dust' in sample.unlabelled_path and not hasattr(sample, 'unlabelled')


def test_the_longer_list_is_gone_through_and_the_shorter_drawn(root):
    dataset = LabelledUnlabelled(**parts(root))
    assert len(dataset) == 5
    np.random.seed(0)
    pairs = [dataset.partners(index) for index in [*range(5)] * 8]
    assert [pair['unlabelled'] for pair in pairs] == [*range(5)] * 8
    assert {pair['labelled'] for pair in pairs} == {0, 1, 2}
    assert len({(pair['labelled'], pair['unlabelled']) for pair in pairs}) > 8
    fixed = LabelledUnlabelled(**parts(root), pairing='fixed')
    assert [fixed.partners(index)['labelled'] for index in range(5)] == [0, 1, 2, 0, 1]
    with pytest.raises(ConfigError, match='fixed'):
        LabelledUnlabelled(**parts(root), pairing='sorted')


def test_the_stream_does_not_depend_on_workers_and_can_be_resumed(root):
    wanted = [prepared(batch) for batch in first(loader(root), 6)]
    assert not same(wanted[0], wanted[3])
    for one, other in zip(wanted, first(loader(root, workers=2), 6), strict=True):
        assert same(one, prepared(other))
    resumed = loader(root)
    find_sampler(resumed).set_position(4 * 2)
    assert same(prepared(first(resumed, 1)[0]), wanted[4])


def test_two_processes_see_what_one_sees(root, monkeypatch):
    wanted = [prepared(batch) for batch in first(loader(root, batch_size=4), 2)]
    shares = []
    for rank in range(2):
        monkeypatch.setattr(samplers, 'get_dist_info', lambda rank=rank: (rank, 2))
        shares.append([prepared(batch) for batch in first(loader(root), 2)])
    for whole, *halves in zip(wanted, *shares, strict=True):
        for key, value in whole.items():
            assert torch.equal(torch.stack([half[key] for half in halves], 1).flatten(0, 1), value)


def test_epochs_take_the_longer_list_once(root):
    data = loader(root, 'mmweather.SeededEpochSampler', batch_size=1)
    seen = [batch['data_samples'][0].unlabelled_path for batch in data]
    assert len(set(seen)) == len(seen) == 5


def test_one_list_alone_and_none(root):
    config = parts(root)
    labelled = LabelledUnlabelled(labelled=config['labelled'])
    assert len(labelled) == 3 and set(labelled[0]['inputs']) == {'img', 'gt', 'gt_views'}
    assert len(LabelledUnlabelled(unlabelled=config['unlabelled'])) == 5
    with pytest.raises(ConfigError, match='labelled, unlabelled or both'):
        LabelledUnlabelled()


def test_an_empty_list_stops_at_once_with_its_folder(tmp_path):
    root = write_set(tmp_path / 'set', dust=0)
    (root / 'train/dust').mkdir(exist_ok=True)
    with pytest.raises(DataError, match='train/dust.*holds no image'):
        len(LabelledUnlabelled(**parts(root)))


def test_keys_of_both_must_differ(root):
    config = parts(root)
    with pytest.raises(ConfigError, match="pack \\['gt', 'gt_views', 'img'\\]"):
        LabelledUnlabelled(config['labelled'], config['labelled'])[0]
