"""Results of :mod:`~mmweather.apis.robustness.measure` as table, CSV and curve."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass

CLEAN = 'clean'
"""Name of the cell without weather."""


@dataclass(frozen=True)
class Robustness:
    """Metrics of one model by weather and severity.

    Args:
        metric: name of the metric that is judged by.
        clean: all metrics without weather.
        cells: (weather, severity) -> all metrics.
    """

    metric: str
    clean: dict[str, float]
    cells: dict[tuple[str, int], dict[str, float]]

    @property
    def weathers(self) -> list[str]:
        """In the order in which they were measured."""
        return list(dict.fromkeys(weather for weather, _ in self.cells))

    @property
    def severities(self) -> list[int]:
        """All that were measured, in order."""
        return sorted({severity for _, severity in self.cells})

    def value(self, weather: str, severity: int) -> float:
        """The metric in one cell; NaN where it was not measured."""
        return self.cells.get((weather, severity), {}).get(self.metric, math.nan)

    def mean(self, weather: str | None = None) -> float:
        """Mean over severities, and over weathers if None: the mPC of Michaelis et al. (2019)."""
        values = [cell.get(self.metric, math.nan) for (name, _), cell in self.cells.items() if weather in (None, name)]
        return sum(values) / len(values) if values else math.nan

    def relative(self, weather: str | None = None) -> float:
        """Mean divided by the clean value: the rPC of Michaelis et al. (2019); NaN where that is 0."""
        clean = self.clean.get(self.metric, math.nan)
        return self.mean(weather) / clean if clean else math.nan

    def table(self) -> str:
        """Lines of text: a weather a line, a severity a column."""
        head = [self.metric, *map(str, self.severities), 'mean', 'of clean']
        rows = [[weather, *(_shown(self.value(weather, severity)) for severity in self.severities),
                 _shown(self.mean(weather)), _percent(self.relative(weather))] for weather in self.weathers]
        blank = [''] * len(self.severities)
        rows = [[CLEAN, *blank, _shown(self.clean[self.metric]), ''], *rows]
        if len(self.weathers) > 1:
            rows.append(['all', *blank, _shown(self.mean()), _percent(self.relative())])
        widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
        return '\n'.join('  '.join(cell.ljust(width) if i == 0 else cell.rjust(width)
                                   for i, (cell, width) in enumerate(zip(row, widths, strict=True))).rstrip()
                         for row in (head, *rows))

    def csv(self) -> str:
        """All metrics, a cell a line; severity 0 is without weather."""
        names = list(self.clean)
        names += [name for cell in self.cells.values() for name in cell if name not in names]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator='\n')
        writer.writerow(['weather', 'severity', *dict.fromkeys(names)])
        for (weather, severity), cell in {(CLEAN, 0): self.clean, **self.cells}.items():
            writer.writerow([weather, severity, *(cell.get(name, '') for name in dict.fromkeys(names))])
        return text.getvalue()

    def picture(self) -> bytes:
        """The metric over the severity, a line a weather, as PNG."""
        # Imported here: it takes a second, and only this needs it.
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        figure = Figure(figsize=(6, 4), dpi=120, layout='constrained')
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        for weather in self.weathers:
            points = [(0, self.clean[self.metric]), *((severity, self.value(weather, severity))
                                                      for severity in self.severities)]
            axes.plot(*zip(*points, strict=True), marker='o', label=f'{weather} ({_percent(self.relative(weather))})')
        axes.set_xticks([0, *self.severities], [CLEAN, *map(str, self.severities)])
        axes.set_xlabel('severity')
        axes.set_ylabel(self.metric)
        axes.grid(alpha=0.3)
        axes.legend(title='mean of clean')
        data = io.BytesIO()
        figure.savefig(data, format='png')
        return data.getvalue()


def _shown(value: float) -> str:
    return '-' if math.isnan(value) else f'{value:.4g}'


def _percent(value: float) -> str:
    return '-' if math.isnan(value) else f'{100 * value:.1f} %'
