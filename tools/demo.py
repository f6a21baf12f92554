"""The main job in a few minutes: make a data set, train both stages of NiteDR in small, test, show.

    python tools/demo.py --out demo_out

Every step is a command that works by itself; the demo prints each before it runs it.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def parse_args() -> argparse.Namespace:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, default=Path('demo_out'), help='folder for everything the demo makes')
    parser.add_argument('--iters', type=int, default=300, help='iterations of stage 1')
    parser.add_argument('--epochs', type=int, default=10, help='epochs of stage 2')
    parser.add_argument('--train', type=int, default=24, help='training scenes of the mini set')
    parser.add_argument('--test', type=int, default=8, help='test scenes of the mini set')
    return parser.parse_args()


def run(*command: object) -> None:
    """Print and run one command; stop the demo with its status where it fails."""
    words = [str(word) for word in command]
    shown = ['python' if word == sys.executable else word for word in words]
    print(f'\n$ {shlex.join(shown)}', flush=True)
    status = subprocess.run(words, cwd=ROOT, check=False, env={**os.environ, 'PYTHONWARNINGS': 'ignore'}).returncode
    if status:
        raise SystemExit(f'error: the command above ended with status {status}')


def data_roots(root: Path, *loaders: str) -> list[str]:
    """``--cfg-options`` that point the named loaders at ``root``."""
    return [f'{loader}.data_root={root}' for loader in loaders]


def main() -> None:
    """Run the demo."""
    args = parse_args()
    out = args.out.resolve()
    start = time.time()
    python, command = sys.executable, [sys.executable, '-m', 'mmweather.cli']
    configs, data = ROOT / 'configs/nitedr', out / 'data/roadscene_rain'
    loaders = ('train_dataloader.dataset.dataset', 'val_dataloader.dataset', 'test_dataloader.dataset')
    roots = data_roots(data, *loaders)

    run(*command, 'prepare', 'mini', out / 'data', '--train', args.train, '--test', args.test,
        '--only', 'roadscene-rain')
    run(*command, 'check', data)

    stage1 = configs / 'nitedr_cleannet-s_1xb4-300_mini.py'
    run(python, 'tools/train.py', stage1, '--work-dir', out / 'stage1', '--cfg-options', *roots,
        f'train_cfg.max_iters={args.iters}', f'param_scheduler.0.end={args.iters}',
        f'param_scheduler.0.T_max={args.iters}', f'train_cfg.val_interval={max(1, args.iters // 3)}',
        f'default_hooks.checkpoint.interval={args.iters}')
    weights1 = out / f'stage1/iter_{args.iters}.pth'
    run(*command, 'restore', data / 'train/Vis/input', '--model', stage1, '--checkpoint', weights1,
        '--out', data / 'train/Vis/clean', '--tile', 'none', '--overwrite')

    stage2 = configs / 'nitedr_fusion-s_1xb4-20e_mini.py'
    run(python, 'tools/train.py', stage2, '--work-dir', out / 'stage2', '--cfg-options', *roots,
        f'train_cfg.max_epochs={args.epochs}', f'train_cfg.val_interval={args.epochs}',
        f'default_hooks.checkpoint.interval={args.epochs}')
    joined = out / 'nitedr.pth'
    run(python, 'tools/model_converters/join_nitedr.py', weights1, out / f'stage2/epoch_{args.epochs}.pth', joined)

    run(python, 'tools/test.py', stage1, weights1, '--work-dir', out / 'test1', '--cfg-options', *roots)
    run(python, 'tools/test.py', configs / 'nitedr_joint-s_mini.py', joined, '--work-dir', out / 'test2',
        '--show-dir', out / 'pictures', '--cfg-options', *data_roots(data, *loaders[1:]))
    report(out, time.time() - start)


def results(work_dir: Path) -> dict[str, float]:
    """What the last test in a work directory measured."""
    return json.loads(max(work_dir.glob('*/*.json')).read_text())


def part(metrics: dict[str, float], *starts: str) -> dict[str, float]:
    """The metrics whose names begin so."""
    return {name: value for name, value in metrics.items() if name.startswith(starts)}


def report(out: Path, seconds: float) -> None:
    """Print both tables and name the picture."""
    from mmweather.evaluation.table import format_table
    print('\nStage 1, mean over the test images\n')
    print(format_table(part(results(out / 'test1'), 'psnr', 'ssim'), markdown=False))
    print('\nBoth stages: fusion of the restored image with infrared\n')
    for name in ('fused', 'refined'):
        print(format_table(part(results(out / 'test2'), f'{name}/'), markdown=False, column=name) + '\n')
    picture = out / 'nitedr_demo.png'
    montage(sorted((out / 'pictures').glob('**/*.png'))[:4], picture)
    print(f'picture (rainy, restored, fused, refined, true scene, infrared): {picture}')
    print(f'done in {seconds / 60:.1f} minutes')


def montage(rows: list[Path], target: Path) -> None:
    """The side-by-side pictures of the first test scenes under each other."""
    import numpy as np

    from mmweather.utils.images import read_image, write_image
    pictures = [read_image(path) for path in rows]
    height, width = (max(picture.shape[axis] for picture in pictures) for axis in (0, 1))
    canvas = np.full((len(pictures), height + 4, width, 3), 255, np.uint8)
    for row, picture in zip(canvas, pictures, strict=True):
        row[:picture.shape[0], :picture.shape[1]] = picture
    write_image(target, canvas.reshape(-1, width, 3))


if __name__ == '__main__':
    main()
