"""`mmweather run TOOLBOX TOOL ...`: the tools of mmdet, mmseg and mmagic, with the mends in place."""

from __future__ import annotations

import argparse

HELP = "run a tool of mmdet, mmseg or mmagic on our configs and checkpoints"
EXAMPLE = """\
  mmweather run mmdet test CONFIG CHECKPOINT
  mmweather run mmseg train CONFIG --work-dir work_dirs/seg
  mmweather run mmdet analysis_tools/get_flops CONFIG"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The toolbox, the tool, and what is handed to the tool as it stands."""
    parser.add_argument('toolbox', choices=('mmdet', 'mmseg', 'mmagic'), help='whose tool')
    parser.add_argument('tool', help="its script in the toolbox's folder tools: test, analysis_tools/get_flops")
    parser.add_argument('arguments', nargs=argparse.REMAINDER, help="the tool's own arguments")


def run(args: argparse.Namespace) -> int:
    """Run the tool; its exit status is ours."""
    from ..compat.scripts import find_tool, run_script
    try:
        run_script(find_tool(args.toolbox, args.tool), args.arguments)
    except SystemExit as exit_:
        if isinstance(exit_.code, str):
            raise
        return exit_.code or 0
    return 0
