"""(pure) Which of a model's options a device cannot act on, and which it must not ignore."""

from collections.abc import Collection, Iterable

from shared.errors import LoadFailed
from shared.membership import Device, ModelFiles

# Without these a model would answer something else; the others cost time or bits at most.
_CHANGING_ANSWERS = ("insert_op_cfg_path", "input_format", "output_type")


def ignored(files: ModelFiles, device: Device, acts_on: Collection[str]) -> tuple[str, ...]:
    """Names of the options that concern this device, and that nobody acts on."""
    # Which cores a process uses is seen to before there is a backend.
    acts_on = {"thread_affinity_core_list", *acts_on}
    return tuple(name for name in files.options.named(device.type) if name not in acts_on)


def refuse_what_changes_answers(files: ModelFiles, device: Device) -> None:
    """Raises LoadFailed naming an option that cannot be acted on, nor be left alone."""
    given = files.options.values_for(device.type)
    for name in _CHANGING_ANSWERS:
        if name in given:
            raise LoadFailed(
                f"model '{files.key}': {device.type} option '{name}' cannot be acted on, and"
                " without it answers would differ; give it to the model's converter, or do in a"
                " stage function what it does"
            )


def wrong_device(device: Device, supported: Iterable[str]) -> LoadFailed:
    """What a script of the original looks for where there is no such device."""
    listed = " or ".join(["None", *(f"'{each.lower()}'" for each in supported)])
    return LoadFailed(
        f"The device type '{device.type.lower()}' is inconsistent with current running environment,"
        f" supported device type: {listed}"
    )
