"""The site: every link of every Markdown file leads somewhere, tables hold every model, a strict build passes."""

from __future__ import annotations

import html
import importlib.util
import re
import shutil
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
from page_blocks import ROOT, environment, python

from mmweather.apis.hub import list_models, load_index


@pytest.fixture(scope='module')
def hooks() -> ModuleType:
    spec = importlib.util.spec_from_file_location('docs_hooks', ROOT / 'docs' / 'hooks.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope='module')
def site(tmp_path_factory) -> Path:
    """The built site."""
    pytest.importorskip('mkdocs')
    out = tmp_path_factory.mktemp('site')
    done = subprocess.run(python('-m', 'mkdocs', 'build', '--strict', '--site-dir', str(out)), cwd=ROOT, text=True,
                          capture_output=True, env=environment(), timeout=120)
    assert done.returncode == 0, done.stderr
    return out


def markdown_files() -> list[Path]:
    if shutil.which('git') is None or not (ROOT / '.git').exists():
        pytest.skip('no git checkout, so it is not known which files belong to the project')
    done = subprocess.run(['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard', '*.md'], cwd=ROOT,
                          capture_output=True, text=True, check=True, timeout=180)
    return [path for name in done.stdout.split('\0') if name and (path := ROOT / name).is_file()]


def anchor(heading: str) -> str:
    """The anchor of a heading, which the site and code hosts agree on for plain words."""
    return re.sub(r'[\s-]+', '-', re.sub(r'[^\w\s-]', '', heading.lower()).strip())


def test_every_link_of_every_markdown_file_leads_somewhere(hooks):
    found, seen = [], 0
    for file in markdown_files():
        for link in hooks.links(file.read_text(encoding='utf-8')):
            path, _, wanted = link.partition('#')
            if '://' in link or link.startswith('mailto:'):
                continue
            seen += 1
            target = (file.parent / path).resolve() if path else file
            if not target.is_relative_to(ROOT) or not target.exists():
                found.append(f'{file.relative_to(ROOT)}: {link}')
            elif wanted and target.suffix == '.md':
                headings = re.findall(r'^#+ (.*)$', target.read_text(encoding='utf-8'), flags=re.MULTILINE)
                if wanted not in map(anchor, headings):
                    found.append(f'{file.relative_to(ROOT)}: {link} (no such heading)')
    assert seen > 30
    assert not found


def test_lists_start_behind_an_empty_line(hooks):
    # Code hosts draw a list right behind a paragraph, the site does not.
    item = re.compile(r'\s*([-*+]|\d+\.) ')
    found = []
    for file in markdown_files():
        before = ''
        text = ''.join(piece if is_prose else re.sub('[^\n]', 'x', piece)
                       for piece, is_prose in hooks.prose(file.read_text(encoding='utf-8')))
        for number, line in enumerate(text.splitlines(), 1):
            if item.match(line) and before.strip() and not item.match(before) and not before.startswith((' ', '\t')):
                found.append(f'{file.relative_to(ROOT)}:{number}: {line[:60]}')
            before = line
    assert not found


def test_every_page_of_the_repository_is_on_the_site(hooks):
    homes = {path.relative_to(ROOT).as_posix() for path in markdown_files()}
    # What stands beside files to say what they are, and is no page.
    assert homes - set(hooks.pages()) <= {'weights/README.md'}
    places = list(hooks.pages().values())
    assert len(set(places)) == len(places)


def test_the_tables_hold_every_model_once(hooks):
    shown = [name for method in hooks.methods()
             for name in re.findall(r'^\| `([^`]+)` \|', hooks.models_table(method=method), flags=re.MULTILINE)]
    assert sorted(shown) == list_models()
    for entry in load_index(ROOT).values():
        page = hooks.Site().render(f'configs/{entry.metafile.parent.name}/README.md')
        row = next(line for line in page.splitlines() if line.startswith(f'| `{entry.name}` |'))
        assert f'| {entry.status} |' in row
        for result in entry.results:
            assert all(f'{key} {value}' in row for key, value in result['Metrics'].items())
        assert ('in the package' in row) == (entry.weights_file is not None)


def small_repository(root: Path) -> Path:
    """A repository with one method of two models, one of which ships weights."""
    import torch

    from mmweather.utils.checkpoint import save_state_dict

    for folder in ('docs/images', 'configs/blur', 'weights', 'projects/mix'):
        (root / folder).mkdir(parents=True)
    (root / 'README.md').write_text('# Home\n\n[blur](configs/blur/README.md#use) [law](LICENSE) `[no](link)`\n')
    (root / 'LICENSE').write_text('free\n')
    (root / 'docs/images/a.jpg').write_bytes(b'x')
    (root / 'docs/page.md').write_text('# Page\n\n<!-- run -->\n[home](../README.md)\n\n<!-- include: LICENSE -->\n\n'
                                       '<!-- table: shipped -->\n')
    (root / 'projects/mix/README.md').write_text('# Mix\n\n[config](x.py) ![a](../../docs/images/a.jpg)\n')
    (root / 'projects/mix/x.py').write_text('x = 1\n')
    (root / 'configs/blur/README.md').write_text('# Blur\n\nText. [page](../../docs/page.md)\n\n## Use\n')
    for name in ('blur_a', 'blur_b'):
        (root / f'configs/blur/{name}.py').write_text('model = dict()\n')
    (root / 'configs/blur/metafile.yml').write_text(
        'Collections: [{Name: Blur}]\nModels:\n'
        '  - {Name: blur_a, In Collection: Blur, Config: configs/blur/blur_a.py, Status: retrained, Alias: blur,\n'
        '     Weights: weights/blur_a.safetensors,\n'
        '     Results: [{Task: t, Dataset: Mini, Metrics: {PSNR: 30.5}}]}\n'
        '  - {Name: blur_b, In Collection: Blur, Config: configs/blur/blur_b.py}\n')
    save_state_dict(root / 'weights/blur_a.safetensors', {'x': torch.zeros(3)},
                    dict(config='blur_a.py', seed='7', data='mini | drawn', scores='PSNR 30.5'))
    return root


def test_a_page_gets_its_tables_links_and_code(hooks, tmp_path):
    root = small_repository(tmp_path)
    site = hooks.Site(root)
    assert site.pages == {'README.md': 'index.md', 'docs/page.md': 'page.md', 'configs/blur/README.md':
                          'methods/blur.md', 'projects/mix/README.md': 'projects/mix.md'}
    home = site.render('README.md')
    assert '[blur](methods/blur.md#use) [law](files/LICENSE) `[no](link)`' in home
    blur = site.render('configs/blur/README.md')
    assert blur.index('# Blur') < blur.index('| `blur_a` | `blur` | retrained | in the package, ') < blur.index('Text.')
    assert '| Mini: PSNR 30.5 |' in blur and '| `blur_b` | - | unverified | - | - |' in blur
    assert '[page](../page.md)' in blur
    page = site.render('docs/page.md')
    assert '<!--' not in page and '```text\nfree\n```' in page and '[home](index.md)' in page
    assert '| `blur` | `blur_a.py` | 7 | mini \\| drawn | PSNR 30.5 |' in page
    mix = site.render('projects/mix/README.md')
    assert '[config](../files/projects/mix/x.py) ![a](../images/a.jpg)' in mix
    assert set(site.files) == {'files/LICENSE', 'files/projects/mix/x.py'} and not site.faults


def test_a_link_or_include_that_leads_nowhere_is_told(hooks, tmp_path):
    root = small_repository(tmp_path)
    (root / 'docs/page.md').write_text('# Page\n\n[a](gone.md) [b](../projects/mix)\n\n<!-- include: gone.py -->\n')
    site = hooks.Site(root)
    site.render('docs/page.md')
    assert sorted(site.faults) == ['docs/page.md: includes gone.py, which does not exist',
                                   'docs/page.md: the link ../projects/mix leads nowhere, link a file in it',
                                   'docs/page.md: the link gone.md leads nowhere']


def test_weights_without_a_head_and_no_weights(hooks, tmp_path):
    root = small_repository(tmp_path)
    (root / 'weights/blur_a.safetensors').unlink()
    assert hooks.shipped_table(root) == 'This version ships no weights.'
    assert 'in the package' not in hooks.models_table(root)


@pytest.mark.slow
def test_the_strict_build_passes_and_shows_models_and_pictures(site, hooks):
    for page in hooks.pages().values():
        assert (site / page).with_suffix('.html').is_file(), page
    for entry in load_index(ROOT).values():
        page = (site / 'methods' / f'{entry.metafile.parent.name}.html').read_text(encoding='utf-8')
        assert f'<code>{entry.name}</code>' in page
    for page in site.rglob('*.html'):
        for picture in re.findall(r'<img [^>]*src="([^":]+)"', page.read_text(encoding='utf-8')):
            assert (page.parent / html.unescape(picture)).is_file(), (page.name, picture)


@pytest.mark.slow
def test_the_site_loads_nothing_from_other_hosts(site):
    pages = list(site.rglob('*.html'))
    assert len(pages) > 15
    asked = [f'{page.name}: {found}' for page in pages
             for found in re.findall(r'<(?:script|link|img|iframe)\b[^>]*(?:src|href)="((?:https?:)?//[^"]+)"',
                                     page.read_text(encoding='utf-8')) if 'rel="canonical"' not in found]
    assert not asked
    for style in site.rglob('*.css'):
        assert not re.search(r'url\(["\']?(?:https?:)?//', style.read_text(encoding='utf-8')), style.name
