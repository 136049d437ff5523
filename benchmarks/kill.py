"""`python benchmarks/kill.py`: kill a training run at random moments with SIGKILL, start it again, and compare.

    python benchmarks/kill.py                # 30 kills: no worker and two, momentum SGD and Adam
    python benchmarks/kill.py 100 --seed 1 --every 2

For each kill a run begins in a folder of its own, is killed at a moment drawn between its start and its end (so also in the middle of
writing a checkpoint), and is started again. What it ends with, the weights, the statistics of batch norm, the state of the optimizer and every recorded
loss, must be what the run that nobody touched ends with, bit by bit. Pictures are loaded and augmented, there is dropout and a one-cycle schedule of
rate and momentum; all in float32 on the CPU. Ends with `N of N bit-identical`, and with exit code 1 if it is fewer.

It needs `os.fork`: each run is a copy of this process, so that starting it takes no time and moments are spread over the training itself.
"""
import argparse, hashlib, os, random, signal, sys, tempfile, time
from functools import partial
from pathlib import Path

EPOCHS, OPTS = 3, ('sgd', 'adam')

def train(path, folder, workers, opt, every):
    "The run: an ordinary training script. Where its checkpoint is, it goes on from it. Gives a digest of what it ends with."
    import torch
    from torch import nn, optim
    from lesson3_lib.vision import CheckpointCallback, ImageList, Learner, accuracy, get_transforms, imagenet_stats, set_seed
    torch.set_num_threads(1); set_seed(42)
    src = ImageList.from_folder(path).split_by_rand_pct(0.2, seed=42).label_from_folder()
    data = src.transform(get_transforms(), size=24).databunch(bs=16, num_workers=workers, device='cpu', seed=42).normalize(imagenet_stats)
    conv = lambda i, o: nn.Sequential(nn.Conv2d(i, o, 3, stride=2, padding=1), nn.BatchNorm2d(o), nn.ReLU())
    net = nn.Sequential(conv(3, 8), conv(8, 16), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.3), nn.Linear(16, 2))
    learn = Learner(data, net, opt_func=partial(optim.SGD, momentum=0.9) if opt == 'sgd' else optim.Adam, metrics=accuracy, path=folder, silent=True)
    learn.fit_one_cycle(EPOCHS, 1e-2, callbacks=CheckpointCallback(learn, 'run', every=every))
    state = [v for s in learn.opt.state_dict()['state'].values() for v in s.values() if torch.is_tensor(v)]
    parts = [*net.state_dict().values(), *state, torch.stack(learn.recorder.losses), torch.stack(learn.recorder.val_losses)]
    return hashlib.sha256(b''.join(p.numpy().tobytes() for p in parts)).hexdigest()[:16]

def fork(f, *args) -> int:
    "`f(*args)` in a copy of this process. (This one only imports: threads, OpenCV's for instance, would not be there in a copy.)"
    pid = os.fork()
    if pid: return pid
    try:
        f(*args)
        os._exit(0)
    except BaseException:
        import traceback; traceback.print_exc(); sys.stderr.flush()
    os._exit(1)

def start(folder, *args) -> int:
    "A run as a process of its own; it leaves its digest in `folder`."
    return fork(lambda: (folder/'digest').write_text(train(*args)))

def finish(pid) -> bool:
    "Wait for a run; whether it came to its end by itself."
    status = os.waitpid(pid, 0)[1]
    if os.WIFEXITED(status) and os.WEXITSTATUS(status): sys.exit('the run failed by itself, see above')
    return os.WIFEXITED(status)

def whole(path, workers, opt, every):
    "Digest and seconds of a run that nobody touches."
    with tempfile.TemporaryDirectory() as d:
        begin = time.perf_counter()
        finish(start(Path(d), path, Path(d), workers, opt, every))
        return (Path(d)/'digest').read_text(), time.perf_counter()-begin

def killed(path, workers, opt, every, after):
    "The digest of a run that is killed after so many seconds and started again, and what the kill left."
    with tempfile.TemporaryDirectory() as d:
        d = Path(d)
        pid = start(d, path, d, workers, opt, every)
        time.sleep(after)
        os.kill(pid, signal.SIGKILL)
        ended = finish(pid)
        files = [o.name for o in (d/'models').glob('*')] + [o.name for o in (d/'models').glob('.*')] if (d/'models').exists() else []
        left = 'at its end' if ended else 'before the first checkpoint' if 'run.pth' not in files else 'while writing' if len(files) > 1 else 'between checkpoints'
        if not ended: finish(start(d, path, d, workers, opt, every))
        return (d/'digest').read_text(), left

def main():
    p = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    p.add_argument('kills', nargs='?', type=int, default=30)
    p.add_argument('--seed', type=int, default=0, help='of the moments')
    p.add_argument('--every', type=int, default=4, help='batches between two checkpoints')
    p.add_argument('--workers', type=int, nargs='*', default=[0, 2])
    a = p.parse_args()
    if not hasattr(os, 'fork'): sys.exit('this needs os.fork, so not on Windows')
    import torch, lesson3_lib.vision
    from lesson3_lib.samples import sample_data
    finish(fork(sample_data, 'mnist', 400))  # draws them, where they are not there yet
    torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1)  # imports what the first optimizer needs, which takes seconds
    path, rng = sample_data('mnist', 400)/'train', random.Random(a.seed)
    cases = [(w, o) for w in a.workers for o in OPTS]
    finish(start(Path(tempfile.mkdtemp()), path, Path(tempfile.mkdtemp()), 0, 'adam', a.every))  # files get into the page cache
    known = {c: whole(path, *c, a.every) for c in cases}
    same = 0
    for i in range(a.kills):
        workers, opt = case = cases[i % len(cases)]
        digest, secs = known[case]
        after = rng.uniform(0.05, 0.95)*secs
        got, left = killed(path, workers, opt, a.every, after)
        same += got == digest
        print(f'{i+1:3}  {workers} workers, {opt:4}  killed after {after:5.2f} of {secs:.2f} s, '
              f'{left:28} {"identical" if got == digest else "DIFFERENT"}', flush=True)
    print(f'{same} of {a.kills} bit-identical')
    return same != a.kills

if __name__ == '__main__': sys.exit(main())
