"""One measured job, in a process of its own: prints one line of JSON.

    python benchmarks/work.py ours|fastai|bare JOB FOLDER

JOB is a function of this file, and FOLDER what `run.py` made for it. The imports are inside the functions: each library is measured in the
environment it is installed in, and neither needs the other.
"""
import json, resource, sys, time
from contextlib import nullcontext
from pathlib import Path

WORKERS = 2

# ---------------------------------------------------------------- what both need

def timed(f, *args) -> float:
    "Seconds of one call, after one that is not counted: files get into the page cache, kernels and workers get warm."
    f(*args)
    start = time.perf_counter(); f(*args)
    return time.perf_counter()-start

def one_pass(dl) -> int:
    "Go through a loader once; how many items came."
    return sum(len(xb) for xb,*_ in dl)

def passes(dl, epochs=3) -> dict:
    "Items a second through a loader."
    one_pass(dl)
    start = time.perf_counter()
    n = sum(one_pass(dl) for _ in range(epochs))
    return dict(rate=n/(time.perf_counter()-start), unit='images/s')

def quiet(learn): return learn.no_bar() if hasattr(learn, 'no_bar') else nullcontext()

def n_items(data) -> int: return len(data.train_ds)+len(data.valid_ds)

def train_loader(data): return data.train_dl if hasattr(data, 'train_dl') else data.train

# ---------------------------------------------------------------- tiles: several labels

def ours_tiles(path, size=128, bs=64):
    "The lesson's tiles as this library loads them."
    from lesson3_lib.vision import ImageList, get_transforms, imagenet_stats
    tfms = get_transforms(flip_vert=True, max_lighting=0.1, max_zoom=1.05, max_warp=0.)
    src = ImageList.from_csv(path, 'labels.csv', folder='train', suffix='.jpg').split_by_rand_pct(0.2, seed=42).label_from_df(label_delim=' ')
    return src.transform(tfms, size=size).databunch(bs=bs, num_workers=WORKERS).normalize(imagenet_stats)

def fastai_tiles(path, size=128, bs=64):
    "The same tiles as fastai 2 loads them, in its fastest usual way: resize in the workers, augment in batches."
    import pandas as pd
    from fastai.vision.all import (ColReader, DataBlock, ImageBlock, MultiCategoryBlock, Normalize, RandomSplitter, Resize, aug_transforms,
                                   imagenet_stats)
    block = DataBlock(blocks=(ImageBlock, MultiCategoryBlock), splitter=RandomSplitter(0.2, seed=42),
                      get_x=ColReader(0, pref=f'{path}/train/', suff='.jpg'), get_y=ColReader(1, label_delim=' '), item_tfms=Resize(size),
                      batch_tfms=[*aug_transforms(flip_vert=True, max_lighting=0.1, max_zoom=1.05, max_warp=0.), Normalize.from_stats(*imagenet_stats)])
    return block.dataloaders(pd.read_csv(Path(path)/'labels.csv'), bs=bs, num_workers=WORKERS)

def tiles(lib, path): return {'ours': ours_tiles, 'fastai': fastai_tiles, 'bare': ours_tiles}[lib](path)

def loader(lib, path):
    "Images a second through the loader of the training set: decode, transform, batch, normalize."
    return passes(train_loader(tiles(lib, path)))

def small_resnet(n_out):
    "An untrained resnet18 with `n_out` outputs."
    import torch, torchvision
    torch.manual_seed(42)
    net = torchvision.models.resnet18(weights=None)
    net.fc = torch.nn.Linear(512, n_out)
    return net.to(memory_format=torch.channels_last)

def bare_fit(net, train_dl, valid_dl, loss):
    "The loop without a library: train, then validate."
    import torch
    opt = torch.optim.AdamW(net.parameters(), lr=1e-3)
    net.train()
    for xb,yb in train_dl: loss(net(xb), yb).backward(); opt.step(); opt.zero_grad()
    net.eval()
    with torch.no_grad(): losses = [loss(net(xb), yb) for xb,yb in valid_dl]
    return torch.stack(losses).mean().item()

def epoch(lib, path):
    "Images a second in an epoch of an untrained resnet18, training and validation. `bare` runs over our loaders."
    import torch
    data = tiles(lib, path)
    loss = torch.nn.BCEWithLogitsLoss()
    if lib == 'fastai':
        from fastai.vision.all import BCEWithLogitsLossFlat, Learner
        learn = Learner(data, small_resnet(data.c), loss_func=BCEWithLogitsLossFlat())
        fit = lambda: learn.fit(1, 1e-3)
    elif lib == 'ours':
        from lesson3_lib.vision import Learner
        learn = Learner(data, small_resnet(data.c), silent=True)
        fit = lambda: learn.fit(1, 1e-3)
    else:
        net = learn = small_resnet(data.c)
        fit = lambda: bare_fit(net, data.train_dl, data.valid_dl, lambda p,y: loss(p, y.float()))
    with quiet(learn): return dict(rate=n_items(data)/timed(fit), unit='images/s')

# ---------------------------------------------------------------- scenes: a class for every pixel

def scenes(lib, path, size, bs):
    "Pictures and masks, both PNG, moved alike."
    path = Path(path); codes = (path/'codes.txt').read_text().split()
    mask_of = lambda o: path/'labels'/f'{o.stem}_P.png'
    if lib == 'ours':
        from lesson3_lib.vision import SegmentationItemList, get_transforms, imagenet_stats
        src = SegmentationItemList.from_folder(path/'images').split_by_rand_pct(0.2, seed=42).label_from_func(mask_of, classes=codes)
        return src.transform(get_transforms(), size=size, tfm_y=True).databunch(bs=bs, num_workers=WORKERS).normalize(imagenet_stats)
    from fastai.vision.all import (DataBlock, ImageBlock, MaskBlock, Normalize, RandomSplitter, Resize, aug_transforms, get_image_files,
                                   imagenet_stats)
    block = DataBlock(blocks=(ImageBlock, MaskBlock(codes)), get_items=get_image_files, splitter=RandomSplitter(0.2, seed=42), get_y=mask_of,
                      item_tfms=Resize(size), batch_tfms=[*aug_transforms(), Normalize.from_stats(*imagenet_stats)])
    return block.dataloaders(path/'images', bs=bs, num_workers=WORKERS)

def pairs(lib, path):
    "Pairs a second: 480x360 PNG to 240x180, default transforms of picture and mask."
    return passes(train_loader(scenes(lib, path, (180,240), 16)), epochs=2)

def unet(lib, path):
    "Images a second in an epoch of an untrained resnet18 U-Net at 120x160, batch 8, training and validation."
    data = scenes(lib, path, (120,160), 8)
    if lib == 'ours':
        from lesson3_lib.vision import models, unet_learner
        learn = unet_learner(data, models.resnet18, pretrained=False, silent=True)
    else:
        from fastai.vision.all import resnet18, unet_learner
        learn = unet_learner(data, resnet18, pretrained=False, n_out=len(data.vocab))
    learn.unfreeze()
    with quiet(learn): return dict(rate=n_items(data)/timed(learn.fit, 1, 1e-3), unit='images/s')

# ---------------------------------------------------------------- text

def reviews(lib, path):
    "Reviews a second from a table to the first batch of a language model: tokens, vocabulary, numbers, batch."
    import pandas as pd
    df = pd.read_csv(Path(path)/'texts.csv')
    start = time.perf_counter()
    if lib == 'ours':
        from lesson3_lib.text import TextList
        data = TextList.from_df(df, path, cols='text').split_by_rand_pct(0.1, seed=42).label_for_lm().databunch(bs=48, bptt=70)
        next(iter(data.train_dl))
    else:
        from fastai.text.all import TextDataLoaders
        data = TextDataLoaders.from_df(df, path=path, text_col='text', is_lm=True, valid_pct=0.1, seed=42, bs=48, seq_len=70)
        next(iter(data.train))
    return dict(rate=len(df)/(time.perf_counter()-start), unit='reviews/s')

def lm(lib, path, steps=8):
    "Tokens a second of training the default AWD-LSTM (400, 1152, 3 layers), 48 streams of 70 tokens, from random weights."
    import pandas as pd, torch
    df = pd.read_csv(Path(path)/'texts.csv')
    torch.manual_seed(42)
    if lib == 'ours':
        from lesson3_lib.text import AWD_LSTM, TextList, language_model_learner
        data = TextList.from_df(df, path, cols='text').split_by_rand_pct(0.1, seed=42).label_for_lm().databunch(bs=48, bptt=70)
        learn = language_model_learner(data, AWD_LSTM, drop_mult=0.3, pretrained=False)
        loss, train = learn.loss_func, data.train_dl
        from lesson3_lib.callback import Callback as Base
    else:
        from fastai.text.all import AWD_LSTM, Callback as Base, TextDataLoaders, language_model_learner
        data = TextDataLoaders.from_df(df, path=path, text_col='text', is_lm=True, valid_pct=0.1, seed=42, bs=48, seq_len=70)
        learn = language_model_learner(data, AWD_LSTM, drop_mult=0.3, pretrained=False)
    at = []
    class Stop(Exception): pass
    def tick():
        at.append(time.perf_counter())
        if len(at) > steps: raise Stop('enough')
    class Clock(Base):
        def after_batch(self): tick()
        def on_batch_end(self, **kwargs): tick()
    learn.unfreeze()
    try:
        with quiet(learn): learn.fit(1, 1e-3, **({'callbacks': [Clock()]} if lib == 'ours' else {'cbs': [Clock()]}))
    except Stop: pass
    return dict(rate=48*70*(len(at)-1)/(at[-1]-at[0]), unit='tokens/s')

# ---------------------------------------------------------------- one at a time, and none at all

def predict(lib, path):
    "Predictions a second, one picture at a time, resnet18 at 128."
    files = sorted((Path(path)/'train').glob('*.jpg'))[:40]
    data = tiles(lib, path)
    if lib == 'ours':
        from lesson3_lib.vision import cnn_learner, models
        learn = cnn_learner(data, models.resnet18, pretrained=False)
    else:
        from fastai.vision.all import resnet18, vision_learner
        learn = vision_learner(data, resnet18, pretrained=False)
    def ask():
        for f in files: learn.predict(f)
    with quiet(learn): return dict(rate=len(files)/timed(ask), unit='images/s')

def folder(lib, path):
    "Predictions a second for a folder of tiles in batches, resnet18 at 128."
    files = sorted((Path(path)/'train').glob('*.jpg')); files = (files*(1000//len(files)+1))[:1000]
    data = tiles(lib, path)
    if lib == 'ours':
        from lesson3_lib.vision import DatasetType, cnn_learner, models
        learn = cnn_learner(data, models.resnet18, pretrained=False, silent=True)
        def ask(): learn.data.add_test(files); return learn.get_preds(DatasetType.Test)
    else:
        from fastai.vision.all import resnet18, vision_learner
        learn = vision_learner(data, resnet18, pretrained=False)
        def ask(): return learn.get_preds(dl=data.test_dl(files, bs=64, num_workers=WORKERS))
    with quiet(learn):
        start = time.perf_counter(); ask()
        return dict(rate=1000/(time.perf_counter()-start), unit='images/s')

def loop(lib, path, n=25_600, bs=64):
    "Steps a second of a tiny network on tensors in memory: what the loop itself costs. `bare` runs over our loaders."
    import torch
    from torch.utils.data import TensorDataset
    torch.set_num_threads(1); torch.manual_seed(42)
    x, y = torch.randn(n, 20), torch.randint(0, 2, (n,))
    train_ds, valid_ds = TensorDataset(x, y), TensorDataset(x[:n//10], y[:n//10])
    net, loss = torch.nn.Sequential(torch.nn.Linear(20, 50), torch.nn.ReLU(), torch.nn.Linear(50, 2)), torch.nn.CrossEntropyLoss()
    if lib == 'fastai':
        from fastai.learner import DataLoaders, Learner
        from fastai.data.load import DataLoader
        learn = Learner(DataLoaders(DataLoader(train_ds, bs=bs, shuffle=True), DataLoader(valid_ds, bs=bs)), net, loss_func=loss)
        fit = lambda: learn.fit(1, 1e-3)
    else:
        from lesson3_lib.dataset import DataBunch
        from lesson3_lib.learner import Learner
        data = DataBunch.create(train_ds, valid_ds, bs=bs, num_workers=0)
        if lib == 'ours': learn = Learner(data, net, loss_func=loss, silent=True); fit = lambda: learn.fit(1, 1e-3)
        else: learn = net; fit = lambda: bare_fit(net, data.train_dl, data.valid_dl, loss)
    with quiet(learn): return dict(rate=n/bs/timed(fit), unit='steps/s')

def surface(lib, path):
    "Imports a second of the vision surface, torch and pandas and pyplot being there."
    import torch, pandas, matplotlib.pyplot
    start = time.perf_counter()
    if lib == 'ours': import lesson3_lib.vision
    else: import fastai.vision.all
    return dict(rate=1/(time.perf_counter()-start), unit='imports/s')

# ----------------------------------------------------------------

JOBS = dict(loader=loader, epoch=epoch, pairs=pairs, unet=unet, reviews=reviews, lm=lm, predict=predict, folder=folder, loop=loop, surface=surface)

def main(lib, job, path):
    res = JOBS[job](lib, path)
    me, kids = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    scale = 1 if sys.platform == 'darwin' else 1024
    res.update(cpu=me.ru_utime+me.ru_stime+kids.ru_utime+kids.ru_stime, memory=(me.ru_maxrss+WORKERS*kids.ru_maxrss)*scale/1e6)
    print('RESULT ' + json.dumps(res))

if __name__ == '__main__': main(*sys.argv[1:4])
