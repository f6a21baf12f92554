"""Give every kind of broken file to the commands, and count how they end.

    python tools/analysis_tools/broken_files.py --out counts.md
    python tools/analysis_tools/broken_files.py --only configs COCO --details

A command should end in one line or do its work. It ends with status 1 where one ends in a traceback, hangs, crashes, or
writes a control character of a file name to the terminal.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmweather.errors import MMWeatherError, one_line_errors

ROOT = Path(__file__).resolve().parents[2]
TESTS = [ROOT / 'tests/reliability', ROOT / 'tests/security']
ENDS = ('one line', 'done', 'traceback', 'hang', 'killed', 'terminal')
BAD = ENDS[2:]


def end_of(result: Mapping[str, Any]) -> str:
    """How a command ended, one of :data:`ENDS`.

    Args:
        result: of ``tests/security/many_commands.py``.
    """
    status, text = result['status'], result['err']
    if -status in (signal.SIGALRM, signal.SIGXCPU):
        return 'hang'
    if status < 0 or 'out of memory' in text:
        return 'killed'
    if '\x1b]' in text + result['out']:
        return 'terminal'
    errors = [line for line in text.splitlines() if line.startswith('error: ')]
    if 'Traceback' in text or 'internal error' in text or status not in (0, 1, 2) or (status == 2 and len(errors) != 1):
        return 'traceback'
    return 'one line' if status else 'done'


def run_all(folder: Path, groups: Iterable[str], limit: int, every: Mapping[str, int] | None = None,
            leave_out: Sequence[str] = ()) -> list[tuple[Any, str, dict[str, Any]]]:
    """Build the broken files and run the commands on them.

    Args:
        folder: empty; for the files.
        groups: of ``tests/reliability/broken_kinds.py``.
        limit: seconds of the processor that a command may take, and a fifth of those by the clock.
        every: group -> n, to take each n-th case only.
        leave_out: names of commands.

    Returns:
        Case, name of the command and result of each run.
    """
    import broken_kinds

    cases = []
    for group in groups:
        every_case = list(broken_kinds.GROUPS[group](folder / group.replace(' ', '_')))
        cases += every_case[::(every or {}).get(group, 1)]
    runs = [(case, name, words) for case in cases for name, words in case.commands.items()
            if name not in leave_out]
    (folder / 'commands.json').write_text(json.dumps([words for _, _, words in runs]))
    environment = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT), 'TMPDIR': str(folder)}
    subprocess.run([sys.executable, '-W', 'ignore', str(TESTS[1] / 'many_commands.py'), 'commands.json', 'results.json',
                    str(limit)], cwd=folder, env=environment, check=True)
    if (folder / 'PWNED').exists():
        raise MMWeatherError('code of a file was run')
    results = json.loads((folder / 'results.json').read_text())
    return [(case, name, result) for (case, name, _), result in zip(runs, results, strict=True)]


def table(runs: Sequence[tuple[Any, str, Mapping[str, Any]]]) -> str:
    """Return the counts as Markdown, a row a group of kinds and command."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    kinds: dict[str, set[str]] = {}
    for case, name, result in runs:
        counts.setdefault((case.group, name), Counter())[end_of(result)] += 1
        kinds.setdefault(case.group, set()).add(case.kind)
    total: Counter[str] = sum(counts.values(), Counter())
    rows = [('files', 'kinds', 'command', 'runs', *ENDS), ('---', ) * (len(ENDS) + 4)]
    rows += [(group, len(kinds[group]), name, found.total(), *(found[end] for end in ENDS))
             for (group, name), found in counts.items()]
    rows.append(('**all**', sum(map(len, kinds.values())), '', total.total(), *(total[end] for end in ENDS)))
    return '\n'.join(f'| {" | ".join(map(str, row))} |' for row in rows) + '\n'


def main() -> int:
    """Print the table; status 1 if a command ended badly."""
    for folder in TESTS:
        sys.path.insert(0, str(folder))
    import broken_kinds

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--out', type=Path, metavar='FILE.md', help='also write the table there')
    parser.add_argument('--only', nargs='+', choices=broken_kinds.GROUPS, default=list(broken_kinds.GROUPS))
    parser.add_argument('--limit', type=int, default=60, metavar='SECONDS', help='of the processor, for a command (60)')
    parser.add_argument('--every', type=int, default=1, metavar='N', help='each n-th kind only (1)')
    parser.add_argument('--details', action='store_true', help='also print how each command ended')
    args = parser.parse_args()
    with one_line_errors(), tempfile.TemporaryDirectory(prefix='broken-') as folder:
        runs = run_all(Path(folder), args.only, args.limit, dict.fromkeys(args.only, args.every))
        bad = 0
        for case, name, result in runs:
            end = end_of(result)
            bad += end in BAD
            if args.details or end in BAD:
                said = ascii(result['err'][-1500:] if end in BAD else result['err'][-200:])
                place = f'{case.group}, {case.kind}, {name}'
                print(f"{end}: {place}: status {result['status']}, {result['seconds']:.1f} s: {said}", flush=True)
        text = table(runs)
        print(text)
        if args.out is not None:
            args.out.write_text(text)
    return int(bad > 0)


if __name__ == '__main__':
    sys.exit(main())
