"""`mmweather convert NETWORK IN OUT`: published weights into ours."""

from __future__ import annotations

import argparse
from pathlib import Path

from ..utils.text import plural

HELP = 'convert a published checkpoint to our state dict'
EXAMPLE = """mmweather convert nitedr/cleannet best_net_g.pth cleannet.safetensors
mmweather convert nitedr/refinement fusion.pth refiner.safetensors
mmweather convert nitedr/cleannet holds_other_objects.pth cleannet.safetensors --tensors-only"""

_SUFFIXES = ('.safetensors', '.pth', '.pt')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument('network', help="method and published network, e.g. nitedr/cleannet ('list' prints all)")
    parser.add_argument('input', nargs='?', help='published checkpoint: a file or an address')
    parser.add_argument('output', nargs='?', type=Path, help='file to write, .safetensors or .pth')
    parser.add_argument('--prefix', default='', help="put before every key, e.g. 'generator.' for a restorer config")
    parser.add_argument('--tensors-only', action='store_true',
                        help='leave out objects that are no weights instead of refusing the file; nothing of '
                        'them is run')


def run(args: argparse.Namespace) -> int:
    """Convert one file, and compare what was written with what was read."""
    from mmweather.errors import CheckpointError, ConfigError

    if args.network == 'list':
        from mmweather.apis.adapters import published_networks
        print('\n'.join(published_networks()))
        return 0
    if not args.input or not args.output:
        raise ConfigError('convert needs NETWORK INPUT OUTPUT; `mmweather convert list` prints the networks')
    if args.output.suffix not in _SUFFIXES:
        raise ConfigError(f"'{args.output}': the name must end in {', '.join(_SUFFIXES)}")
    if args.output.exists() and Path(args.input).exists() and args.output.samefile(args.input):
        raise ConfigError(f"'{args.output}' is the input itself; give another name")

    import hashlib

    import torch

    from mmweather.apis.adapters import from_official
    from mmweather.utils.checkpoint import checkpoint_file, load_checkpoint, save_state_dict, unwrap_state_dict

    file = checkpoint_file(args.input)
    checkpoint = load_checkpoint(file, tensors_only=args.tensors_only)
    state = {args.prefix + key: value for key, value in from_official(args.network, checkpoint).state_dict().items()}
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    save_state_dict(args.output, state, {'network': args.network, 'source': file.name, 'source_sha256': digest})
    written = unwrap_state_dict(load_checkpoint(args.output))
    if written.keys() != state.keys() or not all(torch.equal(written[key], state[key]) for key in state):
        raise CheckpointError(f"'{args.output}': what was written differs from what was read; check the disk")
    print(f'wrote {args.output}: {plural(len(state), "tensor")}')
    return 0
