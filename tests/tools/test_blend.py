"""Mixing a fine-tuned detector with what it was started from."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import pytest
import torch

pytest.importorskip('mmdet', reason='the detector is built from mmdet')

from mmweather import get_model  # noqa: E402

TOOL = Path(__file__).parents[2] / 'tools/model_converters/blend.py'
MODEL = "dict(type='mmweather.TogetherNet', arch=(0.33, 0.125), num_classes=2{})"


def test_parts_of_the_start_are_mixed_and_others_stay(tmp_path, monkeypatch, capsys):
    plain, config = tmp_path / 'plain.py', tmp_path / 'tuned.py'
    plain.write_text(f"default_scope = 'mmweather'\nmodel = {MODEL.format('')}\n")
    config.write_text(f"default_scope = 'mmweather'\nmodel = "
                      f"{MODEL.format(', start_from=' + repr(str(tmp_path / 'start.pth')))}\n")
    torch.manual_seed(0)
    start, tuned = (get_model(plain).state_dict() for _ in range(2))
    start = {key: value for key, value in start.items() if not key.startswith(('restoration_head', 'backbone.dtfe'))}
    torch.save(start, tmp_path / 'start.pth')
    torch.save(dict(state_dict=tuned), tmp_path / 'tuned.pth')

    def blend(share):
        monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, (config, tmp_path / 'tuned.pth', tmp_path / 'out.pth')),
                                          '--share', str(share)])
        runpy.run_path(str(TOOL), run_name='__main__')
        return torch.load(tmp_path / 'out.pth', weights_only=True)['state_dict']

    mixed = blend(0.25)
    assert 'tensors mixed' in capsys.readouterr().out and mixed.keys() == tuned.keys()
    name = 'bbox_head.multi_level_conv_cls.0.weight'
    torch.testing.assert_close(mixed[name], 0.75 * start[name] + 0.25 * tuned[name])
    assert torch.equal(mixed['restoration_head.conv_1.0.weight'], tuned['restoration_head.conv_1.0.weight'])
    with pytest.raises(SystemExit):
        blend(1.5)
    assert '--share must lie in [0, 1], got 1.5' in capsys.readouterr().err
