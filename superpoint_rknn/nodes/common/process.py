"""A process that runs managed nodes and ends cleanly."""

from __future__ import annotations

import inspect
import os
import signal
import sys
from collections.abc import Callable, Sequence

import rclpy
from rclpy.exceptions import ParameterException
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.signals import SignalHandlerOptions

from superpoint_rknn.memory import keep_freed_memory
from superpoint_rknn.nodes.common.executor import create_executor
from superpoint_rknn.nodes.common.managed_node import ManagedNode

WAKE_UP = 0.1  # [s] longest time until a signal is noticed


class Interruption:
    """Flag that the handlers of SIGINT and SIGTERM set."""

    def __init__(self) -> None:
        self.requested = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._request)

    def _request(self, *_: object) -> None:
        self.requested = True


def run_nodes(
    create: Callable[[Interruption], Sequence[ManagedNode]], args: list[str] | None = None
) -> int:
    """
    Run managed nodes until SIGINT or SIGTERM; return the exit code, 0 unless they can not start.

    The process is theirs alone: it keeps freed memory, and has no generator of messages.

    create: makes the nodes, which stop waiting once the interruption is requested. Those with
    autostart are brought up first, see `bring_up`.
    The signals are handled here and not by rclpy, so that the nodes can still publish their last
    diagnostics.
    """
    _skip_message_generator()
    interruption = Interruption()
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    try:
        nodes = create(interruption)
    except ParameterException as error:
        print(f'not started: {error}', file=sys.stderr)
        rclpy.try_shutdown()
        return 1
    executor = create_executor()
    for node in nodes:
        executor.add_node(node)
    _index_modules_by_file()
    bring_up([node for node in nodes if node.autostart], interruption)
    keep_freed_memory()  # from here on: what loading a model took goes back to the system
    while not interruption.requested:
        executor.spin_once(timeout_sec=WAKE_UP)
    blocked = take_down(nodes)
    executor.shutdown()
    for node in nodes:
        node.destroy_node()
    rclpy.try_shutdown()
    if blocked:  # a normal exit would wait for that call, or destroy what it uses
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)
    return 0


def _skip_message_generator() -> None:
    """
    Have every message import its type support alone; call it before the first one does.

    rosidl_generator_py imports the generator of message code, too, unless that raises ImportError:
    a tenth of the time of starting a node, and 10 MB.
    """
    sys.modules['rosidl_generator_py.generate_py_impl'] = None  # type: ignore[assignment]


def _index_modules_by_file() -> None:
    """
    Fill a cache of `inspect`, which rclpy's logger searches for the file of each caller.

    Otherwise the first message resolves the links in the paths of all modules: a tenth of the time
    of starting a node, or a pause when something is to be logged later.
    """
    files = {name: getattr(module, '__file__', None) for name, module in sys.modules.items()}
    inspect.modulesbyfile.update({file: name for name, file in files.items() if file})


def bring_up(nodes: Sequence[ManagedNode], interruption: Interruption | None = None) -> bool:
    """
    Configure nodes, then activate them from the last to the first; return False if one refuses.

    Name the node that feeds the others first: when it receives images, the others are active.
    """
    for transition, order in (('configure', nodes), ('activate', nodes[::-1])):
        for node in order:
            if interruption is not None and interruption.requested:
                return False
            if getattr(node, f'trigger_{transition}')() != TransitionCallbackReturn.SUCCESS:
                return False
    return True


def take_down(nodes: Sequence[ManagedNode]) -> bool:
    """Shut nodes down, the first one first; return True if an inference call is blocked."""
    for node in nodes:
        node.shut_down()
    return any(node.is_blocked for node in nodes)


def run_node(create: Callable[[Interruption], ManagedNode], args: list[str] | None = None) -> int:
    """Run one managed node, see `run_nodes`."""
    return run_nodes(lambda interruption: [create(interruption)], args)
