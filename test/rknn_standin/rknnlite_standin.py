"""Stand-ins for both generations of Rockchip's Python package, with strict checks."""

import numpy as np

NPU_CORE_AUTO = 0


class _RKNNLite:
    """Common part of both generations. Tests set the class attributes."""

    size = (16, 24)
    outputs = ()  # of every inference; None: it failed
    error = None  # raised by inference
    load_code = init_code = 0
    load_error = init_error = None  # raised by load_rknn and init_runtime
    least_dims = 4
    live = 0

    def __init__(self, verbose=False, verbose_file=None):
        self._loaded = self._ready = False
        type(self).live += 1

    def _load(self, path):
        assert isinstance(path, str)
        assert not self._loaded
        if self.load_error is not None:
            raise self.load_error
        self._loaded = self.load_code == 0
        return self.load_code

    def _init(self):
        assert self._loaded
        if self.init_error is not None:
            raise self.init_error
        self._ready = self.init_code == 0
        return self.init_code

    def _infer(self, inputs, data_type, data_format, inputs_pass_through):
        assert self._ready, 'inference before init_runtime or after release'
        assert isinstance(inputs, list)
        assert len(inputs) == 1
        (image,) = inputs
        assert self.least_dims <= image.ndim <= 4
        assert str(image.dtype) == (data_type or ['uint8'])[0]
        nchw = data_format in ('nchw', ['nchw'])
        expected = (1, 1, *self.size) if nchw else (1, *self.size, 1)
        assert image.shape == expected, f'{image.shape} is not {expected}'
        assert inputs_pass_through in (None, [0])
        if self.error is not None:
            raise self.error
        self.last_input = image.copy()
        type(self).last = self
        if self.outputs is None:
            return None
        return [np.array(output, np.float32) for output in self.outputs]

    def release(self):
        assert self._loaded or self.load_code or self.load_error
        self._loaded = self._ready = False
        type(self).live -= 1


class RKNNLite1(_RKNNLite):
    """rknn_toolkit_lite 1.7.5."""

    least_dims = 2

    def load_rknn(self, path, load_model_in_npu=False):
        return self._load(path)

    def init_runtime(
        self,
        target=None,
        target_sub_class=None,
        device_id=None,
        perf_debug=False,
        eval_mem=False,
        async_mode=False,
        rknn2precompile=False,
    ):
        assert target is None, 'on the board there is no target'
        return self._init()

    def inference(
        self,
        inputs,
        data_type=None,
        data_format=None,
        inputs_pass_through=None,
        get_frame_id=False,
    ):
        return self._infer(inputs, data_type, data_format, inputs_pass_through)


class RKNNLite2(_RKNNLite):
    """rknn-toolkit-lite2 2.3.2."""

    def load_rknn(self, path):
        return self._load(path)

    def init_runtime(self, target=None, device_id=None, async_mode=False, core_mask=NPU_CORE_AUTO):
        assert target is None, 'on the board there is no target'
        return self._init()

    def inference(
        self,
        inputs,
        data_type=None,
        data_format=None,
        inputs_pass_through=None,
        get_frame_id=False,
    ):
        return self._infer(inputs, data_type, data_format, inputs_pass_through)
