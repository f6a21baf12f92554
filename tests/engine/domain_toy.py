"""A stock mmseg segmentor and drawn samples of two domains, imported by tests and (custom_imports) by subprocesses."""

from __future__ import annotations

import torch
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample
from torch.utils.data import Dataset

from mmweather.registry import DATASETS

SIDE = 128


@DATASETS.register_module()
class ToyDomains(Dataset):
    """Squares on a ground; by night darker and without labels."""

    METAINFO = dict(classes=('ground', 'square'))

    def __init__(self, length: int = 12) -> None:
        self.length, self.metainfo = length, dict(self.METAINFO)

    def full_init(self) -> None:
        pass

    def get_data_info(self, idx: int) -> dict:
        return {'domain': ('day', 'night')[idx % 2]}

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, idx: int) -> dict:
        generator = torch.Generator().manual_seed(int(idx))
        label = torch.zeros(1, SIDE, SIDE, dtype=torch.long)
        top, left = torch.randint(SIDE // 2, (2, ), generator=generator).tolist()
        label[:, top:top + SIDE // 2, left:left + SIDE // 2] = 1
        image = label.float().repeat(3, 1, 1) + 0.3 * torch.randn(3, SIDE, SIDE, generator=generator)
        domain = self.get_data_info(idx)['domain']
        sample = SegDataSample(metainfo=dict(domain=domain, img_path=f'{idx}.png', img_shape=(SIDE, SIDE),
                                             ori_shape=(SIDE, SIDE)))
        if domain == 'day':
            sample.gt_sem_seg = PixelData(data=label)
        return {'inputs': image * (1. if domain == 'day' else 0.3), 'data_samples': sample}


def segmentor(**options) -> dict:
    """DeepLabV3+ of mmseg, narrow, with group norm, which does not depend on how a batch is shared out."""
    norm = dict(type='mmengine.GN', num_groups=2)
    return dict(
        type='mmseg.EncoderDecoder',
        data_preprocessor=dict(type='mmseg.SegDataPreProcessor', size_divisor=1),
        backbone=dict(type='mmseg.ResNet', depth=18, base_channels=4, stem_channels=4, norm_cfg=norm,
                      norm_eval=False),
        decode_head=dict(
            type='mmseg.DepthwiseSeparableASPPHead', in_channels=32, in_index=3, channels=8, dilations=(1, 2),
            c1_in_channels=4, c1_channels=4, num_classes=2, norm_cfg=norm, dropout_ratio=0., out_channels=2,
            loss_decode=dict(type='mmseg.CrossEntropyLoss')),
        test_cfg=dict(mode='whole'), **options)


CRITICS = dict(features=['decode_head.conv_seg', 'backbone[0]'], critic=dict(type='mmweather.DomainCritic', width=2),
               initial_critic_iters=2, seg_iters=2, critic_iters=1, loss_weight=0.5)
"""Critics on the logits and on the backbone's first feature map, half as often as the segmentor."""


def adversarial(**options) -> dict:
    """The segmentor with critics."""
    return dict(type='mmweather.DomainAdversarial', segmentor=segmentor(), critics={**CRITICS, **options})


def hook(**options) -> dict:
    """The hook that adds the same critics to the segmentor."""
    return dict(type='mmweather.DomainCriticHook', **{**CRITICS, **options})
