"""One measured job, in a process of its own: prints one line of JSON.

    python benchmarks/work.py LIBRARY JOB FOLDER

LIBRARY is `ours`, `compiled` (ours after `learn.compile()`), `fastai` or a reference (`bare`: PyTorch without a library; `decode`: only reads pictures), JOB a
function of this file, `-bf16` behind its name for training in 16 bits, FOLDER what `run.py` made for it. The imports are inside the functions:
each library is measured in the environment it is installed in, and neither needs the other.

fastai runs with the best that it has for a CPU: workers decode and resize, batches are augmented whole, models and batches of pictures are
`channels_last`. Its 16 bits are for CUDA only (`to_bf16` opens an autocast for CUDA, which does nothing on a CPU), so beside `fastai` there is
`fastai+`: fastai with the callback `cpu_bf16` below, written for this comparison, as a user of it might.
"""
import json, subprocess, sys, time
from contextlib import nullcontext
from pathlib import Path
from statistics import median

WORKERS = 2

# ---------------------------------------------------------------- what many jobs need

def clock(f, *args) -> float:
    "Seconds of one call."
    start = time.perf_counter(); f(*args)
    return time.perf_counter()-start

def timed(f, *args) -> float:
    "Seconds of one call, after one that is not counted: files get into the page cache, kernels and workers get warm."
    f(*args)
    return clock(f, *args)

def one_pass(dl) -> int:
    "Go through a loader once; how many items came."
    return sum(len(xb) for xb,*_ in dl)

def passes(dl, epochs=2) -> dict:
    "Items a second through a loader, after a pass that is not counted."
    one_pass(dl)
    start = time.perf_counter()
    n = sum(one_pass(dl) for _ in range(epochs))
    return dict(rate=n/(time.perf_counter()-start), unit='images/s')

def quiet(learn): return learn.no_bar() if hasattr(learn, 'no_bar') else nullcontext()
def n_items(data) -> int: return len(data.train_ds)+len(data.valid_ds)
def train_loader(data): return data.train_dl if hasattr(data, 'train_dl') else data.train

def cpu_bf16():
    "A callback for fastai that trains in bfloat16 on a CPU: its own `MixedPrecision` with the autocast of the CPU."
    import torch
    from fastai.callback.fp16 import MixedPrecision
    class CPUMixedPrecision(MixedPrecision):
        def before_fit(self):
            super().before_fit()
            self.autocast = torch.autocast('cpu', dtype=torch.bfloat16)
    return CPUMixedPrecision(amp_mode='bf16')

def is_ours(lib): return lib in ('ours','compiled')

def prepare(learn, lib, half):
    "`learn` in 16 bits where they are asked for and `lib` has them, and compiled for `compiled`."
    if half and is_ours(lib): learn.to_fp16()
    if half and lib == 'fastai+': learn.add_cb(cpu_bf16())
    if lib == 'compiled': learn.compile()

def fit_rate(learn, items, half=False, lib='ours', unit='images/s') -> dict:
    "Items a second of an epoch, training and validation, after one that is not counted."
    prepare(learn, lib, half)
    with quiet(learn): return dict(rate=items/timed(learn.fit, 1, 1e-3), unit=unit)

# ---------------------------------------------------------------- tiles: several labels

def tiles(lib, path, size=128, bs=64):
    "The lesson's tiles, as each library loads them."
    if lib == 'ours':
        from lesson3_lib.vision import ImageList, get_transforms, imagenet_stats
        tfms = get_transforms(flip_vert=True, max_lighting=0.1, max_zoom=1.05, max_warp=0.)
        src = ImageList.from_csv(path, 'labels.csv', folder='train', suffix='.jpg').split_by_rand_pct(0.2, seed=42).label_from_df(label_delim=' ')
        return src.transform(tfms, size=size).databunch(bs=bs, num_workers=WORKERS).normalize(imagenet_stats)
    import pandas as pd
    from fastai.vision.all import (ColReader, DataBlock, ImageBlock, MultiCategoryBlock, Normalize, RandomSplitter, Resize, aug_transforms,
                                   imagenet_stats)
    block = DataBlock(blocks=(ImageBlock, MultiCategoryBlock), splitter=RandomSplitter(0.2, seed=42),
                      get_x=ColReader(0, pref=f'{path}/train/', suff='.jpg'), get_y=ColReader(1, label_delim=' '), item_tfms=Resize(size),
                      batch_tfms=[*aug_transforms(flip_vert=True, max_lighting=0.1, max_zoom=1.05, max_warp=0.), Normalize.from_stats(*imagenet_stats)])
    return block.dataloaders(pd.read_csv(Path(path)/'labels.csv'), bs=bs, num_workers=WORKERS)

def decode(files, size=None):
    "Seconds in which `WORKERS` processes read and decode `files`, and do nothing else; `size`: JPEGs at the smallest scale that covers it."
    from multiprocessing import get_context
    parts = [files[i::WORKERS] for i in range(WORKERS)]
    with get_context('fork').Pool(WORKERS) as pool:
        run = lambda: pool.starmap(decode_all, [(p, size) for p in parts], chunksize=1)
        return timed(run)

def decode_all(files, size):
    import numpy as np
    from PIL import Image
    for f in files:
        with Image.open(f) as im:
            if size: im.draft(None, (size,size))
            np.asarray(im.convert('RGB'))

def loader(lib, path):
    "Images a second through the loader of the training set: decode, transform, batch, normalize. `decode` and `draft` only read the pictures."
    if lib in ('decode','draft'):
        import pandas as pd
        files = [f'{path}/train/{o}.jpg' for o in pd.read_csv(Path(path)/'labels.csv').iloc[:,0]]
        return dict(rate=len(files)/decode(files, 128 if lib == 'draft' else None), unit='images/s')
    return passes(train_loader(tiles(lib, path)))

def small_resnet(n_out):
    "An untrained resnet18 with `n_out` outputs."
    import torch, torchvision
    torch.manual_seed(42)
    net = torchvision.models.resnet18(weights=None)
    net.fc = torch.nn.Linear(512, n_out)
    return net.to(memory_format=torch.channels_last)

def epoch(lib, path, half=False):
    "Images a second in an epoch of an untrained resnet18 at 128, loading, training and validation."
    data = tiles('ours' if lib == 'ours' else 'fastai', path)
    if lib == 'ours':
        from lesson3_lib.vision import Learner
        learn = Learner(data, small_resnet(data.c), silent=True)
    else:
        from fastai.vision.all import BCEWithLogitsLossFlat, Learner
        learn = Learner(data, small_resnet(data.c), loss_func=BCEWithLogitsLossFlat()).to_channelslast(use_amp=False)
    return fit_rate(learn, n_items(data), half, lib)

# ---------------------------------------------------------------- batches that are there already: the loop itself

class Ready:
    "A loader over batches in memory."
    def __init__(self, batches):
        import torch
        self.batches,self.dataset,self.batch_size,self.tfms,self.device = batches,batches,len(batches[0][0]),[],torch.device('cpu')
    def __len__(self): return len(self.batches)
    def __iter__(self): return iter(self.batches)

def ready(n, bs, size, n_valid=2):
    "Random pictures and labels, channels last."
    import torch
    torch.manual_seed(42)
    b = lambda: (torch.randn(bs, 3, size, size).contiguous(memory_format=torch.channels_last), torch.randint(0, 10, (bs,)))
    return [b() for _ in range(n)],[b() for _ in range(n_valid)]

def ready_learner(lib, net, loss, train, valid):
    "A learner of `lib` over ready batches."
    if is_ours(lib):
        from lesson3_lib.data_bunch import DataBunch
        from lesson3_lib.learner import Learner
        import lesson3_lib.compiled, lesson3_lib.finder, lesson3_lib.precision
        return Learner(DataBunch(Ready(train), Ready(valid), no_check=True), net, loss_func=loss, silent=True)
    from fastai.learner import DataLoaders, Learner
    from fastai.data.load import DataLoader
    from fastai.callback import channelslast, fp16, schedule
    return Learner(DataLoaders(DataLoader(train, bs=None), DataLoader(valid, bs=None)), net, loss_func=loss).to_channelslast(use_amp=False)

def bare_fit(net, loss, train, valid, half=False, steps=None):
    "The loop without a library, as good as PyTorch has it: train, then validate."
    import torch
    from itertools import islice
    cast = torch.autocast('cpu', dtype=torch.bfloat16, enabled=half)
    opt = torch.optim.AdamW(net.parameters(), lr=1e-3, fused=True)
    net.train()
    for xb,yb in islice(train, steps):
        with cast: out = net(xb)
        loss(out.float(), yb).backward(); opt.step(); opt.zero_grad()
    net.eval()
    with torch.no_grad(), cast: losses = [loss(net(xb).float(), yb) for xb,yb in valid]
    return torch.stack(losses).mean().item() if losses else None

def steps(lib, path, half=False, n=10, bs=64):
    "Images a second of training resnet18 at 128 on batches that are in memory, so that only model and loop count."
    import torch
    train,valid = ready(n, bs, 128)
    net,loss = small_resnet(10),torch.nn.CrossEntropyLoss()
    if lib == 'bare': return dict(rate=(n+2)*bs/timed(bare_fit, net, loss, train, valid, half), unit='images/s')
    return fit_rate(ready_learner(lib, net, loss, train, valid), (n+2)*bs, half, lib)

def finder(lib, path, n=100, bs=16):
    "Steps a second of `lr_find` with resnet18 at 64; `bare` trains 100 steps without a library."
    import torch
    train,valid = ready(n, bs, 64)
    net,loss = small_resnet(10),torch.nn.CrossEntropyLoss()
    if lib == 'bare': f = lambda: bare_fit(net, loss, train, [])
    else:
        learn = ready_learner(lib, net, loss, train, valid)
        f = lambda: learn.lr_find(num_it=n, stop_div=False, **({'show_plot':False} if lib == 'fastai' else {}))
    with quiet(net if lib == 'bare' else learn): return dict(rate=n/timed(f), unit='steps/s')

def loop(lib, path, n=25_600, bs=64):
    "Steps a second of a tiny network on tensors in memory: what the loop itself costs, the best of some passes. `bare` cuts its batches from a permutation."
    import torch
    torch.set_num_threads(1); torch.manual_seed(42)
    x, y = torch.randn(n, 20), torch.randint(0, 2, (n,))
    vx, vy = x[:n//10], y[:n//10]
    net, loss = torch.nn.Sequential(torch.nn.Linear(20, 50), torch.nn.ReLU(), torch.nn.Linear(50, 2)), torch.nn.CrossEntropyLoss()
    if lib == 'bare':
        train = lambda: ((x[i], y[i]) for i in torch.randperm(n).split(bs))
        fit = lambda: bare_fit(net, loss, train(), list(zip(vx.split(bs), vy.split(bs))))
        return dict(rate=n/bs/min(timed(fit) for _ in range(5)), unit='steps/s')
    if lib == 'ours':
        from lesson3_lib.data_bunch import DataBunch
        from lesson3_lib.dataset import TensorDataset
        from lesson3_lib.learner import Learner
        learn = Learner(DataBunch.create(TensorDataset(x, y), TensorDataset(vx, vy), bs=bs, num_workers=0), net, loss_func=loss, silent=True)
    else:
        from fastai.learner import DataLoaders, Learner
        from fastai.data.load import DataLoader
        class Whole(DataLoader):
            "Whole batches cut from the tensors: faster than fastai's way, which takes item by item."
            def create_batches(self, samps):
                import torch
                return ((self.dataset[0][i], self.dataset[1][i]) for i in torch.as_tensor(list(samps)).split(self.bs))
        learn = Learner(DataLoaders(Whole((x, y), bs=bs, n=n, shuffle=True), Whole((vx, vy), bs=bs, n=len(vx))), net, loss_func=loss)
    with quiet(learn): return dict(rate=n/bs/min(timed(learn.fit, 1, 1e-3) for _ in range(5)), unit='steps/s')

# ---------------------------------------------------------------- scenes: a class for every pixel

def scenes(lib, path, size, bs, **kwargs):
    "Pictures and masks, both PNG, moved alike."
    path = Path(path); codes = (path/'codes.txt').read_text().split()
    mask_of = lambda o: path/'labels'/f'{o.stem}_P.png'
    if lib == 'ours':
        from lesson3_lib.vision import SegmentationItemList, get_transforms, imagenet_stats
        src = SegmentationItemList.from_folder(path/'images').split_by_rand_pct(0.2, seed=42).label_from_func(mask_of, classes=codes)
        return src.transform(get_transforms(), size=size, tfm_y=True).databunch(bs=bs, num_workers=WORKERS, **kwargs).normalize(imagenet_stats)
    from fastai.vision.all import (DataBlock, ImageBlock, MaskBlock, Normalize, RandomSplitter, Resize, aug_transforms, get_image_files,
                                   imagenet_stats)
    block = DataBlock(blocks=(ImageBlock, MaskBlock(codes)), get_items=get_image_files, splitter=RandomSplitter(0.2, seed=42), get_y=mask_of,
                      item_tfms=Resize(size), batch_tfms=[*aug_transforms(), Normalize.from_stats(*imagenet_stats)])
    return block.dataloaders(path/'images', bs=bs, num_workers=WORKERS)

def pairs(lib, path):
    "Pairs a second: 480x360 PNG to 240x180, default transforms of picture and mask; 700 of them, as in CamVid."
    if lib == 'decode':
        files = sorted((Path(path)/'images').glob('*.png')) + sorted((Path(path)/'labels').glob('*.png'))
        return dict(rate=len(files)/2/decode(files), unit='pairs/s')
    return {**passes(train_loader(scenes(lib, path, (180,240), 16)), epochs=1), 'unit':'pairs/s'}

def cached(lib, path):
    "The same with `cache=True`, from the second epoch on; fastai decodes them every time."
    return {**passes(train_loader(scenes(lib, path, (180,240), 16, **({'cache':True} if lib == 'ours' else {}))), epochs=1), 'unit':'pairs/s'}

def unet(lib, path, half=False):
    "Images a second in an epoch of an untrained resnet18 U-Net at 120x160, batch 8, loading, training and validation."
    data = scenes('ours' if is_ours(lib) else 'fastai', path, (120,160), 8)
    if is_ours(lib):
        from lesson3_lib.vision import models, unet_learner
        learn = unet_learner(data, models.resnet18, pretrained=False, silent=True)
    else:
        from fastai.vision.all import resnet18, unet_learner
        learn = unet_learner(data, resnet18, pretrained=False, n_out=len((Path(path)/'codes.txt').read_text().split())).to_channelslast(use_amp=False)
    learn.unfreeze()
    return fit_rate(learn, n_items(data), half, lib)

# ---------------------------------------------------------------- text

def lm_data(lib, path, df):
    if lib == 'ours':
        from lesson3_lib.text import TextList
        return TextList.from_df(df, path, cols='text').split_by_rand_pct(0.1, seed=42).label_for_lm().databunch(bs=48, bptt=70)
    from fastai.text.all import TextDataLoaders
    return TextDataLoaders.from_df(df, path=path, text_col='text', is_lm=True, valid_pct=0.1, seed=42, bs=48, seq_len=70)

def texts(path):
    import pandas as pd
    return pd.read_csv(Path(path)/'texts.csv')

def reviews(lib, path):
    "Reviews a second from a table to the first batch of a language model: tokens, vocabulary, numbers, batch."
    df = texts(path)
    __import__('lesson3_lib.text' if lib == 'ours' else 'fastai.text.all')
    return dict(rate=len(df)/clock(lambda: next(iter(train_loader(lm_data(lib, path, df))))), unit='reviews/s')

def batches_rate(lib, learn, half, items, unit, n) -> dict:
    "Items a second over `n` batches of training, after one that is not counted."
    if is_ours(lib): from lesson3_lib.callback import Callback
    else: from fastai.callback.core import Callback
    at = []
    class Stop(Exception): pass
    def tick():
        at.append(time.perf_counter())
        if len(at) > n: raise Stop('enough')
    class Clock(Callback):
        order = 100
        def after_batch(self): tick()
        def on_batch_end(self, **kwargs): tick()
    prepare(learn, lib, half)
    learn.unfreeze()
    try:
        with quiet(learn): learn.fit(1, 1e-3, **({'callbacks':[Clock()]} if is_ours(lib) else {'cbs':[Clock()]}))
    except Stop: pass
    return dict(rate=items*(len(at)-1)/(at[-1]-at[0]), unit=unit)

def lm(lib, path, half=False):
    "Tokens a second of training the default AWD-LSTM (400, 1152, 3 layers), 48 streams of 70 tokens, from random weights."
    import torch
    data = lm_data('ours' if is_ours(lib) else 'fastai', path, texts(path))
    torch.manual_seed(42)
    if is_ours(lib): from lesson3_lib.text import AWD_LSTM, language_model_learner
    else: from fastai.text.all import AWD_LSTM, language_model_learner
    learn = language_model_learner(data, AWD_LSTM, drop_mult=0.3, pretrained=False, **({'silent':True} if is_ours(lib) else {}))
    return batches_rate(lib, learn, half, 48*70, 'tokens/s', n=4)

def clas(lib, path, half=False, bs=8):
    "Documents a second of training the default text classifier, all layers, on documents of about 1,500 tokens, from random weights."
    import torch
    df = texts(path)
    torch.manual_seed(42)
    if lib == 'ours':
        from lesson3_lib.text import AWD_LSTM, TextList, text_classifier_learner
        src = TextList.from_df(df, path, cols='text').split_by_rand_pct(0.1, seed=42).label_from_df(cols='label')
        learn = text_classifier_learner(src.databunch(bs=bs), AWD_LSTM, drop_mult=0.5, pretrained=False, bptt=70, max_len=70*20, silent=True)
    else:
        from fastai.text.all import AWD_LSTM, TextDataLoaders, text_classifier_learner
        data = TextDataLoaders.from_df(df, path=path, text_col='text', label_col='label', valid_pct=0.1, seed=42, bs=bs, seq_len=70)
        learn = text_classifier_learner(data, AWD_LSTM, drop_mult=0.5, pretrained=False, seq_len=70, max_len=70*20)
    return batches_rate(lib, learn, half, bs, 'documents/s', n=3)

# ---------------------------------------------------------------- looking, asking, starting

def show(lib, path):
    "`show_batch` of nine tiles, drawn as a notebook would: batches shown a second."
    import matplotlib; matplotlib.use('Agg')
    import matplotlib.pyplot as plt
    data = tiles(lib, path)
    def look():
        data.show_batch(rows=3, figsize=(9,9)) if lib == 'ours' else data.show_batch(max_n=9, figsize=(9,9))
        plt.gcf().canvas.draw(); plt.close('all')
    look()
    return dict(rate=3/clock(lambda: [look() for _ in range(3)]), unit='times/s')

def vision_learner(lib, data):
    if lib == 'ours':
        from lesson3_lib.vision import cnn_learner, models
        return cnn_learner(data, models.resnet18, pretrained=False, silent=True)
    from fastai.vision.all import resnet18, vision_learner
    return vision_learner(data, resnet18, pretrained=False).to_channelslast(use_amp=False)

def predict(lib, path):
    "Predictions a second, one picture at a time, resnet18 at 128."
    files = sorted((Path(path)/'train').glob('*.jpg'))[:40]
    learn = vision_learner(lib, tiles(lib, path))
    def ask():
        for f in files: learn.predict(f)
    with quiet(learn): return dict(rate=len(files)/timed(ask), unit='images/s')

def folder(lib, path, half=False):
    "Predictions a second for 1,000 tiles in batches, resnet18 at 128; `half`: ours in bfloat16."
    files = sorted((Path(path)/'train').glob('*.jpg')); files = (files*(1000//len(files)+1))[:1000]
    data = tiles(lib, path)
    learn = vision_learner(lib, data)
    prepare(learn, lib, half)
    if lib == 'ours':
        from lesson3_lib.vision import DatasetType
        def ask():
            learn.data.add_test(files)
            return learn.get_preds(DatasetType.Test)
    else:
        def ask(): return learn.get_preds(dl=data.test_dl(files, bs=64, num_workers=WORKERS))
    with quiet(learn): return dict(rate=1000/timed(ask), unit='images/s')

def imports(module) -> dict:
    "Imports a second of a module, torch and pandas and pyplot being there: a fresh process each time, the first is not counted."
    code = f'import torch, pandas, matplotlib.pyplot, time; s=time.perf_counter(); import {module}; print(time.perf_counter()-s)'
    seconds = [float(subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True).stdout.split()[-1]) for _ in range(4)]
    return dict(rate=1/median(seconds[1:]), unit='imports/s')

def surface(lib, path): return imports('lesson3_lib.vision' if lib == 'ours' else 'fastai.vision.all')
def surface_text(lib, path): return imports('lesson3_lib.text' if lib == 'ours' else 'fastai.text.all')

# ----------------------------------------------------------------

JOBS = {f.__name__.replace('_', '-'):f for f in (loader, pairs, cached, epoch, steps, unet, reviews, lm, clas, predict, folder, surface, surface_text, loop, show, finder)}

def main(lib, job, path):
    half = job.endswith('-bf16')
    res = JOBS[job.removesuffix('-bf16')](lib, path, **({'half':True} if half else {}))
    print('RESULT ' + json.dumps(res), flush=True)

if __name__ == '__main__': main(*sys.argv[1:4])
