"""Tensors that are not finite are found wherever they are, and nothing else is."""

import pytest
import torch

from mmweather.errors import CheckpointError
from mmweather.utils.checkpoint import save_state_dict
from mmweather.utils.finite import checkpoint_faults, float_tensors, largest, not_finite

BAD = [float('nan'), float('inf'), -float('inf')]


@pytest.mark.parametrize('bad', BAD)
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64])
def test_one_bad_value_of_any_type_is_named(bad, dtype):
    tensors = {'good': torch.ones(3, 3, dtype=dtype), 'bad': torch.ones(2, 5, dtype=dtype), 'empty': torch.ones(0)}
    assert not_finite(float_tensors(tensors)) == []
    tensors['bad'][1, 4] = bad
    assert not_finite(float_tensors({'a': [tensors], 'whole': torch.arange(3), 'text': 'nan'})) == ['a.0.bad']


def test_norms_that_overflow_and_sparse_gradients():
    huge = torch.full((4, ), 3e38)
    sparse = torch.sparse_coo_tensor([[1, 1]], [1., float('nan')], (4, ))
    assert not_finite([('huge', huge), ('half', torch.full((9, ), 6e4, dtype=torch.float16))]) == []
    assert not_finite([('huge', huge), ('sparse', sparse)]) == ['sparse']
    assert largest([huge, torch.tensor([-float('inf'), -2.])]) == pytest.approx(3e38)


def test_logged_values_of_a_checkpoint_do_not_count():
    nan = torch.tensor(float('nan'))
    checkpoint = {'meta': {'x': nan}, 'message_hub': {'loss': nan}, 'state_dict': {'mask': nan, 'w': torch.ones(1)},
                  'optimizer': {'state': {0: {'exp_avg': nan}}}, 'domain_critics': {'state_dict': {'w': nan}}}
    assert checkpoint_faults(checkpoint, ['mask']) == ['optimizer.state.0.exp_avg', 'domain_critics.state_dict.w']


@pytest.mark.parametrize('name', ['w.pth', 'w.safetensors'])
def test_weights_that_are_not_finite_are_not_written(name, tmp_path):
    with pytest.raises(CheckpointError, match=r"w\.\w+' is not written: not finite are b"):
        save_state_dict(tmp_path / name, {'a': torch.ones(2), 'b': torch.tensor([float('nan')])})
    assert not list(tmp_path.iterdir())
