"""Classes, colours and translations of class ids for segmentation by day and night: data, no code.

A translation lists every id of the source; 255 is ignored in training and in evaluation.
"""

from __future__ import annotations

IGNORE = 255

HEATNET_CLASSES = ('road', 'sidewalk', 'building', 'curb', 'fence', 'pole', 'vegetation', 'terrain', 'sky', 'person',
                   'car', 'bicycle', 'background')
"""The network's 13 outputs; the last one has no score.

Road includes parking; pole traffic lights and signs; person riders; car trucks, buses and trains; bicycle motorcycles.
"""
HEATNET_SCORED = 12
"""How many classes, the first ones, have a score."""
HEATNET_PALETTE = ((70, 70, 70), (244, 35, 232), (128, 64, 128), (168, 168, 168), (0, 255, 255), (255, 165, 0),
                   (107, 142, 35), (255, 255, 0), (70, 130, 180), (220, 20, 60), (0, 255, 0), (190, 153, 153),
                   (0, 0, 0))

FREIBURG_LABELS = {**{i: i for i in range(13)}, 13: IGNORE}
"""Ids in the Freiburg Thermal label files."""

_VISTAS = {
    0: (8, 10, 12, 13, 14, 23, 24),
    1: (7, 11, 15),
    2: (6, 16, 17, 18),
    3: (2, 5, 9),
    4: (3, 4),
    5: (44, 45, 46, 47, 48, 49, 50),
    6: (30, ),
    7: (25, 26, 28, 29, 31),
    8: (27, ),
    9: (0, 19, 20, 21, 22),
    10: (53, 54, 55, 56, 58, 59, 60, 61, 62),
    11: (52, 57),
    IGNORE: (65, ),
}
VISTAS_LABELS = {**dict.fromkeys(range(66), 12), **{old: new for new, olds in _VISTAS.items() for old in olds}}
"""The 66 ids of Mapillary Vistas 1.2; what is not named is background. As published, 0 (bird) is a person and 5
(barrier) a curb."""

CITYSCAPES_LABELS = {
    0: 0, 1: 1, 2: 2, 3: 2, 4: 4, 5: 5, 6: 5, 7: 5, 8: 6, 9: 7, 10: 8, 11: 9, 12: 9, 13: 10, 14: 10, 15: 10, 16: 10,
    17: 11, 18: 11, 255: IGNORE,
}
"""The 19 training ids of Cityscapes and BDD100K."""

MF_CLASSES = ('unlabeled', 'car', 'person', 'bike', 'curve', 'car_stop', 'guardrail', 'color_cone', 'bump')
MF_PALETTE = ((0, 0, 0), (64, 0, 128), (64, 64, 0), (0, 128, 192), (0, 0, 192), (128, 128, 0), (64, 64, 128),
              (192, 128, 128), (192, 64, 0))
MF_SCORED = (1, 2, 3, 4)
"""What HeatNet's classes can say of MF's: car, person, bike, curve."""
HEATNET_TO_MF = (0, 0, 0, 4, 0, 0, 0, 0, 0, 2, 1, 3, 0)
"""MF's class of each of HeatNet's 13 outputs."""

STREET_CLASSES = ('sky', 'building', 'pole', 'road', 'pavement', 'vegetation', 'sign', 'fence', 'car', 'person',
                  'rider')
"""CamVid's eleven classes; a rider is a person with the bicycle."""
STREET_PALETTE = ((70, 130, 180), (128, 64, 128), (255, 165, 0), (70, 70, 70), (244, 35, 232), (107, 142, 35),
                  (220, 220, 0), (0, 255, 255), (0, 255, 0), (220, 20, 60), (255, 120, 120))
STREET_LABELS = {**{i: i for i in range(11)}, 11: IGNORE, IGNORE: IGNORE}
"""Ids in CamVid's label files (the usual 11 classes and 11 for the rest)."""
