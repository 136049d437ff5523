"""`make lesson`: run the lesson's chapters and leave notebooks, pages and pictures in _lesson/.

    python .ci/lesson.py                          # every chapter of the lesson, on drawn data
    LESSON3_ARCHIVES=folder python .ci/lesson.py planet --out results
"""
import argparse, base64, os, shutil, sys, time
from pathlib import Path

from common import ROOT, chapters, mins, n_cpus, page_name, quiet_env

LESSON = 'planet camvid head_pose imdb'.split()

def find_chapters(names):
    "The notebooks named, by number or name; all that are there when none is."
    found = {page_name(o.name):o for o in chapters()}
    for n in names:
        if page_name(n) not in found: sys.exit(f'no chapter {n!r} in nbs/; there are {", ".join(o for o in LESSON if o in found) or "none of the lesson yet"}')
    nbs = [found[page_name(n)] for n in names or LESSON if page_name(n) in found]
    return nbs or sys.exit('nbs/ has none of the lesson\'s chapters yet')

def execute(nb, work:Path, title:str, timeout:int):
    "Run the cells of `nb` in a fresh kernel in folder `work`."
    from nbclient import NotebookClient
    total = sum(c.cell_type == 'code' for c in nb.cells)
    done = 0
    def tell(cell, cell_index, **kw):
        nonlocal done
        done += cell.cell_type == 'code'
        if sys.stdout.isatty(): print(f'\r{title:16} cell {done} of {total} ', end='', flush=True)
    client = NotebookClient(nb, timeout=timeout, kernel_name='python3', resources={'metadata': {'path': str(work)}},
                            extra_arguments=['--log-level=ERROR'], on_cell_complete=tell)
    try: client.execute()
    finally:
        if sys.stdout.isatty(): print('\r\x1b[K', end='')

def save_pictures(nb, folder:Path, name:str) -> int:
    "Every picture of `nb` as a PNG; how many."
    n = 0
    for c in nb.cells:
        for o in c.get('outputs', []):
            png = o.get('data', {}).get('image/png')
            if not png: continue
            n += 1
            (folder/f'{name}-{n:02}.png').write_bytes(base64.b64decode(''.join(png)))
    return n

def save_page(nb, path:Path):
    import nbconvert
    html,_ = nbconvert.HTMLExporter(embed_images=True).from_notebook_node(nb, {'metadata': {'name': path.stem}})
    path.write_text(html, encoding='utf-8')

def run_lesson(fn:Path, out:Path, timeout:int):
    "Execute one chapter and keep what it made, also when it failed: (passed, seconds)."
    import nbformat
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    nb = nbformat.read(fn, 4)
    name, start, error = page_name(fn.name), time.time(), None
    work = out/'work'; work.mkdir(parents=True, exist_ok=True)  # what a chapter writes beside itself lands here
    try: execute(nb, work, name, timeout)
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as e: error = str(e)
    secs = time.time()-start
    nbformat.write(nb, out/fn.name)
    save_page(nb, out/f'{name}.html')
    n = save_pictures(nb, out, name)
    print(f'{name:16} {"FAILED" if error else "done"} in {mins(secs)}, {n} pictures', flush=True)
    if error: print('\n'.join(f'    | {o}' for o in error.strip().splitlines()[-40:]), flush=True)
    return not error, secs

def main():
    p = argparse.ArgumentParser(description='Run the chapters of the lesson.')
    p.add_argument('names', nargs='*', help=f'chapters ({", ".join(LESSON)}); all when none is named')
    p.add_argument('--out', type=Path, default=ROOT/'_lesson', help='where the results go (default _lesson)')
    p.add_argument('--timeout', type=int, default=1800, help='most seconds for one cell')
    args = p.parse_args()
    nbs = find_chapters(args.names)
    out = args.out.resolve(); out.mkdir(parents=True, exist_ok=True)
    report = out/'report.jsonl'; report.unlink(missing_ok=True)
    archives = os.environ.get('LESSON3_ARCHIVES')
    extra = {'LESSON3_REPORT': str(report)}
    if archives: extra['LESSON3_ARCHIVES'] = os.pathsep.join(str(Path(o).resolve()) for o in archives.split(os.pathsep) if o)
    env = quiet_env(n_cpus(), **extra)
    env.pop('MPLBACKEND')  # a notebook shows its pictures
    os.environ.pop('MPLBACKEND', None); os.environ.update(env)
    print(f'{len(nbs)} chapter(s) on {"data from " + archives if archives else "drawn data"}, {n_cpus()} core(s)', flush=True)
    start = time.time()
    results = {page_name(o.name):run_lesson(o, out, args.timeout) for o in nbs}
    shutil.rmtree(out/'work', ignore_errors=True)
    from lesson3_lib.lesson import read_report, report_table
    rows = read_report(report) if report.exists() else []
    print('\nWhat was trained, and how well:\n' + (report_table(rows) if rows else 'no chapter reported a result'))
    print(f'\nNotebooks, pages and pictures are in {os.path.relpath(out)}; all took {mins(time.time()-start)}.')
    return 0 if all(ok for ok,_ in results.values()) else 1

if __name__ == '__main__': sys.exit(main())
