"""README.md from nbs/index.ipynb (nbdev's own way needs Quarto), the table of chapters in it, and nbs/nbdev.yml from settings.ini.

    python .ci/readme.py    # writes them; `make test` checks that they are in step
"""
import posixpath, re

from common import NBS, ROOT, chapters, is_lesson

FIRST = '<!-- Made from nbs/index.ipynb by .ci/readme.py: edit the notebook, then run `make prepare`. -->\n\n'

def visible(nb):
    "`nb` as a reader sees it: without hidden cells, hidden code and directives."
    cells = []
    for c in nb.cells:
        directives = re.findall(r'^#\|\s*(.*)$', c.source, re.M) if c.cell_type == 'code' else []
        if any(d.split(':')[0].strip() in ('hide', 'export', 'exporti', 'default_exp') or d.replace(' ', '') == 'include:false' for d in directives): continue
        c = c.copy()
        if c.cell_type == 'code':
            c.source = re.sub(r'^#\|.*\n?', '', c.source, flags=re.M).strip()
            c.metadata = {'echo': not any(d.replace(' ', '') == 'echo:false' for d in directives)}
        cells.append(c)
    return cells

def from_root(md:str) -> str:
    "Markdown of a notebook in nbs/, its relative links written from the top of the repository."
    def link(m):
        href = m.group(2)
        if re.match(r'[a-z]+:|[#/]', href): return m.group(0)
        return f'{m.group(1)}({posixpath.normpath(posixpath.join(NBS.name, href))})'
    return re.sub(r'(!?\[(?:[^\[\]]|\[[^\]]*\])*\])\(([^)\s]+)\)', link, md)

def output_md(o, name:str, files:dict) -> str:
    "One stored output as Markdown; a picture goes to `files` and is linked."
    import base64
    data = o.get('data', {})
    text = lambda k: ''.join(data[k])
    if 'image/png' in data:
        path = NBS/'images'/f'{name}.png'
        files[path] = base64.b64decode(text('image/png'))
        return f'![]({path.relative_to(ROOT).as_posix()})'
    if 'text/markdown' in data: return from_root(text('text/markdown'))
    if 'text/html' in data: return re.sub(r'<style.*?</style>\s*', '', text('text/html'), flags=re.S).strip()
    plain = ''.join(o.get('text', '')) or (text('text/plain') if 'text/plain' in data else '')
    return '\n'.join(f'    {l}' for l in plain.rstrip().splitlines())

def render() -> dict:
    "What belongs to the README: each path and its bytes."
    import nbformat
    nb = nbformat.read(NBS/'index.ipynb', 4)
    files, parts, n_pics = {}, [], 0
    for c in visible(nb):
        if c.cell_type == 'markdown': parts.append(from_root(c.source))
        elif c.cell_type == 'code':
            if c.source and c.metadata['echo']: parts.append(f'```python\n{c.source}\n```')
            for o in c.get('outputs', []):
                n_pics += 'image/png' in o.get('data', {})
                parts.append(output_md(o, f'index_{n_pics}', files))
    files[ROOT/'README.md'] = (FIRST + '\n\n'.join(p.strip('\n') for p in parts if p.strip()) + '\n').encode()
    return files

BOOK = '| the lesson | |'  # how the cell begins that lists the chapters
ABOUT = {  # layers in the reader's words
    'primitives': 'the ground: device and seed, data sets, loaders, losses', 'data block': 'the data block API', 'vision': 'pictures and what is done to them',
    'training': 'training, and what comes of it', 'vision models': 'models for pictures', 'text': 'texts and their tokens', 'text models': 'models for text',
    'basics': 'what every import gives', 'vision star': 'the import for pictures', 'text star': 'the import for text', 'command line': 'the command line', None: 'to look up'}

def book() -> str:
    "The table of all chapters: those of the lesson with their questions, the library layer by layer."
    import nbformat
    from check import LAYERS, layer_of
    lesson, library = [], {}
    for path in chapters():
        if path.stem == 'index': continue
        text = '\n'.join(c.source for c in nbformat.read(path, 4).cells if c.cell_type == 'markdown')
        title, question = (re.search(rf'^{o} +(.+)$', text, re.M) for o in ('#', '>'))
        number = re.match(r'[0-9a-z]+', path.stem).group(0)
        link = f'[{number}&nbsp;{title.group(1).strip() if title else path.stem}]({path.name})'
        if is_lesson(path.name): lesson.append(f'| {link} | {question.group(1).strip() if question else ""} |')
        else: library.setdefault(layer_of(path.stem), []).append(link)
    rows = [f'| {ABOUT[l]} | {", ".join(library[l])} |' for l in (*LAYERS, None) if l in library]
    return '\n'.join([BOOK, '|---|---|', *lesson, '', '| the library | |', '|---|---|', *rows])

def write_book():
    "Bring the table of chapters in nbs/index.ipynb up to date."
    import nbformat
    path = NBS/'index.ipynb'
    nb = nbformat.read(path, 4)
    cell = next(c for c in nb.cells if c.source.startswith(BOOK))
    if cell.source != book():
        cell.source = book()
        nbformat.write(nb, path)
        print(f'wrote the chapters into {path.relative_to(ROOT)}')

def nbdev_yml() -> str:
    "nbs/nbdev.yml as nbdev writes it."
    from nbdev.config import get_config
    from nbdev.quarto import _nbdev_yml
    cfg = get_config(path=ROOT)
    vals = {k:cfg[k] for k in ('title', 'description', 'branch', 'git_url', 'doc_host', 'doc_baseurl')}
    return _nbdev_yml.format(doc_path=cfg.doc_path.name, **vals)

def main():
    write_book()
    files = render()
    for o in (NBS/'images').glob('index_*.png'):
        if o not in files: o.unlink()
    files[NBS/'nbdev.yml'] = nbdev_yml().encode()
    for path,data in files.items():
        if not path.exists() or path.read_bytes() != data:
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(data)
            print(f'wrote {path.relative_to(ROOT)}')

if __name__ == '__main__': main()
