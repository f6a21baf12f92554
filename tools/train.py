"""Train a model: ``python tools/train.py CONFIG [--work-dir DIR] [--resume [CHECKPOINT]] ...``."""

from __future__ import annotations

from mmweather.errors import one_line_errors


def main() -> None:
    """Parse the arguments and train."""
    with one_line_errors():
        import mmweather.registry  # noqa: F401  the fixes of the toolboxes come first
        from mmweather.engine.runner import train, train_parser

        train(train_parser().parse_args())


if __name__ == '__main__':
    main()
