"""Test a model: ``python tools/test.py CONFIG CHECKPOINT [--out FILE.pkl] [--show-dir DIR] ...``."""

from __future__ import annotations

from mmweather.errors import one_line_errors


def main() -> None:
    """Parse the arguments and test."""
    with one_line_errors():
        import mmweather.registry  # noqa: F401  the fixes of the toolboxes come first
        from mmweather.engine.runner import test, test_parser

        test(test_parser().parse_args())


if __name__ == '__main__':
    main()
