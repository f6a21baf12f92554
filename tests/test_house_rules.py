"""Rules that hold for the whole tree: light imports, the catalogue, prefixes, safe loading, clean files."""

from __future__ import annotations

import ast
import functools
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from mmengine.config import Config

from mmweather import registry

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / 'mmweather'
TOOLBOXES = ('mmagic', 'mmdet', 'mmseg')


def sources(*folders: str) -> list[Path]:
    """The Python files below the folders, without links into them and caches."""
    return [path for folder in folders for path in sorted((ROOT / folder).rglob('*.py'))
            if '.mim' not in path.parts and '__pycache__' not in path.parts]


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding='utf-8'), str(path))


def module_name(path: Path) -> str:
    return '.'.join(path.relative_to(ROOT).with_suffix('').parts).removesuffix('.__init__')


def imports(path: Path) -> Iterator[str]:
    """Absolute names of the modules that a file imports, wherever the import stands."""
    package = module_name(path) if path.name == '__init__.py' else module_name(path).rpartition('.')[0]
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ''
            if node.level:
                parts = package.split('.')
                base = '.'.join([*parts[:len(parts) - node.level + 1], *([base] if base else [])])
            yield from (f'{base}.{alias.name}' for alias in node.names)


def python(code: str) -> str:
    done = subprocess.run([sys.executable, '-W', 'ignore', '-c', code], cwd=ROOT, capture_output=True, text=True,
                          timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


# Light imports ------------------------------------------------------------------------------------------------


def test_importing_the_package_is_quick_and_needs_no_torch():
    code = ('import sys, time; started = time.process_time(); import mmweather; '
            'print(time.process_time() - started, "torch" in sys.modules, "mmengine" in sys.modules)')
    runs = [python(code).split() for _ in range(3)]
    assert min(float(seconds) for seconds, _, _ in runs) < 0.5
    assert runs[0][1:] == ['False', 'False']


def test_importing_the_registry_needs_no_torch_and_no_toolbox():
    heavy = ('torch', 'torchvision', 'mmcv', 'cv2', *TOOLBOXES)
    code = f'import sys, mmweather.registry; print([name for name in {heavy} if name in sys.modules])'
    assert python(code).strip() == '[]'


@pytest.mark.parametrize('folder', ['weather', 'mini', 'evaluation/functional'])
def test_plain_array_code_imports_no_openmmlab(folder):
    files = sources(f'mmweather/{folder}')
    assert files
    found = {(path.name, name) for path in files for name in imports(path)
             if name.split('.')[0] in ('mmengine', 'mmcv', *TOOLBOXES)}
    assert not found


def test_no_room_imports_another_room():
    models = PACKAGE / 'models'
    rooms = {path.parent.name for path in models.glob('*/state_dict_adapter.py')}
    assert len(rooms) >= 5
    found = []
    for path in sources('mmweather/models'):
        own = path.relative_to(models).parts[0]
        for name in imports(path):
            parts = name.split('.')
            if parts[:2] == ['mmweather', 'models'] and len(parts) > 2 and parts[2] in rooms - {own}:
                found.append(f'{module_name(path)} imports {name}')
    assert not found


# The catalogue ------------------------------------------------------------------------------------------------


def child_registries() -> dict[str, registry.LazyRegistry]:
    return {name: value for name, value in vars(registry).items() if isinstance(value, registry.LazyRegistry)}


def decorated() -> Iterator[tuple[str, str, str]]:
    """(registry, module, name) of every class or function decorated with ``@REGISTRY.register_module(...)``."""
    children = child_registries()
    for path in sources('mmweather'):
        for node in ast.walk(tree(path)):
            if not isinstance(node, (ast.ClassDef, ast.FunctionDef)):
                continue
            for mark in node.decorator_list:
                if (isinstance(mark, ast.Call) and isinstance(mark.func, ast.Attribute)
                        and mark.func.attr == 'register_module' and isinstance(mark.func.value, ast.Name)):
                    given = [word.value.value for word in mark.keywords
                             if word.arg == 'name' and isinstance(word.value, ast.Constant)]
                    yield children[mark.func.value.id].name, module_name(path), given[0] if given else node.name


def catalogued() -> Iterator[tuple[str, str, str]]:
    for kind, homes in registry.CATALOGUE.items():
        for module, names in homes.items():
            for name in names:
                yield kind, module, name


def test_the_catalogue_says_what_the_decorators_say():
    in_code, in_catalogue = Counter(decorated()), Counter(catalogued())
    assert in_code - in_catalogue == Counter(), 'decorated, but not in mmweather.registry.CATALOGUE'
    assert in_catalogue - in_code == Counter(), 'in mmweather.registry.CATALOGUE, but not decorated'


def test_every_kind_of_the_catalogue_has_a_registry():
    assert set(registry.CATALOGUE) <= {child.name for child in child_registries().values()}


BLOCKED = '''
import importlib.abc, json, sys

class Block(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] in {toolboxes!r}:
            raise ModuleNotFoundError('No module named ' + repr(name), name=name)

block = Block()
sys.meta_path.insert(0, block)
import mmweather.registry as registry
from mmweather.errors import MissingToolboxError
# The fixes may have put finders before ours.
sys.meta_path.remove(block)
sys.meta_path.insert(0, block)
children = {{child.name: child for child in vars(registry).values() if isinstance(child, registry.LazyRegistry)}}
result = {{}}
for kind, homes in registry.CATALOGUE.items():
    for names in homes.values():
        for name in names:
            try:
                result[name] = '' if children[kind].get('mmweather.' + name) is not None else 'not found'
            except MissingToolboxError as error:
                result[name] = str(error)
print(json.dumps(result))
'''


def needs(module: str, toolbox: str) -> bool:
    """Whether importing a module of the package imports the toolbox, directly or through other modules of it."""
    seen, waiting = set(), [module]
    while waiting:
        current = waiting.pop()
        if current in seen:
            continue
        seen.add(current)
        base = ROOT.joinpath(*current.split('.'))
        path = base.with_suffix('.py') if base.with_suffix('.py').is_file() else base / '__init__.py'
        if not path.is_file():
            continue
        for name in imports(path):
            if name.split('.')[0] == toolbox:
                return True
            if name.startswith('mmweather.') and not name.startswith('mmweather.compat'):
                waiting += [name, name.rpartition('.')[0]]
    return False


@pytest.mark.slow
@pytest.mark.parametrize('toolboxes', [('mmagic', ), ('mmdet', 'mmseg')], ids='+'.join)
def test_without_a_toolbox_only_its_own_names_fail_and_say_what_to_install(toolboxes):
    result = json.loads(python(BLOCKED.format(toolboxes=toolboxes)))
    assert set(result) == {name for _, _, name in catalogued()}
    without = {name for _, module, name in catalogued() if not any(needs(module, box) for box in toolboxes)}
    assert without
    assert {name: result[name] for name in without} == dict.fromkeys(without, '')
    failed = {name: message for name, message in result.items() if message}
    if 'mmagic' in toolboxes:
        assert {'Restorer', 'NiteDR'} <= set(failed)
    hints = {'mmagic': "pip install 'mmweather[restore]' && pip install --no-deps mmagic==1.2.0",
             'mmdet': "pip install 'mmweather[detect]'", 'mmseg': "pip install 'mmweather[segment]'"}
    for name, message in failed.items():
        assert message in [f"'mmweather.{name}' needs '{box}', which is not installed: {hints[box]}"
                           for box in toolboxes]


def test_without_mmagic_a_network_still_builds():
    built = python(BLOCKED.format(toolboxes=('mmagic', )).split('result =')[0]
                   + "print(type(registry.MODELS.build(dict(type='mmweather.CleanNet'))).__name__, "
                     "'mmagic' in sys.modules)")
    assert built.split() == ['CleanNet', 'False']


# Prefixes -----------------------------------------------------------------------------------------------------


def bare_types(path: Path) -> Iterator[str]:
    """Places where a `type` is a string without a scope: ``dict(type='X')`` and ``{'type': 'X'}``."""
    for node in ast.walk(tree(path)):
        pairs: list[tuple[str, ast.expr]] = []
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == 'dict':
            pairs = [(word.arg, word.value) for word in node.keywords if word.arg]
        elif isinstance(node, ast.Dict):
            pairs = [(key.value, value) for key, value in zip(node.keys, node.values, strict=True)
                     if isinstance(key, ast.Constant) and isinstance(key.value, str)]
        for key, value in pairs:
            if (key == 'type' and isinstance(value, ast.Constant) and isinstance(value.value, str)
                    and '.' not in value.value):
                yield f"{path.relative_to(ROOT)}:{value.lineno}: type='{value.value}'"


def test_every_type_has_its_scope():
    files = sources('mmweather', 'configs', 'tools', 'projects')
    found = [place for path in files for place in bare_types(path)]
    assert not found


def test_the_search_for_bare_types_finds_them(tmp_path, monkeypatch):
    path = tmp_path / 'module.py'
    path.write_text("def f(a=dict(type='A'), b={'type': 'B'}, c=dict(type='x.C'), d=dict(kind='D')): ...\n")
    monkeypatch.setitem(globals(), 'ROOT', tmp_path)
    assert [place.split('=')[1] for place in bare_types(path)] == ["'A'", "'B'"]


# Configs ------------------------------------------------------------------------------------------------------

SHIPPED = [path for path in sources('configs', 'projects') if 'configs' in path.parts and '_base_' not in path.parts]


@pytest.mark.parametrize('path', SHIPPED, ids=lambda path: path.stem)
def test_a_config_parses_and_sets_the_scope(path):
    stock = [box for box in TOOLBOXES if f"'{box}::" in path.read_text(encoding='utf-8')]
    for box in stock:
        pytest.importorskip(box)
    config = Config.fromfile(path)
    assert isinstance(config.model, dict)
    # A project may build on a toolbox's own config, whose types have no prefix.
    assert config.default_scope in (stock or ['mmweather'])


def test_configs_are_there_and_their_names_are_unique():
    assert [path for path in SHIPPED if path.is_relative_to(ROOT / 'configs')]
    twice = [name for name, count in Counter(path.name for path in SHIPPED).items() if count > 1]
    assert not twice, 'OpenMIM finds a config by its file name'


# Safety and cleanliness ---------------------------------------------------------------------------------------


def unsafe_loads(path: Path) -> Iterator[str]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            call = ast.unparse(node.func)
            words = {word.arg: ast.unparse(word.value) for word in node.keywords}
            if ((call == 'torch.load' and words.get('weights_only') != 'True')
                    or call in ('pickle.load', 'pickle.loads', 'yaml.load', 'yaml.unsafe_load')
                    or (call == 'np.load' and words.get('allow_pickle') == 'True')
                    or words.get('weights_only') == 'False' or words.get('shell') == 'True'):
                yield f'{path.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)[:80]}'


def test_nothing_loads_files_in_a_way_that_runs_code():
    found = [place for path in sources('mmweather', 'tools', 'projects', 'benchmarks') for place in unsafe_loads(path)]
    assert not found


@functools.cache
def own_files() -> tuple[Path, ...]:
    """Files that git tracks or would track."""
    if shutil.which('git') is None or not (ROOT / '.git').exists():
        pytest.skip('no git checkout, so it is not known which files belong to the project')
    done = subprocess.run(['git', 'ls-files', '-z', '--cached', '--others', '--exclude-standard'], cwd=ROOT,
                          capture_output=True, text=True, check=True, timeout=180)
    return tuple(path for name in done.stdout.split('\0') if name and (path := ROOT / name).is_file())


# Written with character classes, so that this file does not match.
MACHINE_PATH = re.compile(r'(?<![\w.~}$/-])/(?:work|root|home|opt|Users)/[\w.]')
PACKAGE_HOST = re.compile(r'pypi[.]org|pythonhosted[.]org|conda[.]anaconda|download[.]pytorch[.]org/whl|'
                          r'[-]-(?:extra-)?index-url|[-]-find-links')
PRIVATE_KEY = re.compile(r'BEGIN [A-Z ]*PRIVATE KE[Y]')


@pytest.mark.parametrize('what', [MACHINE_PATH, PACKAGE_HOST, PRIVATE_KEY], ids=['path', 'host', 'key'])
def test_no_file_names_a_machine_or_a_secret(what):
    found = []
    for path in own_files():
        raw = path.read_bytes()
        if b'\0' in raw[:4096]:
            continue
        for number, line in enumerate(raw.decode('utf-8', errors='replace').splitlines(), 1):
            if what.search(line):
                found.append(f'{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}')
    assert not found


@pytest.mark.parametrize('line', ['cd /' + 'work/main', "'/" + "root/x'", '--data /' + 'home/me/data'])
def test_the_search_for_machine_paths_finds_them(line):
    assert MACHINE_PATH.search(line)
    assert not MACHINE_PATH.search('https://example.org/home/page and ~/wor' 'k/x and $HOME/wor' 'k/y')


def test_no_file_is_large():
    weights = ROOT / 'weights'  # up to 8 MB each
    assert not [str(path.relative_to(ROOT)) for path in own_files()
                if path.stat().st_size > (8_000_000 if path.parent == weights else 500 * 1024)]


def test_test_modules_have_unique_names():
    # Without __init__.py, pytest imports test modules by their base names.
    names = Counter(path.name for path in sources('tests') if path.name.startswith('test_'))
    assert not [name for name, count in names.items() if count > 1]


# One home per idea ------------------------------------------------------------------------------------------------

HOMES = {
    'near misses by difflib': 'mmweather/utils/text.py',
    'a pool of processes': 'mmweather/utils/runs.py',
    'a claim of a folder': 'mmweather/utils/runs.py',
    'floats to 8 bits': 'mmweather/utils/arrays.py',
    'names cut short': 'mmweather/utils/text.py',
}
_SCALES, _ROUNDINGS = ('255', '255.0'), {'round', 'round_', 'rint'}


def _called(node: ast.AST) -> str:
    """The last name of what is called: ``rint`` of ``np.rint(x)``."""
    if not isinstance(node, ast.Call):
        return ''
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, 'id', '')


def _is_8_bit_cast(node: ast.AST) -> bool:
    """``<rounded>.astype(np.uint8)`` or ``.to(torch.uint8)``, of what was limited to 255 or multiplied by it."""
    if _called(node) not in ('astype', 'to', 'type') or not isinstance(node, ast.Call) or not node.args:
        return False
    if not ast.unparse(node.args[0]).endswith('uint8') or not isinstance(node.func, ast.Attribute):
        return False
    inside = list(ast.walk(node.func.value))
    calls = {_called(part) for part in inside}
    scaled = any(ast.unparse(part) in _SCALES for part in inside if isinstance(part, ast.Constant))
    return scaled and bool(calls & _ROUNDINGS)


def _is_shortening(node: ast.AST) -> bool:
    """An f-string ``... and {len(names) - n} more``."""
    if not isinstance(node, ast.JoinedStr):
        return False
    texts = [part.value for part in node.values if isinstance(part, ast.Constant)]
    return any(str(text).startswith(' more') for text in texts) and any(
        isinstance(part, ast.FormattedValue) and isinstance(part.value, ast.BinOp)
        and isinstance(part.value.op, ast.Sub) and _called(part.value.left) == 'len' for part in node.values)


def doubles(path: Path) -> Iterator[tuple[str, str]]:
    """(idea, place) of code that has a home elsewhere."""
    for node in ast.walk(tree(path)):
        found = ''
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            named = [alias.name for alias in node.names]
            named += [f'{node.module}.{name}' for name in named] if isinstance(node, ast.ImportFrom) else []
            if any(name.split('.')[0] == 'difflib' for name in named) or getattr(node, 'module', '') == 'difflib':
                found = 'near misses by difflib'
            elif any(name.endswith(('ProcessPoolExecutor', 'multiprocessing.Pool', 'multiprocessing.pool'))
                     for name in named):
                found = 'a pool of processes'
        elif isinstance(node, ast.Attribute) and node.attr in ('ProcessPoolExecutor', 'Pool') and (
                ast.unparse(node.value).startswith(('multiprocessing', 'mp', 'concurrent.futures', 'futures'))):
            found = 'a pool of processes'
        elif isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name.strip('_') == 'claim':
            found = 'a claim of a folder'
        elif _is_8_bit_cast(node):
            found = 'floats to 8 bits'
        elif _is_shortening(node):
            found = 'names cut short'
        if found and path != ROOT / HOMES[found]:
            yield found, f'{path.relative_to(ROOT)}:{getattr(node, "lineno", 0)}'


ELSEWHERE = {
    # Runs where mmweather is not installed.
    ('floats to 8 bits', 'projects/deployment/run_onnx.py'),
}


def test_what_has_a_home_is_not_written_again():
    files = sources('mmweather', 'tools', 'projects', 'benchmarks')
    found = [(idea, place) for path in files for idea, place in doubles(path)
             if (idea, place.rpartition(':')[0]) not in ELSEWHERE]
    assert not found, f'use the function in {HOMES[found[0][0]]}: {found}'


def test_no_module_imports_a_private_name_of_another():
    found = []
    for path in sources('mmweather'):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ImportFrom) and (node.level or (node.module or '').startswith('mmweather')):
                for alias in node.names:
                    name = alias.name
                    beside = path.parent / f'{name}.py'
                    if name.startswith('_') and not name.startswith('__') and not beside.is_file():
                        found.append(f'{path.relative_to(ROOT)}:{node.lineno}: {name}')
    assert not found


@pytest.mark.parametrize('line, idea', [
    ('import difflib', 'near misses by difflib'),
    ('from difflib import get_close_matches', 'near misses by difflib'),
    ('from concurrent.futures import ProcessPoolExecutor', 'a pool of processes'),
    ('import multiprocessing as mp\npool = mp.Pool(2)', 'a pool of processes'),
    ('from multiprocessing import Pool', 'a pool of processes'),
    ('def _claim(folder): ...', 'a claim of a folder'),
    ('x = image.clamp(0, 1).mul(255).round().to(torch.uint8)', 'floats to 8 bits'),
    ('x = np.rint(np.clip(y, 0, 1) * 255).astype(np.uint8)', 'floats to 8 bits'),
    ('x = (y.clip(0, 255) + 0.5).astype("uint8")', ''),
    ('x = np.round(255 * y).astype(np.uint8)', 'floats to 8 bits'),
    ('x = label.astype(np.uint8)', ''),
    ('x = torch.round(y).to(device)', ''),
    ("x = f' and {len(names) - 5} more'", 'names cut short'),
    ("x = f'{len(names)} more'", ''),
])
def test_the_search_for_doubles_finds_them(tmp_path, monkeypatch, line, idea):
    monkeypatch.setitem(globals(), 'ROOT', tmp_path)
    path = tmp_path / 'module.py'
    path.write_text(line + '\n')
    assert [found for found, _ in doubles(path)] == ([idea] if idea else [])


# Plain words --------------------------------------------------------------------------------------------------

# Written with character classes, so that this file does not match.
OLD_WORDS = re.compile(
    r'\b(?:men[d](?:s|ed|ing)?|tol[d]|like[w]ise|les[t]|la[y]s?|lai[d]|put righ[t]|at the fewes[t]|no less than thi[s]|'
    r's[o] many)\b|\bi[s] no (?!longer\b|more\b|less\b|way\b)\w+ of\b', re.IGNORECASE)
LEFT = {'mmweather': 69, 'configs': 20, 'tests': 1}
"""Old words that remain in each top-level folder or file. Lower a number when you remove some; never raise it."""


@functools.cache
def old_words() -> dict[str, list[str]]:
    """Top-level folder or file -> places of old words."""
    found: dict[str, list[str]] = {}
    for path in own_files():
        if path.suffix in ('.py', '.md', '.toml', '.yml', '.yaml', '.html'):
            name = path.relative_to(ROOT)
            lines = path.read_text(encoding='utf-8').splitlines()
            found.setdefault(name.parts[0], []).extend(
                f'{name}:{number}: {word}' for number, line in enumerate(lines, 1) for word in OLD_WORDS.findall(line))
    return found


def test_old_words_only_become_fewer():
    found = old_words()
    more = {name: places for name, places in found.items() if len(places) > LEFT.get(name, 0)}
    assert not more, 'write fix, report, also, otherwise, apply or add, at least, every n-th, not found'


@pytest.mark.parametrize('room', [
    'mmweather/evaluation', 'mmweather/weather', 'mmweather/mini', 'docs', 'tests/evaluation', 'tests/weather',
    'tests/mini', 'tests/datasets'])
def test_a_finished_room_has_no_old_words(room):
    places = old_words()[room.split('/')[0]]
    assert not [place for place in places if place.startswith(f'{room}/')]


def test_the_search_for_old_words_finds_them():
    text = ('Men' 'd it; he tol' 'd us, like' 'wise; les' 't rain la' 'ys fog; lai' 'd on, put righ' 't, s' 'o many. '
            "'x' i" 's no name of a model.')
    assert len(OLD_WORDS.findall(text)) == 9
    assert not OLD_WORDS.findall('recommended layout, player, at least, no longer, is no longer of use, delay, lesser')
