"""`make bench`: this library, fastai 2.8.12 and a bare PyTorch loop on the same work, in turn (A B A B), in one run.

    python benchmarks/run.py                  # every job, twice round
    python benchmarks/run.py loader --rounds 3

Machines differ and are busy at times, so the ratios of one run are what counts. fastai gets an environment of its own, `.venv-fastai`, made on
first use, or the one whose Python `FASTAI_PYTHON` names. The data is drawn; with `LESSON3_ARCHIVES` it is the course's sample of
satellite tiles. The table goes to `_bench/results.md`.
"""
import argparse, datetime, json, os, platform, shutil, subprocess, sys, time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parent.parent
WORK = Path(__file__).resolve().parent/'work.py'
OUT = ROOT/'_bench'
JOBS = {'loader': ('ours', 'fastai'), 'epoch': ('ours', 'fastai', 'bare')}
TITLES = {'loader': 'tiles, lesson transforms, 128 pixels, batch 64, 2 workers', 'epoch': 'the same with resnet18: train and validate'}
FASTAI = 'fastai==2.8.12'

def python_of(lib:str) -> Path:
    "The Python that has `lib`."
    if lib != 'fastai': return Path(sys.executable)
    if os.environ.get('FASTAI_PYTHON'): return Path(os.environ['FASTAI_PYTHON'])
    venv = ROOT/'.venv-fastai'; py = venv/'bin'/'python'
    if not (venv/'.stamp').exists():
        print(f'making .venv-fastai with {FASTAI} (once, several minutes)', flush=True)
        subprocess.run([sys.executable, '-m', 'venv', venv], check=True)
        subprocess.run([py, '-m', 'pip', 'install', '-q', '--disable-pip-version-check', FASTAI], check=True)
        (venv/'.stamp').touch()
    return py

def tiles(n:int) -> Path:
    "A folder with `labels.csv` and `train/`: `n` rows over the tiles there are, drawn ones or the course's."
    import pandas as pd
    from lesson3_lib.data_sets import URLs, untar_data
    from lesson3_lib.samples import sample_data
    real = bool(os.environ.get('LESSON3_ARCHIVES'))
    src = untar_data(URLs.PLANET_SAMPLE) if real else sample_data('planet')
    csv, folder = next((src/c, src/f) for c,f in (('labels.csv', 'train'), ('train_v2.csv', 'train-jpg')) if (src/c).exists())
    df = pd.read_csv(csv)
    path = OUT/('planet' if real else 'drawn')
    shutil.rmtree(path, ignore_errors=True); path.mkdir(parents=True)
    (path/'train').symlink_to(folder.resolve(), target_is_directory=True)
    pd.concat([df]*(n//len(df)+1)).head(n).to_csv(path/'labels.csv', index=False)
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
            rows.append(f'| {TITLES[job] if lib == "ours" else ""} | {lib} | {m["rate"]:.0f} {by_lib[lib][0]["unit"]} | {ratio} | {m["cpu"]:.0f} | {m["memory"]:.0f} |')
    return '\n'.join(rows)

def main():
    p = argparse.ArgumentParser(description='Measure this library beside fastai and bare PyTorch.')
    p.add_argument('jobs', nargs='*', help=f'of {", ".join(JOBS)}; all when none is named')
    p.add_argument('--rounds', type=int, default=2, help='how often each runs (default 2)')
    p.add_argument('--images', type=int, default=1600, help='rows of the set (default 1600)')
    args = p.parse_args()
    unknown = [o for o in args.jobs if o not in JOBS]
    if unknown: p.error(f'no job {unknown[0]!r}; there are {", ".join(JOBS)}')
    path, results = tiles(args.images), {}
    for job in args.jobs or JOBS:
        results[job] = {lib:[] for lib in JOBS[job]}
        for i in range(args.rounds):
            for lib in JOBS[job]:
                start = time.time()
                r = measure(lib, job, path); results[job][lib].append(r)
                print(f'{job:8} {lib:7} round {i+1}: {r["rate"]:8.1f} {r["unit"]} ({time.time()-start:.0f} s)', flush=True)
    data = 'the 500 tiles of the course\'s sample' if path.name == 'planet' else '400 drawn tiles'
    text = f'Measured {datetime.date.today()} on {machine()}.\n{data.capitalize()}, as {args.images} rows; medians of {args.rounds} rounds, libraries in turn.\n\n{table(results)}\n'
    (OUT/'results.md').write_text(text, encoding='utf-8')
    print('\n'+text)

if __name__ == '__main__': main()
