"""The site as its readers meet it, in a headless Chromium: `python .ci/test_site.py` after `make docs`.

Every page is opened and looked at on a desk by day and on a phone by night: no error in the console, no missing picture, nothing wider than the
screen. Then somebody searches, and somebody turns the light off. Links were checked by docs.py. Ends with `N passed, N failed`.
"""
import functools, sys, threading, time
from contextlib import contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from browser import browser, colours, console_errors, desktop, find_browser, phone
from common import ROOT, mins

SITE = ROOT/'_docs'

class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args): pass

@contextmanager
def serving(folder:Path):
    "The address of a web server for `folder`, on this machine alone."
    server = ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try: yield f'http://127.0.0.1:{server.server_port}/'
    finally:
        server.shutdown()
        server.server_close()

# What a page says of itself, once its pictures are there: those that are missing, its empty ones, and what sticks out
LOOK = """
const done = arguments[arguments.length-1], imgs = [...document.images];
imgs.forEach(o => { o.loading = 'eager'; });
Promise.all(imgs.map(o => o.complete ? 0 : new Promise(r => { o.onload = o.onerror = r; }))).then(() => {
  const w = document.documentElement.clientWidth;
  const scrolls = o => { for (let p = o; p && p.tagName !== 'MAIN'; p = p.parentElement)  // itself, or within something that does
    if (['auto', 'scroll'].includes(getComputedStyle(p).overflowX)) return p.getBoundingClientRect().right <= w + 1; return false; };
  const who = [...document.querySelectorAll('main *')].filter(o => o.getBoundingClientRect().right > w + 1 && getComputedStyle(o).visibility !== 'hidden' && !scrolls(o));
  const wide = Math.max(document.documentElement.scrollWidth - w, ...who.map(o => Math.ceil(o.getBoundingClientRect().right - w)), 0);
  done({missing: imgs.filter(o => !o.naturalWidth).map(o => o.getAttribute('src').slice(0, 80)), wide,
        who: who.slice(0, 3).map(o => o.outerHTML.slice(0, 80)), title: document.title,
        raw: [...document.querySelectorAll('main :is(p, li, td, h1, h2, h3)')].map(o => { const c = o.cloneNode(true); c.querySelectorAll('code, pre').forEach(d => d.remove());
      return (c.textContent.match(/.{0,20}(\\{=html\\}|\\]\\(|<math|:::|\\$\\$).{0,20}/) || [''])[0]; }).filter(o => o).slice(0, 3),
    words: (document.querySelector('main') || document.body).innerText.trim().length,
        light: getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + +b, 0)/765});
});
"""

def look(page, dark:bool) -> list[str]:
    "What is wrong with what `page` shows now."
    o = page.execute_async_script(LOOK)
    res = [f'picture {p} is missing' for p in o['missing']] + console_errors(page)
    if o['wide'] > 0: res.append(f'{o["wide"]} px wider than the screen: {"; ".join(o["who"]) or "?"}')
    res += [f'Markdown that was not understood: {t}' for t in o['raw']]
    if not o['title'] or o['words'] < 20: res.append('no title or nothing to read')
    if (o['light'] < .5) != dark: res.append(f'is {"light" if dark else "dark"} where the reader asked for {"dark" if dark else "light"}')
    return res

def every_page(page, base:str, names:list[str]) -> list[str]:
    "All pages, one after the other: on a desk by day, then on a phone by night."
    res = []
    for n in names:
        page.get(base+n)
        res += [f'{n}: {o}' for o in look(page, False)]
        phone(page); colours(page, True)
        wait(page, "document.documentElement.classList.contains('quarto-dark') || document.body.classList.contains('quarto-dark')", 2)
        res += [f'{n} on a phone: {o}' for o in look(page, True)]
        desktop(page); colours(page, False)
    return res

def wait(page, js:str, secs=15):
    "The first true value of `js`, or what it last gave."
    end = time.time()+secs
    while True:
        res = page.execute_script(f'return {js}')
        if res or time.time() > end: return res
        time.sleep(.05)

def search(page, base:str, words:str) -> list[dict]:
    "Type `words` into the search of the landing page; the hits in their order."
    from selenium.webdriver.common.by import By
    page.get(base+'learner.html')
    if not page.find_element(By.CSS_SELECTOR, '.smalldocs-search input, #quarto-search input').is_displayed():
        page.find_element(By.CSS_SELECTOR, '.sd-search-toggle').click()
    page.find_element(By.CSS_SELECTOR, '.smalldocs-search input, #quarto-search input').send_keys(words)
    return wait(page, "[...document.querySelectorAll('.search-result')].map(o => ({href: o.href, text: o.innerText}))")

def search_works(page, base:str) -> list[str]:
    "Search finds a name of the library, ordinary words and a word of the glossary, and a hit leads there."
    from selenium.webdriver.common.by import By
    res = []
    for words,where in (('fit_one_cycle', 'schedule.html#fit_one_cycle'), ('rainforest seen from above', 'index.html'), ('transfer learning', 'glossary.html')):
        hits = search(page, base, words)
        if not any(h['href'].startswith(base+where) for h in hits): res.append(f'search for {words!r} does not find {where}: {[h["href"] for h in hits][:5]}')
        elif words == 'fit_one_cycle':
            page.find_elements(By.CSS_SELECTOR, '.search-result')[0].click()
            if not wait(page, f"location.href === '{base+where}' && !!document.getElementById('fit_one_cycle')"):
                res.append(f'the first hit leads to {page.current_url}')
            elif not wait(page, "Math.abs(document.getElementById('fit_one_cycle').getBoundingClientRect().top) < innerHeight"):
                res.append('the hit is not on the screen')
    if [h['href'] for h in search(page, base, 'fit_one_cycle')][0] != base+'schedule.html#fit_one_cycle': res.append('fit_one_cycle is not the first hit')
    return res + console_errors(page)

def light_goes_off(page, base:str) -> list[str]:
    "The switch turns the colours round, and the next page remembers."
    light = "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).slice(0, 3).reduce((a, b) => a + +b, 0)/765"
    res = []
    page.get(base+'index.html')
    was = page.execute_script(f'return {light}')
    page.execute_script("document.querySelector('.quarto-color-scheme-toggle').click()")
    if not wait(page, f'({light} < .5) !== ({was} < .5)'): res.append('the switch changes nothing')
    page.get(base+'learner.html')
    if not wait(page, f'({light} < .5) !== ({was} < .5)'): res.append('the next page has forgotten the switch')
    page.execute_script("document.querySelector('.quarto-color-scheme-toggle').click()")
    if not wait(page, f'({light} < .5) === ({was} < .5)'): res.append('the switch does not turn back')
    page.execute_script('localStorage.clear()')
    return res + console_errors(page)

def menu_opens(page, base:str) -> list[str]:
    "On a phone the list of chapters opens, and a chapter of it."
    page.get(base+'index.html')
    page.execute_script("document.querySelector('.quarto-btn-toggle').click()")
    link = "[...document.querySelectorAll('#quarto-sidebar a')].find(o => o.href.endsWith('/planet.html'))"
    if not wait(page, f"({link}).getBoundingClientRect().width > 0 && ({link}).getBoundingClientRect().left >= 0 && ({link}).getBoundingClientRect().left < innerWidth"):
        return ['the list of chapters does not open']
    page.execute_script(f'({link}).click()')
    return [] if wait(page, "location.href.endsWith('/planet.html')") else ['a chapter of the list does not open']

def main():
    if not (SITE/'index.html').exists(): sys.exit('no site in _docs/: run `make docs` first')
    try: find_browser()
    except FileNotFoundError as e:
        print(f'the site is NOT tested in a browser: {e}\n0 passed, 1 failed')
        return 1
    names = sorted(o.relative_to(SITE).as_posix() for o in SITE.rglob('*.html') if 'site_libs' not in o.parts)
    start, results = time.time(), []
    def say(what, problems):
        print(f'  {"FAIL" if problems else "ok  "} {what} ({mins(time.time()-start)})', flush=True)
        for o in problems[:40]: print(f'    | {o}', flush=True)
        results.append(not problems)
    with serving(SITE) as base, browser() as page:
        say(f'{len(names)} pages, on a desk by day and on a phone by night', every_page(page, base, names))
        say('search', search_works(page, base))
        say('the switch for the dark', light_goes_off(page, base))
        phone(page); colours(page, True)
        say('the chapters on a phone', menu_opens(page, base))
    print(f'{sum(results)} passed, {len(results)-sum(results)} failed')
    return 0 if all(results) else 1

if __name__ == '__main__': sys.exit(main())
