"""
Find the vectors in an embedding model's answer.
"""

from instrument._payloads.messages import get, is_listed, items

_NAMES = ("data", "embeddings", "float_", "float")


def vectors_of(result: object) -> object:
    """
    Give the list of vectors in *result*, or *result* where that has no known shape.
    """
    for name in _NAMES:
        found = get(result, name)
        if is_listed(found):
            return [_vector(each) for each in items(found)]
        if name == "embeddings" and found is not None:
            return vectors_of(found)  # by the type of their numbers
    return result


def _vector(item: object) -> object:
    for name in ("embedding", "values"):
        found = get(item, name)
        if found is not None and not callable(found):
            return found
    return item
