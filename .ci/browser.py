"""A headless Chromium for the tests of the site and of `lesson3 serve`.

    with browser() as page:              # a selenium `Chrome`
        phone(page)                      # 390 px wide
        page.get('http://127.0.0.1:8000')
        assert not console_errors(page)
"""
import shutil, tempfile
from contextlib import contextmanager
from pathlib import Path

BROWSERS = 'chromium chromium-browser google-chrome google-chrome-stable'.split()
QUIET = ('--headless=new --no-sandbox --disable-gpu --disable-quic --disable-dev-shm-usage --no-first-run --disable-background-networking '
         '--disable-component-update --disable-sync --disable-default-apps --mute-audio --hide-scrollbars').split()
HELP = 'on Debian and Ubuntu: apt-get install chromium chromium-driver'

def find_browser() -> tuple[str, str]:
    "The browser and its driver, or an error that says how to get them."
    found = [next(filter(None, map(shutil.which, names)), None) for names in (BROWSERS, ['chromedriver'])]
    for what,path in zip(('Chromium', 'chromedriver'), found):
        if path is None: raise FileNotFoundError(f'{what} is not installed; {HELP}')
    return tuple(found)

@contextmanager
def browser(width=1200, height=900, dark=False, timeout=30):
    "A page of a fresh browser, which keeps nothing and is gone afterwards; its console is recorded."
    from selenium import webdriver
    chromium,driver = find_browser()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = webdriver.ChromeOptions()
        options.binary_location = chromium
        for o in [*QUIET, f'--user-data-dir={profile}', f'--window-size={width},{height}']: options.add_argument(o)
        options.set_capability('goog:loggingPrefs', {'browser':'ALL'})
        page = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
        try:
            page.set_page_load_timeout(timeout)
            colours(page, dark)
            yield page
        finally: page.quit()

def colours(page, dark:bool):
    "Whether the person at `page` prefers a dark screen."
    page.execute_cdp_cmd('Emulation.setEmulatedMedia', {'features':[{'name':'prefers-color-scheme', 'value':'dark' if dark else 'light'}]})

def phone(page, width=390, height=844):
    "From now on `page` is shown on a phone."
    page.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', {'width':width, 'height':height, 'deviceScaleFactor':2, 'mobile':True})

def desktop(page):
    "The end of `phone`."
    page.execute_cdp_cmd('Emulation.clearDeviceMetricsOverride', {})

def overflow(page) -> int:
    "How many pixels of `page` stick out to the right of the screen."
    return page.execute_script('return document.documentElement.scrollWidth - document.documentElement.clientWidth')

def console_errors(page) -> list[str]:
    "What the console complained about since the last call: errors of scripts, files not found, refused requests."
    return [o['message'] for o in page.get_log('browser') if o['level'] in ('SEVERE', 'ERROR')]

def screenshot(page, path:Path):
    "What `page` shows, as a PNG."
    Path(path).write_bytes(page.get_screenshot_as_png())
