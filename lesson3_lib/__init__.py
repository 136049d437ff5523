__version__ = "0.1.0"

from . import old_paths  # the original's module names, for notebooks in which only `fastai` was replaced
