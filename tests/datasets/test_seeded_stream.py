import copy
import itertools
import pickle
import random
from collections import Counter

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, Dataset

import mmweather.registry  # noqa: F401
from mmweather.datasets import samplers
from mmweather.datasets.samplers import Draw, SeededEpochSampler, SeededInfiniteSampler
from mmweather.datasets.seeded import SeededDataset
from mmweather.utils.seeding import derive_seed, seeded


class Noisy(Dataset):
    metainfo = dict(name='noisy')
    ready = False

    def full_init(self):
        self.ready = True

    def get_data_info(self, idx):
        return {'sample_idx': idx, 'kind': type(idx)}

    def __len__(self):
        return 7

    def __getitem__(self, idx):
        assert type(idx) is int
        return idx, random.random(), float(np.random.rand()), float(torch.rand(()))


def take(sampler, n):
    return list(itertools.islice(iter(sampler), n))


def of_rank(monkeypatch, rank, world_size, cls=SeededInfiniteSampler, **kwargs):
    monkeypatch.setattr(samplers, 'get_dist_info', lambda: (rank, world_size))
    return cls(Noisy(), seed=3, **kwargs)


def test_draw_is_an_int_and_survives_pickle_and_copy():
    draw = Draw(5, position=12, seed=9)
    for again in (pickle.loads(pickle.dumps(draw)), copy.deepcopy(draw), copy.copy(draw)):
        assert (again, again.position, again.seed) == (5, 12, 9) and isinstance(again, Draw)
    assert list(range(10))[draw] == 5 and '12' in repr(draw)


def test_every_pass_is_another_permutation():
    draws = take(SeededInfiniteSampler(Noisy(), seed=0), 35)
    passes = [tuple(map(int, draws[i:i + 7])) for i in range(0, 35, 7)]
    assert all(sorted(one) == list(range(7)) for one in passes)
    assert len(set(passes)) > 1
    assert [d.position for d in draws] == list(range(35))
    assert take(SeededInfiniteSampler(Noisy(), seed=1), 35) != draws
    assert take(SeededInfiniteSampler(Noisy(), seed=0, shuffle=False), 9) == [0, 1, 2, 3, 4, 5, 6, 0, 1]


@pytest.mark.parametrize('start', [0, 1, 6, 7, 8, 23])
def test_the_stream_can_start_anywhere(start):
    whole = take(SeededInfiniteSampler(Noisy(), seed=5), 40)
    sampler = SeededInfiniteSampler(Noisy(), seed=5)
    sampler.set_position(start)
    rest = take(sampler, 40 - start)
    assert rest == whole[start:]
    assert [d.position for d in rest] == list(range(start, 40))
    with pytest.raises(ValueError, match='negative'):
        sampler.set_position(-1)


def test_two_processes_with_batch_b_see_what_one_with_batch_2b_sees(monkeypatch):
    one = take(of_rank(monkeypatch, 0, 1), 48)
    two = [take(of_rank(monkeypatch, rank, 2), 24) for rank in (0, 1)]
    for i in range(0, 24, 4):  # batches of 4 a process
        both = Counter((int(d), d.position) for rank in two for d in rank[i:i + 4])
        assert both == Counter((int(d), d.position) for d in one[2 * i:2 * i + 8])
    resumed = of_rank(monkeypatch, 1, 2)
    resumed.set_position(12)
    assert [d.position for d in take(resumed, 12)] == [d.position for d in two[1][12:]]


def test_epoch_sampler_covers_each_epoch_and_shares_evenly(monkeypatch):
    ranks = [of_rank(monkeypatch, rank, 2, SeededEpochSampler) for rank in (0, 1)]
    epochs = []
    for epoch in (0, 1):
        for sampler in ranks:
            sampler.set_epoch(epoch)
        shares = [list(sampler) for sampler in ranks]
        assert [len(share) for share in shares] == [4, 4] == [len(sampler) for sampler in ranks]
        assert {int(d) for share in shares for d in share} == set(range(7))
        assert sorted(d.position for share in shares for d in share) == list(range(8 * epoch, 8 * epoch + 8))
        epochs.append(shares)
    assert epochs[0] != epochs[1]
    ranks[0].set_epoch(0)
    assert list(ranks[0]) == epochs[0][0]
    exact = [of_rank(monkeypatch, rank, 2, SeededEpochSampler, round_up=False) for rank in (0, 1)]
    assert [len(list(s)) for s in exact] == [4, 3] == [len(s) for s in exact]


def test_an_empty_data_set_is_refused():
    with pytest.raises(ValueError, match='empty'):
        SeededInfiniteSampler([], seed=0)


def test_samples_do_not_depend_on_the_workers():
    def stream(workers):
        loader = DataLoader(SeededDataset(Noisy()), batch_size=4, num_workers=workers, collate_fn=list,
                            sampler=SeededInfiniteSampler(Noisy(), seed=2))
        return list(itertools.islice(iter(loader), 4))

    assert stream(0) == stream(2)


def test_each_position_draws_anew_and_the_outer_state_stays():
    data = SeededDataset(Noisy())
    samples = [data[Draw(3, position, 1)] for position in range(20)]
    for draw in zip(*(sample[1:] for sample in samples), strict=True):
        assert len(set(draw)) == 20
    assert data[Draw(3, 4, 1)] == samples[4]
    assert data[Draw(3, 4, 2)][1:] != samples[4][1:]
    outer = random.getstate(), np.random.get_state()[1].copy(), torch.get_rng_state()
    data[Draw(0, 0)]
    assert outer[0] == random.getstate() and np.array_equal(outer[1], np.random.get_state()[1])
    assert torch.equal(outer[2], torch.get_rng_state())


def test_plain_indices_use_the_own_seed():
    assert SeededDataset(Noisy(), seed=4)[2] == SeededDataset(Noisy(), seed=4)[2]
    assert SeededDataset(Noisy(), seed=4)[2] != SeededDataset(Noisy(), seed=5)[2]


def test_the_wrapper_passes_through():
    data = SeededDataset(Noisy())
    data.full_init()
    assert data.dataset.ready and len(data) == 7 and data.metainfo == {'name': 'noisy'}
    assert data.get_data_info(Draw(1, 9)) == {'sample_idx': 1, 'kind': int}
    assert SeededDataset([10, 20]).metainfo == {} and SeededDataset([10, 20])[1] == 20


def test_the_state_comes_back_after_an_error():
    state = torch.get_rng_state()
    with pytest.raises(RuntimeError), seeded(1):
        torch.rand(3)
        raise RuntimeError
    assert torch.equal(state, torch.get_rng_state())


def test_derived_seeds_differ_by_value_and_order():
    seeds = {derive_seed(a, b) for a in range(30) for b in range(30)}
    assert len(seeds) == 900 and all(0 <= seed < 2 ** 64 for seed in seeds)
    assert derive_seed(1, 2) == derive_seed(1, 2)
