"Install lesson3_lib. Everything that may change is in settings.ini, which nbdev reads too."
import shlex
from configparser import ConfigParser
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
OPTIONAL = 'dev', 'offline', 'serve', 'onnx', 'parquet', 'tensorboard'  # extras, each from `NAME_requirements`; `all` is every one of them
LICENSES = {'apache2': 'Apache-2.0', 'mit': 'MIT', 'bsd3': 'BSD-3-Clause'}
STATUSES = ['1 - Planning', '2 - Pre-Alpha', '3 - Alpha', '4 - Beta', '5 - Production/Stable', '6 - Mature', '7 - Inactive']

def settings():
    "The `[DEFAULT]` section of settings.ini, complete or an error that names what is missing."
    parser = ConfigParser(delimiters=['='])
    parser.read(HERE/'settings.ini', encoding='utf-8')
    cfg = parser['DEFAULT']
    missing = [o for o in 'lib_name lib_path version description author author_email min_python license status'.split() if not cfg.get(o)]
    if missing: raise SystemExit(f'settings.ini lacks {", ".join(missing)}')
    return cfg

def main():
    cfg = settings()
    extras = {o: shlex.split(cfg.get(f'{o}_requirements', '')) for o in OPTIONAL}
    extras['all'] = sorted({r for o in extras.values() for r in o})
    readme = HERE/'README.md'
    setup(
        name=cfg['lib_name'], version=cfg['version'], description=cfg['description'],
        long_description=readme.read_text(encoding='utf-8') if readme.exists() else cfg['description'],
        long_description_content_type='text/markdown',
        author=cfg['author'], author_email=cfg['author_email'], url=cfg['git_url'], keywords=cfg.get('keywords', ''),
        license=LICENSES.get(cfg['license'], cfg['license']),
        classifiers=[f'Development Status :: {STATUSES[cfg.getint("status")-1]}', f'Intended Audience :: {cfg["audience"]}',
                     f'Natural Language :: {cfg["language"]}', 'Programming Language :: Python :: 3',
                     'Topic :: Scientific/Engineering :: Artificial Intelligence', 'Framework :: Jupyter'],
        packages=find_packages(include=[cfg['lib_path'], f'{cfg["lib_path"]}.*']), include_package_data=True, zip_safe=False,
        python_requires=f'>={cfg["min_python"]}',
        install_requires=shlex.split(cfg.get('requirements', '')), extras_require=extras,
        entry_points={'console_scripts': shlex.split(cfg.get('console_scripts', '')),
                      # where nbdev, in this project and in others, finds the page of a name in backticks
                      'nbdev': [f'{cfg["lib_name"]}={cfg["lib_path"]}._modidx:d']},
    )

main()
