"""Ops that no lowering is for: why, and what to do in place of each."""

from oracle.exact.primitive import Outside

_NOISE = (
    "draws random numbers, and a result must be the same for everybody",
    "give the noise as an input of the model",
)
_COUNT = (
    "gives as many results as its inputs say, and shapes are fixed before a run",
    "end the graph before it, or use TopK, a mask and Where, which give a fixed number",
)
_STRINGS = (
    "computes with strings",
    "train on codes of the strings, or encode them outside of the model",
)
_SEQUENCES = (
    "makes or takes sequences",
    "export lists of tensors as Concat, Split and Gather of one tensor",
)
_TRAINING = ("is for training", "export for inference")
_LAYOUT = (
    "is of a layout that onnxruntime makes for one kind of CPU",
    "save the model with graph_optimization_level ORT_ENABLE_EXTENDED or less",
)

_WHY: dict[str, tuple[str, str]] = {
    **dict.fromkeys(
        ("RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"), _NOISE
    ),
    "Bernoulli": (_NOISE[0], "give uniform noise as an input of the model, and Less than p is it"),
    "Multinomial": (
        _NOISE[0],
        "give Gumbel noise as an input of the model, Add it to the log-probabilities and ArgMax",
    ),
    "NonMaxSuppression": _COUNT,
    **dict.fromkeys(
        (
            "StringNormalizer",
            "StringConcat",
            "StringSplit",
            "RegexFullMatch",
            "CategoryMapper",
            "DictVectorizer",
            "CastMap",
            "Tokenizer",
        ),
        _STRINGS,
    ),
    **dict.fromkeys(
        (
            "SequenceMap",
            "Optional",
            "OptionalGetElement",
            "OptionalHasElement",
        ),
        _SEQUENCES,
    ),
    **dict.fromkeys(("Adam", "Adagrad", "Momentum", "Gradient"), _TRAINING),
    "Solve": (
        "solves equations, which onnxruntime cannot either",
        "use a regressor of the classes, or another classifier",
    ),
    "ImageDecoder": ("decodes files of images", "decode outside of the model and give pixels"),
}


def refuse(domain: str, op: str) -> Outside:
    """Makes the refusal of an op without a lowering."""
    name = f"{domain}.{op}" if domain else op
    known = _LAYOUT if domain == "com.microsoft.nchwc" else _WHY.get(op)
    if known is None:
        return Outside(
            f"the op {name} is outside the law",
            "replace it by ops that docs/lowering.md covers, or publish as VANILLA",
        )
    why, advice = known
    return Outside(
        f"the op {name} is outside the law: it {why}", f"{advice}, or publish as VANILLA"
    )
