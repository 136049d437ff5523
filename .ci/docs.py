"""`make docs`: the site, into _docs/. Quarto renders it where it is installed, else smalldocs; then every link is checked.

nbdev processes the notebooks into _proc/. From these `_proc/_pages/` is made: pages named as nbdev's links name them, links that work
from a disk as from a server, the navigation in two parts, and a page for each module's source.
"""
import ast, html.parser, json, os, posixpath, re, shutil, subprocess, sys, time
from pathlib import Path
from urllib.parse import unquote

from common import BIN, LIB, NBS, ROOT, chapters, is_lesson, is_lookup, mins, n_cpus, page_name

PROC, PAGES = ROOT/'_proc', ROOT/'_proc'/'_pages'

def site_url(cfg) -> str: return f'{cfg.doc_host}{cfg.doc_baseurl}/'

# ---------------------------------------------------------------- nbdev's part

def process():
    "nbdev's `_proc/`: documented names, links from names in backticks, hidden cells removed."
    os.chdir(ROOT)
    import nbdev.serve
    from nbdev.config import get_config
    from filters import PatientFilter
    nbdev.serve.FilterDefaults = PatientFilter
    cfg = get_config()
    modidx = LIB/'_modidx.py'
    if PROC.exists() and modidx.exists() and modidx.stat().st_mtime > PROC.stat().st_mtime: shutil.rmtree(PROC)  # links may have moved
    for o in PROC.glob('*.ipynb'):
        if not (NBS/o.name).exists(): o.unlink()
    os.environ['PYTHONWARNINGS'] = 'ignore'  # nbdev warns of cells that import and compute
    nbdev.serve.proc_nbs(cfg.nbs_path, n_workers=min(n_cpus(), 8))
    return cfg

# ---------------------------------------------------------------- pages

def title_rest(nb:dict) -> str:
    "What the title cell says below title and question: nbdev keeps only these two."
    first = next((c for c in nb['cells'] if c['cell_type'] == 'markdown'), None)
    if not first: return ''
    lines = ''.join(first['source']).splitlines()
    return '\n'.join(l for l in lines if not l.startswith(('# ', '> '))).strip()

def documented(nb:dict) -> set:
    "The anchors of the names that a processed notebook documents."
    text = '\n'.join(''.join(o.get('data', {}).get('text/markdown', '')) for c in nb['cells'] for o in c.get('outputs', []))
    return {o.lower() for o in re.findall(r'^### (\S+)$', text, re.M)}

def first_words(md:str) -> str:
    "The first line of a documented name's text: what follows its signature."
    m = re.search(r'```python.*?```\s*\n(?:\s*\*)?([^\n|][^\n]*)', md, re.S)
    return m.group(1).strip().strip('*').strip() if m else ''

def documented_names(nb:dict) -> dict:
    "The names that a processed notebook documents, as they are written, and what the first line says of each."
    res = {}
    for c in nb['cells']:
        for o in c.get('outputs', []):
            md = ''.join(o.get('data', {}).get('text/markdown', ''))
            for part in re.split(r'^(?=### )', md, flags=re.M)[1:]: res[part.split('\n', 1)[0][4:].strip()] = first_words(part)
    return res

def said(node) -> str:
    "The words of a raised message, with an ellipsis where values stand."
    if isinstance(node, ast.Constant): return str(node.value)
    if isinstance(node, ast.JoinedStr): return ''.join(said(o) if isinstance(o, ast.Constant) else '…' for o in node.values)
    if isinstance(node, ast.BinOp): return said(node.left)+said(node.right)
    return '…'

def raised() -> dict:
    "The errors each name raises itself, and their words, read from the modules: `{'Learner.fit': ['ValueError: ...']}`."
    res = {}
    def collect(name, body):
        for node in (o for b in body for o in ast.walk(b)):
            if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
                words = ' '.join(said(node.exc.args[0]).split())
                if len(words.replace('…', '').strip()) > 10: res.setdefault(name, []).append(f'`{ast.unparse(node.exc.func)}`: {words}')
    for path in sorted(LIB.glob('*.py')):
        for node in ast.parse(path.read_text(encoding='utf-8')).body:
            if isinstance(node, ast.FunctionDef):
                owner = node.args.args[0].annotation if node.args.args and any('patch' in ast.unparse(d) for d in node.decorator_list) else None
                collect(f'{ast.unparse(owner)}.{node.name}' if owner else node.name, node.body)
            elif isinstance(node, ast.ClassDef):
                for f in node.body:
                    if isinstance(f, ast.FunctionDef): collect(node.name if f.name in ('__init__', '__post_init__') else f'{node.name}.{f.name}', f.body)
    return res

def with_errors(md:str, errors:dict) -> str:
    "Under each documented name, the errors it raises."
    parts = re.split(r'^(?=### )', md, flags=re.M)
    for i,p in enumerate(parts[1:], 1):
        es = errors.get(p.split('\n', 1)[0][4:].strip())
        if es: parts[i] = p.rstrip() + '\n\nRaises\n\n' + '\n'.join(f'- {html_safe(o)}' for o in dict.fromkeys(es)) + '\n'
    return ''.join(parts)

def html_safe(md:str) -> str:
    "Markdown whose words hold `<` and `*`, shown as they are."
    return ''.join(p if p.startswith('`') else re.sub(r'([<*_$\[\]])', r'\\\1', p) for p in re.split(r'(`[^`]*`)', md))

def fix_links(md:str, cfg, names:dict, anchors:dict) -> str:
    "Links to this site made relative, chapters by the names of their pages, source links to the source pages."
    def name(m):  # nbdev links every name of a module, documented or not: take the class of a method, else the page
        page, anchor = m.group(1), m.group(2)
        there = anchors.get(page, set())
        anchor = next((o for o in (anchor, anchor.partition('.')[0]) if o in there), '')
        return f'{page}.html' + (f'#{anchor}' if anchor else '')
    def source(m): return f'source/{m.group(1)}.html' + (f'#L{m.group(2)}' if m.group(2) else '')
    def chapter(m): return f']({names.get(m.group(1), m.group(1))}.html{m.group(2) or ""})'
    md = re.sub(r'\[([^\[\]]*)\[(`[^`]+`)\]\([^)]*\)([^\[\]]*)\]\(', r'[\1\2\3](', md)  # nbdev links names within a link's words, too
    md = re.sub(re.escape(site_url(cfg)) + r'([\w-]+)\.html#([^\s()"]+)', name, md)
    md = md.replace(site_url(cfg), '')
    md = re.sub(re.escape(f'{cfg.git_url}/blob/{cfg.branch}/{LIB.name}/') + r'(\w+)\.py(?:#L(\d+)|#LNone)?', source, md)
    def by_number(m): return f'[{m.group(1)}]({names[m.group(1)]}.html)' if m.group(1) in names else m.group(0)  # `09_learner`
    md = re.sub(r'(?<![\[`\w])`(\d\w+)`(?![\]`])', by_number, md)
    md = re.sub(r'\]\((?:\./|nbs/|\.\./nbs/)?([\w-]+)\.(?:ipynb|html)(#[^)\s]*)?\)', chapter, md)
    return re.sub(r'\]\(\.\./([A-Z]+\.md)\)', r'](\1)', md)

def walk_markdown(nb:dict, f):
    "`f` over all Markdown of a notebook: its cells and their Markdown outputs."
    for c in nb['cells']:
        if c['cell_type'] == 'markdown': c['source'] = f(''.join(c['source']))
        for o in c.get('outputs', []):
            data = o.get('data', {})
            if 'text/markdown' in data: data['text/markdown'] = f(''.join(data['text/markdown']))

def plain_code(md:str) -> str:
    "nbdev links names in backticks also inside code blocks, where a link is not a link: there, the name alone."
    return re.sub(r'^```python$.*?^```', lambda m: re.sub(r'\[(`[^`]+`)\]\([^)]*\)', r'\1', m.group(0)), md, flags=re.S|re.M)

def math_pages(md:str) -> str:
    "Formulas as MathML, which browsers draw by themselves: the site needs no other server."
    from latex2mathml.converter import convert
    def escaped(m): return '>' + re.sub(r'[*_`\[\]\\~^$]', lambda o: f'&#{ord(o.group(0))};', m.group(1)) + '<'  # or they would be read as Markdown
    def formula(m):
        block = m.group(1) is not None
        tex = (m.group(1) or m.group(2)).strip()
        ml = convert(tex.replace('\n', ' '), display='block' if block else 'inline')
        if block: return f'\n\n```{{=html}}\n<div class="formula">{ml}</div>\n```\n\n'
        return re.sub(r'>([^<]+)<', escaped, ml)
    parts = re.split(r'(^```.*?^```|`[^`\n]+`)', md, flags=re.S|re.M)  # code stays
    tex = re.compile(r'\$\$(.+?)\$\$|(?<![\\$\w])\$(?!\s)([^$\n]+?)(?<![\s\\])\$(?![\d$])', re.S)
    return ''.join(p if i%2 else tex.sub(formula, p) for i,p in enumerate(parts))

def sort_docs(cells:list) -> list:
    "`cells` with neighbouring documented names in the order of the source; nbdev turns round those of one cell."
    def line(c):
        text = ''.join(''.join(o.get('data', {}).get('text/markdown', '')) for o in c.get('outputs', []))
        m = re.search(r'\[source\]\([^)]*#L(\d+)\)', text) if c['cell_type'] == 'code' else None
        return int(m.group(1)) if m else None
    res, run = [], []
    for c in [*cells, None]:
        if c is not None and line(c) is not None:
            run.append(c)
            continue
        res += sorted(run, key=line)
        run = []
        if c is not None: res.append(c)
    return res

def read_json(path:Path): return json.loads(path.read_text(encoding='utf-8'))

def git(*args) -> str:
    "What git says, or nothing where there is no git or no history."
    p = subprocess.run(['git', *args], cwd=ROOT, text=True, capture_output=True) if shutil.which('git') else None
    return p.stdout.strip() if p and p.returncode == 0 else ''

def changed() -> dict:
    "The day each file was last changed, from the history."
    res, day = {}, ''
    for l in git('-c', 'core.quotePath=false', 'log', '--format=@%cs', '--name-only').splitlines():
        if l.startswith('@'): day = l[1:]
        elif l: res.setdefault(l, day)
    return res

def chapter_line(nb:str, cfg, day:str) -> str:
    "Under the title: where to get the notebook, the module it exports, how long it runs, and the day of its last change."
    code = '\n'.join(''.join(c['source']) for c in read_json(NBS/nb)['cells'] if c['cell_type'] == 'code')
    default_exp = re.search(r'^#\|\s*default_exp\s+(\w+)', code, re.M)
    parts = [f'[notebook]({cfg.git_url}/blob/{cfg.branch}/{NBS.name}/{nb})']
    if default_exp: parts.append(f'[`{LIB.name}.{default_exp.group(1)}`](source/{default_exp.group(1)}.html)')
    secs = run_times().get(Path(nb).stem)
    if secs: parts.append(f'runs in about {mins(max(5, 5*round(secs/5)))} on two cores')
    if day: parts.append(time.strftime('%-d %B %Y', time.strptime(day, '%Y-%m-%d')))
    return f'::: {{.chapter-line}}\n{" · ".join(parts)}\n:::'

def run_times() -> dict:
    "Seconds each chapter took when `make test TIMES=1` wrote them down."
    path = ROOT/'.ci'/'times.json'
    return read_json(path) if path.exists() else {}

def write_page(nb:Path, links, cfg, day:str, errors:dict):
    "One processed notebook as a page."
    d = read_json(nb)
    rest = title_rest(read_json(NBS/nb.name))
    front = d['cells'][0]
    if front['cell_type'] == 'raw': front['source'] = re.sub(r'^output-file:.*\n?', '', ''.join(front['source']), flags=re.M)
    if nb.stem != 'index': rest = f'{chapter_line(nb.name, cfg, day)}\n\n{rest}'
    if rest: d['cells'].insert(1, dict(cell_type='markdown', metadata={}, id='title-rest', source=rest))
    for c in d['cells']:
        for o in c.get('outputs', []):
            data = o.get('data', {})
            if c['cell_type'] == 'code' and 'text/markdown' in data: data['text/markdown'] = with_errors(''.join(data['text/markdown']), errors)
    walk_markdown(d, lambda md: math_pages(plain_code(links(md))))
    d['cells'] = sort_docs([c for c in d['cells'] if 'AUTOGENERATED' not in ''.join(c.get('source') or '')])
    (PAGES/f'{page_name(nb.name)}.ipynb').write_text(json.dumps(d), encoding='utf-8')

def write_source(module:Path):
    "A page with the code of `module`, every line with an anchor."
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import PythonLexer
    code = highlight(module.read_text(encoding='utf-8'), PythonLexer(), HtmlFormatter(linenos='inline', lineanchors='L', anchorlinenos=False, linespans='line'))
    code = re.sub(r'(name|id)="L-(\d+)"', r'\1="L\2"', code)
    (PAGES/'source'/f'{module.stem}.md').write_text(
        f'---\ntitle: "{module.name}"\nsearch: false\ntoc: false\npage-layout: full\n---\n\n`lesson3_lib/{module.name}`, as exported from its chapter.\n\n'
        f'```{{=html}}\n<div class="source-page">{code}</div>\n```\n', encoding='utf-8')

def pygments_css() -> str:
    "Colours for the source pages, by day and by night."
    from pygments.formatters import HtmlFormatter
    day = HtmlFormatter(style='friendly').get_style_defs('.source-page .highlight')
    night = HtmlFormatter(style='github-dark').get_style_defs('.quarto-dark .source-page .highlight')
    css = '\n'.join(l for l in (day+'\n'+night).splitlines() if '.source-page' in l)
    return css + '\n.source-page .highlight, .quarto-dark .source-page .highlight { background: none; }\n'

def titles() -> dict:
    "Each chapter's title."
    res = {}
    for o in chapters():
        cells = read_json(o)['cells']
        m = re.search(r'^# +(.+)$', '\n'.join(''.join(c['source']) for c in cells if c['cell_type'] == 'markdown'), re.M)
        res[o.stem] = m.group(1).strip() if m else o.stem
    return res

def write_index(names:dict, title:dict, links):
    "The index of names: every documented name, what its first line says, and its place. `names`: chapter -> name -> first line."
    rows = [(n, page_name(o), title[o], line) for o,ns in names.items() for n,line in ns.items() if not n.rpartition('.')[2].startswith('_')]
    key = lambda r: (r[0].rpartition('.')[2].lower().lstrip('_'), r[0].lower())
    lines, letter = [], ''
    for name,page,chapter,line in sorted(rows, key=key):
        first = (key((name,))[0] or '_')[0].upper()
        if first != letter:
            letter = first
            lines += ['', f'## {letter}', '']
        owner,_,last = name.rpartition('.')
        says = f': {links(line)}' if line else ''
        lines.append(f'- [`{last}`]({page}.html#{name.lower()}){f" of `{owner}`" if owner else ""}{says} [{chapter}]({page}.html)')
    (PAGES/'names.md').write_text('---\ntitle: Index of names\ntoc-depth: 2\nsearch: false\n---\n\n'
        f'{len(rows)} names of the library, methods under their own names, each with the place that explains it. '
        'Words of the field are in the [glossary](glossary.html).\n'
        + '\n::: {.name-index}\n' + '\n'.join(lines) + '\n:::\n', encoding='utf-8')

def navigation(title:dict, cfg) -> dict:
    "The bar, the sidebar (the library, the lesson, and what one looks up) and the foot of the page."
    entry = lambda o: dict(text=f'{re.match(r"[0-9a-z]+", o).group(0)} {title[o]}' if o[0].isdigit() else title[o], href=f'{page_name(o)}.ipynb')
    lesson = [o for o in title if is_lesson(o)]
    lookup = [o for o in title if is_lookup(o)]
    library = [o for o in title if o not in lesson+lookup and o != 'index']
    parts = [('The lesson', lesson), ('The library', library)]
    side = [dict(text='Start', href='index.ipynb')] if 'index' in title else []
    side += [dict(section=n, contents=[entry(o) for o in os_]) for n,os_ in parts if os_]
    find = [dict(text=title[o], href=f'{page_name(o)}.ipynb') for o in lookup] + [dict(text='Index of names', href='names.md')]
    more = [dict(text=t, href=f) for t,f in (('How to contribute', 'CONTRIBUTING.md'), ('Changes', 'CHANGELOG.md')) if (ROOT/f).exists()]
    side += [dict(section='Look up', contents=find)] + ([dict(section='The project', contents=more)] if more else [])
    bar = [dict(text=n, href=f'{page_name(os_[0])}.ipynb') for n,os_ in parts if os_] + find
    commit = git('rev-parse', '--short', 'HEAD')
    foot = {'left': f'{cfg.title} {cfg.version}, {cfg.copyright}, Apache 2.0',
            'right': f'made on {time.strftime("%-d %B %Y")}' + (f' from [{commit}]({cfg.git_url}/commit/{commit})' if commit else '')}
    return dict(website={'navbar': dict(left=bar), 'page-footer': foot,
                         'sidebar': {'style': 'docked', 'search': False, 'collapse-level': 2, 'contents': side}})

def make_pages(cfg):
    "`_proc/_pages/`: what the renderer reads."
    import yaml
    shutil.rmtree(PAGES, ignore_errors=True)
    (PAGES/'source').mkdir(parents=True)
    title = titles()
    names = {o:page_name(o) for o in title}
    processed = {o:read_json(PROC/f'{o}.ipynb') for o in title}
    anchors = {names[o]:documented(nb) for o,nb in processed.items()}
    links = lambda md: fix_links(md, cfg, names, anchors)
    days, errors = changed(), raised()
    for o in title: write_page(PROC/f'{o}.ipynb', links, cfg, days.get(f'{NBS.name}/{o}.ipynb', ''), errors)
    write_index({o:documented_names(nb) for o,nb in processed.items()}, title, links)
    for o in sorted(LIB.glob('*.py')):
        if not o.stem.startswith('_'): write_source(o)
    for o in ('CONTRIBUTING.md', 'CHANGELOG.md'):
        if (ROOT/o).exists(): (PAGES/o).write_text(links((ROOT/o).read_text(encoding='utf-8')), encoding='utf-8')
    for o in NBS.iterdir():
        if o.is_dir() and o.name[0] not in '._' and o.name != 'models': shutil.copytree(o, PAGES/o.name, dirs_exist_ok=True)
    for o in ('_quarto.yml', 'nbdev.yml'): shutil.copy2(NBS/o, PAGES/o)
    (PAGES/'styles.css').write_text((NBS/'styles.css').read_text(encoding='utf-8') + pygments_css(), encoding='utf-8')
    (PAGES/'sidebar.yml').write_text(yaml.dump(navigation(title, cfg), sort_keys=False, allow_unicode=True), encoding='utf-8')

def render(out:Path):
    "Quarto where it is installed, else smalldocs."
    if shutil.which('quarto'): cmd = ['quarto', 'render', str(PAGES), '--no-execute']
    else: cmd = [BIN/'smalldocs', 'render', str(PAGES), '--quiet']
    subprocess.run(cmd, check=True, stdin=subprocess.DEVNULL)
    shutil.rmtree(out, ignore_errors=True)
    shutil.move(PAGES/out.name, out)
    for o in out.rglob('*.css'):  # themes fetch their fonts from a server of others: a reader's visit is nobody's business, and ours are there
        css = o.read_text(encoding='utf-8')
        own = re.sub(r'@import\s+url\(["\']?https?://[^)]*\)[^;]*;', '', css)
        if own != css: o.write_text(own, encoding='utf-8')
    (out/'.nojekyll').touch()

# ---------------------------------------------------------------- links

class Links(html.parser.HTMLParser):
    "The anchors of a page, and what it points at."
    def __init__(self):
        super().__init__()
        self.anchors, self.links = {'', 'top'}, []
    def handle_starttag(self, tag, attrs):
        a = dict(attrs)
        for k in ('id', 'name'):
            if a.get(k): self.anchors.add(a[k])
        for k in ('href', 'src'):
            if a.get(k) is not None: self.links.append((tag, a[k]))

def check_links(site:Path, base:str):
    "Every link inside the site leads to a file and, where it names one, to an anchor: (pages, links, problems)."
    pages = {}
    for o in sorted(site.rglob('*.html')):
        pages[o.relative_to(site).as_posix()] = p = Links()
        p.feed(o.read_text(encoding='utf-8'))
    n, problems = 0, []
    for name,p in pages.items():
        for tag,href in p.links:
            if href.startswith(base):
                problems.append(f'{name}: {href} leaves the site for its published address')
                continue
            if re.match(r'[a-zA-Z][\w+.-]*:|//', href) or (tag == 'link' and href.startswith(base)): continue
            n += 1
            path,_,anchor = href.partition('#')
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), unquote(path.split('?')[0]))) if path else name
            if target == '.': target = 'index.html'
            if (site/target).is_dir(): target = posixpath.normpath(f'{target}/index.html')
            if not (site/target).exists(): problems.append(f'{name}: {href} leads nowhere')
            elif anchor and target in pages and unquote(anchor) not in pages[target].anchors: problems.append(f'{name}: {href}: no such place on {target}')
    return len(pages), n, sorted(set(problems))

def main():
    start = time.time()
    cfg = process()
    print(f'processed {len(chapters())} notebooks in {mins(time.time()-start)}', flush=True)
    make_pages(cfg)
    out = ROOT/cfg.doc_path.name
    render(out)
    n_pages, n_links, problems = check_links(out, site_url(cfg))
    for o in problems: print(f'  broken: {o}')
    print(f'{n_pages} pages in {out.name}/, {n_links} links checked, {len(problems)} broken, in {mins(time.time()-start)}')
    return 1 if problems else 0

if __name__ == '__main__': sys.exit(main())
