"""The U-Net that the published scripts of SSDIE-Net train, and its patch-wise relative."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mmweather.models.ops.contract import InferenceContract
from mmweather.registry import MODELS

from .layers import SLOPE, DownBlock, LatentNoise, UpBlock


@MODELS.register_module()
class SandDustUNet(nn.Module):
    """The U-Net of pix2pix (Isola et al., CVPR 2017) with a tanh output and noise on its latent code.

    Each level halves the image; the widths are ``features`` times 1, 2, 4, 8, 8, ...

    Args:
        in_channels: channels of the image, in and out.
        features: width of the first level.
        num_downs: levels, the bottleneck included; the image sides are multiples of ``2 ** num_downs``. 8 is
            the published restorer.
        dropout: probability in the three deepest decoder blocks.
        noise_std: standard deviation of the noise on the bottleneck.
        published_noise: add the noise in evaluation mode too, as the published code does.

    Raises:
        ValueError: fewer than three levels.
    """

    inference_contract = InferenceContract(multiple_of=256, minimum=256, tiling='approximate', overlap=64)

    def __init__(self, in_channels: int = 3, features: int = 64, num_downs: int = 8, dropout: float = 0.5,
                 noise_std: float = 0.01, published_noise: bool = False) -> None:
        super().__init__()
        if num_downs < 3:
            raise ValueError(f'SandDustUNet has at least three levels, got num_downs={num_downs}')
        self.num_downs = num_downs
        step = 2**num_downs
        self.inference_contract = InferenceContract(multiple_of=step, minimum=step, tiling='approximate', overlap=64)
        widths = [features * min(2**i, 8) for i in range(num_downs - 1)]
        self.initial_down = nn.Sequential(
            nn.Conv2d(in_channels, widths[0], 4, 2, 1, padding_mode='reflect'), nn.LeakyReLU(SLOPE, inplace=True))
        for i in range(1, num_downs - 1):
            self.add_module(f'down{i}', DownBlock(widths[i - 1], widths[i]))
        self.bottleneck = nn.Sequential(nn.Conv2d(widths[-1], widths[-1], 4, 2, 1), nn.ReLU(inplace=True))
        self.noise = LatentNoise(noise_std, published_noise)
        for i in range(1, num_downs):
            width = widths[-1] if i == 1 else 2 * widths[-i + 1]
            self.add_module(f'up{i}', UpBlock(width, widths[-i], dropout if i <= 3 else 0.0))
        self.final_up = nn.Sequential(nn.ConvTranspose2d(2 * widths[0], in_channels, 4, 2, 1), nn.Tanh())

    def forward(self, img: Tensor) -> Tensor:
        """Restore a batch.

        Args:
            img: (B, in_channels, H, W), RGB in [-1, 1], sides multiples of ``2 ** num_downs``.

        Returns:
            The same shape and range.
        """
        x = self.initial_down(img)
        skips = [x]
        for i in range(1, self.num_downs - 1):
            x = self.get_submodule(f'down{i}')(x)
            skips.append(x)
        x, = self.noise(self.bottleneck(x))
        for i in range(1, self.num_downs):
            x = torch.cat((self.get_submodule(f'up{i}')(x), skips.pop()), 1)
        return self.final_up(x)


def to_patches(img: Tensor, size: int) -> Tensor:
    """(B, C, H, W) to (B, rows * columns, C, size, size), row by row; sides are multiples of ``size``."""
    grid = img.unflatten(-1, (-1, size)).unflatten(-3, (-1, size))
    return grid.permute(0, 2, 4, 1, 3, 5).flatten(1, 2)


def from_patches(patches: Tensor, height: int, width: int) -> Tensor:
    """The inverse of :func:`to_patches`: (B, N, C, size, size) to (B, C, height, width)."""
    size = patches.shape[-1]
    grid = patches.unflatten(1, (height // size, width // size))
    return grid.permute(0, 3, 1, 4, 2, 5).flatten(4, 5).flatten(2, 3)


@MODELS.register_module()
class PatchUNet(nn.Module):
    """A U-Net on square patches, then four 7x7 convolutions on the picture that they make up.

    The third generator of the published code (PTC_GEN). In training the batch norms of the U-Net see the patches
    of one image at a time, so the images are taken one after the other; in evaluation all patches go together.

    Args:
        in_channels: channels of the image, in and out.
        features: width of the U-Net's first level and of the 7x7 convolutions.
        num_downs: levels of the U-Net; patches have sides of ``2 ** num_downs`` pixels, 64 as published.
        dropout: as in :class:`SandDustUNet`.
        noise_std: as in :class:`SandDustUNet`.
        published_noise: as in :class:`SandDustUNet`; also draws it image by image.
    """

    inference_contract = InferenceContract(multiple_of=64, minimum=64, tiling='approximate', overlap=64)
    norm_per_image = True

    def __init__(self, in_channels: int = 3, features: int = 64, num_downs: int = 6, dropout: float = 0.5,
                 noise_std: float = 0.01, published_noise: bool = False) -> None:
        super().__init__()
        self.patch_size = 2**num_downs
        self.inference_contract = InferenceContract(
            multiple_of=self.patch_size, minimum=self.patch_size, tiling='approximate', overlap=64)
        self.unet = SandDustUNet(in_channels, features, num_downs, dropout, noise_std, published_noise)
        widths = (in_channels, features, 2 * features, features, in_channels)
        layers: list[nn.Module] = []
        for before, after in zip(widths[:-1], widths[1:], strict=True):
            layers += [nn.Conv2d(before, after, 7, 1, 3, padding_mode='reflect'), nn.LeakyReLU(SLOPE, inplace=True)]
        self.refine = nn.Sequential(*layers[:-1], nn.Tanh())

    def forward(self, img: Tensor) -> Tensor:
        """Restore a batch.

        Args:
            img: (B, in_channels, H, W), RGB in [-1, 1], sides multiples of the patch size.

        Returns:
            The same shape and range.
        """
        patches = to_patches(img, self.patch_size)
        if self.training or self.unet.noise.active:
            restored = torch.stack([self.unet(own) for own in patches])
        else:
            restored = self.unet(patches.flatten(0, 1)).unflatten(0, patches.shape[:2])
        return self.refine(from_patches(restored, *img.shape[-2:]))
