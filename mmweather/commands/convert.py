"""`mmweather convert NETWORK IN OUT`: published weights into ours, and back."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..utils.text import plural

if TYPE_CHECKING:
    from torch import Tensor

HELP = 'convert a published checkpoint to our state dict, or ours to the published keys'
EXAMPLE = """mmweather convert nitedr/cleannet best_net_g.pth cleannet.safetensors
mmweather convert nitedr/refinement fusion.pth refiner.safetensors
mmweather convert nitedr/cleannet holds_other_objects.pth cleannet.safetensors --tensors-only
mmweather convert nitedr/cleannet cleannet.safetensors net_g.pth --to-published"""

_SUFFIXES = ('.safetensors', '.pth', '.pt')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument('network', help="method and published network, e.g. nitedr/cleannet ('list' prints all)")
    parser.add_argument('input', nargs='?', help='published checkpoint, or ours with --to-published: file or address')
    parser.add_argument('output', nargs='?', type=Path, help='file to write, .safetensors or .pth')
    parser.add_argument('--prefix', default='',
                        help="of every key of ours, e.g. 'generator.' for a restorer config (none)")
    parser.add_argument('--to-published', action='store_true',
                        help="convert our state dict to the published keys; of the input, keys with --prefix are taken")
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
    if args.to_published:
        state = _publish(args.network, unwrap_state_dict(checkpoint), args.prefix, file)
    else:
        ours = from_official(args.network, checkpoint).state_dict()
        state = {args.prefix + key: value for key, value in ours.items()}
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    save_state_dict(args.output, state, {'network': args.network, 'source': file.name, 'source_sha256': digest})
    written = unwrap_state_dict(load_checkpoint(args.output))
    if written.keys() != state.keys() or not all(torch.equal(written[key], state[key]) for key in state):
        raise CheckpointError(f"'{args.output}': what was written differs from what was read; check the disk")
    print(f'wrote {args.output}: {plural(len(state), "tensor")}')
    return 0


def _publish(network: str, state: Mapping[str, Any], prefix: str, file: Path) -> dict[str, Tensor]:
    """Return our state dict under the published keys, after reading it back as a published one."""
    from mmweather.apis.adapters import from_official, to_published
    from mmweather.errors import CheckpointError

    ours = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    if not ours:
        raise CheckpointError(f"'{file}': no key begins with '{prefix}'; give the prefix that the keys have, or none")
    published = to_published(network, ours)
    if from_official(network, published).state_dict().keys() != ours.keys():
        raise CheckpointError(f"'{file}': holds more than the network {network}; give the weights of this network, or "
                              'their --prefix')
    return published
