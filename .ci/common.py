"What the scripts behind the Makefile share."
import os, re, sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
NBS  = ROOT/'nbs'
LIB  = ROOT/'lesson3_lib'
BIN  = Path(sys.executable).parent  # nbdev's commands are beside the Python that runs us

def n_cpus() -> int:
    "The cores this process may use."
    return len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1

def quiet_env(threads:int, **extra) -> dict:
    "The environment of a chapter that runs by itself: `threads` for the maths, no progress bars, no windows."
    return {**os.environ, 'OMP_NUM_THREADS': str(threads), 'MKL_NUM_THREADS': str(threads), 'LESSON3_PROGRESS': '0', 'MPLBACKEND': 'agg',
            'PYDEVD_DISABLE_FILE_VALIDATION': '1', 'TOKENIZERS_PARALLELISM': 'false', **extra}

def chapters() -> list[Path]:
    "The notebooks of the book, in order."
    return sorted(o for o in NBS.glob('*.ipynb') if not o.name.startswith(('_', '.')))

def page_name(nb:str) -> str:
    "The page of a chapter, as nbdev names it: `07bb_layers` -> `layers`."
    return re.sub(r'^\d+[a-zA-Z0-9]*_', '', Path(nb).stem.lower())

def is_lesson(nb:str) -> bool:
    "Whether a chapter tells the lesson (30 to 39) rather than builds the library."
    return bool(re.match(r'3\d', Path(nb).name))

def is_lookup(nb:str) -> bool:
    "Whether a chapter is for looking up (90 and up): the glossary."
    return bool(re.match(r'9\d', Path(nb).name))

def mins(seconds:float) -> str:
    return f'{seconds:.0f} s' if seconds < 100 else f'{seconds/60:.1f} min'
