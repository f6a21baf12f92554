"""Videos through `mmweather.Inferencer`, and the commands `restore`, `detect` and `segment`."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip('av', reason='videos need PyAV')
pytest.importorskip('mmdet')
pytest.importorskip('mmseg')

import inference_toy as toy  # noqa: E402
import torch  # noqa: E402
from torch import nn  # noqa: E402

import mmweather  # noqa: E402
from mmweather import cli  # noqa: E402
from mmweather.errors import ConfigError  # noqa: E402
from mmweather.models.ops.contract import InferenceContract  # noqa: E402
from mmweather.utils.images import read_image, write_image  # noqa: E402
from mmweather.utils.video import VideoWriter, open_video  # noqa: E402

SEGMENTOR = ("dict(type='mmweather.Brightest', "
             "data_preprocessor=dict(type='SegDataPreProcessor', bgr_to_rgb=True))")


class Negative(nn.Module):
    inference_contract = InferenceContract(multiple_of=2, minimum=2)

    def forward(self, img):
        return 1 - img


class Infrared(nn.Module):
    inference_contract = InferenceContract(inputs=('img', 'ir'))

    def forward(self, img, ir):
        return ir


def film(path: Path, count: int = 5, size: tuple[int, int] = (32, 48), colour=(200, 40, 40)) -> Path:
    """A red square that moves on grey."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with VideoWriter(path, fps=Fraction(10)) as writer:
        for number in range(count):
            frame = np.full((*size, 3), 90, np.uint8)
            frame[8:24, 4 * number:4 * number + 16] = colour
            writer.write(frame)
    return path


def run(model, *words, **options):
    return mmweather.Inferencer(model, device='cpu')(*words, show_progress=False, **options)


def test_a_video_is_restored_frame_by_frame(tmp_path):
    video = film(tmp_path / 'in' / 'a.mp4')
    report = run(Negative(), video, tmp_path / 'out', batch_size=2, keep=True)
    assert report.done == [tmp_path / 'out' / 'a.mp4'] and not report.failed
    assert [outcome.source for outcome in report] == [f'a.mp4#{number}' for number in range(5)]
    with open_video(report.done[0]) as result:
        assert result.fps == 10 and result.size == (32, 48)
        frames = list(result)
    assert len(frames) == 5 and abs(int(frames[0][0, 40, 0]) - 165) < 12
    assert run(Negative(), video, tmp_path / 'out').skipped == report.done


def test_frames_are_given_but_not_kept_where_nothing_is_written(tmp_path):
    video = film(tmp_path / 'a.mp4')
    assert len(run(Negative(), video)) == 0
    stream = mmweather.Inferencer(Negative(), device='cpu').stream(video, max_frames=2, show_progress=False)
    assert [outcome.restored.shape for outcome in stream] == [(32, 48, 3)] * 2


def test_videos_and_pictures_of_a_folder_and_a_broken_one(tmp_path):
    film(tmp_path / 'in' / 'a.mp4', 3)
    write_image(tmp_path / 'in' / 'deep' / 'b.png', np.zeros((4, 4, 3), np.uint8))
    (tmp_path / 'in' / 'c.mp4').write_bytes(b'no video')
    out = tmp_path / 'out'
    report = run(Negative(), tmp_path / 'in', out, max_frames=2, compare=True)
    assert [path.relative_to(out).as_posix() for path in report.done] == ['deep/b.png', 'a.mp4']
    assert set(report.failed) == {tmp_path / 'in' / 'c.mp4'}
    assert sorted(path.name for path in out.rglob('[!.]*.*')) == ['a.mp4', 'b.png', 'b_compare.png']
    with open_video(out / 'a.mp4') as result:
        assert result.size == (32, 96) and len(list(result)) == 2
    # Without `compare`, the picture is kept and the video, whose frames differ, is made again.
    report = run(Negative(), tmp_path / 'in', out, max_frames=2)
    assert report.done == [out / 'a.mp4'] and report.skipped == [out / 'deep' / 'b.png']
    with open_video(out / 'a.mp4') as result:
        assert result.size == (32, 48)


def test_a_stream_that_is_left_leaves_no_half_video(tmp_path):
    stream = mmweather.Inferencer(Negative(), device='cpu').stream(film(tmp_path / 'a.mp4'), tmp_path / 'out',
                                                                    show_progress=False)
    next(stream)
    stream.close()
    assert not list((tmp_path / 'out').iterdir())


def test_a_frame_that_fails_fails_the_video(tmp_path):
    class Breaks(Negative):
        def forward(self, img):
            return (1 - img) * (float('nan') if (img[..., 12, 18] > 0.7).any() else 1)

    report = run(Breaks(), film(tmp_path / 'a.mp4'), tmp_path / 'out', batch_size=4)
    assert 'not finite' in report.failed[tmp_path / 'a.mp4'] and not report.done
    assert not list((tmp_path / 'out').iterdir())


def test_two_videos_that_belong_together(tmp_path):
    video = film(tmp_path / 'rgb' / 'a.mp4')
    film(tmp_path / 'ir' / 'a.mp4', colour=(0, 250, 0))
    report = run(Infrared(), video, tmp_path / 'out', ir=tmp_path / 'ir', keep=True)
    assert len(report.done) == 1
    frame = report[0].restored
    assert (frame.max(2) == frame.min(2)).all(), 'infrared is grey'
    film(tmp_path / 'ir' / 'a.mp4', 3)
    report = run(Infrared(), video, tmp_path / 'out2', ir=tmp_path / 'ir')
    assert 'differ in length' in report.failed[video]
    with pytest.raises(ConfigError, match='takes img, ir'):
        run(Infrared(), video, tmp_path / 'out3')


# Commands ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def scene(tmp_path):
    """Two pictures, a broken one and a video; configs and checkpoints of a detector and a segmentor."""
    for index in range(2):
        image = np.full((32, 48, 3), 90, np.uint8)
        image[8:24, 8 + index:24] = (255, 0, 0)
        write_image(tmp_path / 'in' / f'{index}.png', image)
    (tmp_path / 'in' / 'bad.png').touch()
    film(tmp_path / 'in' / 'film.mp4', 3)
    for name, model, scope in (('red', "dict(type='mmweather.RedBox')", 'mmdet'), ('bright', SEGMENTOR, 'mmseg')):
        config = toy.write_config(tmp_path, model, scope, f'{name}.py', classes="('r', 'g', 'b')")
        torch.save(mmweather.get_model(config).state_dict(), tmp_path / f'{name}.pth')
    return tmp_path


def words(scene: Path, command: str, name: str, *more: str) -> list[str]:
    return [command, str(scene / 'in'), '--model', str(scene / f'{name}.py'), '--checkpoint',
            str(scene / f'{name}.pth'), '--out', str(scene / 'out'), '--device', 'cpu', *more]


def test_detect(scene, capsys):
    assert cli.main(words(scene, 'detect', 'red', '--score-thr', '0.1', '--compare', '--batch-size', '2')) == 1
    printed = capsys.readouterr()
    assert '3 done, 0 there already, 1 failed' in printed.out
    assert printed.err.splitlines()[-1].startswith(f"failed: {scene / 'in' / 'bad.png'}: ")
    found = json.loads((scene / 'out' / '0.json').read_text())['boxes']
    assert [one['score'] for one in found] == [0.9, 0.2]
    frames = json.loads((scene / 'out' / 'film.json').read_text())
    assert [frame['image'] for frame in frames] == ['film.mp4#0', 'film.mp4#1', 'film.mp4#2']
    (scene / 'in' / 'bad.png').unlink()
    with pytest.raises(SystemExit) as stopped:
        cli.main(words(scene, 'detect', 'red', '--compare'))
    assert stopped.value.code == 2 and 'score_thr 0.1 instead of 0.3' in capsys.readouterr().err
    assert cli.main(words(scene, 'detect', 'red', '--score-thr', '0.1', '--compare')) == 0
    assert '0 done, 3 there already, 0 failed' in capsys.readouterr().out


def test_segment(scene, capsys):
    (scene / 'in' / 'bad.png').unlink()
    assert cli.main(words(scene, 'segment', 'bright', '--max-frames', '1', '--dtype', 'bf16')) == 0
    assert '3 done' in capsys.readouterr().out
    assert read_image(scene / 'out' / '1.png').shape == (32, 48, 3)
    assert (scene / 'out' / '1_labels.png').is_file() and (scene / 'out' / 'film.mp4').is_file()


@pytest.mark.parametrize('arguments, message', [
    (lambda scene: words(scene, 'restore', 'red'), 'RedBox cannot restore; use `mmweather detect`'),
    (lambda scene: words(scene, 'detect', 'bright'), 'Brightest cannot detect; use `mmweather segment`'),
    (lambda scene: words(scene, 'segment', 'bright', '--thermal', 'nowhere'), 'given thermal'),
    (lambda scene: words(scene, 'detect', 'red', '--device', 'abacus'), "device 'abacus'"),
    (lambda scene: ['segment', 'nowhere', *words(scene, 'segment', 'bright')[2:]], 'no image there'),
    (lambda scene: ['detect', str(scene), '--model', 'togethernat', '--out', 'o'], "no model is called 'togethernat'"),
    (lambda scene: ['detect', str(scene), '--model', str(scene / 'red.py'), '--out', 'o'], 'no weights are shipped'),
])
def test_mistakes_are_one_line(scene, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(scene)
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments(scene))
    error = capsys.readouterr().err
    assert stopped.value.code == 2 and message in error and error.count('\n') == 1
    assert not (scene / 'out').exists()


@pytest.mark.parametrize('more', [['--score-thr', '2'], ['--score-thr', 'x'], ['--batch-size', '0'],
                                  ['--max-frames', '-1']])
def test_arguments_out_of_range(more, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(['detect', 'x', '--model', 'm', '--out', 'o', *more])
    assert stopped.value.code == 2 and more[0] in capsys.readouterr().err
