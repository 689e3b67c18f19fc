"""float32 numbers and arrays for hypothesis: by bits, so that no kind of number is rare."""

import numpy as np
from hypothesis import strategies as st

from oracle.tensor import Array, canonical
from tests.oracles import NASTY

words = st.one_of(
    st.integers(0, 2**32 - 1),
    st.sampled_from(NASTY.tolist()),
    # around 1, where sums cancel and ties are common
    st.builds(
        lambda sign, exponent, mantissa: sign << 31 | exponent << 23 | mantissa,
        st.integers(0, 1),
        st.integers(120, 134),
        st.one_of(st.integers(0, 2**23 - 1), st.sampled_from([0, 1, 2**22, 2**23 - 1])),
    ),
)


def float_arrays(shape: st.SearchStrategy[tuple[int, ...]]) -> st.SearchStrategy[Array]:
    """Canonical float32 arrays."""
    return shape.flatmap(
        lambda dims: st.lists(words, min_size=int(np.prod(dims)), max_size=int(np.prod(dims))).map(
            lambda drawn: canonical(np.array(drawn, np.uint32).view(np.float32).reshape(dims))
        )
    )


def vectors(longest: int = 12) -> st.SearchStrategy[Array]:
    return float_arrays(st.tuples(st.integers(0, longest)))
