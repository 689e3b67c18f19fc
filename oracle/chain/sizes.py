"""How many bytes the transactions have by which a request is answered, before they are made."""

WORD = 32
# All of a signed transaction but its calldata: type, lists, id of the chain, nonce, fees, gas,
# address, no value, no access list and the signature, each as long as it may be.
ENVELOPE = 160
_SELECTOR = 4
# Words of arguments; of bytes, their place and their length.
_REQUEST, _PROPOSAL, _BYTES, _ROOT = 7, 2, 2, 1
_SIGNED = 3  # the operator, and the signature of its hot key


def answer_sizes(
    output_length: int, *, has_callback: bool = False, is_callers: bool = False
) -> tuple[int, ...]:
    """Bounds the size of each signed transaction that answers a request and settles the result.
    What came with its answer was proposed by its caller. In a batch a request takes no more."""
    output = _BYTES * WORD + -(-output_length // WORD) * WORD
    propose = _size(_REQUEST + _SIGNED, output)
    by_root, by_output = _size(_REQUEST + _PROPOSAL + _ROOT), _size(_REQUEST + _PROPOSAL, output)
    settle = by_output if has_callback else by_root
    return (settle,) if is_callers else (propose, settle)


def _size(words: int, more: int = 0) -> int:
    return ENVELOPE + _SELECTOR + words * WORD + more
