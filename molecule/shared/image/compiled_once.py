"""Keep the bytecode of what is imported from a zip, which Python by itself compiles in every process.

Each task of Ansible runs a zip of sources: half of what it cost a test host was compiling the same ones again.
Imported by compiled_once.pth wherever the system's Python starts; only root, who may write there, has files in CACHE.
"""

import marshal
import os
import zipimport
from importlib.util import source_hash

CACHE = "/var/cache/compiled_once"

compile_anew = zipimport._compile_source


def compile_once(pathname, source):
    path = f"{CACHE}/{source_hash(source).hex()}-{len(source)}"
    try:
        with open(path, "rb") as file:
            return marshal.loads(file.read())  # noqa: S302 - what root wrote for root
    except OSError:
        code = compile_anew(pathname, source)
        keep(path, marshal.dumps(code))
        return code


def keep(path, bytecode):
    being_written = f"{path}.{os.getpid()}"
    try:
        with open(being_written, "wb") as file:
            file.write(bytecode)
        os.replace(being_written, path)
    except OSError:
        return  # it is compiled again the next time


zipimport._compile_source = compile_once
