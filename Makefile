# Each target is a line or two that you could type yourself. They need Python 3.11 or newer, pip and git.
PYTHON ?= python3
V := .venv/bin

help:    ## this list
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "%-10s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

lesson: .venv/.stamp  ## run the lesson's chapters on drawn data; notebooks, pages and pictures into _lesson/ (LESSON="planet" for one)
	$(V)/python .ci/lesson.py $(LESSON)

test: .venv/.stamp    ## every chapter as a test, then: exported code and README in step, notebooks clean, layers, import time
	$(V)/python .ci/check.py $(CHAPTERS)

docs: .venv/.stamp    ## the site into _docs/
	$(V)/python .ci/docs.py

browse: .venv/.stamp  ## the site tested in a headless Chromium, after `make docs`
	$(V)/python .ci/test_site.py

bench: .venv/.stamp   ## this library beside fastai, in one run
	$(V)/python benchmarks/run.py $(BENCH)

prepare: .venv/.stamp ## before a commit: export, clean, README
	$(V)/nbdev_export && $(V)/nbdev_clean && $(V)/python .ci/readme.py

.venv/.stamp: settings.ini setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3,11) and "Python 3.11 or newer is needed, this is %s: try make PYTHON=python3.12" % sys.version.split()[0])'
	@echo 'setting up .venv, once: some minutes, most of it PyTorch'
	$(PYTHON) -m venv .venv && $(V)/python -m pip install -qq --no-compile --disable-pip-version-check -e '.[dev,offline,serve]' && touch $@

clean:   ## remove what was made
	rm -rf .venv _proc _docs _lesson _bench build *.egg-info

.PHONY: help lesson test docs browse bench prepare clean
