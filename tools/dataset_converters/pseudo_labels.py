"""Write a trained teacher's label maps and certainty beside the images that have no labels.

    # The night of Freiburg Thermal, by the thermal teacher
    python tools/dataset_converters/pseudo_labels.py configs/heatnet/heatnet_thermal-teacher_4xb2-50k_freiburg.py \\
        work_dirs/heatnet_thermal-teacher_4xb2-50k_freiburg/iter_50100.pth
    # The day, by the RGB teacher
    python tools/dataset_converters/pseudo_labels.py configs/heatnet/heatnet_rgb-teacher_1xb30-130e_vistas.py RGB.pth \\
        --data configs/heatnet/heatnet_rgbt-late_4xb2-100k_freiburg.py --domains day --labels fl_rgb_labels \\
        --certainty none

An interrupted run goes on where it stopped.
"""

from __future__ import annotations

import argparse

from mmweather.errors import one_line_errors


def main() -> None:
    """Parse the arguments and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of the teacher, with pseudo_label_pipeline')
    parser.add_argument('checkpoint', help='checkpoint of the teacher')
    parser.add_argument('--data', metavar='CONFIG',
                        help="config with pseudo_label_dataset (default: the teacher's)")
    parser.add_argument('--data-root', metavar='DIR', help='folder of the data set (default: that of the config)')
    parser.add_argument('--domains', nargs='+', default=['night'], metavar='DOMAIN', help='day, night or both '
                        '(default: night)')
    parser.add_argument('--labels', default='teacher_labels', metavar='NAME',
                        help='folder of the label maps (default: teacher_labels)')
    parser.add_argument('--certainty', default='teacher_certainty', metavar='NAME',
                        help="folder of the certainties; 'none' writes none (default: teacher_certainty)")
    parser.add_argument('--overwrite', action='store_true', help='write every file anew')
    parser.add_argument('--device', help='cpu, cuda, ... (default: a GPU if there is one)')
    parser.add_argument('--workers', type=int, default=2, help='processes that load images (default: 2)')
    args = parser.parse_args()
    with one_line_errors():
        import mmweather.registry  # noqa: F401  the fixes of the toolboxes come first
        from mmweather.apis.pseudo_labels import write_pseudo_labels

        count = write_pseudo_labels(
            args.config, args.checkpoint, args.data, args.data_root, args.domains, args.labels,
            None if args.certainty == 'none' else args.certainty, args.overwrite, args.device, args.workers)
        print(f"{args.labels}: {count['written']} written, {count['kept']} were there")


if __name__ == '__main__':
    main()
