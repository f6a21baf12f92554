"""Runs commands of ``mmweather``, each in a process of its own that is forked after the slow imports.

    python many_commands.py COMMANDS.json RESULTS.json [SECONDS]

A command is a list of arguments. A result is its exit status (negative: a signal), stdout and stderr. Each may take
so many seconds of the processor (60; ended by SIGXCPU), five times as many by the clock (SIGALRM), and 8 GB of
addresses more than the imports.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback

LIMIT = 60
MEMORY = 8 << 30


def main(commands_file: str, results_file: str, limit: int = LIMIT) -> None:
    import mmweather.apis.adapters
    import mmweather.apis.inferencer
    import mmweather.registry  # noqa: F401
    from mmweather import cli, get_model
    get_model('ssdie-net')  # imports what the commands need
    with open(commands_file) as file:
        commands = json.load(file)
    with open('/proc/self/statm') as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    results = []
    for words in commands:
        with (tempfile.TemporaryFile('w+', errors='replace') as out,
              tempfile.TemporaryFile('w+', errors='replace') as err):
            started = time.monotonic()
            child = os.fork()
            if child == 0:
                os.dup2(out.fileno(), 1)
                os.dup2(err.fileno(), 2)
                signal.alarm(5 * limit)  # a busy machine gives little time
                resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5))
                resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, ) * 2)
                before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
                status = 1
                try:
                    status = cli.main(words)
                except SystemExit as end:
                    status = end.code
                except BaseException:
                    traceback.print_exc()
                sys.stdout.flush()
                sys.stderr.flush()
                grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024
                os.write(1, f'\nGREW {grown}\n'.encode())
                os._exit(int(status or 0))
            _, state = os.waitpid(child, 0)
            out.seek(0)
            err.seek(0)
            shown, _, grown = out.read().rpartition('\nGREW ')
            results.append(dict(status=os.waitstatus_to_exitcode(state), out=shown, err=err.read(),
                                megabytes=int(grown or -1), seconds=time.monotonic() - started))
        with open(results_file, 'w') as file:  # what is there when this is stopped, too
            json.dump(results, file)


if __name__ == '__main__':
    main(*sys.argv[1:3], *map(int, sys.argv[3:]))
