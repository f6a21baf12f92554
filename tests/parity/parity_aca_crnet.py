"""ACA-CRNet's golden vectors: networks, attention, losses, training steps, metrics and preprocessing."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from parity_compare import Arrays, Check, GoldenFolder, Relative, Rows
from parity_fill import fill_input, fill_state_dict
from torch import Tensor, nn

from mmweather.apis.adapters import from_official
from mmweather.datasets.transforms import sentinel
from mmweather.datasets.transforms.resizing import resize_mask, resize_picture
from mmweather.evaluation.functional import bands
from mmweather.models.aca_crnet.attention import AttentiveContextualAttention
from mmweather.models.aca_crnet.losses import CloudAdaptiveLoss
from mmweather.models.aca_crnet.network import ACACRNet


def _input(name: str, shape: tuple[int, ...]) -> Tensor:
    return torch.from_numpy(fill_input(f'aca_{name}', shape))


def _signed(name: str, shape: tuple[int, ...]) -> Tensor:
    return _input(name, shape) * 2 - 1


def gated(state: Arrays) -> Arrays:
    """The README's shift of the selection's weight, so that some keys are rejected."""
    return {key: value + np.float32(0.9) if key.endswith('linear_weight.2.bias') else value
            for key, value in state.items()}


def attention_layout(channels: int, kernel: int = 1, rate: int = 1) -> dict[str, tuple[int, ...]]:
    """Published keys and shapes of a lone attention."""
    width, hidden = channels // rate, channels // 4 // rate
    layout: dict[str, tuple[int, ...]] = {}
    for branch in ('linear_weight', 'bias'):
        layout |= {f'{branch}.0.weight': (hidden, width, kernel, kernel), f'{branch}.0.bias': (hidden, ),
                   f'{branch}.2.weight': (1, hidden, kernel, kernel), f'{branch}.2.bias': (1, )}
    return layout | {'query.weight': (width, channels, 1, 1), 'query.bias': (width, ),
                     'value.weight': (channels, channels, 1, 1), 'value.bias': (channels, ),
                     'linear.0.weight': (channels, channels, 3, 3), 'linear.0.bias': (channels, )}


def _statistics(network: ACACRNet, x: Tensor) -> tuple[Tensor, np.ndarray]:
    """Output, and the README's statistics of the published trunk's 19 entries."""
    rows: list[list[float]] = []

    def keep(module: nn.Module, inputs: Any, output: Tensor) -> None:
        # The published sequence has the stem's ReLU as an entry of its own.
        for value in (output, output.relu()) if module is network.stem else (output, ):
            points = [value[0, c, 1, 2].item() for c in range(3)]
            rows.append([value.mean().item(), value.std(correction=0).item(), value.abs().max().item(), *points])

    handles = [module.register_forward_hook(keep) for module in (network.stem, *network.blocks, network.refine)]
    with torch.no_grad():
        out = network(x)
    for handle in handles:
        handle.remove()
    return out, np.array(rows)


def _check_rice(tag: str, shape: tuple[int, ...], shift: bool) -> Check:

    def check(folder: GoldenFolder, reference: Arrays) -> Rows:
        """RGB network in float32, in blocks and from the whole matrix, and in float64."""
        state = folder.state('rice_3to3')
        network: Any = from_official('aca_crnet/rice_3to3', gated(state) if shift else state).eval()
        x = _signed(f'crnet_{tag}', shape)
        raw, statistics = _statistics(network, x)
        yield 'raw', raw, 5e-5
        whole = from_official('aca_crnet/rice_3to3', gated(state) if shift else state, attention='full')
        with torch.no_grad():
            yield 'raw', whole.eval()(x), 5e-5
        yield 'pred01', (raw.tanh() + 1) / 2, 5e-5
        yield 'module_stats', statistics, 5e-5
        with torch.no_grad():
            exact = network.double()(x.double())
        yield 'raw_f64_minus_f32', exact.numpy() - reference['raw'].astype(np.float64), 1e-9

    return check


def _check_sentinel(shift: bool, down_factor: int = 2) -> Check:

    def check(folder: GoldenFolder, reference: Arrays) -> Rows:
        """15 bands to 13."""
        state = folder.state('sen12mscr_15to13')
        x = _input('crnet_sen12_48', (1, 15, 48, 48)) * torch.tensor([2.0] * 2 + [5.0] * 13).view(1, 15, 1, 1)
        network = from_official('aca_crnet/sen12mscr_15to13', gated(state) if shift else state,
                                down_factor=down_factor).eval()
        with torch.no_grad():
            yield 'out', network(x), 1e-4 / max(1.0, float(np.abs(reference['out']).max()))

    return check


def _check_attention(name: str, shape: tuple[int, ...], amplitude: float, kernel: int = 1, rate: int = 1,
                     **options: Any) -> Check:

    def check(folder: GoldenFolder, reference: Arrays) -> Rows:
        """One attention: the whole matrix, and blocks of a size that does not divide the number of positions."""
        layout = attention_layout(shape[1], kernel, rate)
        if shape[1] == 256:
            layout = folder.layout('ac_attention_256')
        state = gated(fill_state_dict(layout))
        x = amplitude * _signed(f'att_{name}', shape)
        with torch.no_grad():
            for mode in ('full', 'blocks'):
                attention: Any = from_official('aca_crnet/ac_attention_256', state, mode=mode, block_size=7,
                                               **options).eval()
                yield 'out', attention(x), 5e-5
            if 'attn' in reference:
                query = attention.query(x)
                yield 'attn', attention.weights(x).mT, 5e-4
                yield 'query', query, 5e-5
                yield 'value', attention.value(x), 5e-5
                yield 'sel_weight', attention.linear_weight(query), 5e-5
                yield 'sel_bias', attention.bias(query), 5e-5

    return check


def check_losses(folder: GoldenFolder, reference: Arrays) -> Rows:
    """L1 and both forms of the cloud-adaptive loss."""
    pred, target, cloudy = (_signed(f'loss_{name}', (2, 3, 24, 20)) for name in ('pred', 'target', 'cloudy'))
    mask = (_input('loss_mask', (2, 1, 24, 20)) > 0.6).float()
    yield 'l1', F.l1_loss(pred, target), None
    yield 'carl_official', CloudAdaptiveLoss(published=True)(pred, target, None, mask), None
    yield 'carl_dsen2cr', CloudAdaptiveLoss()(pred, target, cloudy, mask), None
    yield 'mask_mean', mask.mean(), None


def check_train(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Three Adam steps with either loss, and every parameter's gradient norm at the first.

    With the first loss the attention takes the whole matrix, with the second it goes in blocks.
    """
    cloud, label = (_signed(f'train_{name}', (2, 3, 32, 32)) for name in ('cloud', 'label'))
    mask = (_input('train_mask', (2, 1, 32, 32)) > 0.6).float()
    adaptive = CloudAdaptiveLoss(published=True)
    layout = folder.layout('rice_3to3')
    yield 'param_names', np.array(list(layout)), None
    for name in ('rice1', 'rice2'):
        network = from_official('aca_crnet/rice_3to3', folder.state('rice_3to3'))
        for module in network.modules():
            if isinstance(module, AttentiveContextualAttention):
                module.mode, module.block_size = ('full' if name == 'rice1' else 'blocks'), 100
        optimizer = torch.optim.Adam(network.parameters(), lr=7e-5)
        values: list[float] = []
        for step in range(4):
            pred = network(cloud).tanh()
            loss = F.l1_loss(pred, label) if name == 'rice1' else adaptive(pred, label, None, mask)
            values.append(loss.item())
            if step == 3:
                break
            optimizer.zero_grad()
            loss.backward()
            if step == 0:
                norms = np.array([parameter.grad.norm().item() for parameter in network.parameters()])
                yield f'{name}_grad_norm', norms, Relative(2e-3)
            optimizer.step()
        yield f'{name}_loss', values, 1e-4


def _image(x: Tensor) -> np.ndarray:
    return x[0].permute(1, 2, 0).numpy().astype(np.float64)


def check_metrics(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Errors, PSNR, SSIM and spectral angle of three and thirteen bands."""
    taps = bands.ssim_taps(published=True)
    yield 'ssim_window', np.outer(taps, taps), 1e-6
    for name, shape in (('rgb', (1, 3, 40, 36)), ('ms13', (1, 13, 32, 32))):
        truth = _input(f'metric_gt_{name}', shape)
        gt, pred = _image(truth), _image(0.85 * truth + 0.15 * _input(f'metric_noise_{name}', shape))
        mask = _input(f'metric_mask_{name}', (1, 1, *shape[2:]))[0, 0].numpy() > 0.5
        black = gt.copy()
        black[3, 4] = 0
        yield f'{name}_mae', bands.mae(pred, gt), 1e-6
        yield f'{name}_mse', bands.mse(pred, gt), 1e-6
        yield f'{name}_rmse', bands.rmse(pred, gt), 1e-6
        yield f'{name}_brmse', bands.band_rmse(pred, gt), 1e-6
        # The README's tolerances are absolute, and PSNR is some 30 dB.
        yield f'{name}_psnr', bands.psnr(pred, gt), 1e-4 / 30
        yield f'{name}_psnr_dsen2cr_scale', bands.psnr(pred * 2000, gt * 2000, peak=10000), 1e-4 / 40
        yield f'{name}_psnr_equal', bands.psnr(gt, gt), 0.0
        yield f'{name}_psnr_masked', bands.psnr(pred, gt, mask=mask), 1e-4 / 30
        yield f'{name}_ssim', bands.ssim(pred, gt, published=True), 1e-5
        yield f'{name}_sam_deg', bands.spectral_angle(pred, gt), 1e-3 / 6
        yield f'{name}_sam_zero_pixel', bands.spectral_angle(pred, black, published=True), 0.0


def check_pipeline(folder: GoldenFolder, reference: Arrays) -> Rows:
    """The published test loader: resize to 256, central 128."""
    centre = slice(64, 192)
    for name in ('cloud', 'label'):
        picture = (256 * fill_input(f'aca_pipe_{name}', (512, 512, 3))).astype(np.uint8)
        yield name, resize_picture(picture, 256, 256)[centre, centre].transpose(2, 0, 1), 0.0
    mask = np.kron(fill_input('aca_pipe_mask', (16, 16)) > 0.7, np.ones((32, 32))).astype(np.uint8) * 255
    yield 'mask', resize_mask(mask, 256, 256, published=True)[None, centre, centre], 0.0
    yield 'mask_png_mean', (mask / 255).mean(), None


def check_sentinel(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Two real triplets, which lie beside the golden folder: masks, scaling and the cloudy image's figures."""
    from tifffile import imread
    root = folder.path.resolve().parents[1] / 'data' / 'sen12mscr_sample'
    if not root.is_dir():
        return  # the rows then say that nothing covers them
    corner = slice(64, 72)
    for patch in sorted({key.split('_full_')[0] for key in reference if '_full_' in key}):
        radar, clear, cloudy = (imread(root / part / f'{patch}.tif') for part in ('s1', 's2_cloudfree', 's2_cloudy'))
        inputs = np.concatenate((sentinel.scale_radar(radar, sentinel.PUBLISHED_VH_FLOOR),
                                 sentinel.scale_optical(cloudy)), -1)
        target = sentinel.scale_optical(clear)
        for name, value in (('input', inputs), ('target', target)):
            yield f'{patch}_{name}_corner', value[corner, corner].transpose(2, 0, 1), 1e-6
            # The published means were summed in float32 over 65 536 pixels.
            yield f'{patch}_{name}_mean', value.mean((0, 1), dtype=np.float64), 2e-5
        for name, area in (('full', slice(None)), ('centre128', slice(64, 192))):
            yield f'{patch}_{name}_mask', sentinel.cloud_shadow_mask(cloudy[area, area]), 0.0
            a, b = inputs[area, area, 2:] / 5, target[area, area] / 5
            figures = (bands.mae(a, b), bands.rmse(a, b), bands.psnr(a, b), bands.ssim(a, b, published=True),
                       bands.spectral_angle(a, b, published=True))
            yield f'{patch}_{name}_identity_metrics', figures, 1e-5


CHECKS: dict[str, Check] = {
    'golden_rice_64_plain.npz': _check_rice('rice_64', (1, 3, 64, 64), False),
    'golden_rice_64_gated.npz': _check_rice('rice_64', (1, 3, 64, 64), True),
    'golden_rice_48x80_plain.npz': _check_rice('rice_48x80', (2, 3, 48, 80), False),
    'golden_rice_48x80_gated.npz': _check_rice('rice_48x80', (2, 3, 48, 80), True),
    'golden_sen12_48_plain.npz': _check_sentinel(False),
    'golden_sen12_48_gated.npz': _check_sentinel(True),
    'golden_sen12_48_gated_down4.npz': _check_sentinel(True, 4),
    'golden_ac_attention_c32.npz': _check_attention('c32_10x12', (2, 32, 10, 12), 0.6),
    'golden_ac_attention_c256.npz': _check_attention('c256_8x12', (1, 256, 8, 12), 0.3),
    'golden_ac_attention_c16_k3.npz': _check_attention('c16_8x8_k3', (1, 16, 8, 8), 0.3, kernel=3),
    'golden_ac_attention_c16_s2.npz': _check_attention('c16_8x8_s2', (1, 16, 8, 8), 0.8, stride=2),
    'golden_ac_attention_c16_r2.npz': _check_attention('c16_8x8_r2', (1, 16, 8, 8), 1.0, rate=2),
    'golden_ac_attention_c16_scale10.npz': _check_attention('c16_8x8_scale10', (1, 16, 8, 8), 0.25,
                                                            softmax_scale=10.0),
    'golden_losses.npz': check_losses,
    'golden_train_steps.npz': check_train,
    'golden_metrics.npz': check_metrics,
    'golden_pipeline_rice.npz': check_pipeline,
    'golden_sen12mscr_real.npz': check_sentinel,
}
