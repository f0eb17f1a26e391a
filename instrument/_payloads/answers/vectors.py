"""
Find the vectors in an embedding model's answer.
"""

from instrument._payloads.messages import get

_NAMES = ("data", "embeddings", "float_", "float")


def vectors_of(result: object) -> object:
    """
    Give the list of vectors in *result*, or *result* where that has no known shape.
    """
    for name in _NAMES:
        found = get(result, name)
        if isinstance(found, (list, tuple)):
            return [_vector(each) for each in found]
        if name == "embeddings" and found is not None:
            return vectors_of(found)  # by the type of their numbers
    return result


def _vector(item: object) -> object:
    for name in ("embedding", "values"):
        found = get(item, name)
        if found is not None and not callable(found):
            return found
    return item
