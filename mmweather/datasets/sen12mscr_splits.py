"""The published division of SEN12MS-CR: 155 scenes for training, 10 for validation, 10 for testing.

From the data loader of UnCRtainTS (Ebel et al., 2023), whose table is the one that ACA-CRNet's figures stand in.
Whole scenes are divided, so that no place is trained and tested on.  Scene 100 of the summer is a test scene of the
sister set SEN12MS-CR-TS: leave it out of training where both are used.

The published loader looks for these names as parts of a path.  So scene 1 of the spring also takes scenes 106, 123 and
140, and in all 6 of the 10 test scenes and 3 of the 10 validation scenes are trained on as well.
:class:`mmweather.datasets.sen12mscr.SEN12MSCR` compares whole names.
"""

from __future__ import annotations

SPLITS = ('train', 'val', 'test')
_PUBLISHED: dict[str, dict[str, tuple[int, ...]]] = {
    'train': {
        'ROIs1158_spring': (
            1, 6, 8, 9, 15, 21, 26, 39, 40, 45, 58, 63, 66, 75, 77, 97, 100, 101, 109, 110, 113,
            115, 117, 119, 120, 121, 124, 126, 128, 132, 134, 141, 142, 145, 147),
        'ROIs1868_summer': (
            4, 7, 11, 15, 25, 27, 31, 36, 40, 42, 43, 47, 55, 56, 72, 76, 86, 87, 89, 90, 93, 95,
            100, 101, 102, 113, 114, 115, 120, 121, 123, 124, 125, 126, 132, 133, 135, 137, 139,
            140, 143, 146, 147),
        'ROIs1970_fall': (
            1, 3, 4, 6, 11, 14, 19, 22, 26, 27, 28, 30, 31, 33, 35, 37, 39, 40, 41, 42, 57, 64, 71,
            77, 81, 82, 83, 85, 88, 91, 93, 100, 104, 105, 107, 109, 110, 112, 114, 116, 119, 120,
            122, 125, 128, 131, 133, 134, 135, 136, 141, 142, 144, 147, 148, 149),
        'ROIs2017_winter': (
            8, 21, 25, 42, 47, 49, 55, 59, 61, 62, 64, 68, 75, 81, 94, 102, 104, 112, 116, 135, 146),
    },
    'val': {
        'ROIs1158_spring': (17, ),
        'ROIs1868_summer': (17, 19, 80, 127),
        'ROIs1970_fall': (65, ),
        'ROIs2017_winter': (22, 84, 107, 130),
    },
    'test': {
        'ROIs1158_spring': (31, 44, 106, 123, 140),
        'ROIs1868_summer': (73, 119),
        'ROIs1970_fall': (139, ),
        'ROIs2017_winter': (63, 108),
    },
}


def published_splits() -> dict[str, tuple[str, ...]]:
    """Split -> names of its scenes, as in ``ROIs1158_spring_106``."""
    return {split: tuple(f'{season}_{number}' for season, numbers in seasons.items() for number in numbers)
            for split, seasons in _PUBLISHED.items()}
