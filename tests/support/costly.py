"""Bodies that could cost much memory or time to look at."""

from __future__ import annotations

from collections.abc import Callable

MIB = 1024 * 1024


def repeat(start: bytes, unit: bytes, end: bytes) -> Callable[[int], bytes]:
    return lambda size: start + unit * ((size - len(start + end)) // len(unit)) + end


DEAR: dict[str, Callable[[int], bytes]] = {
    "brackets in one string": repeat(b'"', b"[]{", b'"'),
    "brackets in short strings": repeat(b"[0", b',"["', b"]"),
    "one string": repeat(b'"', b"x", b'"'),
    "one string with one wide character": repeat('["😀'.encode(), b"x", b'"]'),
    "empty strings": repeat(b'[""', b',""', b"]"),
    "quotes": repeat(b"", b'"', b""),
    "backslashes": repeat(b'"', b"\\\\", b'"'),
    "escaped quotes": repeat(b'"', b'\\"', b'"'),
    "NUL escapes": repeat(b'"', b"\\u0000", b'"'),
    "lone surrogates": repeat(b"[0", b',"\\ud800"', b"]"),
    "empty lists": repeat(b"[0", b",[]", b"]"),
    "empty objects": repeat(b"[0", b",{}", b"]"),
    "objects that are not closed": repeat(b"", b'{"":', b""),
    "900 levels": repeat(b"[0", b"," + b"[" * 899 + b"]" * 899, b"]"),
    "901 levels": repeat(b"[0", b"," + b"[" * 900 + b"]" * 900, b"]"),
    "a list that is not closed": repeat(b"", b"[", b""),
    "one key again and again": repeat(b'{"":0', b',"":{}', b"}"),
    "many keys": lambda size: b"{" + b",".join(b'"%07d":1' % n for n in range(size // 12)) + b"}",
    "one digit numbers": repeat(b"[0", b",0", b"]"),
    "long numbers": repeat(b"[0", b"," + b"1" * 4300, b"]"),
    "one number": repeat(b"", b"1", b""),
    "one fraction": repeat(b"0.", b"1", b""),
    "digits in strings": repeat(b'["', b"1" * 4301 + b'","', b'"]'),
    "NaN": repeat(b"[NaN", b",NaN", b"]"),
    "Infinity": repeat(b"[0", b",-Infinity,Infinity", b"]"),
    "a msg_id that is a list": repeat(b'{"a":NaN,"msg_id":[0', b",[]", b"]}"),
    "a msg_id that is long": repeat(b'{"msg_id":"', b"a", b'"}'),
}
