"""NiteDR as a mmagic restorer: clean, fuse, refine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmagic.models.base_models import BaseEditModel
from mmagic.structures import DataSample
from mmengine.optim import OptimWrapperDict
from torch import Tensor, nn

from mmweather.errors import ConfigError
from mmweather.models.ops.contract import InferenceContract
from mmweather.models.ops.tiling import run_tiled
from mmweather.models.ops.wrapping import bare, keep_keys_plain
from mmweather.models.restorers.restorer import pack_predictions
from mmweather.registry import MODELS

from . import colour


@MODELS.register_module()
class NiteDR(BaseEditModel):
    """The second stage of NiteDR, alone or behind CleanNet.

    ``img`` is the rainy image where a cleaner is given, else a cleaned one; ``ir`` is the infrared image, grey in
    three channels. Training is unsupervised: the luminance fusion and the refinement are stepped in turn, several
    times an image, each on what the other produced (NiteDR, section III-E); the cleaner stays as it is.

    Args:
        fusion: config of the luminance fusion.
        refiner: config of the illumination refiner.
        cleaner: config of CleanNet, or None where the images come cleaned.
        fusion_loss: config of the fusion loss.
        refinement_loss: config of the refinement loss.
        cascades: fusion and refinement steps an image.
        test_passes: refinement passes at inference; the published code uses one.
        published_colour: convert back with the limited-range matrix, as the published networks were trained and
            tested. Needed to see published weights behave as published.
        published_loop: train with the published loop's mixed value ranges and chroma (README, B, C, H, J).
        published_frozen_norm: leave batch norm frozen after the first validation (README, F).
        tile: side of the tiles at inference, ``'auto'`` or None for whole images.
        tile_overlap: overlap of tiles; None takes each network's own.
        init_cfg: initialisation, for example a ``Pretrained`` entry.
        data_preprocessor: config; ``mmweather.ImageSetPreprocessor`` by default.
    """

    training_only = ('fusion_loss', 'refinement_loss')

    def __init__(
        self,
        fusion: dict,
        refiner: dict,
        cleaner: dict | None = None,
        fusion_loss: dict | None = None,
        refinement_loss: dict | None = None,
        cascades: int = 3,
        test_passes: int = 1,
        published_colour: bool = False,
        published_loop: bool = False,
        published_frozen_norm: bool = False,
        tile: int | str | None = None,
        tile_overlap: int | None = None,
        init_cfg: dict | None = None,
        data_preprocessor: dict | None = None,
    ) -> None:
        super(BaseEditModel, self).__init__(
            init_cfg=init_cfg, data_preprocessor=data_preprocessor or dict(type='mmweather.ImageSetPreprocessor'))
        self.cleaner = None if cleaner is None else MODELS.build(cleaner).requires_grad_(False)
        self.fusion = MODELS.build(fusion)
        self.refiner = MODELS.build(refiner)
        self.fusion_loss = MODELS.build(fusion_loss or dict(type='mmweather.LuminanceFusionLoss'))
        self.refinement_loss = MODELS.build(refinement_loss or dict(type='mmweather.RefinementLoss'))
        self.cascades = cascades
        self.test_passes = test_passes
        self.published_colour = published_colour
        self.published_loop = published_loop
        self.published_frozen_norm = published_frozen_norm
        self.tile = tile
        self.tile_overlap = tile_overlap
        self._validated = False
        keep_keys_plain(self)
        if hasattr(self.refiner, 'init_published'):
            self.refiner.init_published()

    @property
    def inference_contract(self) -> InferenceContract:
        """Any size; tiles as the parts take them."""
        return InferenceContract(inputs=('img', 'ir'), tiling='supported' if self.cleaner is None else
                                 bare(self.cleaner).inference_contract.tiling)

    def train(self, mode: bool = True) -> NiteDR:
        """Set the mode; the cleaner always stays in evaluation mode."""
        super().train(mode and not (self.published_frozen_norm and self._validated))
        if self.cleaner is not None:
            self.cleaner.eval()
        return self

    # Colour -----------------------------------------------------------------------------------------------------

    def planes(self, rgb: Tensor) -> Tensor:
        """8-bit YCrCb planes of RGB in [0, 1], scaled to [-1, 1]."""
        return colour.to_signed(colour.eight_bit_ycrcb(rgb))

    def to_rgb(self, ycrcb: Tensor) -> Tensor:
        """YCrCb in [0, 1] to RGB, not clamped."""
        return (colour.published_ycrcb_to_rgb if self.published_colour else colour.ycrcb_to_rgb)(ycrcb)

    # Inference --------------------------------------------------------------------------------------------------

    def _tiled(self, network: nn.Module, images: tuple[Tensor, ...], tile: int | str | None, overlap: int | None,
               progress: Any = None) -> Tensor:
        return run_tiled(bare(network), images, bare(network).inference_contract, tile or self.tile,
                         self.tile_overlap if overlap is None else overlap, progress)

    def clean(self, img: Tensor, tile: int | str | None = None, overlap: int | None = None,
              progress: Any = None) -> Tensor:
        """The cleaned image, 8-bit levels in [0, 1]; the image itself where there is no cleaner."""
        if self.cleaner is not None:
            img = self._tiled(self.cleaner, (img, ), tile, overlap, progress)
        return colour.quantise(img)

    def fuse(self, clean: Tensor, ir: Tensor, tile: int | str | None = None, overlap: int | None = None) -> dict:
        """Fuse and refine.

        Args:
            clean: cleaned RGB, (B, 3, H, W) in [0, 1].
            ir: infrared, (B, 3, H, W) in [0, 1], three equal channels.
            tile: as in the constructor.
            overlap: likewise.

        Returns:
            ``fused_y`` in [-1, 1], ``fused`` RGB not clamped, ``illumination`` in [1e-4, 1], ``refined`` in [0, 1].
        """
        visible, infrared = self.planes(clean), self.planes(ir)
        fused_y = self._tiled(self.fusion, (visible[:, :1], infrared[:, :1]), tile, overlap)
        fused = self.to_rgb(colour.to_unit(torch.cat((fused_y, visible[:, 1:]), 1)))
        refiner = bare(self.refiner)
        illumination, refined = refiner.refine(fused, infrared)
        for _ in range(self.test_passes - 1):
            illumination = refiner.balance(refined + refiner.adjust(infrared), infrared)
            refined = refiner.divide(fused, illumination)
        return {'fused_y': fused_y, 'fused': fused, 'illumination': illumination, 'refined': refined}

    def predict_images(self, images: dict[str, Tensor], tile: int | str | None = None, overlap: int | None = None,
                       progress: Any = None) -> Tensor:
        """Refined fusion of ``img`` and ``ir``, (B, 3, H, W) in [0, 1] each and out."""
        clean = self.clean(images['img'], tile, overlap, progress)
        return self.fuse(clean, images['ir'], tile, overlap)['refined'].clamp(0, 1)

    def forward(self, inputs: dict[str, Tensor], data_samples: Sequence[DataSample] | None = None,
                mode: str = 'tensor', **kwargs: Any) -> Any:
        """``'tensor'``: the refined image; ``'predict'``: data samples.

        The data samples hold ``output.pred_img`` (refined), ``output.clean`` and ``output.fused``, uint8. There is no
        ``'loss'`` mode: :meth:`train_step` steps two optimizers.
        """
        if mode == 'loss':
            raise ConfigError("NiteDR trains two optimizers: give optim_wrapper a constructor for 'fusion' and "
                              "'refiner', as configs/nitedr does")
        clean = self.clean(inputs['img'])
        result = self.fuse(clean, inputs['ir'])
        if mode == 'tensor':
            return result['refined']
        self._validated = True
        outputs = {'pred_img': result['refined'], 'clean': clean, 'fused': result['fused']}
        return pack_predictions(inputs, outputs, data_samples)

    # Training ---------------------------------------------------------------------------------------------------

    def train_step(self, data: dict, optim_wrapper: OptimWrapperDict) -> dict[str, Tensor]:
        """All cascades of one batch; returns the losses averaged over the cascades."""
        batch = self.data_preprocessor(data, True)['inputs']
        with torch.no_grad():
            visible, infrared = self.planes(self.clean(batch['img'])), self.planes(batch['ir'])
        sums: dict[str, Tensor] = {}
        for _ in range(self.cascades):
            visible, losses = self.cascade(visible, infrared, optim_wrapper)
            for name, value in losses.items():
                sums[name] = sums.get(name, 0) + value.detach() / self.cascades
        return sums

    def cascade(self, visible: Tensor, infrared: Tensor,
                optim_wrapper: OptimWrapperDict) -> tuple[Tensor, dict[str, Tensor]]:
        """One fusion step, then one refinement step on its detached result.

        Args:
            visible: YCrCb, (B, 3, H, W) in [-1, 1].
            infrared: likewise.
            optim_wrapper: the wrappers ``fusion`` and ``refiner``.

        Returns:
            The next cascade's visible planes and this one's losses.
        """
        with optim_wrapper['fusion'].optim_context(self.fusion):
            fused_y = self.fusion(visible[:, :1], infrared[:, :1])
            terms = self.fusion_loss(
                colour.to_unit(fused_y.float()), colour.to_unit(visible[:, :1]), colour.to_unit(infrared[:, :1]))
        fusion_loss, log = self.parse_losses({f'fusion_{name}': value for name, value in terms.items()})
        optim_wrapper['fusion'].update_params(fusion_loss)

        fused = self._training_rgb(fused_y.detach().float(), visible, infrared)
        if self.published_loop:
            # The published loop runs the refiner once more, which moves the batch-norm statistics twice.
            with torch.no_grad():
                self.refiner(fused, infrared)
        with optim_wrapper['refiner'].optim_context(self.refiner):
            output = self.refiner(fused, infrared)
            refine_loss = sum(
                self.refinement_loss(image.float(), illumination.float())
                for image, illumination in zip(output.inputs, output.illumination, strict=True))
        refine_loss, refine_log = self.parse_losses({'refine_loss': refine_loss})
        optim_wrapper['refiner'].update_params(refine_loss)
        log.update(refine_log)
        log['loss'] = fusion_loss.detach() + refine_loss.detach()
        refined = output.refined[0].detach().float()
        if self.published_loop:
            return colour.published_rgb_to_ycrcb(refined), log
        return colour.to_signed(colour.rgb_to_ycrcb(refined)), log

    def _training_rgb(self, fused_y: Tensor, visible: Tensor, infrared: Tensor) -> Tensor:
        if not self.published_loop:
            return self.to_rgb(colour.to_unit(torch.cat((fused_y, visible[:, 1:]), 1)))
        chroma = [colour.mix_chroma(visible[:, i:i + 1], infrared[:, i:i + 1]) for i in (1, 2)]
        return self.to_rgb(colour.to_unit(torch.cat((colour.to_unit(fused_y), *chroma), 1)))
