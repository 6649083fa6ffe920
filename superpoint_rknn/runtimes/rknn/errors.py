"""NPU errors: error codes of the library, with likely causes and remedies."""

from __future__ import annotations

FAIL, TIMEOUT, PARAM_INVALID, MODEL_INVALID, OUTPUT_INVALID = -1, -2, -5, -6, -9

# code: (name as spelled by the library, likely cause and remedy)
ERRORS = {
    FAIL: (
        'RKNN_ERR_FAIL',
        'the library or driver failed for an unknown reason; see its messages on stderr '
        '(RKNN_LOG_LEVEL=4) and the kernel log (dmesg)',
    ),
    TIMEOUT: (
        'RKNN_ERR_TIMEOUT',
        'the NPU did not finish in time; it may be busy with another program or hung: '
        'see dmesg, then reboot or reload the driver',
    ),
    -3: (
        'RKNN_ERR_DEVICE_UNAVAILABLE',
        'no usable NPU device; load the NPU driver and give this user access to its device node',
    ),
    -4: (
        'RKNN_ERR_MALLOC_FAIL',
        'out of memory (system or CMA); stop other programs, enlarge CMA, or use a smaller model',
    ),
    PARAM_INVALID: (
        'RKNN_ERR_PARAM_INVALID',
        'the library refused an argument; this library version may be too old: update it',
    ),
    MODEL_INVALID: (
        'RKNN_ERR_MODEL_INVALID',
        'the file is damaged, not a .rknn file, or made for another NPU generation or a newer '
        'library; convert the model for this chip',
    ),
    -7: ('RKNN_ERR_CTX_INVALID', 'the context is no longer valid; open the model again'),
    -8: (
        'RKNN_ERR_INPUT_INVALID',
        'the library refused the input; set input.pass_through to false and compare',
    ),
    OUTPUT_INVALID: (
        'RKNN_ERR_OUTPUT_INVALID',
        'the library refused the outputs; the model may not be a SuperPoint: run '
        'superpoint_rknn doctor',
    ),
    -10: (
        'RKNN_ERR_DEVICE_UNMATCH',
        'library and NPU driver do not match; update both to the same SDK release',
    ),
    -11: (
        'RKNN_ERR_INCOMPATILE_PRE_COMPILE_MODEL',
        'the model was pre-compiled for another driver version; pre-compile it again on this '
        'board',
    ),
    -12: (
        'RKNN_ERR_INCOMPATILE_OPTIMIZATION_LEVEL_VERSION',
        'the model uses an optimisation level that this driver lacks; update the driver or '
        'convert with a lower one',
    ),
    -13: (
        'RKNN_ERR_TARGET_PLATFORM_UNMATCH',
        'the model was made for another chip; convert it with this board as target_platform',
    ),
    -14: (
        'RKNN_ERR_NON_PRE_COMPILED_MODEL_ON_MINI_DRIVER',
        "this board's driver runs pre-compiled models only; pre-compile the model or install "
        'the full driver',
    ),
}
INIT_FAILED = (
    'RKNN_ERR_FAIL',
    'the library refused the model, most likely because it is older than the toolkit that wrote '
    'the file ("Invalid RKNN model version" on stderr): install a librknnrt.so (librknn_api.so, '
    'librknn_runtime.so on RV1126 and RV1109) at least as new as that toolkit, or convert the '
    'model with the toolkit of the library; else see dmesg',
)
MODEL_ERRORS = {MODEL_INVALID, -11, -12, -13, -14}  # caused by the model file
# May vanish by themselves. FAIL is what an RK3588 returns before its driver is loaded, too.
NOT_READY_ERRORS = {FAIL, TIMEOUT, -3, -4, -7}


class NpuError(RuntimeError):
    """NPU error: a call of the NPU library returned an error code."""

    def __init__(self, call: str, code: int):
        name, advice = ERRORS.get(code, ('unknown error', 'update the library and the driver'))
        if (call, code) == ('rknn_init', FAIL):
            name, advice = INIT_FAILED
        super().__init__(f'{call}: {name} ({code}): {advice}')
        self.call = call
        self.code = code


def check(call: str, code: int) -> None:
    """Raise NpuError if `code`, the return value of `call`, is not 0."""
    if code != 0:
        raise NpuError(call, code)
