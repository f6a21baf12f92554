"""Check files before a commit: size, private keys, conflict marks, white space at line ends, a last newline.

Usage: python .ci/check_files.py FILE ...; prints one line a fault and exits with status 1 where there is one.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

LIMIT_KB = 500
# In character classes, so that this file passes its own check.
PRIVATE_KEY = re.compile(r'BEGIN [A-Z ]*PRIVATE KE[Y]')
CONFLICT = re.compile(r'^(?:<{7} |>{7} |={7}$)')


def faults(path: Path) -> Iterator[str]:
    """What is wrong with a file, one line each."""
    raw = path.read_bytes()
    if len(raw) > LIMIT_KB * 1024:
        yield f'{path}: {len(raw) // 1024} KB; the limit is {LIMIT_KB} KB: draw it from a seed, or host it elsewhere'
    if b'\0' in raw[:4096]:
        return
    text = raw.decode('utf-8', errors='replace')
    for number, line in enumerate(text.split('\n'), 1):
        if PRIVATE_KEY.search(line):
            yield f'{path}:{number}: a private key'
        if CONFLICT.match(line):
            yield f'{path}:{number}: a conflict mark'
        if line != line.rstrip():
            yield f'{path}:{number}: white space at the end of the line'
    if text and not text.endswith('\n'):
        yield f'{path}: no newline at the end'


def main(names: list[str]) -> int:
    """Check the files; folders and links are passed over."""
    found = [fault for name in names if (path := Path(name)).is_file() and not path.is_symlink()
             for fault in faults(path)]
    print(*found, sep='\n', end='\n' if found else '')
    return int(bool(found))


if __name__ == '__main__':
    raise SystemExit(main(sys.argv[1:]))
