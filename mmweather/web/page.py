"""The page: what stands where, and which function answers which click."""

from __future__ import annotations

import functools
import html
import logging
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

from ..errors import MMWeatherError
from ..utils.atomic import write_json
from ..utils.images import write_image
from .door import VISITOR
from .engine import Answer, Engine
from .visitors import Visitor

CSS = """
.error { color: #b91c1c; font-weight: 600; }
.found { width: 100%; border-collapse: collapse; }
.found td, .found th { text-align: left; padding: 2px 8px; border-bottom: 1px solid #8884; }
.swatch { display: inline-block; width: 1em; height: 1em; margin-right: 0.5em; vertical-align: middle; }
"""
_HEADS = {3: ('object', 'score', 'left, top, right, bottom'), 2: ('class', 'share of the picture')}
_MOST_ROWS = 100
_SESSIONS = 500
"""Open pages whose state Gradio remembers."""


def build_page(engine: Engine) -> gr.Blocks:
    """Build the page of an engine; uploads and results are kept in the folders of the visitors."""
    handlers = _Handlers(engine)
    first = next(iter(engine.choices))
    with gr.Blocks(title='mmweather', analytics_enabled=False) as page:
        page.state_session_capacity = _SESSIONS
        limits = engine.limits
        gr.Markdown('# mmweather\nClear sight in rain, fog, dust, night and cloud. Pictures of at most '
                    f'{limits.megabytes:g} MB and {limits.megapixels:g} megapixels; they stay on the machine that runs '
                    'this page.')
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                model = gr.Dropdown(list(engine.choices), value=first, label='Model', elem_id='model')
                about = gr.HTML(elem_id='about')
                picture = gr.File(label='Picture', elem_id='picture', height=120)
                partner = gr.File(label='Second picture', elem_id='partner', height=120, visible=False)
                score = gr.Slider(0.05, 0.95, 0.3, step=0.05, label='Least score of a box', elem_id='score',
                                  visible=False)
                start = gr.Button('Run', variant='primary', elem_id='run')
                message = gr.HTML(elem_id='message')
                preview = gr.Image(label='Your picture', elem_id='preview', interactive=False, visible=False,
                                   format='png', buttons=[])
            with gr.Column(scale=5, min_width=320):
                result = gr.ImageSlider(label='Before | after', elem_id='result', interactive=False, format='png',
                                        buttons=['fullscreen'], max_height=720)
                with gr.Row():
                    download = gr.DownloadButton('Download PNG, full size', elem_id='download', interactive=False)
                    clean = gr.DownloadButton('Restored, nothing drawn', elem_id='clean', visible=False)
                    boxes = gr.DownloadButton('Boxes as JSON', elem_id='boxes', visible=False)
                found = gr.HTML(elem_id='found')
        shown = [result, download, clean, boxes, found]
        # Only a run waits in the queue.  Gradio ends a session's event stream with the last event that waits in it, and
        # the page never hears of a run that it asked for while it still believed the stream to be open.
        direct: dict[str, Any] = dict(queue=False, api_visibility='private')
        for event in (page.load, model.change):
            event(handlers.choose, [model], [about, picture, partner, score, message], show_progress_on=[about],
                  **direct)
        picture.upload(handlers.receive, [picture], [preview, message], show_progress='hidden', **direct)
        partner.upload(handlers.receive_partner, [partner], [message], show_progress='hidden', **direct)
        for item in (picture, partner):
            item.clear(handlers.forget, None, [preview, message], show_progress='hidden', **direct)
        # One at a time: they share the models, and one picture may take all the memory that there is.
        start.click(handlers.run, [model, picture, partner, score], [message, preview, *shown],
                    show_progress_on=[result], concurrency_limit=1, concurrency_id='model', api_visibility='private')
    return page.queue(default_concurrency_limit=1, max_size=16, api_open=False)


def _told(method: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    """Show what went wrong in the page, in place of what the method would have returned."""

    @functools.wraps(method)
    def answer(self: _Handlers, *values: Any) -> list[Any]:
        try:
            return method(self, *values)
        except MMWeatherError as error:
            text = str(error)
        except Exception:  # the page must go on, whatever a model does
            logging.getLogger('mmweather').exception('a request of the page failed')
            text = 'This did not work because of a fault in the program; the terminal of the server shows it.'
        return _FALLBACKS[method.__name__](_error(text))

    return answer


def _error(text: str) -> str:
    return f'<p class="error" role="alert">{html.escape(text)}</p>'


def _plain(text: str) -> str:
    return f'<p role="status">{html.escape(text)}</p>'


_HIDDEN: Callable[[], Any] = functools.partial(gr.update, visible=False)

# What each handler returns beside the message where it fails: the last result must not stand under an error.
_FALLBACKS: dict[str, Callable[[str], list[Any]]] = {
    'choose': lambda text: ['', gr.skip(), _HIDDEN(), _HIDDEN(), text],
    'receive': lambda text: [gr.update(value=None, visible=False), text],
    'receive_partner': lambda text: [text],
    'run': lambda text: [text, gr.skip(), None, gr.update(value=None, interactive=False), _HIDDEN(), _HIDDEN(), ''],
}


class _Handlers:
    """What the page calls.  A path from the page is checked against the folder of the visitor who sent it."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    @_told
    def choose(self, label: str) -> list[Any]:
        """Another model: what it does, and which pictures it wants."""
        titles = self.engine.inputs(label)
        second = gr.update(label=titles[1], visible=True) if len(titles) > 1 else gr.update(value=None, visible=False)
        return [_plain(self.engine.describe(label)), gr.update(label=titles[0]), second,
                gr.update(visible=self.engine.load(label).task == 'detect'), '']

    @_told
    def receive(self, path: str | None, request: gr.Request) -> list[Any]:
        """An upload: its preview, or what is wrong with it."""
        if not path:
            return [gr.update(value=None, visible=False), '']
        visitor = _visitor(request)
        preview = self.engine.preview(visitor.own(path))
        return [gr.update(value=str(write_image(visitor.new_folder() / 'preview.png', preview)), visible=True), '']

    @_told
    def receive_partner(self, path: str | None, request: gr.Request) -> list[Any]:
        """An upload beside the first: thermal counts have no preview."""
        if path:
            self.engine.check(_visitor(request).own(path))
        return ['']

    def forget(self) -> list[Any]:
        """An upload was taken away."""
        return [gr.update(value=None, visible=False), '']

    @_told
    def run(self, label: str, picture: str | None, partner: str | None, score: float, request: gr.Request) -> list[Any]:
        """The button: the answer and its files."""
        visitor = _visitor(request)
        paths = [visitor.own(path) if path else None for path in (picture, partner)]
        answer = self.engine.run(label, paths, score)
        folder = visitor.new_folder()
        stem = paths[0].stem if paths[0] else 'picture'
        files = {'download': write_image(folder / f'{stem}_{self.engine.load(label).task}.png', answer.picture)}
        if answer.restored is not None:
            files['clean'] = write_image(folder / f'{stem}_restored.png', answer.restored)
        if answer.record is not None:
            files['boxes'] = write_json(folder / f'{stem}.json', answer.record)
        pair = tuple(str(write_image(folder / f'{name}.png', array))
                     for name, array in [('before', answer.before), ('after', answer.after)])
        visitor.visitors.trim(visitor)
        extra = [gr.update(value=str(files[name]), visible=True) if name in files else _HIDDEN()
                 for name in ('clean', 'boxes')]
        return [_plain(answer.summary), _HIDDEN(), pair,
                gr.update(value=str(files['download']), interactive=True), *extra, _table(answer)]


def _visitor(request: gr.Request) -> Visitor:
    """Return the visitor whom :class:`mmweather.web.door.Door` let in."""
    assert request.request is not None  # it is in every call over the network
    visitor: Visitor = request.request.scope[VISITOR]
    return visitor


def _table(answer: Answer) -> str:
    if answer.record is not None and not answer.rows:
        return _plain('Nothing was found above that score.')
    if not answer.rows:
        return ''
    lines = [_line('th', _HEADS[len(answer.rows[0].cells)])]
    lines += [_line('td', row.cells, row.colour) for row in answer.rows[:_MOST_ROWS]]
    more = len(answer.rows) - _MOST_ROWS
    return f'<table class="found">{"".join(lines)}</table>' + (_plain(f'and {more} more') if more > 0 else '')


def _line(tag: str, cells: Sequence[str], colour: Sequence[int] | None = None) -> str:
    swatch = '' if colour is None else f'<span class="swatch" style="background: rgb{tuple(colour)}"></span>'
    first, *others = (html.escape(cell) for cell in cells)
    return f"<tr><{tag}>{swatch}{first}</{tag}>{''.join(f'<{tag}>{cell}</{tag}>' for cell in others)}</tr>"
