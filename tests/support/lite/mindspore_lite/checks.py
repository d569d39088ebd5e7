"""What the real package says of arguments of a wrong type."""


def check_type(name, value, kind):
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise TypeError(f"{name} must be {kind.__name__}, but got {type(value)}.")


def check_list(name, values, kind):
    check_type(name, values, list)
    for index, value in enumerate(values):
        if not isinstance(value, kind):
            raise TypeError(
                f"{name} element must be {kind.__name__}, but got {type(value)} at index {index}."
            )
