"""The command `lesson3` as a shell runs it: exit codes, quick help, sentences instead of tracebacks, ctrl-C. Ends with `N passed, N failed`."""
import shutil, signal, socket, subprocess, sys, tempfile, time
from pathlib import Path

from common import BIN, ROOT, n_cpus, quiet_env

LESSON3 = [str(BIN/'lesson3')] if (BIN/'lesson3').exists() else [sys.executable, '-m', 'lesson3_lib.cli']
CLOSED = 'http://127.0.0.1:9'  # where nobody listens: as if there were no network

def env(home):
    return quiet_env(n_cpus(), LESSON3_HOME=str(home), LESSON3_ARCHIVES='', http_proxy=CLOSED, https_proxy=CLOSED, HTTPS_PROXY=CLOSED,
                     no_proxy='', PYTHONUNBUFFERED='1')

def lesson3(home, *words, timeout=120):
    "(exit code, output, complaints, seconds)"
    start = time.time()
    p = subprocess.run([*LESSON3, *map(str, words)], cwd=home, env={**env(home), 'PYTHONPATH':str(ROOT)}, text=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout)
    assert 'Traceback' not in p.stderr, p.stderr
    return p.returncode, p.stdout, p.stderr, time.time()-start

def test_help(home):
    "help is quick and names every command"
    best = 9.
    for _ in range(3):
        code, out, err, secs = lesson3(home, '--help')
        assert (code, err) == (0, ''), (code, err)
        best = min(best, secs)
    assert all(f'\n    {o}' in out for o in ('run', 'find-lr', 'data', 'predict', 'serve', 'doctor')), out
    assert best < 0.5, f'{best:.2f} s'

def test_usage(home):
    "a line that cannot be understood ends with 2 and says how it goes"
    for words in (['fly'], ['run', 'mars'], ['run', 'planet', '--epochs', '0'], ['predict']):
        code, out, err, _ = lesson3(home, *words)
        assert code == 2 and err.startswith('usage: lesson3'), (words, code, err)

def test_pipe(home):
    "a reader who leaves early is no error"
    p = subprocess.run(' '.join([*LESSON3, 'data', 'list', '|', 'head', '-2']), shell=True, cwd=home, env={**env(home), 'PYTHONPATH':str(ROOT)}, text=True, capture_output=True, timeout=60)
    assert p.returncode == 0 and len(p.stdout.splitlines()) == 2 and p.stderr == '', (p.stdout, p.stderr)

def test_offline(home):
    "real data without a network: a sentence that names LESSON3_ARCHIVES"
    code, out, err, _ = lesson3(home, 'data', 'get', 'planet_sample')
    assert code == 1 and err.startswith('lesson3: planet_sample is not here') and 'LESSON3_ARCHIVES' in err, (code, err)

def test_mistakes(home):
    "a file that is not there, and a port that is taken: 1 and a sentence"
    code, out, err, _ = lesson3(home, 'predict', 'none.zip', '.')
    assert code == 1 and err.startswith('lesson3: ') and 'none.zip' in err, (code, err)
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0)); s.listen()
        code, out, err, _ = lesson3(home, 'serve', 'none.zip', '--port', s.getsockname()[1])
    assert code == 1 and 'is taken by another program' in err, (code, err)

def test_train_and_predict(home):
    "a network is trained, and another process predicts a folder with it"
    code, out, err, _ = lesson3(home, 'run', 'planet', '--n', 24, '--size', 32, '--bs', 8, '--epochs', 1, '--arch', 'squeezenet1_1', '--scratch', '--out', 'tiles')
    assert code == 0 and (Path(home)/'tiles'/'export.zip').exists(), (code, out, err)
    folder = next(Path(home).rglob('test-jpg'))
    code, out, err, _ = lesson3(home, 'predict', 'tiles/export.zip', folder)
    assert (code, err) == (0, ''), (code, err)
    rows = (Path(home)/'predictions.csv').read_text().splitlines()
    assert rows[0].startswith('item,label,prob_') and len(rows) == 1 + len(list(folder.iterdir())), rows

def test_interrupt(home):
    "ctrl-C in the middle of training: 130, one line (after the notes of the data)"
    p = subprocess.Popen([*LESSON3, 'run', 'planet', '--n', '24', '--size', '64', '--epochs', '50', '--arch', 'squeezenet1_1', '--scratch'], cwd=home, env={**env(home), 'PYTHONPATH':str(ROOT)},
                         text=True, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                         preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)) # a shell's background job is deaf to ctrl-C, and so are its children
    while (line := p.stdout.readline()) and not line.startswith('stage-1'): pass
    time.sleep(1)
    p.send_signal(signal.SIGINT)
    out, err = p.communicate(timeout=60)
    *notes,last = filter(None, err.splitlines())
    assert p.returncode == 130 and last == 'lesson3: ended' and all(o.startswith('note: ') for o in notes), (p.returncode, err)
    assert not (Path(home)/'lesson3-planet'/'export.zip').exists()

TESTS = [test_help, test_usage, test_pipe, test_offline, test_mistakes, test_train_and_predict, test_interrupt]

def main():
    start, results = time.time(), []
    home = Path(tempfile.mkdtemp())
    try:
        for t in TESTS:
            try:
                t(home)
                problem = None
            except Exception as e: problem = f'{type(e).__name__}: {e}'
            print(f'  {"FAIL" if problem else "ok  "} {t.__doc__}' + (f'\n    | {problem}' if problem else ''), flush=True)
            results.append(not problem)
    finally: shutil.rmtree(home, ignore_errors=True)
    print(f'in {time.time()-start:.0f} s')
    print(f'{sum(results)} passed, {len(results)-sum(results)} failed')
    return 0 if all(results) else 1

if __name__ == '__main__': sys.exit(main())
