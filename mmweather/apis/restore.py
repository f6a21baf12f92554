"""Restoring arrays, files and folders with a trained network."""

from __future__ import annotations

import contextlib
import glob
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Union

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..errors import ConfigError, DataError, MMWeatherError
from ..models.common.contract import InferenceContract
from ..models.common.tiling import run_tiled
from ..utils.images import is_image_file, read_image, write_image

Image = Union[np.ndarray, str, 'os.PathLike[str]']
Images = Union[Image, 'Mapping[str, Image]', 'Sequence[Image]']
Progress = Callable[[int, int], None]

_DTYPES = {'bf16': torch.bfloat16, 'fp16': torch.float16}


def contract_of(model: nn.Module) -> InferenceContract:
    """What a model needs at inference.

    Raises:
        ConfigError: the model does not say.
    """
    contract = getattr(model, 'inference_contract', None)
    if not isinstance(contract, InferenceContract):
        raise ConfigError(f'{type(model).__name__} cannot restore images: it has no inference_contract; give a '
                          'restorer (mmweather list) or declare one in the class')
    return contract


def pick_device(name: str | torch.device | None = None) -> torch.device:
    """The device called ``name``; without a name a GPU if there is one.

    Raises:
        ConfigError: there is no such device here.
    """
    if name is None:
        name = 'cuda' if torch.cuda.is_available() else 'mps' if torch.backends.mps.is_available() else 'cpu'
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # PyTorch without CUDA asserts
        reason = (str(error).strip().splitlines() or ['unknown'])[0]
        raise ConfigError(f"device '{name}' cannot be used here ({reason}); try cpu") from None
    return device


def restore_image(
    model: nn.Module,
    images: Images,
    tile: int | str | None = 'auto',
    overlap: int | None = None,
    dtype: str | None = None,
    device: str | torch.device | None = None,
    progress: Progress | None = None,
) -> np.ndarray:
    """Restore one image of any size.

    Args:
        model: a network with an ``inference_contract``, or a restorer such as :func:`mmweather.get_model` builds.
            It is put into evaluation mode.
        images: one picture, or all inputs of the model by name (``{'img': ..., 'ir': ...}``) or in the contract's
            order. A picture is a file or a uint8 array, (H, W, 3) RGB or (H, W) grey; all are of one size.
        tile: side of the tiles in pixels, ``'auto'`` (tiles where the image is large), or None for the whole.
        overlap: pixels that tiles share; None takes the network's own.
        dtype: None (float32), ``'bf16'`` or ``'fp16'``: autocast.
        device: where the model is moved and run; None leaves it where it is.
        progress: called with (tiles done, tiles in all).

    Returns:
        uint8, (H, W, 3), RGB.

    Raises:
        ConfigError: the model is no restorer, or an option cannot work.
        DataError: an input is missing, unreadable, of another size, or the output is not finite.
    """
    contract = contract_of(model)
    arrays = {name: _as_array(name, image) for name, image in _by_name(images, contract).items()}
    shapes = {name: array.shape[:2] for name, array in arrays.items()}
    if len(set(shapes.values())) > 1:
        sizes = ', '.join(f'{name} {shape[1]}x{shape[0]}' for name, shape in shapes.items())
        raise DataError(f'the inputs differ in size ({sizes}); register and cut them to one size')
    if device is not None:
        model = model.to(pick_device(device))
    model.eval()
    where = next((tensor.device for tensor in (*model.parameters(), *model.buffers())), torch.device('cpu'))
    tensors = {name: _to_tensor(array).to(where) for name, array in arrays.items()}
    with torch.inference_mode(), _autocast(dtype, where):
        if hasattr(model, 'predict_images'):
            # There, None means what the config says.
            output = model.predict_images(tensors, tile='none' if tile is None else tile, overlap=overlap,
                                          progress=progress)
        else:
            output = run_tiled(model, tuple(tensors.values()), contract, tile, overlap, progress)
        return _to_array(output)


def _by_name(images: Images, contract: InferenceContract) -> dict[str, Image]:
    names = contract.inputs
    if isinstance(images, Mapping):
        given = dict(images)
    else:
        row = list(images) if isinstance(images, (list, tuple)) else [images]
        if len(row) != len(names):
            raise DataError(f'{len(row)} image(s) given, the model takes {len(names)}: {", ".join(names)}')
        given = dict(zip(names, row, strict=True))
    if set(names) != set(given):
        raise DataError(f"inputs {', '.join(sorted(given)) or 'none'} given, the model takes {', '.join(names)}")
    return {name: given[name] for name in names}


def _as_array(name: str, image: Image) -> np.ndarray:
    if not isinstance(image, np.ndarray):
        return read_image(os.fspath(image), mode=_mode(name))
    array = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise DataError(f"'{name}' must be uint8 (H, W, 3) RGB or (H, W), got {image.dtype} {image.shape}; "
                        'scale to 0..255, round and cast')
    return array


def _mode(name: str) -> str:
    return 'grey3' if name == 'ir' else 'rgb'


def _to_tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1))).float().div_(255)[None]


def _to_array(output: Tensor) -> np.ndarray:
    image = output[0].float()
    # The sum is not finite if any value is not.
    if not torch.isfinite(image.double().sum() if image.device.type != 'mps' else image.sum()):
        raise DataError('the network returned values that are not finite; run it in float32 (--dtype fp32), or check '
                        'the checkpoint')
    return image.clamp(0, 1).mul(255).round_().to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()


def _autocast(dtype: str | None, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    if dtype in (None, 'fp32'):
        return contextlib.nullcontext()
    if dtype not in _DTYPES:
        raise ConfigError(f"dtype='{dtype}': give fp32, bf16 or fp16")
    if dtype == 'fp16' and device.type == 'cpu':
        raise ConfigError("dtype='fp16' needs a GPU; on a CPU use bf16")
    return torch.autocast(device.type, dtype=_DTYPES[dtype])


# Files ----------------------------------------------------------------------------------------------------------


@dataclass
class Report:
    """What :func:`restore_files` did.

    Args:
        done: results written.
        skipped: results that were there already.
        failed: inputs that could not be restored, with the reason in one line.
    """

    done: list[Path] = field(default_factory=list)
    skipped: list[Path] = field(default_factory=list)
    failed: dict[Path, str] = field(default_factory=dict)


def find_images(source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
                leave_out: str | os.PathLike[str] | None = None) -> dict[Path, Path]:
    """The pictures that files, folders (with the folders in them) and patterns name.

    Args:
        source: one or more of them.
        leave_out: a folder whose pictures are not taken, such as that of the results inside an input folder.

    Returns:
        File -> its path below the folder it was found in, without the ending; in the order of the inputs.

    Raises:
        DataError: nothing is there, or two pictures would have one result.
    """
    items = [source] if isinstance(source, (str, os.PathLike)) else list(source)
    without = None if leave_out is None else Path(leave_out).resolve()
    owners: dict[Path, Path] = {}
    for entry in items:
        item = os.fspath(entry)
        path = Path(item)
        if path.is_dir():
            files = {file: file.relative_to(path) for file in sorted(path.rglob('*')) if is_image_file(file)}
        elif path.exists():
            files = {path: Path(path.name)}
        else:
            found = (Path(file) for file in sorted(glob.glob(item, recursive=True)))
            files = {file: Path(file.name) for file in found if is_image_file(file)}
        files = {file: name for file, name in files.items()
                 if file.is_file() and (file == path or without is None or without not in file.resolve().parents)}
        if not files:
            raise DataError(f"'{item}': no image there; give an image, a folder of images or a glob pattern")
        for file, name in files.items():
            other = owners.setdefault(name.with_suffix(''), file)
            if other.resolve() != file.resolve():
                raise DataError(f"'{other}' and '{file}' would have one result '{name.with_suffix('.png')}'; rename "
                                'one or restore them apart')
    return {file: name for name, file in owners.items()}


def _partner(folder: Path, name: Path) -> Path:
    if folder.is_file():
        return folder
    for stem in dict.fromkeys((folder / name, folder / name.name)):
        for file in sorted(stem.parent.glob(f'{glob.escape(stem.name)}.*')):
            if is_image_file(file) and file.stem == stem.name:
                return file
    raise DataError(f"'{name}' has no partner in '{folder}'; put an image of the same stem there")


def restore_files(
    model: nn.Module,
    source: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    out_dir: str | os.PathLike[str],
    partners: Mapping[str, str | os.PathLike[str]] | None = None,
    overwrite: bool = False,
    compare: bool = False,
    show_progress: bool | None = None,
    **options: Any,
) -> Report:
    """Restore files, folders and patterns into PNG files of the same names.

    A result is written whole or not at all and results that exist are left, so a rerun goes on where the last one
    stopped. A picture that cannot be restored is reported, and the rest is finished.

    Args:
        model: as in :func:`restore_image`.
        source: files, folders (with the folders in them, whose structure is kept) or patterns.
        out_dir: where results go, made if needed.
        partners: folders (or one file) of the model's other inputs by name, as in ``{'ir': 'Inf/input'}``; partners
            have the same stem.
        overwrite: restore again what is there already.
        compare: write inputs and result side by side too, as ``<stem>_compare.png``.
        show_progress: whether to show bars; None shows them on a terminal.
        **options: ``tile``, ``overlap``, ``dtype`` and ``device`` of :func:`restore_image`.

    Raises:
        ConfigError: the model is no restorer, an option cannot work, or partners are missing or not wanted.
        DataError: nothing to restore, two pictures with one result, or a result that is its input.
    """
    first, *others = contract_of(model).inputs
    folders = {name: Path(folder) for name, folder in (partners or {}).items()}
    if set(folders) != set(others):
        raise ConfigError(f"{type(model).__name__} takes {', '.join((first, *others))}; give a folder for each but the "
                          f"first, as in --ir DIR: given {', '.join(folders) or 'none'}")
    out = Path(out_dir)
    files = find_images(source, leave_out=out)
    for folder in folders.values():
        if not folder.exists():
            raise DataError(f"'{folder}': no such file or folder")
        if folder.is_file() and len(files) > 1:
            raise DataError(f"'{folder}' is one image for {len(files)}; give a folder")
    targets = {file: out / name.parent / f'{name.name}.png' for file, name in files.items()}
    for file, target in targets.items():
        if target.exists() and target.samefile(file):
            raise DataError(f"'{file}' would be overwritten by its result; choose another folder (--out)")
    report = Report()
    hidden = None if show_progress is None else not show_progress
    with tqdm(total=len(files), desc='restore', unit='image', disable=hidden) as bar:
        for file, name in files.items():
            if targets[file].exists() and not overwrite:
                report.skipped.append(targets[file])
            else:
                try:
                    images = {first: read_image(file)}
                    for key, folder in folders.items():
                        images[key] = read_image(_partner(folder, name), _mode(key))
                    with _TileBar(hidden) as tiles:
                        result = restore_image(model, images, progress=tiles, **options)
                    if compare:
                        write_image(targets[file].with_name(f'{name.name}_compare.png'),
                                    np.concatenate((*images.values(), result), axis=1))
                    # Last, since its being there means that the picture is done.
                    report.done.append(write_image(targets[file], result))
                except ConfigError:
                    raise  # every other picture would meet it too
                except (MMWeatherError, MemoryError, RuntimeError) as error:
                    reason = _reason(error)
                    if reason is None:
                        raise
                    report.failed[file] = reason
            bar.update()
    return report


def _reason(error: Exception) -> str | None:
    """One line for what one picture can cause; None for faults of the program."""
    if isinstance(error, MMWeatherError):
        return str(error)
    text = str(error).lower()
    if isinstance(error, MemoryError) or 'out of memory' in text or 'allocate memory' in text:
        return 'out of memory; use smaller tiles (--tile 256)'
    return None


class _TileBar:
    """A second bar for pictures of several tiles, made when the first report comes."""

    def __init__(self, hidden: bool | None) -> None:
        self.hidden = hidden
        self.bar: tqdm | None = None

    def __enter__(self) -> _TileBar:
        return self

    def __call__(self, done: int, total: int) -> None:
        if total > 1 and self.bar is None:
            self.bar = tqdm(total=total, unit='tile', leave=False, position=1, disable=self.hidden)
        if self.bar is not None:
            self.bar.update(done - self.bar.n)

    def __exit__(self, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()
