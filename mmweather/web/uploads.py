"""Uploads: where a visitor's files arrive, in place of Gradio's own routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from ..errors import DataError
from .door import VISITOR
from .visitors import Visitor, VisitorsFullError

PROGRESS = '/gradio_api/upload_progress'


def take(max_bytes: int) -> Callable[[Request], Awaitable[Response]]:
    """Return the route that stores an upload of at most ``max_bytes``, and answers its path as Gradio's does."""

    async def upload(request: Request) -> Response:
        visitor: Visitor = request.scope[VISITOR]
        size = int(request.headers['content-length'])
        try:
            await run_in_threadpool(visitor.visitors.announce, visitor, size)
        except VisitorsFullError as error:
            return PlainTextResponse(str(error), 503)
        try:
            # What arrives lies in files without a name until it is whole.
            async with request.form(max_files=1, max_fields=4) as form:
                file = form.get('files')
                if not isinstance(file, UploadFile):
                    return PlainTextResponse('the upload holds no file', 400)
                if (file.size or 0) > max_bytes:
                    return PlainTextResponse(f"'{file.filename}' has {(file.size or 0) / 1e6:.3g} MB; at most "
                                             f'{max_bytes / 1e6:g} MB are taken here', 413)
                path = await run_in_threadpool(visitor.keep, file.filename or '', file.file)
                return JSONResponse([str(path)])
        except DataError as error:
            return PlainTextResponse(str(error), 400)
        except ClientDisconnect:
            return PlainTextResponse('the upload was not sent to its end', 400)
        finally:
            visitor.visitors.arrived(size)

    return upload


async def progress(request: Request) -> Response:
    """Answer the page's question how far an upload is; the page waits for its end anyway."""
    return PlainTextResponse('data: {"msg": "done"}\n\n', media_type='text/event-stream')
