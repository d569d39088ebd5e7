"""ModelGroup: models that share weights, or the memory that they work in."""

from enum import Enum

from mindspore_lite.checks import check_type
from mindspore_lite.context import Context
from mindspore_lite.model import Model, ModelType


class ModelGroupFlag(Enum):
    SHARE_WEIGHT = 1
    SHARE_WORKSPACE = 2
    SHARE_WEIGHT_WORKSPACE = 3


class ModelGroup:
    last = None
    """The one that was made last, for tests that look at it."""

    def __init__(self, flags=ModelGroupFlag.SHARE_WORKSPACE):
        if not isinstance(flags, ModelGroupFlag):
            raise RuntimeError("Parameter flags should be ModelGroupFlag.SHARE_WORKSPACE or ...")
        self.flags = flags
        self.models = []
        self._variables = {}
        ModelGroup.last = self

    def add_model(self, models):
        if not isinstance(models, list | tuple):
            raise TypeError(f"models must be list/tuple, but got {type(models)}")
        if not models:
            raise RuntimeError("models cannot be empty")
        kind = str if isinstance(models[0], str) else Model
        for index, model in enumerate(models):
            if not isinstance(model, kind):
                raise TypeError(
                    "models element must be all str or Model, but got"
                    f" {type(model)} at index {index}."
                )
        # Objects share weights and nothing else, each in one group, from before they are built.
        if kind is Model and (
            self.flags is not ModelGroupFlag.SHARE_WEIGHT
            or any(model.variables is not None for model in models)
        ):
            raise RuntimeError("ModelGroup's add model failed.")
        for model in models:
            if kind is Model:
                model.variables = self._variables
            self.models.append(model)

    def cal_max_size_of_workspace(self, model_type, context):
        check_type("context", context, Context)
        check_type("model_type", model_type, ModelType)
        if context.ascend.provider == "ge":
            raise RuntimeError("ModelGroup's cal max size of workspace failed.")
