"""What every public name owes its reader: a docstring, a word on each argument, and an example that runs.

    python .ci/names.py    # lists the names that do not
"""
import importlib, inspect, json, re, sys
from collections import Counter

from common import LIB, ROOT, chapters

PASSED_ON = 'args kwargs _ __'.split()  # gathered and handed to another function

def public_names():
    "`(module, name, object, class)` of everything in each `__all__` that is defined there, and the public methods of its classes."
    sys.path.insert(0, str(ROOT))
    for path in sorted(LIB.glob('*.py')):
        if path.stem.startswith('_'): continue
        mod = importlib.import_module(f'{LIB.name}.{path.stem}')
        for name in getattr(mod, '__all__', ()):
            obj = getattr(mod, name, None)
            if not callable(obj) or getattr(obj, '__module__', '') != mod.__name__: continue
            if not inspect.isclass(obj):
                if inspect.isfunction(obj): yield obj.__module__, name, obj, None
                continue
            yield obj.__module__, name, obj, None
            for k,v in vars(obj).items():
                f = v.__func__ if isinstance(v, (classmethod, staticmethod)) else v.fget if isinstance(v, property) else v
                if inspect.isfunction(f) and (k == '__init__' or not k.startswith('_')) and f.__module__.startswith(LIB.name):
                    yield f.__module__, f'{name}.{k}', f, obj

def above(cls, name:str):
    "The methods called `name` that those above `cls` define."
    return [vars(o)[name] for o in cls.__mro__[1:] if name in vars(o)] if cls else []

def arguments(f):
    "Argument names of `f` and what is written beside each."
    from fastcore.docments import docments
    try: docs = docments(f, full=True, eval_str=False)
    except Exception: docs = {}
    pars = [o for o in inspect.signature(f, eval_str=False).parameters.values() if o.name not in ('self', 'cls') and o.kind not in (o.VAR_POSITIONAL, o.VAR_KEYWORD)]
    return {o.name:(docs.get(o.name) or {}).get('docment') or '' for o in pars}

def undocumented(f, name:str, cls) -> list[str]:
    "Arguments of `f` without a word: beside them, in its docstring, or where it overrides a documented method."
    doc = inspect.getdoc(f) or ''
    if cls is not None: doc += ' ' + (inspect.getdoc(cls) or '' if name == '__init__' else '')
    from_above = {k for o in above(cls, name) for g in [getattr(o, '__func__', o)] if inspect.isfunction(g) for k,v in arguments(g).items()
                  if v or not g.__module__.startswith(LIB.name)}
    return [k for k,v in arguments(f).items() if not v and k not in PASSED_ON and not re.search(rf'`{k}\b', doc) and k not in from_above]

def has_docstring(f, name:str, cls) -> bool:
    return name == '__init__' or bool(f.__doc__) or any(getattr(o, '__doc__', None) or not getattr(o, '__module__', LIB.name).startswith(LIB.name) for o in above(cls, name))

def used_words() -> Counter:
    "The words in the code of all chapters that is not exported: tests and visible uses."
    res = Counter()
    for nb in chapters():
        for c in json.loads(nb.read_text(encoding='utf-8'))['cells']:
            src = ''.join(c['source'])
            if c['cell_type'] == 'code' and not re.search(r'^#\|\s*(export|eval:\s*false)', src, re.M): res.update(set(re.findall(r'\w+', src)))
    return res

def problems() -> list[str]:
    "What is missing, a line each."
    res, used = [], used_words()
    for module,name,obj,cls in public_names():
        mod,last = module.partition('.')[2], name.rpartition('.')[2]
        f = obj.__init__ if inspect.isclass(obj) else obj
        if inspect.isclass(obj):
            if not obj.__doc__: res.append(f'{mod}: {name} has no docstring')
        else:
            if not has_docstring(f, last, cls): res.append(f'{mod}: {name} has no docstring')
            miss = undocumented(f, last, cls)
            if miss: res.append(f'{mod}: {name} says nothing of {", ".join(miss)}')
        if last != '__init__' and not used[last] and not above(cls, last): res.append(f'{mod}: {name} is not used in any chapter')
    return sorted(set(res))

if __name__ == '__main__':
    res = problems()
    print('\n'.join(res))
    print(f'{len(res)} of {sum(1 for _ in public_names())} public names owe something')
