"""`make bench`: this library, fastai 2.8.12 and bare PyTorch on the same work, in turn (A B A B), each in a process of its own.

    python benchmarks/run.py                      # every job, twice round: half an hour
    python benchmarks/run.py loader unet-bf16 --rounds 3
    python benchmarks/run.py --keep               # write what was measured to benchmarks/results.json, which the book shows

Machines differ and are busy at times, so the ratios of one run are what counts. fastai gets an environment of its own, `.venv-fastai`, made on
first use, or the one whose Python `FASTAI_PYTHON` names. The data is drawn; with `LESSON3_ARCHIVES` tiles and reviews are the course's
samples. The jobs are in `work.py`; `growth.py` measures how the cost grows with the work.
"""
import argparse, datetime, json, os, platform, shutil, subprocess, sys, tempfile, time
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
OUT = ROOT/'_bench'
KEPT = HERE/'results.json'
REAL = bool(os.environ.get('LESSON3_ARCHIVES'))
BOTH,HALF,COMPILED = ('ours','fastai'),('ours','fastai','fastai+'),('ours','fastai','fastai+','compiled')
JOBS = {  # the job: who does it, the data, what it is, and the goals: this library's rate divided by another's
    'loader':    (('ours','fastai','draft','decode'), 'tiles', 'load tiles: lesson transforms, 128 pixels, batch 64, 2 workers', {'fastai':4, 'decode':.6}),
    'pairs':     (('ours','fastai','decode'), 'scenes', 'load picture and mask: PNG 480x360 to 240x180, default transforms', {'fastai':2.5}),
    'cached':    (BOTH,  'scenes',      'the same, from the second epoch on with `cache=True`', {'fastai':8}),
    'epoch':     (BOTH,  'few tiles',   'epoch of resnet18 at 128, float32', {}),
    'epoch-bf16':(HALF,  'few tiles',   'epoch of resnet18 at 128, bfloat16', {'fastai':2.2}),
    'steps-bf16':(('ours','bare','compiled'), None,'resnet18 at 128, bfloat16, batches in memory', {'bare':.97}),
    'unet':      (BOTH,  'few scenes',  'epoch of a resnet18 U-Net at 120x160, float32', {}),
    'unet-bf16': (COMPILED,  'few scenes',  'epoch of a resnet18 U-Net at 120x160, bfloat16', {'fastai':2}),
    'reviews':   (BOTH,  'reviews',     '20,000 reviews to the first batch of a language model', {'fastai':10}),
    'lm':        (BOTH,  'few reviews', 'language model, default AWD-LSTM, float32', {}),
    'lm-bf16':   (HALF,  'few reviews', 'language model, default AWD-LSTM, bfloat16', {'fastai':1.7}),
    'clas':      (BOTH,  'long reviews','text classifier on documents of 1,500 tokens, float32', {}),
    'clas-bf16': (HALF,  'long reviews','text classifier on documents of 1,500 tokens, bfloat16', {'fastai':1.5}),
    'predict':   (BOTH,  'few tiles',   '`predict` of one picture, resnet18 at 128', {'fastai':2}),
    'folder':    (BOTH,  'few tiles',   '1,000 tiles predicted, resnet18 at 128', {'fastai':1.5}),
    'folder-bf16':(BOTH, 'few tiles',   '1,000 tiles predicted, resnet18 at 128, ours in bfloat16 by `to_fp16()`', {}),
    'surface':   (BOTH,  None,          'import of the vision surface, after torch, pandas and pyplot', {'fastai':1/.7}),
    'surface-text':(BOTH,None,          'import of the text surface, after torch, pandas and pyplot', {'fastai':1/.7}),
    'loop':      (('ours','bare','fastai'), None, 'the loop itself: a tiny network on batches in memory', {'bare':1/1.25}),
    'show':      (BOTH,  'few tiles',   '`show_batch` of nine tiles', {'fastai':1}),
    'finder':    (('ours','bare','fastai'), None, '`lr_find`, 100 steps of resnet18 at 64, batches in memory', {'bare':1/1.05, 'fastai':1}),
}
MEMORY = {'unet-bf16':1, 'reviews':.5, 'clas-bf16':1} # this library's peak memory, at most so many times fastai's
FASTAI = ['fastai==2.8.12', 'spacy']

def python_of(lib:str) -> Path:
    "The Python that has `lib`."
    if not lib.startswith('fastai'): return Path(sys.executable)
    if os.environ.get('FASTAI_PYTHON'): return Path(os.environ['FASTAI_PYTHON'])
    venv = ROOT/'.venv-fastai'; py = venv/'bin'/'python'
    if not (venv/'.stamp').exists():
        print(f'making .venv-fastai with {FASTAI[0]} (once, several minutes)', flush=True)
        subprocess.run([sys.executable, '-m', 'venv', venv], check=True)
        subprocess.run([py, '-m', 'pip', 'install', '-q', '--disable-pip-version-check', *FASTAI], check=True)
        (venv/'.stamp').touch()
    return py

# ---------------------------------------------------------------- data

def fresh(name:str) -> Path:
    "An empty folder in `_bench`."
    path = OUT/name
    shutil.rmtree(path, ignore_errors=True); path.mkdir(parents=True)
    return path

def make_tiles(n:int) -> Path:
    "A folder with `labels.csv` and `train/`: `n` rows over the tiles there are, drawn ones or the course's."
    import pandas as pd
    from lesson3_lib.data_sets import URLs, untar_data
    from lesson3_lib.samples import sample_data
    src = untar_data(URLs.PLANET_SAMPLE) if REAL else sample_data('planet')
    csv, folder = next((src/c, src/f) for c,f in (('labels.csv', 'train'), ('train_v2.csv', 'train-jpg')) if (src/c).exists())
    df = pd.read_csv(csv)
    path = fresh(f'tiles-{n}')
    (path/'train').symlink_to(folder.resolve(), target_is_directory=True)
    pd.concat([df]*(n//len(df)+1)).head(n).to_csv(path/'labels.csv', index=False)
    return path

def make_scenes(n:int) -> Path:
    "`n` street scenes of 480x360 with their masks: drawn ones, over and over under other names."
    from lesson3_lib.samples import sample_data
    src = sample_data('camvid', n=min(n, 160), size=(360,480))
    path,pictures = fresh(f'scenes-{n}'),sorted((src/'images').iterdir())
    for o in ('images','labels'): (path/o).mkdir()
    shutil.copy(src/'codes.txt', path)
    for i in range(n):
        o = pictures[i % len(pictures)]
        (path/'images'/f'{i}.png').symlink_to(o.resolve())
        (path/'labels'/f'{i}_P.png').symlink_to((src/'labels'/f'{o.stem}_P.png').resolve())
    return path

def make_reviews(n:int, joined:int=1) -> Path:
    "`texts.csv` with `n` texts of `joined` reviews each: those there are, drawn ones or the course's, over and over."
    import pandas as pd
    from lesson3_lib.data_sets import URLs, untar_data
    from lesson3_lib.samples import sample_data
    df = pd.read_csv((untar_data(URLs.IMDB_SAMPLE) if REAL else sample_data('imdb', n=min(n*joined, 5000)))/'texts.csv')
    df = pd.concat([df]*(n*joined//len(df)+1), ignore_index=True).head(n*joined)
    path = fresh(f'reviews-{n}x{joined}')
    df.groupby(df.index//joined).agg({'label':'first', 'text':' '.join}).to_csv(path/'texts.csv', index=False)
    return path

DATA = {'tiles':lambda: make_tiles(1600), 'few tiles':lambda: make_tiles(400), 'scenes':lambda: make_scenes(700), 'few scenes':lambda: make_scenes(50),
        'reviews':lambda: make_reviews(20_000), 'few reviews':lambda: make_reviews(1000), 'long reviews':lambda: make_reviews(60, joined=8), None:lambda: OUT}

# ---------------------------------------------------------------- measuring

def tree(pid:int) -> list[int]:
    "The process `pid` and all below it (Linux)."
    try: kids = [int(o) for t in os.listdir(f'/proc/{pid}/task') for o in Path(f'/proc/{pid}/task/{t}/children').read_text().split()]
    except OSError: return []
    return [pid] + [o for k in kids for o in tree(k)]

def memory_of(pid:int) -> float:
    "MB of a process and all below it; a page that several share is counted once (proportional set size). 0 where the system does not tell."
    total = 0
    for o in tree(pid):
        try: total += next(int(l.split()[1]) for l in Path(f'/proc/{o}/smaps_rollup').read_text().splitlines() if l.startswith('Pss:'))
        except (OSError, StopIteration): pass
    return total*1024/1e6

def measure(script:Path, *args, lib:str='ours') -> dict:
    "One run of `script` in a fresh process: what it says, and CPU seconds and peak memory of all its processes from start to end."
    env = {**os.environ, 'PYTHONPATH':'' if lib.startswith('fastai') else str(ROOT), 'LESSON3_PROGRESS':'0', 'PYTHONWARNINGS':'ignore'}
    before,peak = os.times(),0.
    with tempfile.TemporaryFile('w+') as out, tempfile.TemporaryFile('w+') as err:
        p = subprocess.Popen([python_of(lib), script, *args], env=env, text=True, stdout=out, stderr=err, stdin=subprocess.DEVNULL)
        while p.poll() is None:
            # how a process ends is not counted: libraries touch their pages once more
            if b'RESULT' not in os.pread(out.fileno(), 2**16, 0): peak = max(peak, memory_of(p.pid))
            time.sleep(.1)
        out.seek(0); err.seek(0)
        line = next((l for l in out.read().splitlines() if l.startswith('RESULT ')), None)
        if line is None: raise SystemExit(f'{" ".join(map(str, args))} failed:\n{err.read()[-3000:]}')
    after = os.times()
    cpu = after.children_user+after.children_system-before.children_user-before.children_system
    return {**json.loads(line[7:]), 'cpu':round(cpu, 1), 'memory':round(peak)}

def machine() -> str:
    "The machine in a line: processor, cores, instruction sets that matter, versions."
    import torch
    flags = Path('/proc/cpuinfo').read_text() if Path('/proc/cpuinfo').exists() else ''
    model = next((l.split(':')[1].strip() for l in flags.splitlines() if l.startswith('model name')), platform.processor() or platform.machine())
    has = [n for n,f in (('AVX2','avx2'), ('AVX512','avx512f'), ('AVX512-BF16','avx512_bf16'), ('AMX','amx_bf16')) if f' {f} ' in flags.replace('\n', ' ')]
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU'
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    return f'{model}, {cores} cores, {" ".join(has) or "no vector extensions known"}, {gpu}, Python {platform.python_version()}, torch {torch.__version__}'

def commit() -> str:
    "The commit that is measured, with a + where files were changed after it."
    git = lambda *args: subprocess.run(['git', *args], cwd=ROOT, capture_output=True, text=True).stdout.strip()
    return git('rev-parse', '--short', 'HEAD') + ('+' if git('status', '--porcelain', '--untracked-files=no', 'lesson3_lib', 'benchmarks/work.py') else '')

# ---------------------------------------------------------------- results

def row_of(job:str, runs:dict[str,list]) -> dict:
    "What is kept of a job: medians by library, their ratios, and whether the goals are met."
    by = {lib:{'unit':rs[0]['unit'], **{k:median(r[k] for r in rs) for k in ('rate','cpu','memory')}, 'rates':[r['rate'] for r in rs]} for lib,rs in runs.items()}
    ratio = {lib:by['ours']['rate']/b['rate'] for lib,b in by.items() if lib != 'ours'}
    goals = [dict(what='speed', lib=lib, goal=g, is_=ratio[lib], met=ratio[lib] >= g) for lib,g in JOBS[job][3].items() if lib in ratio]
    if job in MEMORY and 'fastai' in by and by['fastai']['memory']:
        m = by['ours']['memory']/by['fastai']['memory']
        goals.append(dict(what='memory', lib='fastai', goal=MEMORY[job], is_=m, met=m <= MEMORY[job]))
    return dict(what=JOBS[job][2], date=f'{datetime.datetime.now():%Y-%m-%d %H:%M}', commit=commit(), load=round(os.getloadavg()[0], 1), by=by, ratio=ratio, goals=goals)

def table(rows:dict) -> str:
    "The medians, the ratios of speed, and the goals, as a Markdown table."
    out = ['| work | library | rate | ours is | goal | CPU s | peak MB |', '|---|---|---:|---:|---|---:|---:|']
    for row in rows.values():
        for lib,b in row['by'].items():
            ratio = '' if lib == 'ours' else f'{row["ratio"][lib]:.2f}x'
            goals = '; '.join(f'{"≤" if g["what"] == "memory" else "≥"} {g["goal"]:.3g}x{" memory" if g["what"] == "memory" else ""}: {"yes" if g["met"] else "**no**"}' for g in row['goals'] if g['lib'] == lib)
            out.append(f'| {row["what"] if lib == "ours" else ""} | {lib} | {b["rate"]:,.3g} {b["unit"]} | {ratio} | {goals} | {b["cpu"]:.0f} | '
                       f'{b["memory"]:.0f} |')
    return '\n'.join(out)

def main():
    p = argparse.ArgumentParser(description='Measure this library beside fastai and bare PyTorch.')
    p.add_argument('jobs', nargs='*', help=f'of {", ".join(JOBS)}; all when none is named')
    p.add_argument('--rounds', type=int, default=2, help='how often each runs (default 2)')
    p.add_argument('--keep', action='store_true', help='write the rows to benchmarks/results.json')
    args = p.parse_args()
    unknown = [o for o in args.jobs if o not in JOBS]
    if unknown: p.error(f'no job {unknown[0]!r}; there are {", ".join(JOBS)}')
    OUT.mkdir(exist_ok=True)
    rows,paths = {},{}
    for job in args.jobs or JOBS:
        libs,data,*_ = JOBS[job]
        path = paths[data] if data in paths else paths.setdefault(data, DATA[data]())
        runs = {lib:[] for lib in libs}
        for i in range(args.rounds):
            for lib in libs:
                start = time.time()
                r = measure(HERE/'work.py', lib, job, path, lib=lib); runs[lib].append(r)
                print(f'{job:12} {lib:7} round {i+1}: {r["rate"]:10,.2f} {r["unit"]:12} {r["memory"]:6} MB ({time.time()-start:.0f} s)', flush=True)
        rows[job] = row_of(job, runs)
        if args.keep: keep({job:rows[job]})
    print(f'\nMeasured {datetime.date.today()} on {machine()}.\n{about()}; medians of {args.rounds} rounds, libraries in turn.\n\n{table(rows)}\n')

def about() -> str: return "Tiles and reviews of the course's samples, drawn scenes" if REAL else 'Drawn data'

def keep(rows:dict):
    "Put `rows` in the place of those in `results.json`; each has its own date and commit."
    kept = json.loads(KEPT.read_text()) if KEPT.exists() else {'rows':{}}
    new = {**kept['rows'], **rows}
    kept.update(machine=machine(), data=about(), rows={job:new[job] for job in JOBS if job in new})
    KEPT.write_text(json.dumps(kept, indent=1, default=float)+'\n', encoding='utf-8')

if __name__ == '__main__': main()
