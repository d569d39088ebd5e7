"""Model: built from a file, resized where its file leaves sizes open, called."""

import configparser
import json
from enum import Enum
from pathlib import Path

import numpy as np
from mindspore_lite.checks import check_type
from mindspore_lite.collective import AllReduce
from mindspore_lite.context import Context
from mindspore_lite.tensor import Slot, Tensor, TensorMeta, data_type

FUNCTIONS = {
    "identity": lambda *xs: xs,
    "double": lambda x: (x * 2,),
    "add": lambda x, y: (x + y,),
    "sub": lambda x, y: (x - y,),
}


class ModelType(Enum):
    MINDIR = 0
    MINDIR_LITE = 4


class Model:
    last = None
    """The one that was built last, for tests that look at how."""

    def __init__(self):
        self.variables = None
        """Of its group, once it has one."""

    def build_from_file(
        self, model_path, model_type, context=None, config_path="", config_dict=None
    ):
        check_type("model_path", model_path, str)
        check_type("model_type", model_type, ModelType)
        check_type("context", context := context or Context(), Context)
        check_type("config_path", config_path, str)
        check_type("config_dict", config_dict or {}, dict)
        if not Path(model_path).exists():
            raise RuntimeError("build_from_file failed, model_path does not exist!")
        context.check()
        self.context, self.model_type, self.config = context, model_type, _config(config_path)
        for section, values in (config_dict or {}).items():
            self.config.setdefault(section, {}).update(values)
        try:
            told = json.loads(Path(model_path).read_bytes())
            self._function = self._function_of(told)
            self._inputs = [_slot(each) for each in told["inputs"]]
            self._told_outputs = told["outputs"]
        except (ValueError, KeyError, TypeError):
            raise RuntimeError(
                f"build_from_file failed! Error is Common error code. {model_path}\nsecond line"
            ) from None
        self._outputs = [_slot(each) for each in told["outputs"]]
        if self._is_open():
            for output in self._outputs:
                output.shape = []
        Model.last = self

    def _function_of(self, told):
        """What it computes: with others, or with weights of its own, if its file says so."""
        if told["function"] == "accumulate":
            variables = {} if self.variables is None else self.variables
            return lambda x: (_accumulate(variables, x),)
        if told["function"] == "matmul":
            return self._matmul(told)
        return FUNCTIONS[told["function"]]

    def _matmul(self, told):
        """x @ weight, of whose rows each rank has its own, as a cut MindIR model has them."""
        device, columns = self.context.device, told["inputs"][0]["dims"][1]
        if not device.provider or columns % told["ranks"]:
            raise ValueError("only engines for distributed models run this")
        table = self.config.get("ascend_context", {}).get("rank_table_file", "")
        if device is self.context.ascend and not Path(table).is_file():
            raise ValueError("no rank table")
        rows = columns // told["ranks"]
        mine = slice(device.rank_id * rows, (device.rank_id + 1) * rows)
        weight = np.full((rows, told["outputs"][0]["dims"][1]), told["weight"], np.float32)
        all_reduce = AllReduce(told["meeting"], device.rank_id, told["ranks"])
        return lambda x: (all_reduce(x[:, mine] @ weight),)

    def _is_open(self):
        return any(size < 0 for each in self._inputs for size in each.shape)

    def get_inputs(self):
        return [Tensor(slot) for slot in self._inputs]

    def get_outputs(self):
        return tuple(TensorMeta(each.name, each.dtype, list(each.shape)) for each in self._outputs)

    def resize(self, inputs, dims):
        check_type("inputs", inputs, list)
        check_type("dims", dims, list)
        for index, (tensor, shape) in enumerate(zip(inputs, dims, strict=True)):
            check_type(f"inputs element {index}", tensor, Tensor)
            check_type(f"dims element {index}", shape, list)
            for size in shape:
                check_type("dims element's element", size, int)
        for slot, shape in zip(self._inputs, dims, strict=True):
            slot.shape, slot.value = list(shape), None
        zeros = [np.zeros(slot.shape, slot.dtype.name.lower()) for slot in self._inputs]
        for slot, value in zip(self._outputs, self._call("resize", zeros), strict=True):
            slot.shape = list(value.shape)

    def predict(self, inputs, outputs=None):
        check_type("inputs", inputs, list)
        assert outputs is None
        for index, tensor in enumerate(inputs):
            check_type(f"inputs element {index}", tensor, Tensor)
        if self._is_open() or any(slot.value is None for slot in self._inputs):
            raise RuntimeError("predict failed!")
        results = self._call("predict", [slot.value for slot in self._inputs])
        for slot, value in zip(self._outputs, results, strict=True):
            slot.fill(value)
        return [Tensor(slot) for slot in self._outputs]

    def _call(self, what, values):
        try:
            return self._function(*values)
        except ValueError:
            raise RuntimeError(
                f"{what} failed! Error is Common error code. in /src/infer.cc"
            ) from None


def _accumulate(variables, x):
    """x and all that was added before, by any model with the same variable."""
    variables["total"] = variables.get("total", 0) + x
    return variables["total"]


def _config(path):
    if not path:
        return {}
    parser = configparser.ConfigParser()
    try:
        if not parser.read(path):
            raise RuntimeError("build_from_file failed, config_path does not exist!")
    except configparser.Error:
        raise RuntimeError(f"load configuration by {path} failed!") from None
    return {name: dict(parser[name]) for name in parser.sections()}


def _slot(told):
    return Slot(told["name"], data_type(told["dtype"]), list(told["dims"]))
