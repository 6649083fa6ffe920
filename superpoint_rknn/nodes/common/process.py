"""Run managed nodes in a process, with a clean shutdown on SIGINT and SIGTERM."""

from __future__ import annotations

import inspect
import os
import re
import sys
from collections.abc import Callable, Sequence

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.executors import Executor
from rclpy.logging import get_logger
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import get_rmw_implementation_identifier

from superpoint_rknn.errors import one_line
from superpoint_rknn.memory import keep_freed_memory
from superpoint_rknn.nodes.common.bring_up import BringUp
from superpoint_rknn.nodes.common.executor import create_executor
from superpoint_rknn.nodes.common.interruption import Interruption
from superpoint_rknn.nodes.common.managed_node import ManagedNode, RCLError
from superpoint_rknn.nodes.common.parameter_files import warnings_of_arguments, warnings_of_files
from superpoint_rknn.nodes.common.shared_memory import remove_dead_segments
from superpoint_rknn.settings import short_repr

# What to do about errors of ROS's parser of parameter files, which don't say it.
REMEDIES = {
    'No value at line': "write '' for an empty text, or delete the line",
    'Sequence should be of same type': 'write all items as numbers of one kind, or in quotes',
    'Error opening YAML file': 'give the path of a readable file',
    'parameter override rule': "expected -p NAME:=VALUE, an empty text as ''",
}
# Exit code if a call into the NPU does not return: EX_TEMPFAIL of sysexits.h. Whatever started the
# process is expected to start it again.
EXIT_LOST = 75
MAX_DOMAIN = 232  # of Fast DDS, which ends the process for others; from RTPS 2.2, 9.6.1.1
WAKE_UP = 0.1  # [s] maximum time until a signal is noticed


def run_nodes(
    create: Callable[[Interruption], Sequence[ManagedNode]], args: list[str] | None = None
) -> int:
    """
    Run managed nodes until SIGINT or SIGTERM; return the exit code, 1 if they can't be created.

    If a call into the NPU does not return, the process exits with EXIT_LOST.

    Call it once, in a process that does nothing else: it changes the memory allocator and the
    import of message modules for the whole process.

    create: returns the nodes; they must stop blocking when the interruption is requested. Nodes
    with autostart are configured and activated, see BringUp.
    Signals are handled here instead of by rclpy, so that the nodes can publish their final
    diagnostics.
    """
    _skip_message_generator()
    interruption = Interruption()
    removed = remove_dead_segments()
    if not initialize(args):
        return 1
    try:
        nodes = create(interruption)
    except (ParameterException, RCLError) as error:
        print(f'not started: {one_line(_without_sources(error))}', file=sys.stderr)
        rclpy.try_shutdown()
        return 1
    if removed:
        nodes[0].get_logger().info(
            f'removed {removed / 1e6:.0f} MB of shared memory that killed processes left'
        )
    executor = create_executor()
    for node in nodes:
        executor.add_node(node)
        node.prepare()
    _index_modules_by_file()
    names = [node.get_fully_qualified_name() for node in nodes]
    given = sys.argv if args is None else args
    for text in (*warnings_of_files(given, names), *warnings_of_arguments(given)):
        nodes[0].get_logger().warning(text)
    code = EXIT_LOST if _spin(executor, nodes, interruption) else 0
    blocked = take_down(nodes)
    executor.shutdown()
    for node in nodes:
        node.destroy_node()
    rclpy.try_shutdown()
    if blocked:  # a normal exit would wait for the call, or free memory that it uses
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    return code


def initialize(args: list[str] | None = None) -> bool:
    """
    Initialize rclpy without its signal handlers; print why and return False if it refuses.

    args: ROS arguments; None: those of the process.
    """
    if refusal := _domain_error():
        print(f'not started: {refusal}', file=sys.stderr)
        return False
    log_folder = _log_folder()
    if not (can_log := _is_writable(log_folder)):
        args = [*(sys.argv if args is None else args), '--ros-args', '--disable-external-lib-logs']
    try:
        rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    except RuntimeError as error:
        print(f'not started: {one_line(_explain(error))}', file=sys.stderr)
        return False
    if not can_log:
        get_logger('superpoint_rknn').warning(
            f'no log file: {log_folder or "~/.ros/log, without HOME,"} can not be written; set '
            'ROS_LOG_DIR'
        )
    return True


def _domain_error() -> str | None:
    """Return why Fast DDS does not accept ROS_DOMAIN_ID, which it would not name."""
    domain = os.environ.get('ROS_DOMAIN_ID', '')
    if not domain.isdecimal() or int(domain) <= MAX_DOMAIN:  # ROS reports what is no number
        return None
    if 'fastrtps' not in get_rmw_implementation_identifier():
        return None
    return f'ROS_DOMAIN_ID: {short_repr(domain)}, expected 0 to {MAX_DOMAIN}'


def _log_folder() -> str | None:
    """Return ROS's folder of log files; None if ROS_LOG_DIR, ROS_HOME and HOME are not set."""
    for variable, inside in (('ROS_LOG_DIR', ''), ('ROS_HOME', 'log'), ('HOME', '.ros/log')):
        if os.environ.get(variable):
            return os.path.normpath(os.path.join(os.path.expanduser(os.environ[variable]), inside))
    return None


def _is_writable(folder: str | None) -> bool:
    """Return whether a file can be created in a folder, which is created if it does not exist."""
    if folder is None:
        return False
    trial = os.path.join(folder, f'.superpoint_rknn_{os.getpid()}')
    try:
        os.makedirs(folder, exist_ok=True)
        os.close(os.open(trial, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        os.unlink(trial)
    except OSError:
        return False
    return True


def _explain(error: RuntimeError) -> str:
    """Return the message about refused ROS arguments or parameter files, with a remedy."""
    text = _without_sources(error).removeprefix('failed to initialize rcl: ')
    for reason, remedy in REMEDIES.items():
        if reason in text:
            return f'{text}: {remedy}'
    return f'ROS arguments not understood: {text}'


def _without_sources(error: Exception) -> str:
    """Return the message of an error of rcl without the lines of rcl's source."""
    return re.sub(r', at [^ ,]+:[0-9]+', '', str(error))


def _skip_message_generator() -> None:
    """
    Keep messages from importing the generator of message code; call it before their first use.

    rosidl_generator_py imports the generator unless that raises ImportError. It costs a tenth of
    the start time of a node, and 10 MB.
    """
    sys.modules['rosidl_generator_py.generate_py_impl'] = None  # type: ignore[assignment]


def _index_modules_by_file() -> None:
    """
    Fill a cache of `inspect`, which rclpy's logger searches for the file of each caller.

    Otherwise the first log message resolves symlinks in the paths of all modules, which costs a
    tenth of the start time of a node, or blocks the node later.
    """
    files = {name: getattr(module, '__file__', None) for name, module in sys.modules.items()}
    inspect.modulesbyfile.update({file: name for name, file in files.items() if file})


def _spin(executor: Executor, nodes: Sequence[ManagedNode], interruption: Interruption) -> bool:
    """
    Run callbacks, and bring the nodes up between them.

    Returns False when an interruption is requested, True when a call into the NPU is lost.
    """
    bring_up = BringUp([node for node in nodes if node.autostart])
    keeps_memory = False
    while not interruption.requested:
        if bring_up.done and not keeps_memory:
            keep_freed_memory()  # not earlier: memory freed after loading the model is returned
            keeps_memory = True
        elif not bring_up.done:
            bring_up.step()
        executor.spin_once(timeout_sec=0.0 if bring_up.is_loading else WAKE_UP)
        for node in nodes:
            if node.is_lost:
                node.get_logger().fatal(
                    f'a call into the NPU does not return: the process exits with {EXIT_LOST}'
                )
                return True
    return False


def take_down(nodes: Sequence[ManagedNode]) -> bool:
    """Shut nodes down in order; return True if an inference call is still blocked."""
    for node in nodes:
        node.shut_down()
    return any(node.is_blocked for node in nodes)


def run_node(create: Callable[[Interruption], ManagedNode], args: list[str] | None = None) -> int:
    """Run one managed node, see `run_nodes`."""
    return run_nodes(lambda interruption: [create(interruption)], args)
