"""`lesson3 serve` in a real browser: three small learners on drawn data, each asked as a person asks. Ends with `N passed, N failed`.

    python .ci/test_serve.py              # all; LESSON3_SHOTS=folder keeps what the browser showed
    python .ci/test_serve.py mask text    # only these
"""
import os, re, shutil, subprocess, sys, tempfile, time
from contextlib import contextmanager
from pathlib import Path

# the networks are small and, but for the text classifier, not trained: what is tested is the way of an answer into the page
from browser import browser, colours, console_errors, overflow, phone, screenshot
from common import ROOT, n_cpus, quiet_env

SHOTS = os.environ.get('LESSON3_SHOTS')

def make_exports(home:Path, kinds):
    "A tagger, a U-Net, a network for points and a text classifier, on drawn data: the item that each is asked, and what `predict` says of it."
    import PIL.Image
    from lesson3_lib.vision import (ImageList, PointsItemList, SegmentationItemList, cnn_learner, unet_learner, get_image_files, get_transforms, imagenet_stats, models, np, pd, sample_data, set_seed, tensor)
    from lesson3_lib.text import AWD_LSTM, TextList, text_classifier_learner
    set_seed(0)
    tiles = sample_data('planet', 24, size=64, dest=home)
    bunch = lambda o, **kw: o.transform(get_transforms(), **kw).databunch(bs=4, num_workers=0, path=home).normalize(imagenet_stats)
    kw = dict(pretrained=False, silent=True)
    def tags():
        names = pd.read_csv(tiles/'train_v2.csv').tags.str.split().explode().unique().tolist()
        data = ImageList.from_csv(tiles, 'train_v2.csv', folder='train-jpg', suffix='.jpg').split_by_rand_pct(0.2, seed=0).label_from_df(label_delim=' ', classes=names)
        return cnn_learner(bunch(data, size=48), models.squeezenet1_1, **kw), get_image_files(tiles/'test-jpg')[0]
    def mask():
        scenes = sample_data('camvid', 8, size=(48,64), dest=home)
        data = SegmentationItemList.from_folder(scenes/'images').split_by_rand_pct(0.2, seed=0).label_from_func(lambda o: scenes/'labels'/f'{o.stem}_P{o.suffix}', classes=np.loadtxt(scenes/'codes.txt', dtype=str))
        return unet_learner(bunch(data, size=(48,64), tfm_y=True), models.squeezenet1_1, **kw), get_image_files(scenes/'images')[0]
    def points():
        wide = home/'wide.png'
        PIL.Image.open(get_image_files(tiles/'test-jpg')[0]).convert('RGB').resize((160,90)).save(wide)   # the network sees its middle square
        data = PointsItemList.from_folder(tiles/'train-jpg').split_by_rand_pct(0.2, seed=0).label_from_func(lambda o: tensor([[20.,30.]]))
        return cnn_learner(bunch(data, size=48, tfm_y=True), models.squeezenet1_1, y_range=(-0.9,0.9), **kw), wide
    def text():
        films = pd.read_csv(sample_data('imdb', 100, dest=home)/'texts.csv')
        films['label'] = films.label.map({'positive':'<i>liked</i>', 'negative':'not liked'})  # a name that must not become HTML
        films['text'] = films.text.str.split().str[:50].str.join(' ')
        data = TextList.from_df(films, home, cols='text').split_by_rand_pct(0.2, seed=0).label_from_df(cols='label').databunch(bs=16)
        learn = text_classifier_learner(data, AWD_LSTM, config=dict(emb_sz=24, n_hid=32, n_layers=2), drop_mult=0.2, **kw)
        learn.fit_one_cycle(2, 2e-2)
        return learn, "I saw it at a festival. The music isn't dull at all, a wonderful film! Don't miss it."
    items, said = {}, {}
    for k in kinds:
        learn, items[k] = dict(tags=tags, mask=mask, points=points, text=text)[k]()
        learn.export(f'{k}.zip')
        label, decision, probs = learn.predict(items[k])
        said[k] = dict(label=str(label), decision=decision.flatten().tolist(), probs=probs.flatten().tolist(), classes=list(map(str, getattr(learn.data, 'classes', []))))
    return items, said

@contextmanager
def served(export:Path):
    "The address of `lesson3 serve EXPORT` in a process of its own, which is ended with ctrl-C and must end well."
    import signal
    p = subprocess.Popen([sys.executable, '-u', '-m', 'lesson3_lib.cli', 'serve', str(export), '--port', '0'], cwd=ROOT, env=quiet_env(n_cpus()), text=True,
                         stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    line = p.stdout.readline()
    m = re.search(r'http://127\.0\.0\.1:\d+', line)
    if not m:
        p.kill()
        raise RuntimeError(f'lesson3 serve said {line + p.stdout.read()!r}')
    try: yield m.group(0)
    finally:
        p.send_signal(signal.SIGINT)
        try: rest, _ = p.communicate(timeout=15)
        except subprocess.TimeoutExpired:
            p.kill()
            raise
    assert p.returncode == 0, f'lesson3 serve ended with {p.returncode} after ctrl-C: {rest}'
    assert 'Traceback' not in rest, rest

def wait_for(page, script:str, seconds=20):
    "The first true value of `script` in `page`."
    end = time.time() + seconds
    while time.time() < end:
        value = page.execute_script(f'return {script}')
        if value: return value
        time.sleep(0.05)
    raise AssertionError(f'{script} did not come true in {seconds} s; the page says {page.find_element("tag name", "body").text!r}')

ANSWERED = "!document.getElementById('answer').hidden"
def shot(page, name):
    if SHOTS:
        Path(SHOTS).mkdir(parents=True, exist_ok=True)
        screenshot(page, Path(SHOTS)/f'{name}.png')

def opened(page, url):
    page.get(url)
    return wait_for(page, "document.getElementById('title').textContent.endsWith('.zip') && document.getElementById('about').textContent")

def upload(page, file):
    page.find_element('id', 'file').send_keys(str(file))
    wait_for(page, ANSWERED)

def test_tags(page, url, item, said):
    "a tile is uploaded: every tag with its probability, those that are said in front"
    assert 'which tags fit' in opened(page, url)
    upload(page, item)
    rows = page.execute_script("return [...document.querySelectorAll('.bar')].map(o => [o.children[0].textContent, parseFloat(o.children[2].textContent)/100, o.classList.contains('said')])")
    truth = dict(zip(said['classes'], said['probs']))
    assert {n for n,_,_ in rows} == set(truth) and all(abs(p - truth[n]) < 1e-3 for n,p,_ in rows), rows
    assert [p for _,p,_ in rows] == sorted((p for _,p,_ in rows), reverse=True)
    assert {n for n,_,s in rows if s} == set(filter(None, said['label'].split(';'))), (rows, said['label'])
    assert page.execute_script("return document.getElementById('picture').width") > 0
    shot(page, 'tags')

def test_wrong_file(page, url, item, said):
    "a file that is no picture gets a sentence, and the next picture an answer"
    opened(page, url)
    bad = Path(item).with_name('bad.png'); bad.write_text('hello')
    page.find_element('id', 'file').send_keys(str(bad))
    text = wait_for(page, "!document.getElementById('error').hidden && document.getElementById('error').textContent")
    bad.unlink()
    assert 'no picture' in text, text
    errors = console_errors(page)   # the browser itself notes the status
    assert len(errors) == 1 and '422' in errors[0], errors
    upload(page, item)
    assert page.execute_script("return document.getElementById('error').hidden")

def test_mask(page, url, item, said):
    "a scene is uploaded: its mask over it, and a legend whose shares are those of the mask"
    opened(page, url)
    upload(page, item)
    legend = page.execute_script("return [...document.querySelectorAll('#legend li')].map(o => [o.textContent, o.firstChild.style.background])")
    codes = [int(o) for o in said['decision']]
    for (text,colour),code in zip(legend, sorted(set(codes), key=codes.count, reverse=True)):
        share = codes.count(code)/len(codes)
        assert any(text.startswith(said['classes'][c]) for c in set(codes) if abs(codes.count(c)/len(codes)-share) < 1e-6) and abs(float(text.split()[-2])/100-share) < 1e-3, (text, share)
    pixel = "(() => { const c = document.getElementById('picture'); return [...c.getContext('2d').getImageData(c.width/2, c.height/2, 1, 1).data].join() })()"
    both = page.execute_script(f'return {pixel}')
    page.execute_script("const a = document.getElementById('alpha'); a.value = 100; a.oninput()")
    full = page.execute_script(f'return {pixel}')
    middle = said['classes'][codes[24*64+32]]
    swatch = next(c for t,c in legend if t.startswith(middle))
    assert full.split(',')[:3] == re.findall(r'\d+', swatch), (full, swatch)     # all mask: its colour
    assert both != full                                                            # half mask: the scene shines through
    page.execute_script("const a = document.getElementById('alpha'); a.value = 55; a.oninput()")
    shot(page, 'mask')

def test_large_mask(page, url, item, said):
    "a picture of another size and shape: the mask lies over the picture as it came, and both sizes are told"
    import PIL.Image
    wide = Path(item).with_name('wide-scene.png')
    PIL.Image.open(item).convert('RGB').resize((320,120)).save(wide)   # the network sees it squeezed into 64 x 48
    opened(page, url)
    upload(page, wide)
    wide.unlink()
    said = page.find_element('id', 'value').text
    assert '320 x 120' in said and '64 x 48' in said, said
    assert page.execute_script("const c = document.getElementById('picture'); return c.width/c.height") == 320/120
    legend = page.execute_script("return [...document.querySelectorAll('#legend .swatch')].map(o => o.style.background)")
    swatches = {tuple(re.findall(r'\d+', o)) for o in legend}
    look = "[.05,.5,.95].map(x => { const c = document.getElementById('picture'); return [...c.getContext('2d').getImageData(x*c.width, 40, 1, 1).data].slice(0, 3).map(String) })"
    seen = {}
    for alpha in (0,100):
        page.execute_script(f"const a = document.getElementById('alpha'); a.value = {alpha}; a.oninput()")
        seen[alpha] = page.execute_script(f'return {look}')
    assert all(tuple(o) in swatches for o in seen[100]), (seen, swatches)    # the mask reaches from side to side
    assert all(a != b for a,b in zip(seen[0], seen[100])), seen              # and under it is the picture
    page.execute_script("const a = document.getElementById('alpha'); a.value = 55; a.oninput()")
    shot(page, 'large-mask')

def test_points(page, url, item, said):
    "a wide picture is uploaded, of which the network sees the middle: the point is drawn where `predict` puts it, and told in pixels of the whole"
    opened(page, url)
    upload(page, item)
    y, x = [(o+1)/2 for o in said['decision']]   # from 0 to 1 in the middle square
    text = page.find_element('id', 'value').text
    nums = [float(o) for o in re.findall(r'-?\d+\.\d', text)]
    assert abs(nums[0]-(35+90*x)) < 1 and abs(nums[1]-90*y) < 1 and '160 x 90' in text, (text, x, y)   # 85 columns of 48 wide, 18 or 19 cut off
    rgb = page.execute_script(f"const c = document.getElementById('picture'); return [...c.getContext('2d').getImageData({x}*c.width, {y}*c.height, 1, 1).data]")
    assert rgb[:3] == [230,25,75], rgb
    shot(page, 'points')

def test_text(page, url, item, said):
    "a review is judged: the sentiment, and its words in colour; a class whose name is HTML shows as it is written"
    assert 'which class' in opened(page, url)
    page.find_element('id', 'text').send_keys(item)
    page.find_element('id', 'send').click()
    words = wait_for(page, "!document.getElementById('why').hidden && [...document.querySelectorAll('#words span')].map(o => [o.textContent, parseFloat(o.title), o.style.background])")
    first = page.execute_script("return document.querySelector('.bar.said .name').textContent")
    assert first == said['label'], (first, said['label'])
    text = ' '.join(w for w,_,_ in words)
    assert 'festival' in text and 'wonderful' in text and all('--pro' in b if e > 0 else '--contra' in b for _,e,b in words if e), words
    assert '<i>liked</i>' in page.find_element('id', 'about').text and page.execute_script("return document.querySelectorAll('i').length") == 0
    assert len({b for _,_,b in words}) > 2
    shot(page, 'text')

def test_phone_and_night(page, url, item, said):
    "readable on a phone, by day and by night"
    phone(page)
    test_text(page, url, item, said)
    assert overflow(page) <= 0, f'{overflow(page)} px stick out'
    ground = lambda: page.execute_script("return getComputedStyle(document.body).backgroundColor")
    day = ground(); colours(page, True); night = ground()
    assert sum(map(int, re.findall(r'\d+', day)[:3])) > 600 and sum(map(int, re.findall(r'\d+', night)[:3])) < 150, (day, night)
    shot(page, 'phone-night')

TESTS = {'tags':[test_tags, test_wrong_file], 'mask':[test_mask, test_large_mask], 'points':[test_points], 'text':[test_text, test_phone_and_night]}

def main(kinds):
    start, results = time.time(), []
    os.environ['LESSON3_PROGRESS'] = '0'
    home = Path(tempfile.mkdtemp())
    try:
        items, said = make_exports(home, kinds)
        print(f'exports made in {time.time()-start:.0f} s', flush=True)
        with browser() as page:
            for kind,tests in TESTS.items():
                if kind not in kinds: continue
                with served(home/f'{kind}.zip') as url:
                    for t in tests:
                        try:
                            t(page, url, items[kind], said[kind])
                            problem = '; '.join(console_errors(page))
                        except Exception as e:
                            problem = f'{type(e).__name__}: {e}'
                            shot(page, f'{t.__name__}-failed')
                        print(f'  {"FAIL" if problem else "ok  "} {t.__doc__}' + (f'\n    | {problem}' if problem else ''), flush=True)
                        results.append(not problem)
    finally: shutil.rmtree(home, ignore_errors=True)
    print(f'in {time.time()-start:.0f} s')
    print(f'{sum(results)} passed, {len(results)-sum(results)} failed')
    return 0 if all(results) and results else 1

if __name__ == '__main__': sys.exit(main(sys.argv[1:] or list(TESTS)))
