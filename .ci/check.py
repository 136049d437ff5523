"""`make test`: every chapter runs as a test, then the tree is checked. Ends with `N passed, N failed`.

    python .ci/check.py                 # everything; with TIMES=1 the seconds of each chapter go into .ci/times.json, for the site
    python .ci/check.py 05 30_planet    # only the chapters whose names begin so, and no checks of the tree
"""
import ast, difflib, json, os, re, shutil, subprocess, sys, tempfile, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from common import BIN, LIB, NBS, ROOT, chapters, is_lesson, mins, n_cpus, quiet_env

CHAPTER_TIMEOUT = int(os.environ.get('CHAPTER_TIMEOUT', 900))  # seconds, on a busy machine
IMPORT_LIMIT = 0.4   # seconds of CPU beyond torch, pandas and matplotlib.pyplot; on a slow machine 15% of theirs
LATE = 'torchvision timm tokenizers scipy IPython'.split()  # imported where used, not by the star surfaces

# ---------------------------------------------------------------- chapters

def run_chapter(nb:Path, threads:int):
    "`nbdev_test` on one chapter, in a process of its own: (passed, seconds, what it printed)."
    start = time.time()
    env = quiet_env(threads)
    env.pop('MPLBACKEND')  # nbdev's shell shows pictures inline
    try:
        p = subprocess.run([BIN/'nbdev_test', '--path', nb, '--n_workers', '0'], cwd=ROOT, env=env, text=True, errors='replace',
                           stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=CHAPTER_TIMEOUT)
        return p.returncode == 0, time.time()-start, p.stdout
    except subprocess.TimeoutExpired as e:
        out = e.stdout.decode(errors='replace') if isinstance(e.stdout, bytes) else e.stdout or ''
        return False, time.time()-start, f'{out}\nstopped after {CHAPTER_TIMEOUT} s'

def test_chapters(nbs:list[Path]):
    "Run `nbs` in parallel, a worker a core, the long ones (the lesson) first; print each as it ends."
    workers = min(n_cpus(), 8, len(nbs)) or 1
    threads = max(1, n_cpus()//workers)
    print(f'chapters: {len(nbs)} with nbdev_test, {workers} at a time, {threads} thread(s) each', flush=True)
    todo = sorted(nbs, key=lambda o: (not is_lesson(o.name), o.name))
    times = {}
    def one(nb):
        ok,secs,out = run_chapter(nb, threads)
        times[nb.stem] = round(secs)
        print(f'  {"ok  " if ok else "FAIL"} {nb.stem:32} {mins(secs):>8}', flush=True)
        if not ok: print('\n'.join(f'    | {o}' for o in out.strip().splitlines()[-60:]), flush=True)
        return f'chapter {nb.stem}', ok
    with ThreadPoolExecutor(workers) as ex: results = list(ex.map(one, todo))
    if os.environ.get('TIMES'): write_times(times)
    return results

def write_times(times:dict):
    "Keep the seconds of these chapters for the site, which tells its readers how long each runs."
    path = ROOT/'.ci'/'times.json'
    known = json.loads(path.read_text()) if path.exists() else {}
    there = {o.stem for o in chapters()}
    path.write_text(json.dumps({k:v for k,v in sorted({**known, **times}.items()) if k in there}, indent=0) + '\n')

# ---------------------------------------------------------------- the tree

def diff_text(a:str, b:str, name:str) -> list[str]:
    return list(difflib.unified_diff(a.splitlines(), b.splitlines(), f'{name} (committed)', f'{name} (made from the notebooks)', lineterm='', n=1))[:20]

def copy_project(to:Path):
    "What nbdev needs to export and clean, without the exported modules."
    shutil.copytree(NBS, to/'nbs', ignore=shutil.ignore_patterns('.*', '_*', 'sidebar.yml', 'models'), dirs_exist_ok=True)
    for o in (NBS/'_quarto.yml',): shutil.copy2(o, to/'nbs')
    shutil.copy2(ROOT/'settings.ini', to)
    (to/LIB.name).mkdir()
    shutil.copy2(LIB/'__init__.py', to/LIB.name)

def nbdev(cmd:str, cwd:Path):
    env = {k:v for k,v in os.environ.items() if k != 'IN_TEST'}
    p = subprocess.run([BIN/cmd], cwd=cwd, env=env, text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return [] if p.returncode == 0 else [f'{cmd} failed:', *p.stdout.splitlines()[-10:]]

def check_exported():
    "The modules are what the notebooks export"
    problems = []
    with tempfile.TemporaryDirectory() as d:
        d = Path(d).resolve(); copy_project(d)
        problems += nbdev('nbdev_export', d)
        made = {o.relative_to(d/LIB.name):o for o in (d/LIB.name).rglob('*.py')}
        kept = {o.relative_to(LIB):o for o in LIB.rglob('*.py')}
        for o in sorted(made.keys()-kept.keys()): problems.append(f'{LIB.name}/{o} is not there: run nbdev_export')
        for o in sorted(kept.keys()-made.keys()): problems.append(f'{LIB.name}/{o} has no notebook: delete it, or write its chapter')
        for o in sorted(made.keys()&kept.keys()):
            problems += diff_text(kept[o].read_text(encoding='utf-8'), made[o].read_text(encoding='utf-8'), f'{LIB.name}/{o}')
    return problems + (['cure: make prepare'] if problems else [])

def check_clean():
    "Notebooks are clean: nbdev_clean changes nothing, no errors, warnings, absolute paths or addresses in outputs"
    problems = []
    with tempfile.TemporaryDirectory() as d:
        d = Path(d).resolve(); copy_project(d)
        problems += nbdev('nbdev_clean', d)
        for nb in chapters():
            if (d/'nbs'/nb.name).read_bytes() != nb.read_bytes(): problems.append(f'nbs/{nb.name} is not clean: run nbdev_clean')
    for nb in chapters(): problems += output_problems(nb)
    return problems

UNWANTED = [(r'\S*Warning: ', 'a warning'), (r'(?<![\w.~])/(home|root|tmp|Users|work)/\w', 'an absolute path'), (r' at 0x[0-9a-f]{6,}', 'an address'),
            (r'\d+%\|', 'a progress bar')]

def output_problems(nb:Path, limit=500_000):
    "What must not be stored in a notebook's outputs."
    res, size = [], 0
    for n,c in enumerate(json.loads(nb.read_text(encoding='utf-8'))['cells']):
        for o in c.get('outputs', []):
            size += len(json.dumps(o))
            if o['output_type'] == 'error': res.append(f'nbs/{nb.name} cell {n}: a stored error, {o["ename"]}')
            if any('widget' in k for k in o.get('data', {})): res.append(f'nbs/{nb.name} cell {n}: a widget')
            text = [o.get('text', ''), *(v for k,v in o.get('data', {}).items() if k.startswith('text/'))]
            text = ''.join(''.join(t) for t in text)
            for pat,what in UNWANTED:
                m = re.search(pat, text)
                if m: res.append(f'nbs/{nb.name} cell {n}: {what} in the output: {m.group(0)!r}')
    if size > limit: res.append(f'nbs/{nb.name}: {size/1e3:.0f} kB of outputs, at most {limit/1e3:.0f}')
    return res

def check_notebooks():
    "Notebooks open anywhere: valid nbformat 4.5, a kernel named, an id of its own for every cell"
    import nbformat
    problems = []
    for nb in chapters():
        d = json.loads(nb.read_text(encoding='utf-8'))
        if (d['nbformat'], d['nbformat_minor']) != (4, 5): problems.append(f'nbs/{nb.name}: nbformat {d["nbformat"]}.{d["nbformat_minor"]}, not 4.5')
        try: nbformat.validate(d)
        except nbformat.ValidationError as e: problems.append(f'nbs/{nb.name}: {str(e).splitlines()[0]}')
        ids = [c.get('id') for c in d['cells']]
        if None in ids or len(ids) != len(set(ids)): problems.append(f'nbs/{nb.name}: a cell without an id, or two with the same')
        if d['metadata'].get('kernelspec', {}).get('name') != 'python3': problems.append(f'nbs/{nb.name}: no kernelspec python3')
    return problems

def check_names():
    "Every public name has a docstring, a word on each argument, and an example that runs"
    import names
    return names.problems()

def check_readme():
    "README.md is nbs/index.ipynb, which lists every chapter; nbs/nbdev.yml and CITATION.cff agree with settings.ini"
    import readme
    index = (NBS/'index.ipynb').read_text(encoding='utf-8') if (NBS/'index.ipynb').exists() else ''
    problems = [f'nbs/index.ipynb does not list {o.stem}' for o in chapters() if o.stem != 'index' and f']({o.name})' not in index]
    if not (NBS/'index.ipynb').exists(): problems.append('nbs/index.ipynb is not there')
    else:
        for path,data in readme.render().items():
            if not path.exists(): problems.append(f'{path.relative_to(ROOT)} is not there')
            elif path.read_bytes() != data:
                problems += diff_text(path.read_text(encoding='utf-8'), data.decode(), path.name) if path.suffix == '.md' else [f'{path.relative_to(ROOT)} differs']
    version = re.search(r'^version = (.+)$', (ROOT/'settings.ini').read_text(encoding='utf-8'), re.M).group(1)
    if f'\nversion: {version}\n' not in (ROOT/'CITATION.cff').read_text(encoding='utf-8'): problems.append(f'CITATION.cff does not say version: {version}')
    problems += diff_text((NBS/'nbdev.yml').read_text(encoding='utf-8'), readme.nbdev_yml(), 'nbs/nbdev.yml')
    return problems + (['cure: make prepare'] if problems else [])

# ---------------------------------------------------------------- layers

LAYERS = {  # the chapters of each layer, by number
    'primitives':   [0, 1, 2, 29],
    'data block':   [3],
    'vision':       [4, 5, 6],
    'training':     [7, 8, 9, 10, 11, 14, 15, 20],
    'vision models':[12, 13],
    'text':         [16, 17],
    'text models':  [18, 19],
    'basics':       [21],
    'vision star':  [40],
    'text star':    [41],
    'command line': range(42, 50),
}
SEES = {  # a layer, and those it may import from beside itself
    'primitives':   [],
    'data block':   ['primitives'],
    'vision':       ['primitives', 'data block'],
    'training':     ['primitives', 'data block'],
    'vision models':['primitives', 'data block', 'vision', 'training'],
    'text':         ['primitives', 'data block'],
    'text models':  ['primitives', 'data block', 'text', 'training'],
    'basics':       ['primitives', 'data block', 'training'],
    'vision star':  ['basics', 'vision', 'vision models'],
    'text star':    ['basics', 'text', 'text models'],
    'command line': list(LAYERS),
}

def chapter_of(path:Path) -> str:
    "The notebook a module was exported from, without suffix; empty where the module does not say."
    m = re.search(r'File to edit: \S*?([\w.-]+)\.ipynb', path.read_text(encoding='utf-8'))
    return m.group(1) if m else ''

def layer_of(chapter:str):
    "The layer of a chapter by its number, or None."
    m = re.match(r'\d+', chapter)
    return next((l for l,ns in LAYERS.items() if m and int(m.group(0)) in ns), None)

def module_imports(path:Path) -> set[str]:
    "The modules of this library that `path` imports, at its top or inside a function."
    res = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.ImportFrom):
            if node.level == 1: res |= {node.module.split('.')[0]} if node.module else {a.name for a in node.names}
            elif node.module and node.module.split('.')[0] == LIB.name:
                res |= {node.module.split('.')[1]} if '.' in node.module else {a.name for a in node.names}
        elif isinstance(node, ast.Import):
            res |= {a.name.split('.')[1] for a in node.names if a.name.startswith(f'{LIB.name}.')}
    return res

def find_cycle(graph:dict[str,set]):
    "A path that comes back to its start, or None."
    done = set()
    def visit(o, path):
        if o in path: return path[path.index(o):]+[o]
        if o in done: return
        for p in sorted(graph.get(o, ())):
            c = visit(p, path+[o])
            if c: return c
        done.add(o)
    for o in graph:
        c = visit(o, [])
        if c: return c

def check_layers():
    "Imports point left only: no wrong-way arrow, no cycle, no chapter that needs a later one"
    mods = {o.stem:o for o in LIB.glob('*.py') if not o.stem.startswith('_')}
    chapter = {m:chapter_of(o) for m,o in mods.items()}
    layer = {m:layer_of(o) for m,o in chapter.items()}
    graph = {m:module_imports(o) & mods.keys() for m,o in mods.items()}
    problems = [f'{m} (chapter {chapter[m] or "?"}) belongs to no layer: see LAYERS in .ci/check.py' for m in mods if not layer[m]]
    for m,needs in sorted(graph.items()):
        for n in sorted(needs):
            if layer[m] and layer[n] and layer[n] not in (layer[m], *SEES[layer[m]]):
                problems.append(f'{m} ({layer[m]}) imports {n} ({layer[n]}): a wrong-way arrow')
            if chapter[m] < chapter[n]: problems.append(f'{m} (chapter {chapter[m]}) imports {n}, which comes later (chapter {chapter[n]})')
    cycle = find_cycle(graph)
    if cycle: problems.append('a cycle: ' + ' -> '.join(cycle))
    return problems

# ---------------------------------------------------------------- light import

PROBE = """
import time, sys
import torch, pandas, matplotlib.pyplot
base = set(sys.modules)
base_secs = time.process_time()
from lesson3_lib.{surface} import *
print(time.process_time()-base_secs, base_secs, *sorted((set(sys.modules)-base) & set({late!r})))
"""

def import_cost(surface:str, tries=6):
    "The least seconds of some fresh processes that `from lesson3_lib.SURFACE import *` adds, those of what it builds on, and the late modules it loaded."
    best, base, loaded = 1e9, 0., []
    for _ in range(tries):
        p = subprocess.run([sys.executable, '-c', PROBE.format(surface=surface, late=LATE)], cwd=ROOT, env=quiet_env(1), text=True, capture_output=True)
        if p.returncode: return None, None, p.stderr.strip().splitlines()[-3:]
        secs,under,*loaded = p.stdout.split()
        best,base = min((best, base), (float(secs), float(under)))
        if best < IMPORT_LIMIT*0.7: break
    return best, base, loaded

def check_import():
    "The star surfaces import fast, and leave heavy packages for when they are used"
    problems = []
    for surface in ('vision', 'text'):
        if not (LIB/f'{surface}.py').exists():
            problems.append(f'{LIB.name}/{surface}.py is not there')
            continue
        secs,base,loaded = import_cost(surface)
        if secs is None:
            problems += [f'from {LIB.name}.{surface} import * failed', *loaded]
            continue
        print(f'       {surface}: {secs:.2f} s beyond the {base:.2f} s of torch, pandas and pyplot', flush=True)
        if secs > max(IMPORT_LIMIT, 0.15*base):
            problems.append(f'from {LIB.name}.{surface} import * took {secs:.2f} s, at most {IMPORT_LIMIT} s (find the culprit with python -X importtime)')
        if loaded: problems.append(f'from {LIB.name}.{surface} import * loaded {", ".join(loaded)}: import it in the function that uses it')
    return problems

# ---------------------------------------------------------------- all of it

CHECKS = [check_exported, check_clean, check_notebooks, check_names, check_readme, check_layers, check_import]

def run_check(f):
    start = time.time()
    try: problems = f()
    except Exception as e: problems = [f'{type(e).__name__}: {e}']
    print(f'  {"FAIL" if problems else "ok  "} {f.__doc__} ({mins(time.time()-start)})', flush=True)
    for o in problems: print(f'    | {o}', flush=True)
    return f.__name__, not problems

def main(names):
    start = time.time()
    nbs = [o for o in chapters() if not names or any(o.stem.startswith(n) for n in names)]
    if not nbs: sys.exit(f'no chapter in nbs/ begins with {" or ".join(names)}' if names else 'nbs/ has no chapters')
    results = test_chapters(nbs)
    if not names:
        print('the tree:', flush=True)
        results += [run_check(f) for f in CHECKS]
    failed = [n for n,ok in results if not ok]
    if failed: print(f'failed: {", ".join(failed)}')
    print(f'in {mins(time.time()-start)}')
    print(f'{len(results)-len(failed)} passed, {len(failed)} failed')
    return 1 if failed else 0

if __name__ == '__main__': sys.exit(main(sys.argv[1:]))
