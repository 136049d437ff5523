"""What every public name owes its reader: a docstring, a word on each argument, and an example that runs.

    python .ci/names.py    # lists the names that do not
"""
import ast, importlib, inspect, json, re, sys, textwrap
from collections import Counter
from dataclasses import is_dataclass
from enum import Enum

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
                if getattr(v, '__name__', k) != k: continue  # a second name
                f = v.__func__ if isinstance(v, (classmethod, staticmethod)) else v.fget if isinstance(v, property) else v
                if isinstance(v, property) and v.__doc__ and not f.__doc__: continue  # `property(..., doc=...)` says it
                if inspect.isfunction(f) and (k == '__init__' or not k.startswith('_')) and f.__module__.startswith(LIB.name):
                    yield f.__module__, f'{name}.{k}', f, obj

def above(cls, name:str):
    "The methods called `name` that those above `cls` define."
    return [vars(o)[name] for o in cls.__mro__[1:] if name in vars(o)] if cls else []

def arguments(f):
    "Argument names of `f` and what is written beside each."
    from fastcore.docments import docments
    fields = getattr(sys.modules[f.__module__], f.__qualname__.partition('.')[0], None) if f.__name__ == '__init__' else None
    try: docs = docments(fields if is_dataclass(fields) else f, full=True, eval_str=False)
    except Exception: docs = {}
    commented = beside(f)
    pars = [o for o in inspect.signature(f, eval_str=False).parameters.values()
            if o.name not in ('self', 'cls') and o.kind not in (o.VAR_POSITIONAL, o.VAR_KEYWORD)]
    return {o.name:(docs.get(o.name) or {}).get('docment') or commented.get(o.name, '') for o in pars}

def beside(f) -> dict:
    "Arguments that share a line, and the comment on it: `mean, std, # a number a channel`."
    try: lines = textwrap.dedent(inspect.getsource(f)).splitlines()
    except (OSError, TypeError): return {}
    node = ast.parse('\n'.join(lines)).body[0]
    if not isinstance(node, ast.FunctionDef): return {}
    args = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return {o.arg:lines[o.lineno-1].partition('#')[2].strip() for o in args if '#' in lines[o.lineno-1]}

def undocumented(f, name:str, cls) -> list[str]:
    "Arguments of `f` without a word: beside them, in its docstring, or where it overrides a documented method."
    doc = inspect.getdoc(f) or ''
    if cls is not None and name == '__init__': doc += ' ' + (inspect.getdoc(cls) or '')
    if cls is not None and cls.__doc__ and name == 'forward': return []  # the class says which shapes go in and out
    # the training's state: see CallbackHandler
    if name.startswith('on_') and any(o.__name__ in ('Callback', 'CallbackHandler') for o in cls.__mro__): return []
    from_above = {k for o in above(cls, name) for g in [getattr(o, '__func__', o)] if inspect.isfunction(g) for k,v in arguments(g).items()
                  if v or not g.__module__.startswith(LIB.name)}
    return [k for k,v in arguments(f).items() if not v and k not in PASSED_ON and not re.search(rf'`{k}\b', doc) and k not in from_above]

def has_docstring(f, name:str, cls) -> bool:
    "Whether `f` has one, inherits one, or overrides a method of another library."
    if name == '__init__' or f.__doc__: return True
    return any(getattr(o, '__doc__', None) or not getattr(o, '__module__', LIB.name).startswith(LIB.name) for o in above(cls, name))

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
    def code(o): return re.sub(r'^__all__ = \[.*?\]', '', o.read_text(encoding='utf-8'), flags=re.S|re.M)
    inside = Counter(w for o in LIB.glob('[!_]*.py') for w in re.findall(r'\w+', code(o)))
    for module,name,obj,cls in public_names():
        mod,last = module.partition('.')[2], name.rpartition('.')[2]
        f = obj.__init__ if inspect.isclass(obj) else obj
        if inspect.isclass(obj):
            if not obj.__doc__ and not issubclass(obj, Enum): res.append(f'{mod}: {name} has no docstring')
        else:
            if not has_docstring(f, last, cls): res.append(f'{mod}: {name} has no docstring')
            miss = undocumented(f, last, cls)
            if miss: res.append(f'{mod}: {name} says nothing of {", ".join(miss)}')
        if last != '__init__' and not used[last] and inside[last] < 2 and not above(cls, last):
            res.append(f'{mod}: {name} has no example: no chapter uses it, nor does the library')
    return sorted(set(res))

if __name__ == '__main__':
    res = problems()
    print('\n'.join(res))
    print(f'{len(res)} of {sum(1 for _ in public_names())} public names owe something')
