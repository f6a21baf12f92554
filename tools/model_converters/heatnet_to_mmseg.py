"""Turn a published HeatNet PSPNet into a checkpoint of the configs in configs/heatnet.

    python tools/model_converters/heatnet_to_mmseg.py checkpoint_1_best.pth.tar heatnet.pth
    python tools/test.py configs/heatnet/heatnet_rgbt-late_4xb2-100k_freiburg_published.py heatnet.pth

Students, thermal teachers and RGB teachers are taken; critics are left out. The configs of one stream fit networks of
one stream (modalities, in_channels).
"""

from __future__ import annotations

import argparse

from mmweather.errors import one_line_errors


def main() -> None:
    """Read, rename, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('source', help='published checkpoint')
    parser.add_argument('out', help='file to write: .pth or .safetensors')
    args = parser.parse_args()
    with one_line_errors():
        from mmweather.models.heatnet.state_dict_adapter import load_pspnet, mmseg_keys
        from mmweather.utils.checkpoint import save_state_dict
        network = load_pspnet(args.source)
        state = mmseg_keys(network.state_dict())
        save_state_dict(args.out, state)
        print(f'wrote {args.out}: {len(state)} tensors')


if __name__ == '__main__':
    main()
