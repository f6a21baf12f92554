"""TogetherNet as a detector of mmdet."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from mmdet.models.detectors import SingleStageDetector
from mmdet.models.utils import unpack_gt_instances
from mmdet.structures import DetDataSample
from mmengine.config import ConfigDict
from torch import Tensor, nn

from mmweather.errors import ConfigError, DataError
from mmweather.models.ops.padding import padded_size
from mmweather.models.preprocessors.det_images import denormalised, offset_of, picture_of
from mmweather.registry import MODELS

from .distillation import distillation_losses, teach
from .head import published_head, published_initialisation
from .sampling import without_autocast
from .start import load_start, mmdet_checkpoint

#: Depth and width factors, as YOLOX names them.
ARCHITECTURES = {'tiny': (0.33, 0.375), 's': (0.33, 0.5), 'm': (0.67, 0.75), 'l': (1.0, 1.0), 'x': (1.33, 1.25)}
_STRIDE, _MINIMUM = 32, 128
# mmdet's SPP layer and SimOTA use the old name in every iteration, and each use would break the progress bar.
warnings.filterwarnings('ignore', r'`torch\.cuda\.amp\.autocast', FutureWarning, r'mmdet\.')


def detector_parts(arch: str | tuple[float, float], num_classes: int) -> dict[str, dict[str, Any]]:
    """Configs of the detector's parts.

    Args:
        arch: a key of :data:`ARCHITECTURES`, or depth and width factors.
        num_classes: number of classes.

    Returns:
        Configs by name: ``backbone``, ``neck``, ``bbox_head``, ``restoration_head``.

    Raises:
        ConfigError: there is no such architecture.
    """
    if isinstance(arch, str) and arch not in ARCHITECTURES:
        raise ConfigError(f"model.arch is '{arch}'; it must be one of {', '.join(ARCHITECTURES)}, or (depth, width)")
    depth, width = ARCHITECTURES[arch] if isinstance(arch, str) else arch
    widths = [int(channels * width) for channels in (256, 512, 1024)]
    head = published_head(num_classes, widths[0], widths[0])
    return dict(
        backbone=dict(type='mmweather.DTFEDarknet', deepen_factor=depth, widen_factor=width),
        neck=dict(type='mmweather.SelfCalibratedPAFPN', in_channels=widths, out_channels=widths[0],
                  num_csp_blocks=max(round(3 * depth), 1)),
        bbox_head=dict({key: value for key, value in head.items() if key not in ('train_cfg', 'test_cfg')},
                       type='mmweather.PartlyLabelledYOLOXHead'),
        restoration_head=dict(type='mmweather.RestorationHead', in_channels=widths))


def _merged(default: Mapping[str, Any], given: Mapping[str, Any] | None) -> ConfigDict:
    """The default with what is given; another ``type`` replaces it as a whole."""
    if given is None:
        return ConfigDict(default)
    if given.get('type', default.get('type')) != default.get('type'):
        return ConfigDict(given)
    return ConfigDict({**default, **given})


@MODELS.register_module()
class TogetherNet(SingleStageDetector):
    """Detection in fog, trained together with the restoration of the clear image (Wang et al., CGF 2022).

    Only foggy images pass through the network.  Where a data sample holds ``clean_img``, (3, H, W) in the space of the
    input and of its padded size, the restoration head's loss on it is added; samples without one train detection only.

    Images of any size work: in the network they are padded at the right and the bottom, with zeros, to multiples of
    32 and at least 128.  A centred letterbox (``pad_param`` of the sample) is undone in the predictions.

    Args:
        arch: ``'tiny'``, ``'s'`` (the published one), ``'m'``, ``'l'``, ``'x'``, or depth and width factors; it sets
            all channels.
        num_classes: number of classes.
        backbone: what to change in the backbone's config, see :func:`detector_parts`; a dict with another ``type``
            replaces it. So do the next three.
        neck: as ``backbone``.
        bbox_head: as ``backbone``.
        restoration_head: as ``backbone``; False leaves restoration out.
        detection_weight: factor of the detection losses, 0.2 as published; the restoration head has its own.
        published_init: start from N(0, 0.02) convolutions and no prior of the class and objectness biases, as
            published, and not as mmdet's YOLOX does.
        published_frozen_attention: leave the attention's input projection as it was initialised. The published
            training never gives it to the optimizer.
        start_from: checkpoint of a YOLOX or TogetherNet that initialises what it fits: mmdet's, Megvii's or a
            published one; a file or an address, or ``'mmdet'`` for mmdet's public COCO weights of this ``arch``.
        start_input: what that network takes: ``'auto'`` (by the layout), ``'bgr255'`` or ``'imagenet'``, see
            :func:`~mmweather.models.togethernet.start.load_start`.
        start_classes: numbers of that network's classes that ours are, as ``(0, 1, 2, 3, 5, 7)`` for six of COCO's 80.
        distil: in training, the network as it was started sees the clear image of each sample and teaches this one
            what is there, without boxes: ``dict(weight=1.0, flip=True)``, see
            :mod:`~mmweather.models.togethernet.distillation`.  None: no teacher.
        frozen_norm: keep the running statistics of batch norms as they are, as a network needs whose batch norms were
            folded into its convolutions.
        restoration_only: train the restoration head alone; the rest is as it is and gets no gradient.
        channels_last: memory format of the maps; quicker on CPUs that can.
        train_cfg: assigner, by default SimOTA as published.
        test_cfg: changes to ``score_thr=0.001, nms=dict(iou_threshold=0.65), restore=False``. With ``restore`` every
            prediction holds the restored image, see :meth:`predict`.
        data_preprocessor: ``mmweather.PairedDetPreprocessor``, or mmdet's where there are no clear images.
        init_cfg: as everywhere in MMEngine.

    Raises:
        ConfigError: an architecture or ``start_input`` that does not exist.
    """

    def __init__(self, arch: str | tuple[float, float] = 's', num_classes: int = 5, backbone: dict | None = None,
                 neck: dict | None = None, bbox_head: dict | None = None,
                 restoration_head: dict | bool | None = None, detection_weight: float = 0.2,
                 published_init: bool = False, published_frozen_attention: bool = False,
                 start_from: str | None = None, start_input: str = 'auto',
                 start_classes: Sequence[int] | None = None, distil: dict | None = None,
                 frozen_norm: bool = False, restoration_only: bool = False, channels_last: bool = False,
                 train_cfg: dict | None = None, test_cfg: dict | None = None, data_preprocessor: dict | None = None,
                 init_cfg: dict | list | None = None) -> None:
        if start_input not in ('auto', 'bgr255', 'imagenet'):
            raise ConfigError(f"model.start_input is '{start_input}'; it must be auto, bgr255 or imagenet")
        if distil is not None and start_from is None:
            raise ConfigError('model.distil needs model.start_from, the network that teaches')
        parts = detector_parts(arch, num_classes)
        defaults = published_head(num_classes, 1, 1)
        super().__init__(
            backbone=_merged(parts['backbone'], backbone),
            neck=_merged(parts['neck'], neck),
            bbox_head=_merged(parts['bbox_head'], bbox_head),
            train_cfg=_merged(defaults['train_cfg'], train_cfg),
            test_cfg=_merged(dict(defaults['test_cfg'], restore=False), test_cfg),
            data_preprocessor=data_preprocessor,
            init_cfg=init_cfg)
        self.detection_weight = detection_weight
        self.published_init = published_init
        self.start_from = mmdet_checkpoint(arch) if start_from == 'mmdet' else start_from
        self.start_input = start_input
        self.start_classes = start_classes
        self.distil = None if distil is None else dict(dict(weight=1.0, flip=True), **distil)
        # In a list, so that it is no part of the module: neither trained nor saved.
        self._teacher: list[SingleStageDetector] = []
        self.frozen_norm = frozen_norm
        self.channels_last = channels_last
        self.restoration_only = restoration_only
        self.restoration_head = None
        if restoration_head is not False:
            given = None if restoration_head in (None, True) else restoration_head
            self.restoration_head = MODELS.build(_merged(parts['restoration_head'], given))
        if published_frozen_attention:
            for name, parameter in self.backbone.named_parameters():
                parameter.requires_grad_('.ma.in_proj_' not in name and parameter.requires_grad)

    def init_weights(self) -> None:
        """Initialise, then load ``start_from``."""
        super().init_weights()
        if self.published_init:
            published_initialisation(self)
        if self.start_from is not None:
            load_start(self, self.start_from, self.start_input, self.start_classes)
        if self.distil is not None:
            self._teacher = [copy.deepcopy(self).eval().requires_grad_(False)]

    def train(self, mode: bool = True) -> TogetherNet:
        """Training or evaluation; batch norms stay in the second where ``frozen_norm`` is set."""
        super().train(mode)
        if mode and self.frozen_norm:
            for part in (self.backbone, self.neck, self.bbox_head):
                for module in part.modules():
                    if isinstance(module, nn.BatchNorm2d):
                        module.eval()
        return self

    def _fitted(self, images: Tensor) -> Tensor:
        """(..., H, W) padded with zeros to a size that the network takes."""
        height, width = images.shape[-2:]
        down, right = (padded_size(side, _STRIDE, _MINIMUM) - side for side in (height, width))
        images = F.pad(images, (0, right, 0, down)) if down or right else images
        return images.contiguous(memory_format=torch.channels_last) if self.channels_last else images

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """(B, 3, H, W) of any size to the neck's outputs at strides 8, 16 and 32."""
        return self.neck(self.backbone(self._fitted(batch_inputs)))

    def loss(self, batch_inputs: Tensor, batch_data_samples: Sequence[DetDataSample]) -> dict[str, Tensor]:
        """Losses of a batch.

        Args:
            batch_inputs: foggy images (B, 3, H, W), normalised.
            batch_data_samples: with ``gt_instances`` and, where there is one, ``clean_img``.

        Returns:
            ``loss_cls``, ``loss_bbox``, ``loss_obj`` (and ``loss_l1``) times ``detection_weight``,
            ``loss_restoration``, and those of :func:`~mmweather.models.togethernet.distillation.distillation_losses`.

        Raises:
            ConfigError: a box has a label that the head has no class for.
            DataError: an image holds NaN or infinite values, or a clear image has another size.
        """
        self._check(batch_inputs, batch_data_samples)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.restoration_only):
            features = self.backbone(self._fitted(batch_inputs))
        if self.restoration_only:
            return self._restoration_losses(features, batch_inputs, batch_data_samples)
        maps = self.bbox_head(self.neck(features))
        # SimOTA and the boxes' exponentials need the digits and the range of float32.
        with without_autocast(batch_inputs):
            losses = self._detection_losses([[x.float() for x in kind] for kind in maps], batch_data_samples)
        losses = {name: self.detection_weight * value for name, value in losses.items()}
        clear = [sample.get('clean_img') for sample in batch_data_samples]
        self._check_sizes(batch_inputs, clear)
        if self.distil is not None:
            losses.update(self._distillation_losses(maps, clear))
        if self.restoration_head is not None:
            losses.update(self._restoration_losses(features, batch_inputs, batch_data_samples))
        return losses

    def _restoration_losses(self, features: Sequence[Tensor], images: Tensor,
                            samples: Sequence[Any]) -> dict[str, Tensor]:
        clear = [sample.get('clean_img') for sample in samples]
        self._check_sizes(images, clear)
        clear = [None if image is None else self._fitted(image[None])[0] for image in clear]
        return self.restoration_head.loss(features, clear, *self._sources(images, samples))

    def _distillation_losses(self, maps: Sequence[Sequence[Tensor]],
                             clear: Sequence[Tensor | None]) -> dict[str, Tensor]:
        rows = [i for i, image in enumerate(clear) if image is not None]
        if not rows:
            return {}
        if not self._teacher:
            raise ConfigError('model.distil: the teacher is made by init_weights(); call it before training')
        teacher = self._teacher[0] = self._teacher[0].to(maps[0][0].device)
        images = torch.stack([clear[i] for i in rows])
        lesson = teach(teacher._forward, images, self.distil['flip'])
        losses = distillation_losses([[level[rows] for level in kind] for kind in maps], lesson)
        return {name: self.distil['weight'] * value for name, value in losses.items()}

    def _sources(self, images: Tensor, samples: Sequence[Any]) -> tuple[Tensor, ...]:
        """What a restoration with ``skip`` begins from: ``raw_img`` of the samples that have it, else the input."""
        if not getattr(self.restoration_head, 'skip', False):
            return ()
        raw = [sample.get('raw_img') for sample in samples]
        self._check_sizes(images, raw, 'raw_img')
        raw = [own if image is None else image for own, image in zip(images, raw, strict=True)]
        return (self._fitted(torch.stack(raw)), )

    def _detection_losses(self, maps: list[list[Tensor]], samples: Sequence[DetDataSample]) -> dict[str, Tensor]:
        total = sum(x.sum() for kind in maps for x in kind)
        if not torch.isfinite(total):
            # SimOTA stops within PyTorch on such values; a loss that is NaN is reported by name (NonFiniteLossHook).
            names = ('loss_cls', 'loss_bbox', 'loss_obj', *(['loss_l1'] if self.bbox_head.use_l1 else ()))
            return dict.fromkeys(names, total * float('nan'))
        instances, ignored, metas = unpack_gt_instances(samples)
        return self.bbox_head.loss_by_feat(*maps, instances, metas, ignored)

    def _check(self, images: Tensor, samples: Sequence[Any]) -> None:
        # One number, so that an accelerator is waited for once.
        if not torch.isfinite(images.sum()):
            bad = [i for i, image in enumerate(images) if not torch.isfinite(image).all()]
            if bad:
                names = [samples[i].metainfo.get('img_path') or f'sample {i}' for i in bad[:3] if i < len(samples)]
                raise DataError(f'{", ".join(map(str, names)) or "the input"}: holds NaN or infinite values; look at '
                                "the file and at the normalisation (model.data_preprocessor's mean and std)")
        labels = [s.gt_instances.labels for s in samples if 'labels' in s.get('gt_instances', ())]
        top = max((int(x.max()) for x in labels if len(x)), default=-1)
        if top >= self.bbox_head.num_classes:
            raise ConfigError(f'a box has label {top}, but model.num_classes is {self.bbox_head.num_classes}: set it '
                              "to the number of the data set's classes")

    @staticmethod
    def _check_sizes(images: Tensor, clear: Sequence[Tensor | None], name: str = 'clean_img') -> None:
        for i, image in enumerate(clear):
            if image is not None and image.shape != images.shape[1:]:
                raise DataError(f'{name} of sample {i} is {tuple(image.shape)}, the input '
                                f'{tuple(images.shape[1:])}: load, move and pad both together '
                                '(mmweather.PairedDetPreprocessor)')

    def predict(self, batch_inputs: Tensor, batch_data_samples: Sequence[DetDataSample], rescale: bool = True,
                restore: bool | None = None) -> list[DetDataSample]:
        """Detections, and the restored images if asked for.

        Args:
            batch_inputs: foggy images (B, 3, H, W), normalised.
            batch_data_samples: their samples.
            rescale: boxes and restored images in the size of the original image, not of the input.
            restore: also restore; ``test_cfg.restore`` if None. The decoder runs only then.

        Returns:
            The samples with ``pred_instances`` and, if asked for, ``restored_img``, uint8 (3, H, W), **RGB**.
        """
        self._check(batch_inputs, [])
        restore = bool(self.test_cfg.get('restore')) if restore is None else restore
        if restore and self.restoration_head is None:
            raise ConfigError('the restored image is asked for, but model.restoration_head is False')
        features = self.backbone(self._fitted(batch_inputs))
        results = self.bbox_head.predict(self.neck(features), batch_data_samples, rescale=rescale)
        if rescale:
            for result, sample in zip(results, batch_data_samples, strict=True):
                _undo_offset(result.bboxes, sample.metainfo)
        samples = self.add_pred_to_datasample(batch_data_samples, results)
        if restore:
            pictures = self._pictures(features, *self._sources(batch_inputs, batch_data_samples))
            for sample, image in zip(samples, pictures, strict=True):
                sample.restored_img = picture_of(image, sample.metainfo, batch_inputs.shape[-2:], rescale)
        return samples

    def _pictures(self, features: Sequence[Tensor], *foggy: Tensor) -> Tensor:
        """Restored images of the padded size, float RGB in [0, 255]."""
        return denormalised(self.restoration_head(features, *foggy).float(), self.data_preprocessor)

    def _forward(self, batch_inputs: Tensor, batch_data_samples: Any = None) -> tuple:
        """Raw maps of the head: class scores, boxes and objectness, finest level first."""
        return self.bbox_head(self.extract_feat(batch_inputs))


def _undo_offset(boxes: Tensor, meta: Mapping[str, Any]) -> None:
    """Shift boxes that mmdet scaled back, in place: it knows padding at the right and the bottom only."""
    top, left = offset_of(meta)
    if top or left:
        boxes -= boxes.new_tensor((left, top)).div(boxes.new_tensor(meta['scale_factor'])).repeat(2)
