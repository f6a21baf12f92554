"""CleanNet, NiteDR's first stage: nighttime de-raining.

The network is DRSformer (Chen et al., CVPR 2023) in its default form; the two published state dicts have
the same keys and shapes, and both load here.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from mmweather.models.ops.contract import InferenceContract
from mmweather.registry import MODELS

from .experts import MixtureOfExperts
from .layers import Downsample, TransformerBlock, Upsample


@MODELS.register_module()
class CleanNet(nn.Module):
    """Four-level encoder and decoder of sparse channel-attention blocks, with expert mixtures at both ends.

    Args:
        in_channels: channels of the input image.
        out_channels: channels of the output; the input is added to it, so it equals ``in_channels``.
        dim: width of the first level; it doubles at each of the three further levels.
        num_blocks: transformer blocks of the four levels.
        heads: attention heads of the four levels.
        ffn_expansion: width of the feed-forward relative to its input.
        bias: whether attention, feed-forward, reduction and output convolutions have a bias.
        norm: ``'WithBias'`` or ``'BiasFree'``, see :class:`~mmweather.models.nitedr.layers.ChannelLayerNorm`.

    Raises:
        ValueError: input and output channels differ, or four levels are not described.
    """

    inference_contract = InferenceContract(inputs=('img', ), multiple_of=8, minimum=8, tiling='shared', overlap=64)

    def __init__(
        self,
        in_channels: int = 3,
        out_channels: int = 3,
        dim: int = 48,
        num_blocks: Sequence[int] = (4, 6, 6, 8),
        heads: Sequence[int] = (1, 2, 4, 8),
        ffn_expansion: float = 2.66,
        bias: bool = False,
        norm: str = 'WithBias',
    ) -> None:
        super().__init__()
        if in_channels != out_channels:
            raise ValueError(f'CleanNet adds its input to its output: in_channels={in_channels} must equal '
                             f'out_channels={out_channels}')
        if len(num_blocks) != 4 or len(heads) != 4:
            raise ValueError(f'CleanNet has four levels: num_blocks={tuple(num_blocks)}, heads={tuple(heads)}')

        def level(width: int, count: int, num_heads: int) -> nn.Sequential:
            return nn.Sequential(*(TransformerBlock(width, num_heads, ffn_expansion, bias, norm) for _ in range(count)))

        self.patch_embed = nn.ModuleDict({'proj': nn.Conv2d(in_channels, dim, 3, padding=1, bias=False)})
        self.encoder_level0 = MixtureOfExperts(dim)
        self.encoder_level1 = level(dim, num_blocks[0], heads[0])
        self.down1_2 = Downsample(dim)
        self.encoder_level2 = level(dim * 2, num_blocks[1], heads[1])
        self.down2_3 = Downsample(dim * 2)
        self.encoder_level3 = level(dim * 4, num_blocks[2], heads[2])
        self.down3_4 = Downsample(dim * 4)
        self.latent = level(dim * 8, num_blocks[3], heads[3])
        self.up4_3 = Upsample(dim * 8)
        self.reduce_chan_level3 = nn.Conv2d(dim * 8, dim * 4, 1, bias=bias)
        self.decoder_level3 = level(dim * 4, num_blocks[2], heads[2])
        self.up3_2 = Upsample(dim * 4)
        self.reduce_chan_level2 = nn.Conv2d(dim * 4, dim * 2, 1, bias=bias)
        self.decoder_level2 = level(dim * 2, num_blocks[1], heads[1])
        self.up2_1 = Upsample(dim * 2)
        self.decoder_level1 = level(dim * 2, num_blocks[0], heads[0])
        self.refinement = MixtureOfExperts(dim * 2)
        self.output = nn.Conv2d(dim * 2, out_channels, 3, padding=1, bias=bias)

    def forward(self, img: Tensor) -> Tensor:
        """Restore a batch.

        Args:
            img: (B, in_channels, H, W), RGB in [0, 1], H and W multiples of 8.

        Returns:
            The same shape, nominally in [0, 1], not clamped.
        """
        x = img.contiguous(memory_format=torch.channels_last)
        x = self.encoder_level0(self.patch_embed['proj'](x))
        skip1 = self.encoder_level1(x)
        skip2 = self.encoder_level2(self.down1_2(skip1))
        skip3 = self.encoder_level3(self.down2_3(skip2))
        x = self.latent(self.down3_4(skip3))
        x = self.decoder_level3(self.reduce_chan_level3(torch.cat((self.up4_3(x), skip3), 1)))
        x = self.decoder_level2(self.reduce_chan_level2(torch.cat((self.up3_2(x), skip2), 1)))
        x = self.decoder_level1(torch.cat((self.up2_1(x), skip1), 1))
        return self.output(self.refinement(x)) + img
