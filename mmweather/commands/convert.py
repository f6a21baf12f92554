"""`mmweather convert NETWORK IN OUT`: published weights into ours."""

from __future__ import annotations

import argparse

HELP = 'convert a published checkpoint to our state dict'
EXAMPLE = 'mmweather convert nitedr/cleannet best_net_g.pth cleannet.safetensors'


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this command's arguments."""
    parser.add_argument('network', help="method and published network, e.g. nitedr/cleannet ('list' prints all)")
    parser.add_argument('input', nargs='?', help='published checkpoint')
    parser.add_argument('output', nargs='?', help='file to write, .safetensors or .pth')
    parser.add_argument('--prefix', default='', help="put before every key, e.g. 'generator.' for a restorer config")


def run(args: argparse.Namespace) -> int:
    """Convert one file."""
    from mmweather.apis.official import from_official, published_networks
    from mmweather.errors import ConfigError
    from mmweather.utils.checkpoint import load_checkpoint, save_state_dict

    if args.network == 'list':
        print('\n'.join(published_networks()))
        return 0
    if not args.input or not args.output:
        raise ConfigError('convert needs NETWORK INPUT OUTPUT; `mmweather convert list` prints the networks')
    state = from_official(args.network, load_checkpoint(args.input)).state_dict()
    save_state_dict(args.output, {args.prefix + key: value for key, value in state.items()},
                    {'network': args.network, 'source': str(args.input)})
    print(f'wrote {args.output}: {len(state)} tensors')
    return 0
