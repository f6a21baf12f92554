"""Tables of results."""

from __future__ import annotations

import math

import pytest

from mmweather.evaluation.table import format_table

RESULTS = {'psnr_y': 31.23456, 'psnr_y_input': 28.8265, 'ssim_y': 0.91234, 'ssim_y_input': 0.8195,
           'ms_ssim_skipped': 2}  # yapf: disable


def test_markdown():
    assert format_table(RESULTS) == '\n'.join([
        '| metric      |  input | restored |',
        '| ----------- | -----: | -------: |',
        '| PSNR-Y (dB) |  28.83 |    31.23 |',
        '| SSIM-Y      | 0.8195 |   0.9123 |',
    ])


def test_plain_text_with_chosen_names():
    text = format_table(RESULTS, names=['ssim_y'], markdown=False)
    assert text == 'metric   input  restored\nSSIM-Y  0.8195    0.9123'


def test_no_input_column_without_inputs_and_prefixes_dropped():
    text = format_table({'fusion/vif': 0.55712, 'fusion/psnr_toolkit': 64.894}, column='fused')
    assert text.splitlines()[0] == '| metric             |  fused |'
    assert '| VIF                | 0.5571 |' in text
    assert '|  64.89 |' in text


def test_missing_and_unbounded_values():
    text = format_table({'psnr_y': math.inf, 'mi': math.nan, 'mi_input': 2.0}, markdown=False)
    assert [line.split()[-2:] for line in text.splitlines()[1:]] == [['-', 'inf'], ['2.0000', 'nan']]


def test_unknown_name_is_an_error():
    with pytest.raises(KeyError):
        format_table(RESULTS, names=['psnr_rgb'])
