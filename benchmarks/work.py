"""One measured job, in a process of its own: prints one line of JSON.

    python benchmarks/work.py ours|fastai|bare JOB FOLDER

FOLDER holds `labels.csv` (`image_name,tags`) and `train/*.jpg`. JOB is a function of this file. The imports are inside the functions: each
library is measured in the environment it is installed in, and neither needs the other.
"""
import json, resource, sys, time
from contextlib import nullcontext
from pathlib import Path

SIZE, BS, WORKERS, EPOCHS = 128, 64, 2, 3

def ours_data(path, size=SIZE):
    "The lesson's tiles as this library loads them."
    from lesson3_lib.vision import ImageList, get_transforms, imagenet_stats
    tfms = get_transforms(flip_vert=True, max_lighting=0.1, max_zoom=1.05, max_warp=0.)
    src = ImageList.from_csv(path, 'labels.csv', folder='train', suffix='.jpg').split_by_rand_pct(0.2, seed=42).label_from_df(label_delim=' ')
    return src.transform(tfms, size=size).databunch(bs=BS, num_workers=WORKERS).normalize(imagenet_stats)

def fastai_data(path, size=SIZE):
    "The same tiles as fastai 2 loads them, in its fastest usual way: resize in the workers, augment in batches."
    import pandas as pd
    from fastai.vision.all import (ColReader, DataBlock, ImageBlock, MultiCategoryBlock, Normalize, RandomSplitter, Resize, aug_transforms,
                                   imagenet_stats)
    block = DataBlock(blocks=(ImageBlock, MultiCategoryBlock), splitter=RandomSplitter(0.2, seed=42),
                      get_x=ColReader(0, pref=f'{path}/train/', suff='.jpg'), get_y=ColReader(1, label_delim=' '), item_tfms=Resize(size),
                      batch_tfms=[*aug_transforms(flip_vert=True, max_lighting=0.1, max_zoom=1.05, max_warp=0.), Normalize.from_stats(*imagenet_stats)])
    return block.dataloaders(pd.read_csv(Path(path)/'labels.csv'), bs=BS, num_workers=WORKERS)

def train_loader(lib, data): return data.train_dl if lib == 'ours' else data.train

def one_pass(dl) -> int:
    "Go through a loader once; how many images came."
    return sum(xb.shape[0] for xb,_ in dl)

def loader(lib, path):
    "Images a second through the loader of the training set: decode, transform, batch, normalize."
    dl = train_loader(lib, {'ours': ours_data, 'fastai': fastai_data}[lib](path))
    one_pass(dl)  # the files into the page cache, the workers' first imports out of the way
    start = time.perf_counter()
    n = sum(one_pass(dl) for _ in range(EPOCHS))
    return dict(rate=n/(time.perf_counter()-start), unit='images/s')

def small_resnet(n_out):
    "An untrained resnet18 with `n_out` outputs, for the loop without a library."
    import torch, torchvision
    torch.manual_seed(42)
    net = torchvision.models.resnet18(weights=None)
    net.fc = torch.nn.Linear(512, n_out)
    return net.to(memory_format=torch.channels_last)

def bare_fit(net, train_dl, valid_dl, epochs=1):
    "The loop without a library: train, then validate."
    import torch
    opt, loss = torch.optim.AdamW(net.parameters(), lr=1e-3), torch.nn.BCEWithLogitsLoss()
    for _ in range(epochs):
        net.train()
        for xb,yb in train_dl: loss(net(xb), yb.float()).backward(); opt.step(); opt.zero_grad()
        net.eval()
        with torch.no_grad(): losses = [loss(net(xb), yb.float()) for xb,yb in valid_dl]
    return torch.stack(losses).mean().item()

def epoch(lib, path):
    "Images a second in an epoch of an untrained resnet18, training and validation. `bare` runs over our loaders."
    if lib == 'fastai':
        from fastai.vision.all import BCEWithLogitsLossFlat, Learner
        data = fastai_data(path)
        learn = Learner(data, small_resnet(data.c), loss_func=BCEWithLogitsLossFlat())
        fit, n = lambda: learn.fit(1, 1e-3), len(data.train_ds)+len(data.valid_ds)
        ctx = learn.no_bar
    else:
        data = ours_data(path)
        net, n, ctx = small_resnet(data.c), len(data.train_ds)+len(data.valid_ds), None
        if lib == 'bare': fit = lambda: bare_fit(net, data.train_dl, data.valid_dl)
        else:
            from lesson3_lib.vision import Learner
            learn = Learner(data, net, silent=True)
            fit = lambda: learn.fit(1, 1e-3)
    with ctx() if ctx else nullcontext():
        fit()
        start = time.perf_counter(); fit(); secs = time.perf_counter()-start
    return dict(rate=n/secs, unit='images/s')

JOBS = dict(loader=loader, epoch=epoch)

def main(lib, job, path):
    res = JOBS[job](lib, path)
    me, kids = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    scale = 1 if sys.platform == 'darwin' else 1024
    res.update(cpu=me.ru_utime+me.ru_stime+kids.ru_utime+kids.ru_stime, memory=(me.ru_maxrss+WORKERS*kids.ru_maxrss)*scale/1e6)
    print('RESULT ' + json.dumps(res))

if __name__ == '__main__': main(*sys.argv[1:4])
