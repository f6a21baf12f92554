"""Results as a table ``metric | input | restored``, in Markdown or plain text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

LABELS = {
    'psnr_y': 'PSNR-Y (dB)', 'psnr_rgb': 'PSNR-RGB (dB)', 'ssim_y': 'SSIM-Y', 'ssim_rgb3d': 'SSIM-RGB (3-D)',
    'ms_ssim': 'MS-SSIM', 'psnr': 'PSNR (dB)', 'ssim': 'SSIM', 'psnr_toolkit': 'PSNR, toolkit (dB)',
    'ssim_toolkit': 'SSIM, toolkit', 'ms_ssim_toolkit': 'MS-SSIM, toolkit', 'mi': 'MI', 'vif': 'VIF', 'cc': 'CC',
    'fmi_pixel': 'FMI_pixel', 'fmi_dct': 'FMI_dct', 'fmi_w': 'FMI_w', 'fmi_raw': 'FMI_raw', 'mse': 'MSE',
    'qabf': 'Qabf', 'en': 'EN', 'sd': 'SD', 'sf': 'SF', 'ag': 'AG', 'scd': 'SCD', 'mae': 'MAE', 'rmse': 'RMSE',
    'brmse': 'RMSE per band', 'sam': 'SAM (degrees)'
}  # yapf: disable


def _number(value: float | None, decimals: int) -> str:
    if value is None:
        return '-'
    value = float(value)
    return f'{value:.{decimals}f}' if math.isfinite(value) else str(value)


def _split(results: Mapping[str, float]) -> dict[str, dict[str, float]]:
    """``{metric: {'input': v, 'restored': v}}`` in order of first appearance, prefixes and counts dropped."""
    rows: dict[str, dict[str, float]] = {}
    for key, value in results.items():
        name = key.rsplit('/', 1)[-1]
        if name.endswith('_skipped') or not isinstance(value, (int, float)):
            continue
        column = 'input' if name.endswith('_input') else 'restored'
        rows.setdefault(name.removesuffix('_input'), {})[column] = value
    return rows


def format_table(results: Mapping[str, float],
                 names: Sequence[str] | None = None,
                 markdown: bool = True,
                 column: str = 'restored',
                 decimals: int = 4) -> str:
    """Format what :class:`~mmweather.evaluation.metrics.RestorationMetrics` or ``FusionMetrics`` returned.

    Args:
        results: result key -> value, with or without prefixes (``prefix/psnr_y``), ``<name>_input`` for the input.
        names: metrics to show, in this order; all of them, in the order of ``results``, by default.
        markdown: Markdown with bars, or plain aligned text.
        column: heading of the last column, e.g. ``'fused'``.
        decimals: digits after the point; PSNR gets two fewer, at least two.

    Returns:
        str: the table without a final line break. The column of the input is left out where no metric has one.

    Raises:
        KeyError: a name in ``names`` is not among the results.
    """
    rows = _split(results)
    if names is not None:
        rows = {name: rows[name] for name in names}
    with_input = any('input' in row for row in rows.values())
    lines = [['metric', *(['input'] if with_input else []), column]]
    for name, row in rows.items():
        digits = max(2, decimals - 2) if name.startswith('psnr') else decimals
        keys = ['input', 'restored'] if with_input else ['restored']
        lines.append([LABELS.get(name, name), *(_number(row.get(key), digits) for key in keys)])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    cells = [[line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
             for line in lines]
    if not markdown:
        return '\n'.join('  '.join(line).rstrip() for line in cells)
    rule = ['-' * widths[0], *('-' * (w - 1) + ':' for w in widths[1:])]
    return '\n'.join(f"| {' | '.join(line)} |" for line in (cells[0], rule, *cells[1:]))
