"""The subcommands of `mmweather`, one module each.

A module defines ``HELP`` (one line), ``EXAMPLE`` (shown below ``--help``), ``add_arguments(parser)`` and
``run(args) -> int`` (the exit status).  Heavy imports stand inside ``run``.  ``mmweather/cli.py`` lists the modules.
"""
