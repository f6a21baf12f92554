"""TogetherNet's golden vectors, where the golden folder is at hand."""

from __future__ import annotations

import json

import pytest
import torch
from golden_rows import ABSENT, GOLDEN, assert_golden, golden_files

from mmweather.apis.golden.compare import GoldenFolder
from mmweather.models.togethernet.state_dict_adapter import rename

pytest.importorskip('mmdet', reason='the detector is built from mmdet')

FOLDER = GOLDEN / 'togethernet'
FILES = golden_files('togethernet')
needs_golden = pytest.mark.skipif(not FILES, reason=ABSENT)


@needs_golden
@pytest.mark.parametrize('file', FILES)
def test_togethernet(file):
    from mmweather.apis.golden.togethernet import CHECKS
    assert_golden('togethernet', file, CHECKS)


@needs_golden
def test_every_parameter_after_one_published_step():
    from mmweather.apis.golden.togethernet import TrainStep
    step = TrainStep(GoldenFolder(FOLDER))
    record = step.record
    assert step.detection == pytest.approx(record['det'], rel=1e-5)
    assert step.restoration == pytest.approx(record['mse'], rel=1e-5)
    assert step.total == pytest.approx(record['total'], rel=1e-5)
    parameters = dict(step.network.named_parameters())
    gradients = step.published({name: value.grad for name, value in parameters.items()})
    changes = step.published({name: value.detach() - step.before[name] for name, value in parameters.items()})
    assert set(gradients) == set(record['params'])
    for name, wanted in record['params'].items():
        if name.startswith('backbone.decoder.conv_') and name.endswith('.0.bias'):
            # Batch norm takes the bias out again: the gradient is zero up to rounding.
            assert gradients[name].norm() < 1e-6
            continue
        # float64 differs from the published norms by up to 3e-3.
        assert gradients[name].norm().item() == pytest.approx(wanted['grad_l2'], rel=3e-3), name
        assert changes[name].norm().item() == pytest.approx(wanted['delta_l2'], rel=3e-3, abs=1e-9), name
    buffers = step.published(dict(step.network.named_buffers()))
    assert len(record['bn_running']) == len(record['bn_running_var']) == 80
    for name, wanted in record['bn_running'].items():
        assert buffers[name].double().sum().item() == pytest.approx(wanted['mean_sum'], rel=1e-4, abs=1e-3), name
    for name, wanted in record['bn_running_var'].items():
        assert buffers[name].double().sum().item() == pytest.approx(wanted, rel=1e-4), name


@needs_golden
def test_names_are_those_of_mmdet():
    names = json.loads((FOLDER / 'keymap_official_to_mmdet_yolox.json').read_text())
    assert len(names) == 462
    assert {key: rename(key) for key in names} == names


@needs_golden
def test_published_average_precision_is_mmdets():
    import numpy as np
    from mmdet.evaluation import eval_map
    data = json.loads((FOLDER / 'golden_eval.json').read_text())
    classes = data['classes']
    found, annotations = [], []
    for image in data['images']:
        found.append([np.array([[*box, score] for name, score, *box in image['det'] if name == wanted],
                               np.float32).reshape(-1, 5) for wanted in classes])

        def part(difficult, image=image):
            rows = [(box, classes.index(name)) for name, *box, hard in image['gt'] if hard == difficult]
            return (np.array([box for box, _ in rows], np.float32).reshape(-1, 4),
                    np.array([label for _, label in rows], int))

        (boxes, labels), (ignored, ignored_labels) = part(False), part(True)
        annotations.append(dict(bboxes=boxes, labels=labels, bboxes_ignore=ignored, labels_ignore=ignored_labels))
    mean, _ = eval_map(found, annotations, iou_thr=data['iou'], dataset='voc07', logger='silent', nproc=1,
                       use_legacy_coordinate=True, eval_mode='area')
    assert 100 * mean == pytest.approx(data['map_percent'], abs=0.01)


def test_the_step_covers_both_predictors():
    # Rows of the joined predictor come back in the published order.
    from mmweather.apis.golden.togethernet import TrainStep
    from mmweather.models.togethernet.state_dict_adapter import convert
    step = TrainStep.__new__(TrainStep)
    names = [f'backbone.backbone.deconv.{part}.weight' for part in ('p_conv', 'm_conv')]
    step.record = {'params': dict.fromkeys(names), 'bn_running': {}, 'bn_running_var': {}}
    state = {names[0]: torch.rand(18, 2, 3, 3), names[1]: torch.rand(9, 2, 3, 3)}
    back = step.published(convert(state))
    assert all(torch.equal(back[name], state[name]) for name in names)
