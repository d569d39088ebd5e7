"""The graphs as one servable, called by pipelines in both ways; its servable_config.py."""

# ruff: noqa: RET504 (how many outputs a call has is read from the assignment)

from mindspore_serving.server import register
from mindspore_serving.server.register import PipelineServable

register.declare_servable(
    servable_file=["first.mindir", "step.mindir", "merged.mindir"], model_format="MindIR"
)


@register.register_method(output_names=["context"])
def first(words):
    context = register.call_servable(words, subgraph=0)
    return context


@register.register_method(output_names=["value"])
def step(context, value):
    value = register.call_servable(context, value, subgraph=1)
    return value


@register.register_method(output_names=["value"])
def both(words, value):
    value = register.call_servable(words, value, subgraph=2)
    return value


run_first = PipelineServable(servable_name="graphs", method="first", version_number=0)
run_step = PipelineServable(servable_name="graphs", method="step", version_number=0)
run_both = PipelineServable(servable_name="graphs", method="both", version_number=0)


@register.register_pipeline(output_names=["value"])
def apart(words, value, steps):
    context = run_first.run(words)
    for _ in range(int(steps[0])):
        value = run_step.run(context, value)
    return value


@register.register_pipeline(output_names=["value"])
def merged(words, value, steps):
    for _ in range(int(steps[0])):
        value = run_both.run(words, value)
    return value
