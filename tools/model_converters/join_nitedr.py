"""Join the checkpoints of NiteDR's two stages for the joint config.

    python tools/model_converters/join_nitedr.py work_dirs/stage1/best.pth work_dirs/stage2/epoch_500.pth nitedr.pth

Published checkpoints (best_net_g.pth, fusion.pth) are taken as they are.
"""

from __future__ import annotations

import argparse

from mmweather.errors import one_line_errors


def main() -> None:
    """Read both, join, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('stage1', help='CleanNet checkpoint, ours or published')
    parser.add_argument('stage2', help='fusion checkpoint, ours or published')
    parser.add_argument('out', help='file to write: .pth or .safetensors')
    args = parser.parse_args()
    with one_line_errors():
        from mmweather.models.nitedr.state_dict_adapter import join_stages
        from mmweather.utils.checkpoint import load_checkpoint, save_state_dict, unwrap_state_dict
        state = join_stages(*(unwrap_state_dict(load_checkpoint(path)) for path in (args.stage1, args.stage2)))
        save_state_dict(args.out, state)
        print(f'wrote {args.out}: {len(state)} tensors')


if __name__ == '__main__':
    main()
