"""Restoring pictures with a trained network."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Union

import numpy as np
import PIL.Image
import PIL.ImageOps
import torch
from torch import Tensor, nn

from ..errors import ConfigError, DataError
from ..methods import input_of
from ..models.ops.contract import InferenceContract
from ..models.ops.padding import padded_size
from ..models.ops.tiling import choose_tile, run_tiled, tile_grid
from ..utils.arrays import tensor_to_uint8
from ..utils.images import read_image
from ..utils.text import plural
from .memory import check_memory, smaller_tiles

Image = Union[np.ndarray, PIL.Image.Image, Tensor, str, 'os.PathLike[str]']
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


def bands_of(model: nn.Module) -> int:
    """How many bands a model restores: what it or its generator declares as ``out_channels``, else three."""
    for module in (model, getattr(model, 'generator', None)):
        count = getattr(module, 'out_channels', None)
        if isinstance(count, int):
            return count
    return 3


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
            order. A picture is a file, a PIL image, a uint8 array, (H, W, 3) RGB or (H, W) grey, or a uint8 tensor
            (3, H, W); all are of one size.
        tile: side of the tiles in pixels, ``'auto'`` (tiles where the image is large), or None for the whole.
        overlap: pixels that tiles share; None takes the network's own.
        dtype: None (float32), ``'bf16'`` or ``'fp16'``: autocast.
        device: where the model is moved and run; None leaves it where it is.
        progress: called with (tiles done, tiles in all).

    Returns:
        uint8, (H, W, 3), RGB.

    Raises:
        ConfigError: the model is no restorer, or an option cannot work.
        DataError: an input is missing, unreadable or of another size, there is not enough memory for it
            (:mod:`mmweather.apis.memory`), or the output is not finite.
    """
    return restore_batch(model, [images], tile, overlap, dtype, device, progress)[0]


def restore_batch(
    model: nn.Module,
    batch: Sequence[Images],
    tile: int | str | None = 'auto',
    overlap: int | None = None,
    dtype: str | None = None,
    device: str | torch.device | None = None,
    progress: Progress | None = None,
) -> list[np.ndarray]:
    """Restore images of one size together; see :func:`restore_image` for the arguments and what is raised.

    Args:
        batch: what :func:`restore_image` takes, once or more.

    Returns:
        As many results.
    """
    contract = contract_of(model)
    rows = [{name: as_array(name, image) for name, image in _by_name(images, contract).items()} for images in batch]
    shapes = {check_sizes(arrays) for arrays in rows}
    if len(shapes) > 1:
        raise DataError('a batch holds images of one size, got '
                        + ', '.join(f'{width}x{height}' for height, width in sorted(shapes)))
    if device is not None:
        model = model.to(pick_device(device))
    model.eval()
    where = device_of(model)
    tensors = {name: torch.cat([_to_tensor(arrays[name]) for arrays in rows]).to(where) for name in rows[0]}
    return [_to_array(image) for image in predict(model, tensors, tile, overlap, dtype, progress)]


def check_sizes(arrays: Mapping[str, np.ndarray]) -> tuple[int, int]:
    """Height and width of images that belong together.

    Raises:
        DataError: they differ.
    """
    shapes = {name: array.shape[:2] for name, array in arrays.items()}
    if len(set(shapes.values())) > 1:
        sizes = ', '.join(f'{name} {shape[1]}x{shape[0]}' for name, shape in shapes.items())
        raise DataError(f'the inputs differ in size ({sizes}); register and cut them to one size')
    height, width = next(iter(shapes.values()))
    return height, width


def predict(model: nn.Module, tensors: dict[str, Tensor], tile: int | str | None = None, overlap: int | None = None,
            dtype: str | None = None, progress: Progress | None = None) -> Tensor:
    """Run a model on tensors (B, C, H, W) in [0, 1] on its device, in the contract's order; options as above.

    Returns:
        (B, C', H, W), on that device.
    """
    where = next(iter(tensors.values())).device
    with autocast(dtype, where):
        _check_memory(model, tensors, tile, overlap, dtype)
    with torch.inference_mode(), autocast(dtype, where):
        return _run(model, tensors, tile, overlap, progress)


def _run(model: nn.Module, tensors: dict[str, Tensor], tile: int | str | None = None, overlap: int | None = None,
         progress: Progress | None = None) -> Tensor:
    if hasattr(model, 'predict_images'):
        # There, None means what the config says.
        return model.predict_images(tensors, tile='none' if tile is None else tile, overlap=overlap, progress=progress)
    return run_tiled(model, tuple(tensors.values()), contract_of(model), tile, overlap, progress)


def _check_memory(model: nn.Module, tensors: dict[str, Tensor], tile: int | str | None, overlap: int | None,
                  dtype: str | None) -> None:
    """Refuse pictures, or tiles of them, that the memory is too small for.

    Raises:
        DataError: see :func:`~mmweather.apis.memory.check_memory`.
    """
    contract = contract_of(model)
    first = next(iter(tensors.values()))
    count, _, height, width = first.shape
    side = choose_tile(tile, height, width, contract, first.device.type)
    if side is None:
        size = tuple(padded_size(length, contract.multiple_of, contract.minimum) for length in (height, width))
        beside = 0
    else:
        size = tuple(tile_grid(height, width, side, overlap, contract, even=tile == 'auto')[0])
        # The blended result, and its clamped copy.
        beside = 2 * 4 * count * bands_of(model) * height * width
    channels = {name: tensor.shape[1] for name, tensor in tensors.items()}

    def run(height: int, width: int) -> Tensor:
        return _run(model, {name: torch.zeros((count, bands, height, width), dtype=first.dtype, device=first.device)
                            for name, bands in channels.items()})

    def remedy(fits: Callable[[int, int], bool]) -> str:
        if contract.tiling == 'never':
            return 'give a smaller picture' + (' or --batch-size 1' if count > 1 else '')
        return smaller_tiles(fits, max(size))

    check_memory(model, (dtype, ), run, (size[0], size[1]), count, first.device, remedy, beside)


def device_of(model: nn.Module) -> torch.device:
    """Where a model is."""
    return next((tensor.device for tensor in (*model.parameters(), *model.buffers())), torch.device('cpu'))


def _by_name(images: Images, contract: InferenceContract) -> dict[str, Image]:
    names = contract.inputs
    if isinstance(images, Mapping):
        given = dict(images)
    else:
        row = list(images) if isinstance(images, (list, tuple)) else [images]
        if len(row) != len(names):
            raise DataError(f'{plural(len(row), "image")} given, the model takes {len(names)}: {", ".join(names)}')
        given = dict(zip(names, row, strict=True))
    if set(names) != set(given):
        raise DataError(f"inputs {', '.join(sorted(given)) or 'none'} given, the model takes {', '.join(names)}")
    return {name: given[name] for name in names}


def in_memory(image: Any) -> np.ndarray | None:
    """Return an image in memory as an array (H, W) or (H, W, C), or None for a file name and anything else.

    Args:
        image: an array, which is returned as it is; a PIL image, whose orientation is applied and whose colours become
            RGB; or a tensor, (C, H, W) with one or three channels, (H, W, C), or (H, W).

    Raises:
        DataError: a PIL image has more than 8 bits a value, which have no fixed range.
    """
    if isinstance(image, np.ndarray):
        return image
    if isinstance(image, Tensor):
        array = image.detach().cpu().numpy()
        if array.ndim == 3 and array.shape[0] in (1, 3):
            array = array.transpose(1, 2, 0)
        return array[..., 0] if array.ndim == 3 and array.shape[2] == 1 else array
    if isinstance(image, PIL.Image.Image):
        if image.mode in ('I', 'F') or image.mode.startswith('I;'):
            raise DataError(f"a PIL image of mode '{image.mode}' has more than 8 bits a value; scale it to 0..255 and "
                            "convert it to 'L' or 'RGB'")
        upright = PIL.ImageOps.exif_transpose(image)
        return np.array(upright.convert('L' if image.mode in ('1', 'L', 'LA', 'La') else 'RGB'))
    return None


def as_array(name: str, image: Image) -> np.ndarray:
    """A file or an array as uint8 (H, W, 3), RGB.

    Raises:
        DataError: it is no such picture; ``name`` stands in the message.
    """
    found = in_memory(image)
    if found is None:
        if not isinstance(image, (str, os.PathLike)):
            raise DataError(f"'{name}' must be a file, an array, a PIL image or a tensor, got {type(image).__name__}")
        return read_image(os.fspath(image), mode=input_of(name).image_mode)
    image = found
    array = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        raise DataError(f"'{name}' must be uint8 (H, W, 3) RGB or (H, W), got {image.dtype} {image.shape}; "
                        'scale to 0..255, round and cast')
    return array


def _to_tensor(array: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array.transpose(2, 0, 1))).float().div_(255)[None]


def _to_array(output: Tensor) -> np.ndarray:
    image = output.float()
    check_finite(image)
    return tensor_to_uint8(image).permute(1, 2, 0).contiguous().cpu().numpy()


def check_finite(image: Tensor) -> None:
    """Refuse an output with NaN or infinity.

    Raises:
        DataError: it has one.
    """
    # The sum is not finite if any value is not.
    if not torch.isfinite(image.double().sum() if image.device.type != 'mps' else image.sum()):
        raise DataError('the network returned values that are not finite; run it in float32 (--dtype fp32), or check '
                        'the checkpoint')


def autocast(dtype: str | None, device: torch.device) -> contextlib.AbstractContextManager[Any]:
    """Mixed precision by name: ``'bf16'``, ``'fp16'``; None and ``'fp32'`` change nothing.

    Raises:
        ConfigError: there is no such precision, or not on this device.
    """
    if dtype in (None, 'fp32'):
        return contextlib.nullcontext()
    if dtype not in _DTYPES:
        raise ConfigError(f"dtype='{dtype}': give fp32, bf16 or fp16")
    if dtype == 'fp16' and device.type == 'cpu':
        raise ConfigError("dtype='fp16' needs a GPU; on a CPU use bf16")
    return torch.autocast(device.type, dtype=_DTYPES[dtype])
