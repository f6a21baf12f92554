"""NiteDR's golden vectors: networks, losses, colour, augmentation, schedule, pipeline and training steps."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import torch
from mmagic.models.losses import CharbonnierLoss, L1Loss, MSELoss
from mmengine.optim import OptimWrapper, OptimWrapperDict
from mmengine.registry import DefaultScope
from parity_choices import FILE, recorded_choices
from parity_compare import Arrays, GoldenFolder, Relative, Rows
from parity_fill import fill_array, fill_input, fill_state_dict
from torch import Tensor, nn

from mmweather.apis.adapters import as_tensors, from_official, published_forward
from mmweather.apis.hub import load_config
from mmweather.datasets.transforms.paired import PairedPad, dihedral
from mmweather.evaluation.functional import restoration
from mmweather.models.losses.image import PSNRLoss
from mmweather.models.nitedr import colour, experts, layers, losses
from mmweather.models.nitedr.cleannet import CleanNet
from mmweather.models.nitedr.restorer import NiteDR
from mmweather.models.ops.padding import pad_to_multiple
from mmweather.models.ops.tiling import run_tiled
from mmweather.registry import PARAM_SCHEDULERS
from mmweather.utils.arrays import tensor_to_uint8

CHOICES: dict[str, Any] = json.loads(FILE.read_text()) if FILE.is_file() else {}
TINY = {'tiny/b2_32x40': 'cleannet_tiny_a', 'tiny/b1_24x32': 'cleannet_tiny_b'}


def _input(name: str, shape: tuple[int, ...], signed: bool = False) -> Tensor:
    x = torch.from_numpy(fill_input(f'nitedr/{name}', shape))
    return x * 2 - 1 if signed else x


def cleannet_state(folder: GoldenFolder, stem: str = 'cleannet') -> Arrays:
    """Filled CleanNet weights with the README's gain of 0.1 on the output convolution."""
    state = folder.state(stem)
    state['output.weight'] = state['output.weight'] * np.float32(0.1)
    return state


def refinement_state(folder: GoldenFolder, stem: str) -> Arrays:
    """Filled refiner weights in which every duplicate key carries its canonical key's values."""
    state, aliases = folder.state(stem), folder.json('aliases_refinement')
    return {key: fill_array(aliases.get(key, key), value.shape) for key, value in state.items()}


def cleannet(folder: GoldenFolder, stem: str = 'cleannet') -> CleanNet:
    """CleanNet with filled weights, in evaluation mode."""
    network = from_official(f'nitedr/{stem}', cleannet_state(folder, stem))
    assert isinstance(network, CleanNet)
    return network.eval()


def choice_inputs() -> dict[str, tuple[str, Tensor]]:
    """Inputs whose near-ties are recorded: name -> (weights, padded image)."""
    shapes = {'cleannet/64x64': (1, 3, 64, 64), 'cleannet/64x96': (1, 3, 64, 96), 'cleannet/b2_40x48': (2, 3, 40, 48),
              'grad/in': (1, 3, 48, 48), 'pipe/vis': (1, 3, 53, 71)}
    inputs = {name: ('cleannet', _input(name, shape)) for name, shape in shapes.items()}
    stem, visible = inputs['pipe/vis']
    inputs['pipe/vis'] = stem, pad_to_multiple(visible, CleanNet.inference_contract.multiple_of)
    tiny = {'tiny/b2_32x40': (2, 3, 32, 40), 'tiny/b1_24x32': (1, 3, 24, 32)}
    return inputs | {name: (TINY[name], _input(name, shape)) for name, shape in tiny.items()}


def check_cleannet(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Whole network, three sizes, and the statistics of every stage."""
    network = cleannet(folder)
    statistics: dict[str, list[float]] = {}

    def record(name: str) -> Any:
        def hook(module: nn.Module, inputs: Any, output: Tensor) -> None:
            statistics.setdefault(name, [f(output).item() for f in (torch.mean, torch.std, torch.min, torch.max)])

        return hook

    for name, child in network.named_children():
        (child['proj'] if name == 'patch_embed' else child).register_forward_hook(record(name))
    for size in ('64x64', '64x96', 'b2_40x48'):
        x = _input(f'cleannet/{size}', reference[f'out_{size}'].shape)
        with torch.no_grad(), recorded_choices(network, len(x), CHOICES[f'cleannet/{size}']):
            yield f'out_{size}', network(x), None
    yield 'stage_names', np.array(list(statistics)), None
    yield 'stage_stats_64x64', np.array(list(statistics.values())), None


@torch.no_grad()
def check_cleannet_tiny(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Two small networks, one with biases and the bias-free norm."""
    for (name, stem), key in zip(TINY.items(), ('tiny_a_b2_32x40', 'tiny_b_b1_24x32'), strict=True):
        network, x = cleannet(folder, stem), _input(name, reference[key].shape)
        with recorded_choices(network, len(x), CHOICES[name]):
            yield key, network(x), None


def _block(name: str) -> nn.Module:
    if name.startswith('op_'):
        kernel = int(name[-1])
        return (experts.AveragePoolExpert() if 'pool' in name else
                (experts.SeparableExpert if 'sep' in name else experts.DilatedExpert)(16, kernel))
    return {
        'layernorm_withbias': lambda: layers.ChannelLayerNorm(48),
        'layernorm_biasfree': lambda: layers.ChannelLayerNorm(48, 'BiasFree'),
        'feedforward48': lambda: layers.MixedScaleFeedForward(48, 2.66, False),
        'attention48_h1': lambda: layers.TopKChannelAttention(48, 1, False),
        'attention96_h2': lambda: layers.TopKChannelAttention(96, 2, False),
        'attention96_h1': lambda: layers.TopKChannelAttention(96, 1, False),
        'transformer_block48_h1': lambda: layers.TransformerBlock(48, 1, 2.66, False, 'WithBias'),
        'oalayer48': lambda: experts.ExpertGate(48),
        'subnet48': lambda: experts.MixtureOfExperts(48),
        'downsample48': lambda: layers.Downsample(48),
        'upsample96': lambda: layers.Upsample(96),
    }[name]()


def check_blocks(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Every kind of block on its own."""
    for name, layout in folder.layout('blocks').items():
        block = _block(name).eval()
        block.load_state_dict(as_tensors(fill_state_dict(layout)))
        wide = name in ('attention96_h2', 'attention96_h1', 'upsample96')
        shape = (2, 16, 6, 8) if name.startswith('op_') else (1, 96, 6, 8) if wide else (2, 48, 6, 8)
        with torch.no_grad():
            yield name, block(_input(f'blocks/{name}', shape, signed=True)), None


def check_gradients(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Loss and gradient norms."""
    network = cleannet(folder).train()
    with recorded_choices(network, 1, CHOICES['grad/in']):
        loss = nn.functional.l1_loss(network(_input('grad/in', (1, 3, 48, 48))), _input('grad/gt', (1, 3, 48, 48)))
    loss.backward()
    yield 'loss', loss.detach(), None
    norms = np.array([parameter.grad.norm().item() for parameter in network.parameters()])
    yield 'total_grad_norm', np.sqrt(np.square(norms).sum()), 1e-4
    # float32 decides the third digit here: the published values lie 1.4e-3 from the same network in float64 and move by
    # 8.5e-4 when the published code runs again.
    yield 'grad_norm_per_param', norms, Relative(3e-3, 1e-4)


def check_train_tiny(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Three AdamW steps of a small CleanNet with gradients clipped at 0.01."""
    network = cleannet(folder, 'cleannet_tiny_a').train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-4, betas=(0.9, 0.999), weight_decay=1e-4, eps=1e-8)
    values, norms = [], []
    for step in range(3):
        x, target = (_input(f'train/{name}{step}', (2, 3, 32, 32)) for name in ('in', 'gt'))
        loss = nn.functional.l1_loss(network(x), target)
        optimizer.zero_grad()
        loss.backward()
        norms.append(nn.utils.clip_grad_norm_(network.parameters(), 0.01).item())
        optimizer.step()
        values.append(loss.item())
    yield 'losses', values, 1e-4
    yield 'grad_norms_before_clip', norms, 1e-3
    with torch.no_grad():
        # Adam divides by the gradient's own size, so rounding in tiny gradients is magnified.
        yield 'out_after_3_steps', network.eval()(_input('train/in0', (2, 3, 32, 32))), 1e-4


def check_fusion(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Luminance fusion, even and odd sizes."""
    for key in reference:
        size = key.removeprefix('y_')
        planes = [_input(f'fusion/{source}_{size}', reference[key].shape, signed=True) for source in ('vis', 'ir')]
        yield key, published_forward('nitedr/fusion_dense', folder.state('fusion_dense'), *planes)[0], None


def check_refinement(folder: GoldenFolder, reference: Arrays) -> Rows:
    """All passes in both modes, the loss, and batch-norm statistics."""
    state = refinement_state(folder, 'refinement')
    rgb, infrared = _input('refine/rgb', (1, 3, 37, 45)), _input('refine/ir_ycrcb', (1, 3, 37, 45), signed=True)
    outputs = published_forward('nitedr/refinement', state, rgb, infrared)
    for i in range(3):
        yield f'eval_illu_{i}', outputs[i], None
        yield f'eval_refined_{i}', outputs[3 + i], None
        if i:
            yield f'eval_input_{i}', outputs[6 + i], None
    yield 'eval_abs_att', outputs[9], None
    inference = published_forward('nitedr/finetune', refinement_state(folder, 'finetune'), rgb, infrared)
    for name, value in zip(('illu', 'refined'), inference, strict=True):
        yield f'eval_{name}_0', value, None
    criterion = losses.RefinementLoss(published_smoothness=True)
    value = sum(criterion(torch.from_numpy(x), torch.from_numpy(illumination))
                for x, illumination in zip(outputs[6:9], outputs[:3], strict=True))
    yield 'eval_loss', value, 1e-4

    network = from_official('nitedr/refinement', state).train()
    with torch.no_grad():
        result = network(_input('refine/rgb_b2', (2, 3, 24, 32)), _input('refine/ir_ycrcb_b2', (2, 3, 24, 32), True))
    yield 'train_refined_0', result.refined[0], None
    yield 'train_refined_2', result.refined[2], None
    buffers = network.state_dict()
    for key in reference:
        if key.startswith('train_buf/'):
            yield key, buffers[key.removeprefix('train_buf/')], None


def check_colour(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Both matrices, OpenCV's 8-bit conversion and the training-time chroma mix."""
    x = _input('colour/x', (1, 3, 12, 16))
    yield 'ycrcb2rgb', colour.published_ycrcb_to_rgb(x), None
    yield 'rgb2ycrcb', colour.published_rgb_to_ycrcb(x), None
    picture = (_input('colour/u8', (12, 16, 3)) * 255).round() / 255
    planes = colour.eight_bit_ycrcb(picture.permute(2, 0, 1)[None])
    yield 'cv2_ycrcb_u8', tensor_to_uint8(planes[0].permute(1, 2, 0)), 0.0
    yield 'cv2_ycrcb_norm', colour.to_signed(planes)[0], None
    visible, infrared = (_input(f'colour/{name}', (1, 3, 12, 16), signed=True) for name in 'vl')
    yield 'mix_cr', colour.mix_chroma(visible[:, 1:2], infrared[:, 1:2]), None
    yield 'mix_cb', colour.mix_chroma(visible[:, 2:3], infrared[:, 2:3]), None


def joint_model(folder: GoldenFolder, **options: Any) -> nn.Module:
    """The whole of NiteDR with filled weights, in the published colour convention."""
    model = NiteDR(dict(type='mmweather.LuminanceFusion'), dict(type='mmweather.IlluminationRefiner'),
                   dict(type='mmweather.CleanNet'), published_colour=True, **options)
    for part, stem, state in (('cleaner', 'cleannet', cleannet_state(folder)),
                              ('fusion', 'fusion_dense', folder.state('fusion_dense')),
                              ('refiner', 'refinement', refinement_state(folder, 'refinement'))):
        getattr(model, part).load_state_dict(from_official(f'nitedr/{stem}', state).state_dict())
    return model


@torch.no_grad()
def check_pipeline(folder: GoldenFolder, reference: Arrays) -> Rows:
    """The published test path on an odd size."""
    model: Any = joint_model(folder).eval()
    visible = _input('pipe/vis', (1, 3, 53, 71))
    infrared = ((_input('pipe/ir', (53, 71)) * 255).round() / 255).expand(1, 3, -1, -1)
    network = model.cleaner
    with recorded_choices(network, 1, CHOICES['pipe/vis']):
        clean = run_tiled(network, (visible, ), network.inference_contract).clamp(0, 1)
        levels = (model.clean(visible)[0].permute(1, 2, 0) * 255).round()
    yield 'clean_float', clean, None
    yield 'clean_u8', levels, 1 / 255
    start = torch.from_numpy(reference['clean_u8']).permute(2, 0, 1)[None].float() / 255
    result = model.fuse(start, infrared)
    yield 'fused_y', result['fused_y'], None
    yield 'fused_rgb', result['fused'], None
    yield 'illu', result['illumination'], None
    yield 'refined', result['refined'], None
    saved = (result['refined'][0] * 255 + 0.5).clamp(0, 255).byte().permute(1, 2, 0)
    # The published writer truncates after adding a half; again one level.
    yield 'saved_u8', saved, 1 / 255


def check_losses(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Pixel losses (mmagic's), smoothness, refinement and fusion losses, information measure."""
    prediction, target = (_input(f'loss/{name}', (2, 3, 24, 32)) for name in ('pred', 'target'))
    weight = _input('loss/weight', (2, 1, 24, 32))
    yield 'l1', L1Loss()(prediction, target), None
    yield 'l1_sum', L1Loss(reduction='sum')(prediction, target), None
    yield 'l1_weighted', L1Loss()(prediction, target, weight=weight), None
    yield 'mse', MSELoss()(prediction, target), None
    yield 'psnr_rgb', PSNRLoss()(prediction, target), None
    yield 'psnr_y', PSNRLoss(to_y=True)(prediction, target), None
    yield 'charbonnier', CharbonnierLoss(eps=1e-6)(prediction, target), None
    yield 'smooth', losses.smoothness(prediction, target, published=True), None
    yield 'smooth_p_over_10', losses.smoothness(10 * prediction, target, published=True), None
    yield 'refinement_criterion', losses.RefinementLoss(published_smoothness=True)(prediction, target), None

    planes = {name: _input(f'loss/{name}', (1, 1, 64, 64), signed=True) for name in ('fused_y', 'vis_y', 'ir_y')}
    fused = planes['fused_y'].requires_grad_()
    unit = [colour.to_unit(plane) for plane in planes.values()]
    terms = losses.LuminanceFusionLoss(data_range=255)(*unit)
    total = sum(terms.values())
    total.backward()
    yield 'fusion_ssim_term', terms['loss_ssim'].detach(), None
    yield 'fusion_mse_term', terms['loss_mse'].detach() / 20, None
    yield 'fusion_total', total.detach(), None
    yield 'fusion_grad_absmean', fused.grad.abs().mean(), 1e-6
    yield 'fusion_returned_min', unit[0].min().detach(), None
    with torch.no_grad():
        yield 'notofficial_fusion_ssim_term_range1', losses.LuminanceFusionLoss()(*unit)['loss_ssim'], None
        # The classifier is not used; drawing its 120 million weights would take longer than all the rest.
        layout = folder.layout('vgg16')
        state = {key: fill_array(key, shape) if key.startswith('features.') else np.zeros(shape, np.float32)
                 for key, shape in layout.items()}
        vgg: Any = from_official('nitedr/vgg16', state).eval()
        for vgg.sequential, prefix in ((False, 'measure_official'), (True, 'notofficial_measure')):
            values = torch.cat([
                losses.information_measure(list(vgg(plane.expand(-1, 3, -1, -1)))) for plane in unit[1:]
            ])
            yield f'{prefix}_m', values, Relative(1e-4, None)
            yield f'{prefix}_w', values.softmax(0), None
    yield 'features_grad', losses.high_frequency(_input('loss/feat', (1, 4, 10, 12), signed=True)), None


def check_stage2(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Three cascades of the published training loop, with what it does wrong."""
    model = NiteDR(
        dict(type='mmweather.LuminanceFusion'), dict(type='mmweather.IlluminationRefiner'),
        fusion_loss=dict(type='mmweather.LuminanceFusionLoss', data_range=255),
        refinement_loss=dict(type='mmweather.RefinementLoss', published_smoothness=True),
        published_colour=True, published_loop=True)
    model.fusion.load_state_dict(from_official('nitedr/fusion_dense', folder.state('fusion_dense')).state_dict())
    model.refiner.load_state_dict(
        from_official('nitedr/refinement', refinement_state(folder, 'refinement')).state_dict())
    model.train()
    norms, ranges = [], []

    class Recording(OptimWrapper):
        """Keeps the gradient norm before clipping."""

        def step(self, **kwargs: Any) -> None:
            norms.append(nn.utils.get_total_norm([p.grad for p in model.refiner.parameters()]).item())
            super().step(**kwargs)

    model.refiner.register_forward_pre_hook(
        lambda module, inputs: ranges.append([inputs[0].min().item(), inputs[0].max().item()]))
    wrapper = OptimWrapperDict(
        fusion=OptimWrapper(torch.optim.Adam(model.fusion.parameters(), lr=1e-4)),
        refiner=Recording(
            torch.optim.Adam(model.refiner.parameters(), lr=3e-4, betas=(0.9, 0.99), weight_decay=3e-4),
            clip_grad=dict(max_norm=5)))
    visible, infrared = 0.5 * _input('stage2/v', (1, 3, 64, 64), True), _input('stage2/l', (1, 3, 64, 64), True)
    infrared[:, 1:] = 128 / 255 * 2 - 1
    logs = []
    for _ in range(3):
        visible, log = model.cascade(visible, infrared, wrapper)
        logs.append(log)
    yield 'ssim_term', [log['fusion_loss_ssim'].item() for log in logs], 1e-4
    yield 'mse_term', [log['fusion_loss_mse'].item() / 20 for log in logs], 1e-4
    yield 'fusion_total', [(log['fusion_loss_ssim'] + log['fusion_loss_mse']).item() for log in logs], 1e-4
    yield 'refine_loss', [log['refine_loss'].item() for log in logs], 1e-4
    yield 'refine_grad_norm', norms, 1e-3
    for i in range(3):
        # The published loop runs the refiner twice a cascade.
        yield f'rgb_range_{i}', ranges[2 * i], 1e-4
    yield 'next_v_img', visible, 1e-4


def check_schedule(folder: GoldenFolder, reference: Arrays) -> Rows:
    """The learning rate of the shipped stage-1 config."""
    config = load_config('nitedr_cleannet_2xb4-300k_roadscene-rain')
    parameter = nn.Parameter(torch.zeros(()))
    wrapper = OptimWrapper(torch.optim.AdamW([parameter], lr=config.optim_wrapper.optimizer.lr))
    with DefaultScope.overwrite_default_scope('mmweather'):
        schedulers = [PARAM_SCHEDULERS.build(dict(item, optimizer=wrapper)) for item in config.param_scheduler]
    wanted = {int(n) for n in reference['iteration']}
    rates = []
    for iteration in range(1, max(wanted) + 1):
        if iteration in wanted:
            rates.append(wrapper.param_groups[0]['lr'])
        wrapper.optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    yield 'iteration', sorted(wanted), 0.0
    yield 'lr', rates, 1e-10


def check_metrics(folder: GoldenFolder, reference: Arrays) -> Rows:
    """PSNR and SSIM of the published validation."""
    a = np.round(fill_input('nitedr/metric/a', (40, 52, 3)) * 255)
    noise = np.round((fill_input('nitedr/metric/n', (40, 52, 3)) - 0.5) * 40)
    # The golden pictures are BGR.
    first, second = (np.ascontiguousarray(x[..., ::-1]).astype(np.uint8) for x in (a, np.clip(a + noise, 0, 255)))
    for crop in (0, 4):
        yield f'psnr_rgb_crop{crop}', restoration.psnr_rgb(first, second, crop_border=crop), 1e-6
        yield f'psnr_y_crop{crop}', restoration.psnr_y(first, second, crop_border=crop), 1e-6
        yield f'ssim_y_crop{crop}', restoration.ssim_y(first, second, crop_border=crop), 1e-6
        yield f'ssim_bgr3d_crop{crop}', restoration.ssim_rgb3d(first, second, crop_border=crop), 1e-5


def check_augment(folder: GoldenFolder, reference: Arrays) -> Rows:
    """Eight dihedral modes and the padding of small images."""
    image = np.arange(72, dtype=np.float32).reshape(4, 6, 3)
    for mode in range(8):
        yield f'mode{mode}', dihedral(image, mode), 0.0
    yield 'pad_to_9', PairedPad(keys=('img', ), size=9)({'img': image})['img'], 0.0


CHECKS = {
    'golden_cleannet.npz': check_cleannet,
    'golden_cleannet_tiny.npz': check_cleannet_tiny,
    'golden_cleannet_blocks.npz': check_blocks,
    'golden_cleannet_grad.npz': check_gradients,
    'golden_train_tiny.npz': check_train_tiny,
    'golden_fusion_dense.npz': check_fusion,
    'golden_refinement.npz': check_refinement,
    'golden_colour.npz': check_colour,
    'golden_pipeline_53x71.npz': check_pipeline,
    'golden_losses.npz': check_losses,
    'golden_stage2_cascade.npz': check_stage2,
    'golden_lr.npz': check_schedule,
    'golden_metrics.npz': check_metrics,
    'golden_augment.npz': check_augment,
}
