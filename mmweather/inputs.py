"""What models take beside an image: one record for each kind of input.

Commands, the web page, the reading of files and the matching of file names use these records, so a new kind of input is
one record in the ``inputs`` of its :class:`~mmweather.methods.Method`.
"""

from __future__ import annotations

from dataclasses import dataclass

from .errors import ConfigError

MODES = ('rgb', 'grey3', 'counts', 'bands')


@dataclass(frozen=True)
class Input:
    """One kind of input.

    Args:
        name: key in samples and in ``inputs`` of a model, also the option ``--<name>`` of commands and a keyword of
            :class:`mmweather.Inferencer`.
        label: name on the web page and in messages.
        help: what the files are, for ``--help`` of the commands.
        channels: channels of one image.
        mode: how a file becomes an array: ``'rgb'`` (uint8 (H, W, 3)), ``'grey3'`` (grey in three equal channels, uint8
            (H, W, 3)), ``'counts'`` (a sensor's numbers, (H, W)) or ``'bands'`` (bands of a raster, float32 (H, W, C)).
        suffixes: endings of files beside those of images.
        stems: pairs ``(a, b)``: where the stem of the first image holds ``a``, the file of this input may hold ``b``.

    Raises:
        ConfigError: the name is no Python identifier, or the mode is unknown.
    """

    name: str
    label: str
    help: str
    channels: int = 3
    mode: str = 'rgb'
    suffixes: tuple[str, ...] = ()
    stems: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        if not self.name.isidentifier():
            raise ConfigError(f"the input name '{self.name}' must be a Python identifier")
        if self.mode not in MODES:
            raise ConfigError(f"the input '{self.name}' has the unknown mode '{self.mode}'; use {', '.join(MODES)}")

    @property
    def image_mode(self) -> str:
        """Mode of :func:`mmweather.utils.images.read_image` for the files.

        Raises:
            ConfigError: the files hold counts or bands, not images.
        """
        if self.mode in ('counts', 'bands'):
            raise ConfigError(f"the input '{self.name}' has the mode '{self.mode}', which cannot be read as images; "
                              "use an input of mode 'rgb' or 'grey3'")
        return self.mode


IMAGE = Input('img', 'Image', 'colour images')
INFRARED = Input('ir', 'Infrared image', 'infrared images, registered with the visible ones', mode='grey3')
THERMAL = Input('thermal', 'Thermal image', 'thermal images, registered with the visible ones, with the counts of the '
                'camera', channels=1, mode='counts', suffixes=('.npy', ),
                # Freiburg Thermal names its files so.
                stems=(('_rgb', '_ir'), ('_rgb', '_ir_aligned'), ('_rgb', '_thermal')))
RADAR = Input('sar', 'Radar', 'Sentinel-1 radar of a scene, VV and VH in dB', channels=2, mode='bands')
