"""Join checkpoints of parts that were trained apart into one for a model that holds them.

    python tools/model_converters/join_parts.py CONFIG joined.pth detector=yolox.pth restorer=cleannet.pth

The names are those of the model's children.  Parts that are not named keep their initial weights and are listed.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from mmweather.errors import ConfigError, one_line_errors


def join(config: str | Path, parts: Sequence[str], out: str | Path) -> list[str]:
    """Load each ``NAME=FILE`` of ``parts`` into that child of the config's model and write the whole.

    Returns:
        The children that were not named and have weights.

    Raises:
        ConfigError: a part is malformed or the model has no such child.
        CheckpointError: a checkpoint does not fit its child.
    """
    from mmweather.apis.hub import get_model
    from mmweather.utils.checkpoint import load_checkpoint, load_into, save_state_dict
    model = get_model(str(config))
    children = {name: child for name, child in model.named_children() if child.state_dict()}
    files = {}
    for part in parts:
        name, _, path = part.partition('=')
        if name not in children or not path:
            raise ConfigError(f"'{part}': give NAME=FILE with a name out of {', '.join(children)}")
        files[name] = path
    for name, path in files.items():
        load_into(children[name], load_checkpoint(path), f"'{path}'")
    save_state_dict(out, model.state_dict())
    return [name for name in children if name not in files]


def main() -> None:
    """Parse, join, report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of the model that holds the parts')
    parser.add_argument('out', help='file to write: .pth or .safetensors')
    parser.add_argument('parts', nargs='+', metavar='NAME=FILE', help='checkpoint of a child, as in detector=yolox.pth')
    args = parser.parse_args()
    with one_line_errors():
        rest = join(args.config, args.parts, args.out)
        print(f'wrote {args.out}' + (f"; initial weights: {', '.join(rest)}" if rest else ''))


if __name__ == '__main__':
    main()
