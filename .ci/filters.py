"nbdev's notebook filter for the site, made patient: with annotations in quotes, and with cells that import and compute."
import ast, inspect

from nbdev.processors import FilterDefaults, exec_show_docs

def signature(obj, **kwargs):
    "`inspect.signature`; annotations in quotes that name what is not there yet (`'ItemList'`) stay words."
    try: return inspect.signature(obj, **kwargs)
    except NameError: return inspect.signature(obj, **{**kwargs, 'eval_str': False})

class patient_show_docs(exec_show_docs):
    """Run what documenting needs: exported cells, documented names, and imports.

    nbdev runs a whole cell for the sake of one import in it; here only its imports run, and the stored output stays."""
    def __call__(self, cell):
        runs = cell.directives_.keys() & {'export', 'exports', 'exporti', 'exec_doc'} or cell.source and 'show_doc' in cell.source
        if cell.cell_type != 'code' or runs or not self.nb.has_docs_: return super().__call__(cell)
        if not cell.source or cell.directives_.get('eval:', [''])[0].lower() == 'false': return
        imports = [o for o in cell.parsed_() or [] if isinstance(o, (ast.Import, ast.ImportFrom))]
        if imports: self.k.run_cell('\n'.join(ast.unparse(o) for o in imports))

class PatientFilter(FilterDefaults):
    def base_procs(self): return [patient_show_docs if o is exec_show_docs else o for o in super().base_procs()]
    def __call__(self, nb):
        import fastcore.docments
        fastcore.docments.signature = signature
        return super().__call__(nb)
