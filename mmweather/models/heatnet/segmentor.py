"""HeatNet as an mmseg segmentor: day labels, and at night the judgement of a thermal teacher."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmseg.models.segmentors import EncoderDecoder
from mmseg.models.utils import resize
from torch import Tensor, nn

from mmweather.errors import ConfigError
from mmweather.models.adaptation.domains import group_by_domain, take
from mmweather.registry import MODELS

from .losses import certainty, segmentation_loss
from .state_dict_adapter import load_teacher

#: Channels of the stacked image that each modality takes.
CHANNELS = {('rgb', 'thermal'): slice(0, 4), ('rgb', ): slice(0, 3), ('thermal', ): slice(3, 4)}
_BY_COUNT = {4: slice(0, 4), 3: slice(0, 3), 1: slice(3, 4)}


@contextlib.contextmanager
def batch_statistics(module: nn.Module) -> Iterator[None]:
    """Batch norm uses the statistics of what it sees, and keeps its running ones as they are."""
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    kept = [(norm.training, norm.momentum, norm.num_batches_tracked) for norm in norms]
    try:
        for norm in norms:
            norm.training, norm.momentum, norm.num_batches_tracked = True, 0., None
        yield
    finally:
        for norm, (training, momentum, count) in zip(norms, kept, strict=True):
            norm.training, norm.momentum, norm.num_batches_tracked = training, momentum, count


@MODELS.register_module()
class HeatNet(EncoderDecoder):
    """HeatNet (Vertens et al., IROS 2020) on images of four channels: RGB, then thermal.

    Encoder and head are configs: those of HeatNet (``mmweather.HeatNetEncoder``, ``mmweather.HeatNetPSPHead``), or any
    of mmseg and timm; ``mmweather.TwoStreamBackbone`` makes one encoder a modality of any backbone. Samples with
    ``gt_sem_seg`` are trained on their labels. Samples without are trained on the classes that the teacher sees in
    them, each pixel weighted by the teacher's certainty. Samples of different domains go through the network apart, so
    that batch statistics are those of one domain, as published. The critics are
    :class:`~mmweather.engine.hooks.domain_critic.DomainCriticHook`'s business.

    Args:
        backbone: config of the encoder.
        decode_head: config of the head.
        modalities: which channels of the image the network sees: ``('rgb', 'thermal')``, ``('rgb',)`` or
            ``('thermal',)``.
        teacher: checkpoint of a HeatNet PSPNet or ResNeXt, ours or published, that supervises samples without labels;
            how many channels it sees is read from its weights. It is not part of this model's state dict.
        weight_by_certainty: weight the teacher's classes by its certainty: the greatest probability, or what its
            certainty branch says where it has one. Labels that were written beforehand are weighted by the
            ``certainty`` of their samples (``mmweather.PackTeacherLabels``).
        published_certainty: apply softmax twice in the certainty.
        published_teacher_mode: run the teacher in training mode: dropout is on and its statistics drift.
        bn_test: ``'running'``, or ``'batch'`` to test with the statistics of each image, which published weights need
            (their running statistics are those of test images).
        domains: names of the domains, labelled one first.
        **kwargs: of mmseg's ``EncoderDecoder``.

    Raises:
        ConfigError: unknown ``modalities`` or ``bn_test``.
        CheckpointError: when training starts: ``teacher`` is no HeatNet network.
    """

    def __init__(self, backbone: dict, decode_head: dict, modalities: Sequence[str] = ('rgb', 'thermal'),
                 teacher: str | None = None, weight_by_certainty: bool = True, published_certainty: bool = False,
                 published_teacher_mode: bool = False, bn_test: str = 'running',
                 domains: Sequence[str] = ('day', 'night'), **kwargs: Any) -> None:
        if tuple(modalities) not in CHANNELS:
            raise ConfigError("HeatNet: modalities must be ('rgb', 'thermal'), ('rgb',) or ('thermal',), got "
                              f'{tuple(modalities)}')
        if bn_test not in ('running', 'batch'):
            raise ConfigError(f"HeatNet: bn_test must be 'running' or 'batch', got {bn_test!r}")
        kwargs['test_cfg'] = ConfigDict({'mode': 'whole', **(kwargs.get('test_cfg') or {})})
        super().__init__(backbone, decode_head, **kwargs)
        self.channels = CHANNELS[tuple(modalities)]
        self.weight_by_certainty = weight_by_certainty
        self.published_certainty = published_certainty
        self.published_teacher_mode = published_teacher_mode
        self.bn_test = bn_test
        self.domains = tuple(domains)
        # In a tuple, so that it is no submodule: neither trained nor saved with this model.
        self._teacher: tuple[nn.Module, ...] = ()
        self._teacher_file = teacher

    def set_teacher(self, teacher: nn.Module | None) -> None:
        """Let ``teacher`` supervise samples without labels; it returns logits, or a sequence that starts with them."""
        self._teacher = () if teacher is None else (teacher.requires_grad_(False).train(self.published_teacher_mode), )

    def init_weights(self) -> None:
        """Initialise encoder and head, and read the teacher's checkpoint, so that a wrong one shows at the start."""
        super().init_weights()
        self._read_teacher()

    def _read_teacher(self) -> None:
        # Not in the constructor: testing needs no teacher, whose file may be elsewhere.
        if self._teacher_file and not self._teacher:
            self.set_teacher(load_teacher(self._teacher_file))

    @property
    def supervises_unlabelled(self) -> bool:
        """Whether samples without labels give a loss."""
        return bool(self._teacher or self._teacher_file)

    @torch.no_grad()
    def teach(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """The teacher's judgement of images of four channels, (B, 4, H, W): logits, and its certainty (B, h, w)."""
        self._read_teacher()
        teacher, = self._teacher
        first = next(part for part in teacher.modules() if isinstance(part, nn.Conv2d))
        if first.weight.device != inputs.device:
            teacher.to(inputs.device)
        streams = getattr(getattr(teacher, 'feats', None), 'streams', ('', ))
        if len(streams) == 2 or getattr(teacher, 'two_streams', False):
            output = teacher(*inputs.split((3, 1), 1))
        else:
            output = teacher(inputs[:, _BY_COUNT[first.in_channels]] if inputs.shape[1] == 4 else inputs)
        logits, _, *uncertain = (output, None) if isinstance(output, Tensor) else output
        if uncertain:  # a certainty branch, which tells the contrary
            return logits, 1 - uncertain[0][:, 0].float()
        return logits, certainty(logits.float(), self.published_certainty)

    def extract_feat(self, inputs: Tensor) -> Sequence[Tensor]:
        """Features of the channels that the modalities name; an image that has only those is taken as it is."""
        return super().extract_feat(inputs[:, self.channels] if inputs.shape[1] == 4 else inputs)

    def loss(self, inputs: Tensor, data_samples: Sequence[Any]) -> dict[str, Tensor]:
        """Losses of labelled samples, and of others where there is a teacher.

        Args:
            inputs: (B, C, H, W).
            data_samples: samples; where the batch mixes labelled and other samples, or domains, their metainfo holds
                ``domain``. Samples that the teacher judged leave with its certainty, ``certainty`` (H, W).
        """
        parts = [list(range(len(data_samples)))]
        if any('domain' in sample for sample in data_samples):
            groups = group_by_domain(data_samples, self.domains)
            parts = [index for index in groups.values() if index]
        losses: dict[str, Tensor] = {}
        for index in parts:
            losses.update(self._domain_loss(take(inputs, index), [data_samples[i] for i in index]))
        return losses

    def _domain_loss(self, inputs: Tensor, samples: Sequence[Any]) -> dict[str, Tensor]:
        labelled = ['gt_sem_seg' in sample for sample in samples]
        if all(labelled):
            certain = [sample.get('certainty') for sample in samples]
            if not self.weight_by_certainty or any(value is None for value in certain):
                return super().loss(inputs, samples)
            label = torch.stack([sample.gt_sem_seg.data for sample in samples]).squeeze(1)
            return self._teacher_loss(inputs, label, torch.stack(certain), self.decode_head.ignore_index)
        if any(labelled):
            raise ConfigError("HeatNet: a domain's samples must all have labels or none; give the data set one of both "
                              'by domain')
        if not self.supervises_unlabelled:
            raise ConfigError(f"sample '{samples[0].get('img_path', '?')}' has no label and HeatNet no teacher: set "
                              'model.teacher, or train on labelled samples alone')
        judged, certain = self.teach(inputs)
        if self.weight_by_certainty:
            for sample, value in zip(samples, certain, strict=True):
                sample.set_field(value, 'certainty', dtype=Tensor)
        return self._teacher_loss(inputs, judged, certain if self.weight_by_certainty else None)

    def _teacher_loss(self, inputs: Tensor, judged: Tensor, certain: Tensor | None,
                      ignore_index: int | None = None) -> dict[str, Tensor]:
        """Cross-entropy against a teacher's logits (B, C, h, w), or its labels (B, H, W)."""
        logits = self.decode_head(self.extract_feat(inputs)).float()
        size = logits.shape[2:]
        if judged.ndim == 3 and judged.shape[1:] != size:  # labels cannot be resized smoothly, logits can
            logits = resize(logits, judged.shape[1:], mode='bilinear', align_corners=False)
        elif judged.ndim == 4 and judged.shape[2:] != size:
            judged = resize(judged, size, mode='bilinear', align_corners=False)
            if certain is not None:
                certain = resize(certain[:, None], size, mode='bilinear', align_corners=False)[:, 0]
        label = judged.argmax(1) if judged.ndim == 4 else judged
        return {'teacher.loss_ce': segmentation_loss(logits, label, certain, ignore_index)}

    def _forward(self, inputs: Tensor, data_samples: Any = None) -> Tensor:
        if self.training and self.published_teacher_mode and self.supervises_unlabelled and data_samples and not any(
                'gt_sem_seg' in sample for sample in data_samples):
            self.teach(inputs)  # the published loop runs it in both phases, which moves its statistics
        return self.decode_head(self.extract_feat(inputs))

    def encode_decode(self, inputs: Tensor, batch_img_metas: list[dict]) -> Tensor:
        """Logits at the size of the image."""
        if self.bn_test == 'running' or self.training:
            return super().encode_decode(inputs, batch_img_metas)
        with batch_statistics(self):
            return torch.cat([super(HeatNet, self).encode_decode(image[None], [meta])
                              for image, meta in zip(inputs, batch_img_metas, strict=True)])
