"""`make bench`: this library, fastai 2.8.12 and a bare PyTorch loop on the same work, in turn (A B A B), in one run.

    python benchmarks/run.py                  # every job, twice round
    python benchmarks/run.py loader epoch --rounds 3

Machines differ and are busy at times, so the ratios of one run are what counts. fastai gets an environment of its own, `.venv-fastai`, made on
first use, or the one whose Python `FASTAI_PYTHON` names. The data is drawn; with `LESSON3_ARCHIVES` tiles and reviews are the course's
samples. The table goes to `_bench/results.md`.
"""
import argparse, datetime, json, os, platform, shutil, subprocess, sys, time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
WORK = Path(__file__).resolve().parent/'work.py'
OUT = ROOT/'_bench'
BOTH, THREE = ('ours', 'fastai'), ('ours', 'fastai', 'bare')
JOBS = {  # the job: the libraries, the data, what it is
    'loader':  (BOTH,  'tiles',   'tiles, lesson transforms, 128 pixels, batch 64, 2 workers'),
    'epoch':   (THREE, 'few tiles',  'the same with resnet18: train and validate'),
    'pairs':   (BOTH,  'scenes',  'picture and mask, PNG 480x360 to 240x180, default transforms, 2 workers'),
    'unet':    (BOTH,  'few scenes', 'resnet18 U-Net at 120x160, batch 8: train and validate'),
    'reviews': (BOTH,  'reviews', '20,000 reviews to the first batch of a language model'),
    'lm':      (BOTH,  'few reviews', 'training the default AWD-LSTM, 48 streams of 70 tokens'),
    'predict': (BOTH,  'tiles',   '`predict`, one picture at a time, resnet18 at 128'),
    'folder':  (BOTH,  'tiles',   '1,000 tiles predicted from a folder, resnet18 at 128'),
    'loop':    (THREE, None,      'a tiny network on batches in memory: the loop itself'),
    'surface': (BOTH,  None,      'import of the vision surface, after torch, pandas and pyplot'),
}
FASTAI = ['fastai==2.8.12', 'spacy']

def python_of(lib:str) -> Path:
    "The Python that has `lib`."
    if lib != 'fastai': return Path(sys.executable)
    if os.environ.get('FASTAI_PYTHON'): return Path(os.environ['FASTAI_PYTHON'])
    venv = ROOT/'.venv-fastai'; py = venv/'bin'/'python'
    if not (venv/'.stamp').exists():
        print(f'making .venv-fastai with {FASTAI[0]} (once, several minutes)', flush=True)
        subprocess.run([sys.executable, '-m', 'venv', venv], check=True)
        subprocess.run([py, '-m', 'pip', 'install', '-q', '--disable-pip-version-check', *FASTAI], check=True)
        (venv/'.stamp').touch()
    return py

def make_tiles(n:int=1600) -> Path:
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

def make_scenes(n:int=200) -> Path:
    "Drawn street scenes of 480x360 with their masks."
    from lesson3_lib.samples import sample_data
    return sample_data('camvid', n=n, size=(360,480))

def make_reviews(n:int) -> Path:
    "`texts.csv` with `n` reviews: those there are, drawn ones or the course's, over and over."
    import pandas as pd
    from lesson3_lib.data_sets import URLs, untar_data
    from lesson3_lib.samples import sample_data
    df = pd.read_csv((untar_data(URLs.IMDB_SAMPLE) if REAL else sample_data('imdb', n=min(n, 5000)))/'texts.csv')
    path = fresh(f'reviews-{n}')
    pd.concat([df]*(n//len(df)+1)).head(n).to_csv(path/'texts.csv', index=False)
    return path

REAL = bool(os.environ.get('LESSON3_ARCHIVES'))
DATA = {'tiles': make_tiles, 'few tiles': lambda: make_tiles(400), 'scenes': make_scenes, 'few scenes': lambda: make_scenes(50), 'reviews': lambda: make_reviews(20_000), 'few reviews': lambda: make_reviews(1000), None: lambda: OUT}

def fresh(name:str) -> Path:
    "An empty folder in `_bench`."
    path = OUT/name
    shutil.rmtree(path, ignore_errors=True); path.mkdir(parents=True)
    return path

def measure(lib:str, job:str, path:Path) -> dict:
    "One run in a fresh process."
    env = {**os.environ, 'PYTHONPATH': str(ROOT) if lib != 'fastai' else '', 'LESSON3_PROGRESS': '0', 'PYTHONWARNINGS': 'ignore'}
    p = subprocess.run([python_of(lib), WORK, lib, job, path], env=env, text=True, capture_output=True, stdin=subprocess.DEVNULL)
    line = next((l for l in p.stdout.splitlines() if l.startswith('RESULT ')), None)
    if line is None: raise SystemExit(f'{job} with {lib} failed:\n{p.stderr[-3000:]}')
    return json.loads(line[7:])

def machine() -> str:
    "The machine in a line: processor, cores, instruction sets that matter, versions."
    import torch
    flags = Path('/proc/cpuinfo').read_text() if Path('/proc/cpuinfo').exists() else ''
    model = next((l.split(':')[1].strip() for l in flags.splitlines() if l.startswith('model name')), platform.processor() or platform.machine())
    has = [n for n,f in (('AVX2', 'avx2'), ('AVX512', 'avx512f'), ('AVX512-BF16', 'avx512_bf16'), ('AMX', 'amx_bf16')) if f' {f} ' in flags.replace('\n', ' ')]
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else 'no GPU'
    return f'{model}, {len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()} cores, {" ".join(has) or "no vector extensions known"}, {gpu}, Python {platform.python_version()}, torch {torch.__version__}'

def table(results:dict) -> str:
    "The medians, and each as a ratio to this library's."
    rows = ['| work | library | rate | ours is | CPU seconds | peak MB |', '|---|---|---:|---:|---:|---:|']
    for job,by_lib in results.items():
        mid = {lib:{k:median(r[k] for r in runs) for k in ('rate', 'cpu', 'memory')} for lib,runs in by_lib.items()}
        for lib,m in mid.items():
            ratio = '' if lib == 'ours' else f'{mid["ours"]["rate"]/m["rate"]:.2f}x'
            rows.append(f'| {JOBS[job][2] if lib == "ours" else ""} | {lib} | {m["rate"]:,.3g} {by_lib[lib][0]["unit"]} | {ratio} | {m["cpu"]:.0f} | {m["memory"]:.0f} |')
    return '\n'.join(rows)

def main():
    p = argparse.ArgumentParser(description='Measure this library beside fastai and bare PyTorch.')
    p.add_argument('jobs', nargs='*', help=f'of {", ".join(JOBS)}; all when none is named')
    p.add_argument('--rounds', type=int, default=2, help='how often each runs (default 2)')
    args = p.parse_args()
    unknown = [o for o in args.jobs if o not in JOBS]
    if unknown: p.error(f'no job {unknown[0]!r}; there are {", ".join(JOBS)}')
    OUT.mkdir(exist_ok=True)
    results, paths = {}, {}
    for job in args.jobs or JOBS:
        libs, data, _ = JOBS[job]
        path = paths[data] if data in paths else paths.setdefault(data, DATA[data]())
        results[job] = {lib:[] for lib in libs}
        for i in range(args.rounds):
            for lib in libs:
                start = time.time()
                r = measure(lib, job, path); results[job][lib].append(r)
                print(f'{job:8} {lib:7} round {i+1}: {r["rate"]:10,.1f} {r["unit"]} ({time.time()-start:.0f} s)', flush=True)
    about = 'Tiles and reviews of the course\'s samples, drawn scenes' if REAL else 'Drawn data'
    text = f'Measured {datetime.date.today()} on {machine()}.\n{about}; medians of {args.rounds} rounds, libraries in turn.\n\n{table(results)}\n'
    (OUT/'results.md').write_text(text, encoding='utf-8')
    print('\n'+text)

if __name__ == '__main__': main()
