"""What models take beside an image: one record for each kind of input.

Commands, the web page, the reading of files and the matching of file names use these records, so a new kind of input is
one record in the ``inputs`` of its :class:`~mmweather.methods.Method`.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Input:
    """One kind of input.

    Args:
        name: key in samples and in ``inputs`` of a model, also the option ``--<name>`` of commands.
        label: name on the web page and in messages.
        help: what the files are, for ``--help``.
        channels: channels of one image.
        mode: how a file becomes an array: ``'rgb'`` (uint8 (H, W, 3)), ``'grey3'`` (grey in three equal channels, uint8
            (H, W, 3)), ``'counts'`` (a sensor's numbers, (H, W)) or ``'bands'`` (bands of a raster, float32 (H, W, C)).
        suffixes: endings of files beside those of images.
        stems: pairs ``(a, b)``: where the stem of the first image holds ``a``, the file of this input may hold ``b``.
    """

    name: str
    label: str
    help: str
    channels: int = 3
    mode: str = 'rgb'
    suffixes: tuple[str, ...] = ()
    stems: tuple[tuple[str, str], ...] = ()


IMAGE = Input('img', 'Image', 'colour images')
INFRARED = Input('ir', 'Infrared image', 'infrared images, registered with the visible ones', mode='grey3')
THERMAL = Input('thermal', 'Thermal image', 'thermal images, registered with the visible ones, with the counts of the '
                'camera', channels=1, mode='counts', suffixes=('.npy', ),
                # Freiburg Thermal names its files so.
                stems=(('_rgb', '_ir'), ('_rgb', '_ir_aligned'), ('_rgb', '_thermal')))
RADAR = Input('sar', 'Radar', 'Sentinel-1 radar of a scene, VV and VH in dB', channels=2, mode='bands')
