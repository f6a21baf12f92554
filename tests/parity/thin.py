"""Make the committed vectors from the whole ones: `python tests/parity/thin.py WHOLE [OUT]`.

Every array of every file stays. Of one with more than KEPT floating-point values a sample stays, with the largest
magnitude and the means (see `parity_compare.thinned`); integers and texts stay whole. JSON files lose their spaces.
The result depends on nothing but the whole vectors, so making it again gives the same bytes.
"""

from __future__ import annotations

import io
import json
import sys
import zipfile
from pathlib import Path

import numpy as np
from parity_compare import COMMITTED, METHODS, thinned

KEPT = 3000
#: Needs images that may not be shipped.
LEFT_OUT = {('aca_crnet', 'golden_sen12mscr_real.npz')}


def write_arrays(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Write a compressed npz without the time of day in it."""
    with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, array in arrays.items():
            data = io.BytesIO()
            np.lib.format.write_array(data, np.ascontiguousarray(array).reshape(array.shape), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f'{name}.npy', (1980, 1, 1, 0, 0, 0)), data.getvalue(),
                             zipfile.ZIP_DEFLATED, 9)


def thin_folder(source: Path, target: Path) -> None:
    """Thin one method's folder."""
    target.mkdir(parents=True, exist_ok=True)
    for file in sorted(source.glob('golden_*.npz')):
        if (source.name, file.name) in LEFT_OUT:
            continue
        arrays = {}
        with np.load(file, allow_pickle=False) as data:
            for name in data.files:
                large = data[name].dtype.kind == 'f' and data[name].size > KEPT
                parts = thinned(data[name], KEPT) if large else {'': data[name]}
                arrays.update({name + ending: part for ending, part in parts.items()})
        write_arrays(target / file.name, arrays)
    for file in sorted(source.glob('*.json')):
        text = json.dumps(json.loads(file.read_text()), separators=(',', ':'))
        (target / file.name).write_text(text + '\n')


if __name__ == '__main__':
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__.splitlines()[0])
    for method in METHODS:
        thin_folder(Path(sys.argv[1]) / method, Path(sys.argv[2] if len(sys.argv) == 3 else COMMITTED) / method)
