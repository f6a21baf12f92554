"""Label maps that a trained segmentor writes for images without labels, with its certainty of each pixel."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset
from tqdm import tqdm

from ..config.explain import config_errors
from ..config.load import load_config
from ..errors import ConfigError, DataError
from ..utils.arrays import tensor_to_uint8
from ..utils.atomic import write_json
from ..utils.files import read_json
from ..utils.images import write_image
from ..utils.runs import end_forks_with_parent, is_newer
from .hub import get_model
from .restore import pick_device


def companion(image: str | Path, folder: str) -> Path:
    """Where a map of an image lies: in ``folder`` beside the image's own folder.

    A name that begins with the image's folder begins with the map's instead, as Freiburg Thermal has it:
    ``00/fl_rgb/fl_rgb_1_2.png`` to ``00/night_labels/night_labels_1_2.png``. The file is a PNG.
    """
    image = Path(image)
    stem, own = image.stem, f'{image.parent.name}_'
    if stem.startswith(own):
        stem = f'{folder}_{stem.removeprefix(own)}'
    return image.parent.parent / folder / f'{stem}.png'


def _part(config: Config, key: str, path: str | Path) -> Any:
    if config.get(key) is None:
        raise ConfigError(f"'{path}' has no {key}: give a config that says which images to label and how to load them "
                          '(configs/_base_/datasets/freiburg_thermal.py)')
    return config[key]


def _refuse_mixed_labels(note: Path, domains: Sequence[str], own: Mapping[str, Any], found: bool,
                         overwrite: bool) -> None:
    """Note whose labels these are; refuse to mix them with those of another."""
    try:
        notes = read_json(note) if note.is_file() else {}
    except ValueError:
        notes = {}
    notes = notes if isinstance(notes, dict) else {}
    others = [notes[domain] for domain in domains if notes.get(domain, own) != own]
    if not overwrite and (others or (found and not all(domain in notes for domain in domains))):
        whose = f"of '{others[0].get('teacher', '?')}'" if others else 'of another origin'
        if others and others[0].get('sha256') == own['sha256']:
            whose += ' with another config or certainty'
        raise DataError(f"'{note.parent}' holds '{note.stem}' {whose}: name another folder for the labels, or "
                        'overwrite them')
    if notes != (notes := {**notes, **dict.fromkeys(domains, own)}):
        write_json(note, notes)


def _digest_of(teacher: Config) -> str:
    """Of what the labels depend on in the teacher's config."""
    parts = {key: teacher.get(key) for key in ('model', 'pseudo_label_pipeline')}
    return hashlib.sha256(Config(parts).pretty_text.encode()).hexdigest()


def _is_kept(image: Path, folders: Sequence[str]) -> bool:
    """Whether the maps of an image are there and not older than the image."""
    maps = [companion(image, folder) for folder in folders]
    return all(file.is_file() and not is_newer([image], file) for file in maps)


class _Judge:
    """A segmentor's classes and certainty at the size of the original image."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.uncertain: Tensor | None = None
        branch = getattr(getattr(model, 'decode_head', None), 'certainty_index', None)
        if branch is not None:
            def keep(module: nn.Module, inputs: Any, output: Sequence[Tensor]) -> None:
                self.uncertain = output[branch]

            model.backbone.register_forward_hook(keep)

    @torch.inference_mode()
    def __call__(self, batch: Any) -> Iterator[tuple[str, Tensor, Tensor]]:
        """A path, classes (H, W) and certainty (H, W) in [0, 1] for each image of the batch."""
        for i, sample in enumerate(self.model.test_step(batch)):
            logits = sample.seg_logits.data.float()
            if len(logits) < 2 or len(logits) > 255:
                raise ConfigError(f'labels are written for segmentors of 2 to 255 classes, not {len(logits)}')
            certain, classes = logits.softmax(0).max(0)
            if self.uncertain is not None:
                certain = 1 - F.interpolate(self.uncertain[i:i + 1].float(), certain.shape, mode='bilinear')[0, 0]
            yield sample.img_path, classes, certain


def write_pseudo_labels(config: str | Path, checkpoint: str | Path, data: str | Path | None = None,
                        data_root: str | Path | None = None, domains: Sequence[str] = ('night', ),
                        labels: str = 'teacher_labels', certainty: str | None = 'teacher_certainty',
                        overwrite: bool = False, device: str | None = None, workers: int = 0,
                        progress: bool = True) -> dict[str, int]:
    """Write a teacher's label map and certainty for each image of a data set.

    The maps have the size of the original image and lie beside it (:func:`companion`); classes are the teacher's, one
    byte a pixel; the certainty, the greatest probability or what the teacher's certainty branch says, is in steps of
    1/255. Every file is whole or absent, and what is there already and not older than its image is kept, so an
    interrupted run goes on. A note ``<labels>.json`` in the data's root says which teacher (weights and config) it was;
    labels of another are not mixed in.

    Args:
        config: of the teacher, with ``pseudo_label_pipeline``, how it loads a whole image.
        checkpoint: of the teacher.
        data: config with ``pseudo_label_dataset``, the images without labels; the teacher's by default.
        data_root: folder of the data set in place of that of the config.
        domains: which images of the data set.
        labels: folder of the label maps.
        certainty: folder of the certainties; None writes none.
        overwrite: write every file anew, and replace labels of another teacher.
        device: where the teacher runs; a GPU if there is one.
        workers: processes that load images.
        progress: show a bar.

    Returns:
        ``{'written': ..., 'kept': ...}``.

    Raises:
        ConfigError: a config lacks its part, or the teacher's output is no classes.
        DataError: the folder holds other labels, or an image cannot be read.
        CheckpointError: the checkpoint is not the teacher's.
    """
    from ..registry import DATASETS

    if not labels or labels == certainty or any(Path(name).name != name for name in (labels, certainty or 'x')):
        raise ConfigError(f"the folders of labels and certainty must be two plain names, got '{labels}' and "
                          f"'{certainty}'")
    teacher = load_config(config)
    wanted = dict(_part(load_config(data) if data else teacher, 'pseudo_label_dataset', data or config),
                  pipeline=_part(teacher, 'pseudo_label_pipeline', config), domains=tuple(domains), test_mode=True)
    if data_root is not None:
        wanted['data_root'] = str(data_root)
    where = pick_device(device)
    with config_errors(teacher):
        dataset = DATASETS.build(wanted)
    images = [dataset.get_data_info(i)['img_path'] for i in range(len(dataset))]
    folders = [labels, *([certainty] if certainty else [])]
    whole = [_is_kept(Path(image), folders) for image in images]
    model = get_model(teacher, checkpoint, where)
    own = {'teacher': Path(checkpoint).name, 'sha256': hashlib.sha256(Path(checkpoint).read_bytes()).hexdigest(),
           'certainty': certainty, 'config': _digest_of(teacher)}
    _refuse_mixed_labels(Path(dataset.data_root) / f'{labels}.json', domains, own,
           any(companion(image, labels).is_file() for image in images), overwrite)
    pending = [i for i, there in enumerate(whole) if overwrite or not there]
    for i in pending:  # what is left of another teacher must not look like this one's after an interruption
        companion(images[i], labels).unlink(missing_ok=True)
    loader = DataLoader(Subset(dataset, pending), 1, num_workers=workers, collate_fn=pseudo_collate)
    end_forks_with_parent()
    judge = _Judge(model)
    for batch in tqdm(loader, desc=labels, unit='image', disable=not progress):
        for path, classes, certain in judge(batch):
            if certainty:
                write_image(companion(path, certainty), tensor_to_uint8(certain).cpu().numpy())
            write_image(companion(path, labels), classes.to(torch.uint8).cpu().numpy())
    return {'written': len(pending), 'kept': len(images) - len(pending)}
