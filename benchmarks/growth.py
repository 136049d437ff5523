"""How the cost grows with the work: number and size of pictures, workers, files, rows, length of documents, size of the corpus.

    python benchmarks/growth.py               # every series: some minutes; with --big the corpus goes to 1 GB
    python benchmarks/growth.py corpus rows
    python benchmarks/growth.py --keep        # write benchmarks/growth.json, which the book draws

Each point is measured in a process of its own. What counts is CPU seconds of all its processes (they bear a busy machine better than the clock), and
for `workers` the clock. The slope of a line on a log-log plot is the exponent of the cost: 1 is linear, less is better than that.
"""
import argparse, json, os, shutil, sys, time
from pathlib import Path

import numpy as np

from run import HERE, OUT, about, commit, machine, make_tiles, measure
from work import one_pass, tiles

KEPT = HERE/'growth.json'

# ---------------------------------------------------------------- one point: set up, then give what is measured

def images(n):
    data = tiles('ours', make_tiles(n), size=64)
    return lambda: whole_pass(data.train_dl)

def whole_pass(dl):
    "Go through a loader, and let its workers go: their time counts when they have ended."
    one_pass(dl)
    dl.crew.close()

def size(n):
    data = tiles('ours', make_tiles(400), size=round(n**.5), bs=16)
    return lambda: whole_pass(data.train_dl)

def workers(n):
    data = tiles('ours', make_tiles(1600))
    dl = data.train_dl.new(num_workers=n)
    one_pass(dl)
    return lambda: one_pass(dl)

def many_files(n) -> Path:
    "A folder with `n` names of tiles in ten classes."
    path = OUT/f'files-{n}'
    if not path.exists():
        one = next((make_tiles(8)/'train').glob('*.jpg'))
        for k in range(10): (path/str(k)).mkdir(parents=True)
        for i in range(n):
            if i % 10_000 == 0: first = shutil.copy(one, path/'0'/f'{i}.jpg') # a file has room for so many names only
            else: os.link(first, path/str(i%10)/f'{i}.jpg')
    return path

def files(n):
    from lesson3_lib.vision import ImageList, get_transforms, imagenet_stats
    path = many_files(n)
    def work():
        src = ImageList.from_folder(path).split_by_rand_pct(0.2, seed=42).label_from_folder()
        data = src.transform(get_transforms(), size=64).databunch(bs=64, num_workers=0).normalize(imagenet_stats)
        repr(data); data.one_batch()
    return work

def rows(n):
    import pandas as pd
    from lesson3_lib.vision import ImageList, get_transforms, imagenet_stats
    path,rng = many_files(1000),np.random.default_rng(0)
    tags = [' '.join(rng.choice('clear haze primary water road habitation cultivation agriculture'.split(), rng.integers(1,5), replace=False)) for _ in range(500)]
    df = pd.DataFrame({'name':[f'{i%10}/{i%1000}' for i in range(n)], 'tags':rng.choice(tags, n)})
    def work():
        src = ImageList.from_df(df, path, suffix='.jpg').split_by_rand_pct(0.2, seed=42).label_from_df(label_delim=' ')
        data = src.transform(get_transforms(), size=64).databunch(bs=64, num_workers=0).normalize(imagenet_stats)
        repr(data); data.one_batch()
    return work

def some_text(n_chars) -> str:
    "Drawn reviews, one after the other, of `n_chars` characters."
    import pandas as pd
    from lesson3_lib.samples import sample_data
    t = '\n'.join(pd.read_csv(sample_data('imdb', n=5000)/'texts.csv')['text'])
    return (t*(n_chars//len(t)+1))[:n_chars]

def document(n):
    "Tokens of one document of `n` characters."
    from lesson3_lib.text import Tokenizer
    t,tok = some_text(n),Tokenizer()
    tok.process_text(t[:1000])
    return lambda: tok.process_text(t)

def reading(n):
    "A training step of the default classifier on 4 documents of `n` tokens; of long ones it remembers the last 1,400 tokens only."
    import torch
    from lesson3_lib.awd_lstm import AWD_LSTM
    from lesson3_lib.text_classifier import get_text_classifier
    net = get_text_classifier(AWD_LSTM, 10_000, 2)
    def work():
        net.reset()
        net(torch.randint(2, 10_000, (4,n)))[0].sum().backward()
    work()
    return work

def book(mb):
    "One text file of `mb` MB to the first batch of a language model. Every MB has 2,000 words that were never met before, about as many as text of the web has."
    from lesson3_lib.text import TextList
    path = OUT/f'book-{mb}'
    if not path.exists():
        path.mkdir(parents=True)
        rng,letters,t = np.random.default_rng(0),np.array(list('aabcdeeefghiijklmnoopqrstuvwxyz')),some_text(1_000_000)
        with open(path/'book.part', 'w', encoding='utf-8') as f:
            for _ in range(mb):
                words = t.split(' ')
                for i in rng.integers(len(words), size=2000): words[i] = ''.join(rng.choice(letters, 9))
                f.write(' '.join(words) + '\n')
        (path/'book.part').rename(path/'book.txt')
    def work():
        data = TextList.from_folder(path).split_none().label_for_lm().databunch(bs=48, bptt=70)
        next(iter(data.train_dl))
    return work

def corpus(mb):
    "`mb` MB of text in files of 4 kB (a long review) to the first batch of a language model."
    from lesson3_lib.text import TextList
    path = OUT/f'corpus-{mb}'
    if not path.exists():
        t,part = some_text(20_000_000),4000
        for i in range(mb*1_000_000//part):
            if i % 1000 == 0: (path/str(i//1000)).mkdir(parents=True)
            at = i*part % (len(t)-part)
            (path/str(i//1000)/f'{i}.txt').write_text(t[at:at+part], encoding='utf-8')
    def work():
        data = TextList.from_folder(path).split_by_rand_pct(0.1, seed=42).label_for_lm().databunch(bs=48, bptt=70)
        next(iter(data.train_dl))
    return work

SERIES = { # the points, what is counted, what is done
    'images':   ([1000,3000,10_000,30_000,100_000], 'pictures', 'an epoch of loading at 64 pixels'),
    'size':     ([32**2,64**2,128**2,256**2,512**2], 'pixels of a picture', 'an epoch of loading 320 tiles of 256x256'),
    'workers':  ([0,1,2,4], 'workers', 'an epoch of loading 1,280 tiles at 128'),
    'files':    ([1000,10_000,100_000], 'files', 'folder to first batch'),
    'rows':     ([1000,10_000,100_000,1_000_000], 'rows', 'table to first batch'),
    'document': ([10_000,100_000,1_000_000,10_000_000], 'characters', 'tokens of one document'),
    'reading':  ([175,350,700,1400,2800,5600], 'tokens', 'a training step of the classifier, 4 documents'),
    'book':     ([3,10,30,100,300,1000], 'MB', 'one text file to first batch of a language model'),
    'corpus':   ([3,10,30,100,300], 'MB', 'files of 4 kB to first batch of a language model'),
}

def point(name, n):
    "Measure one point and print it."
    work = globals()[name](int(n))
    before,start = os.times(),time.perf_counter()
    work()
    wall,after = time.perf_counter()-start,os.times()
    print('RESULT ' + json.dumps(dict(wall=wall, work=sum(after[:4])-sum(before[:4]))), flush=True)

def slope(xs, ys) -> float:
    "The exponent between the last two points: what the cost grows like where it matters."
    return float(np.log(ys[-1]/ys[-2])/np.log(xs[-1]/xs[-2]))

def main():
    p = argparse.ArgumentParser(description='Measure how the cost grows with the work.')
    p.add_argument('series', nargs='*', help=f'of {", ".join(SERIES)}; all when none is named')
    p.add_argument('--big', action='store_true', help='the corpus up to 1 GB')
    p.add_argument('--keep', action='store_true', help='write benchmarks/growth.json')
    args = p.parse_args()
    OUT.mkdir(exist_ok=True)
    for name in args.series or SERIES:
        xs,counted,what = SERIES[name]
        if args.big and name == 'corpus': xs = [*xs, 1000]
        runs = [measure(HERE/'growth.py', '--point', name, str(n)) for n in xs]
        ys = [r['wall' if name == 'workers' else 'work'] for r in runs]
        res = dict(x=xs, y=ys, memory=[r['memory'] for r in runs], counted=counted, what=what, slope=slope(xs, ys) if name != 'workers' else None,
                          date=f'{time.strftime("%Y-%m-%d %H:%M")}', commit=commit(), machine=machine(), data=about())
        print(f'{name:9} {counted}: ' + '; '.join(f'{x:,}: {y:.2f} s, {r["memory"]:.0f} MB' for x,y,r in zip(xs, ys, runs)) + ('' if name == 'workers' else f'; exponent {res["slope"]:.2f}'), flush=True)
        if args.keep: KEPT.write_text(json.dumps({**(json.loads(KEPT.read_text()) if KEPT.exists() else {}), name:res}, indent=1)+'\n', encoding='utf-8')

if __name__ == '__main__': point(*sys.argv[2:4]) if sys.argv[1:2] == ['--point'] else main()
