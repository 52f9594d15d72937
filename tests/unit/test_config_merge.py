"""Several files of the global config are merged as a model of stock's merge says."""

from __future__ import annotations

import tempfile
from functools import reduce
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

import fedmsg_relay

TREE: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.sampled_from(["a", "b", "c"]),
    st.recursive(
        st.integers(0, 3) | st.none() | st.lists(st.integers(0, 3), max_size=2),
        lambda inner: st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
        max_leaves=8,
    ),
)


def model(earlier: Any, later: Any) -> Any:
    """Dicts are merged, everything else is replaced."""
    if not (isinstance(earlier, dict) and isinstance(later, dict)):
        return later
    both = {key: model(earlier[key], later[key]) for key in earlier.keys() & later.keys()}
    return {**earlier, **later, **both}


@given(st.lists(TREE, min_size=1, max_size=4))
def test_files_merge_as_the_model_says(trees: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        paths = [Path(directory, f"{n}.py") for n in range(len(trees) + 1)]
        for path, tree in zip(paths, [{"endpoints": {}}, *trees], strict=True):
            path.write_text(f"config = {tree!r}\n")
        config = fedmsg_relay.config.read([str(path) for path in paths])
    assert {key: config[key] for key in ("a", "b", "c") if key in config} == reduce(model, trees)
