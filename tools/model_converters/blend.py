"""Mix the weights of a fine-tuned detector with those it was started from.

    python tools/model_converters/blend.py CONFIG CHECKPOINT OUT.pth --share 0.6

A network between the two keeps more of what the start knew, here of clear pictures, and often loses nothing of what was
learnt (Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022). What the start lacks stays as trained.
CONFIG has `model.start_from`.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from mmweather.errors import ConfigError, one_line_errors


def blend(config: str, checkpoint: str, out: str, share: float) -> int:
    """Write the mixed checkpoint.

    Args:
        config: of the detector, with ``model.start_from``.
        checkpoint: of its training.
        out: file to write.
        share: weight of what was trained, in [0, 1]; the start has the rest.

    Returns:
        Number of tensors that were mixed.

    Raises:
        ConfigError: ``share`` is out of range, or the config has no start.
    """
    import torch

    from mmweather.apis.hub import get_model, load_config
    from mmweather.models.togethernet.start import load_start
    from mmweather.utils.checkpoint import load_checkpoint

    if not 0 <= share <= 1:
        raise ConfigError(f'--share must lie in [0, 1], got {share}')
    settings = load_config(config).model
    if not settings.get('start_from'):
        raise ConfigError(f'{config}: model.start_from is not set; there is nothing to mix with')
    trained = get_model(config, checkpoint).state_dict()
    start = get_model(config)
    taken = load_start(start, settings.start_from, settings.get('start_input', 'auto'),
                       settings.get('start_classes'))['taken']
    before = start.state_dict()
    mixed = [key for key in taken if trained[key].is_floating_point()]
    for key in mixed:
        trained[key] = torch.lerp(before[key], trained[key], share)
    torch.save(dict(state_dict=trained, meta=load_checkpoint(checkpoint).get('meta') or {}), out)
    return len(mixed)


def main(argv: Sequence[str] | None = None) -> None:
    """Read, mix, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config file')
    parser.add_argument('checkpoint', help='.pth of the training')
    parser.add_argument('out', help='.pth to write')
    parser.add_argument('--share', type=float, required=True, help='weight of what was trained, 0 to 1')
    args = parser.parse_args(argv)
    with one_line_errors():
        print(f'wrote {args.out}: {blend(args.config, args.checkpoint, args.out, args.share)} tensors mixed')


if __name__ == '__main__':
    main()
