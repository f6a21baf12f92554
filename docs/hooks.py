"""MkDocs hook: pages that live elsewhere in the repository, tables from the metafiles, links between all of them.

Each text has one home.  A page of the site is a Markdown file of the repository as it stands there, with

* its relative links and pictures led to the pages of the site, or to a copy of the file where it is no page;
* on a method's page, a table of its models behind the title;
* ``<!-- include: FILE -->`` replaced by the file as a block of code;
* ``<!-- table: shipped -->`` and ``<!-- table: models -->`` replaced by a table.
"""

from __future__ import annotations

import logging
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LOG = logging.getLogger('mkdocs.hooks.mmweather')

# Home in the repository -> page, beside docs/ and what `methods` and `projects` find.
SINGLE = {
    'README.md': 'index.md',
    'CONTRIBUTING.md': 'contributing.md',
    'CHANGELOG.md': 'changelog.md',
    'benchmarks/README.md': 'benchmarks.md',
    'tests/parity/README.md': 'parity.md',
}
STATUS = ('*parity*: meets the golden vectors of the published code; *retrained*: trained here by the commands on this '
          'page; *unverified*: neither. Weights in the package load when no checkpoint is given.')
_CODE = re.compile(r'(^(?P<fence>```|~~~).*?^(?P=fence)[ \t]*$|`[^`\n]+`)', re.MULTILINE | re.DOTALL)
_LINK = re.compile(r'(\]\()([^)\s]+)(\))')
_MARK = re.compile(r'^<!-- (?P<kind>include|table): (?P<what>\S+) -->$', re.MULTILINE)
_COMMENT = re.compile(r'^<!--.*?-->\n?', re.MULTILINE | re.DOTALL)


# What there is -----------------------------------------------------------------------------------------------


def methods(root: Path = ROOT) -> list[str]:
    """Return the folders of ``configs`` with a metafile, sorted."""
    return sorted(path.parent.name for path in root.glob('configs/*/metafile.yml'))


def projects(root: Path = ROOT) -> list[str]:
    """Folders of ``projects`` with a page of their own."""
    return sorted(path.parent.name for path in root.glob('projects/*/README.md'))


def pages(root: Path = ROOT) -> dict[str, str]:
    """Home in the repository -> page of the site."""
    found = {path.relative_to(root).as_posix(): path.relative_to(root / 'docs').as_posix()
             for path in sorted((root / 'docs').rglob('*.md'))}
    found.update({home: page for home, page in SINGLE.items() if (root / home).is_file()})
    found.update({f'configs/{name}/README.md': f'methods/{name}.md' for name in methods(root)})
    found.update({f'projects/{name}/README.md': f'projects/{name}.md' for name in projects(root)})
    return found


# Tables ------------------------------------------------------------------------------------------------------


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; an empty cell gets a dash."""
    lines = [head, ['---'] * len(head), *rows]
    return '\n'.join('| ' + ' | '.join(str(cell).replace('|', '\\|') or '-' for cell in line) + ' |' for line in lines)


def entries(root: Path = ROOT) -> list[Any]:
    """The models of the index, as ``mmweather list`` has them."""
    from mmweather.apis.hub import load_index

    return list(load_index(root).values())


def _results(entry: Any) -> str:
    return '<br>'.join(
        f"{result['Dataset']}: " + ', '.join(f'{key} {value}' for key, value in result['Metrics'].items())
        for result in entry.results)


def shipped_file(entry: Any, root: Path = ROOT) -> Path | None:
    """The file of weights that comes with the package, or None."""
    if not entry.weights or '://' in entry.weights or not (root / entry.weights).is_file():
        return None
    return root / entry.weights


def _weights(entry: Any, root: Path) -> str:
    file = shipped_file(entry, root)
    if file is not None:
        return f'in the package, {file.stat().st_size / 1e6:.2f} MB'
    return f'[download]({entry.weights})' if '://' in (entry.weights or '') else ''


def models_table(root: Path = ROOT, method: str | None = None) -> str:
    """Name, alias, status, weights and results of a method's models, or of all; those with weights first."""
    return table(('model', 'alias', 'status', 'weights', 'results'), [
        (f'`{entry.name}`', f'`{entry.alias}`' if entry.alias else '', entry.status, _weights(entry, root),
         _results(entry))
        for entry in sorted(entries(root), key=lambda entry: shipped_file(entry, root) is None)
        if method in (None, entry.metafile.parent.name)])


def shipped_table(root: Path = ROOT) -> str:
    """What ships, with what the head of each file says: config, seed, data, scores."""
    from mmweather.utils.checkpoint import read_metadata

    rows = []
    for entry in entries(root):
        file = shipped_file(entry, root)
        if file is None:
            continue
        facts = read_metadata(file)
        rows.append((f"`{entry.alias or entry.name}`", f"`{facts.get('config', entry.name)}`", facts.get('seed', ''),
                     facts.get('data', ''), facts.get('scores', ''), f'{file.stat().st_size / 1e6:.2f} MB'))
    if not rows:
        return 'This version ships no weights.'
    return table(('model', 'config', 'seed', 'trained on', 'scores', 'size'), rows)


TABLES: dict[str, Callable[[Path], str]] = {'models': models_table, 'shipped': shipped_table}


# Text --------------------------------------------------------------------------------------------------------


def prose(text: str) -> Iterator[tuple[str, bool]]:
    """The pieces of a Markdown text, each with whether it is prose (and not code)."""
    start = 0
    for match in _CODE.finditer(text):
        yield text[start:match.start()], True
        yield match.group(), False
        start = match.end()
    yield text[start:], True


def links(text: str) -> list[str]:
    """Targets of the links and pictures of a Markdown text, code left out."""
    return [match.group(2) for piece, is_prose in prose(text) if is_prose for match in _LINK.finditer(piece)]


class Site:
    """Pages from their homes.

    Args:
        root: of the repository.

    Attributes:
        files: files of the repository that links ask for, by their place on the site.
        faults: links that lead nowhere, one line each.
    """

    def __init__(self, root: Path = ROOT) -> None:
        self.root = root
        self.pages = pages(root)
        self.files: dict[str, Path] = {}
        self.faults: list[str] = []

    def render(self, home: str) -> str:
        """The Markdown of the page whose home is ``home``."""
        page, source = self.pages[home], self.root / home
        method = page.removeprefix('methods/').removesuffix('.md') if page.startswith('methods/') else None
        text = source.read_text(encoding='utf-8') if source.is_file() else f'# {method}\n'
        if method:
            title, _, rest = text.partition('\n')
            text = f'{title}\n\n{models_table(self.root, method)}\n\n{STATUS}\n{rest}'
        text = _COMMENT.sub('', _MARK.sub(lambda match: self._filled(match, home), text))
        return ''.join(
            _LINK.sub(lambda match: match[1] + self.target(match[2], home, page) + match[3], piece)
            if is_prose else piece for piece, is_prose in prose(text))

    def _filled(self, match: re.Match[str], home: str) -> str:
        what = match['what']
        if match['kind'] == 'table':
            return TABLES[what](self.root)
        file = self.root / what
        if not file.is_file():
            self.faults.append(f'{home}: includes {what}, which does not exist')
            return ''
        language = {'.py': 'python', '.yml': 'yaml'}.get(file.suffix, 'text')
        return f'```{language}\n{file.read_text(encoding="utf-8").rstrip()}\n```'

    def target(self, link: str, home: str, page: str) -> str:
        """Where a link of the repository leads on the site."""
        path, mark, anchor = link.partition('#')
        if not path or '://' in path or path.startswith('mailto:'):
            return link
        wanted = posixpath.normpath(posixpath.join(posixpath.dirname(home), path))
        if wanted in self.pages:
            place = self.pages[wanted]
        elif not (self.root / wanted).is_file():
            self.faults.append(f'{home}: the link {link} leads nowhere'
                               + (', link a file in it' if (self.root / wanted).is_dir() else ''))
            return link
        elif wanted.startswith('docs/'):
            place = wanted.removeprefix('docs/')
        else:
            place = f'files/{wanted}'
            self.files[place] = self.root / wanted
        return posixpath.relpath(place, posixpath.dirname(page) or '.') + mark + anchor


# What MkDocs calls -------------------------------------------------------------------------------------------


def filled_nav(nav: Any, root: Path = ROOT) -> Any:
    """The navigation with ``methods/`` and ``projects/`` replaced by the pages there are."""
    folders = {'methods/': methods(root), 'projects/': projects(root)}
    if isinstance(nav, list):
        return [filled_nav(item, root) for item in nav]
    if isinstance(nav, dict):
        return {title: filled_nav(item, root) for title, item in nav.items()}
    return [f'{nav}{name}.md' for name in folders[nav]] if nav in folders else nav


def on_config(config: Any) -> Any:
    """Fill the navigation."""
    config['nav'] = filled_nav(config['nav'])
    return config


def on_files(files: Any, config: Any) -> Any:
    """Put the pages and the files that they link in place."""
    from mkdocs.structure.files import File

    site = Site()
    for home, page in site.pages.items():
        old = files.get_file_from_path(page)
        if old is not None:
            files.remove(old)
        files.append(File.generated(config, page, content=site.render(home)))
    for place, path in site.files.items():
        files.append(File.generated(config, place, abs_src_path=str(path)))
    for fault in site.faults:
        LOG.warning(fault)
    return files
