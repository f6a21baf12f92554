"""Packaging of mmweather; what `pyproject.toml` cannot say: the `.mim` folder and the requirements files.

OpenMIM, MMEngine's inferencers and ``_base_ = ['mmweather::...']`` look for configs, tools and the model index in
``mmweather/.mim``.  A wheel carries copies, written into the build folder, so the working tree stays as it is.  An
editable install gets links, so an edited config counts at once.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
EXTRAS = ('restore', 'detect', 'segment', 'geo', 'export', 'video', 'web', 'docs', 'lite', 'dev')
MIM_ITEMS = ('configs', 'tools', 'weights')


class BuildWithMim(build_py):
    """``build_py`` that adds ``.mim``: copied into a build, linked for an editable install."""

    def run(self) -> None:
        super().run()
        if getattr(self, 'editable_mode', False):
            fill_mim(ROOT / 'mmweather' / '.mim', link=True)
        else:
            fill_mim(Path(self.build_lib) / 'mmweather' / '.mim', link=False)


def fill_mim(folder: Path, link: bool) -> None:
    """Put every item of :data:`MIM_ITEMS` and OpenMIM's model index into ``folder``, replacing what is there."""
    folder.mkdir(parents=True, exist_ok=True)
    index = folder / 'model-index.yml'
    index.unlink(missing_ok=True)
    metafiles = sorted(path.relative_to(ROOT).as_posix() for path in ROOT.glob('configs/*/metafile.yml'))
    index.write_text('Import:\n' + ''.join(f'  - {path}\n' for path in metafiles), encoding='utf-8')
    for item in MIM_ITEMS:
        source, target = ROOT / item, folder / item
        if target.is_symlink() or target.is_file():
            target.unlink()
        elif target.is_dir():
            shutil.rmtree(target)
        if link:
            try:
                target.symlink_to(os.path.relpath(source, folder), target_is_directory=source.is_dir())
                continue
            except OSError:  # Windows without the right to make links
                pass
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns('__pycache__', '*.pyc', 'work_dirs'))
        else:
            shutil.copyfile(source, target)


def requirements(name: str) -> list[str]:
    """The lines of ``requirements/<name>.txt`` without comments."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8').splitlines()
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith('#')]


def version() -> str:
    """The version, read without importing the package."""
    scope: dict[str, str] = {}
    exec((ROOT / 'mmweather' / 'version.py').read_text(encoding='utf-8'), scope)
    return scope['__version__']


def description() -> str:
    """The README, which is also the page of the package; empty before there is one."""
    readme = ROOT / 'README.md'
    return readme.read_text(encoding='utf-8') if readme.is_file() else ''


setup(
    name='mmweather',
    version=version(),
    description='Image restoration and perception in rain, fog, dust, night and cloud, as parts of OpenMMLab',
    long_description=description(),
    long_description_content_type='text/markdown',
    license='Apache-2.0',
    keywords='computer vision, image restoration, deraining, dehazing, image fusion, OpenMMLab',
    classifiers=[
        'Development Status :: 3 - Alpha',
        'Intended Audience :: Science/Research',
        'License :: OSI Approved :: Apache Software License',
        'Operating System :: POSIX :: Linux',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Topic :: Scientific/Engineering :: Image Processing',
    ],
    python_requires='>=3.10',
    packages=find_packages(include=['mmweather', 'mmweather.*']),
    package_data={'': ['py.typed', '*.json', '*.yml', '*.csv']},
    install_requires=requirements('core'),
    extras_require={name: requirements(name) for name in EXTRAS},
    entry_points={'console_scripts': ['mmweather = mmweather.cli:main']},
    cmdclass={'build_py': BuildWithMim},
    zip_safe=False,
)
