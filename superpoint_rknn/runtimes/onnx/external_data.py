"""Read ONNX files, and embed the tensors that exporters store in a file beside the model."""

from __future__ import annotations

from pathlib import Path

from superpoint_rknn.runtimes.onnx.protobuf import (
    Graph,
    Message,
    Model,
    StringStringEntry,
    Tensor,
    encode,
    read_fields,
)
from superpoint_rknn.runtimes.runtime import ModelError, ModelMissingError

MAX_BYTES = 64 << 20  # of a model with all its tensors; a SuperPoint takes 5 MB


def read_whole_model(path: Path) -> bytes:
    """
    Read a model file, with the external data of the graph's initializers embedded.

    Raises ModelError if a file is missing, not a regular file, or larger than MAX_BYTES, or if
    external data is not in a file beside the model; protobuf's DecodeError if the file is no
    message.
    """
    content = _read(path, path)
    if not any(map(_is_external, _initializers(content))):
        return content
    data = _ExternalData(path)
    parts: list[bytes | memoryview] = []
    for number, value, field in read_fields(memoryview(content)):
        if number == Model.GRAPH and isinstance(value, memoryview):
            parts.append(encode((Model.GRAPH, _embed(value, data))))
        else:
            parts.append(field)
    return b''.join(parts)


def _initializers(content: bytes) -> list[Message]:
    graphs = Message(content).messages(Model.GRAPH)
    return [tensor for graph in graphs for tensor in graph.messages(Graph.INITIALIZER)]


def _is_external(tensor: Message) -> bool:
    return bool(tensor.integer(Tensor.DATA_LOCATION) or tensor.messages(Tensor.EXTERNAL_DATA))


def _embed(graph: memoryview, data: _ExternalData) -> bytes:
    """Return a graph whose initializers are self-contained."""
    parts: list[bytes | memoryview] = []
    for number, value, field in read_fields(graph):
        if number == Graph.INITIALIZER and isinstance(value, memoryview):
            parts.append(encode((Graph.INITIALIZER, _embedded_tensor(value, data))))
        else:
            parts.append(field)
    return b''.join(parts)


def _embedded_tensor(content: memoryview, data: _ExternalData) -> bytes | memoryview:
    tensor = Message(content)
    if not _is_external(tensor):
        return content
    moved = (Tensor.EXTERNAL_DATA, Tensor.DATA_LOCATION)
    kept = [field for number, _, field in read_fields(content) if number not in moved]
    return b''.join([*kept, encode((Tensor.RAW_DATA, data.of(tensor)))])


class _ExternalData:
    """The files beside a model; bounds the bytes of files and tensors."""

    def __init__(self, path: Path):
        self._path = path
        self._files: dict[str, bytes] = {}
        self._remaining = MAX_BYTES

    def of(self, tensor: Message) -> bytes:
        """Return the data of a tensor. Raises ModelError."""
        entries = {
            entry.text(StringStringEntry.KEY): entry.text(StringStringEntry.VALUE)
            for entry in tensor.messages(Tensor.EXTERNAL_DATA)
        }
        name = entries.get('location', '')
        what = f'{self._path}: tensor {tensor.text(Tensor.NAME)!r} is stored in {name!r}'
        content = self._file(name, what)
        try:
            offset = int(entries.get('offset', 0))
            length = int(entries.get('length', len(content) - offset))
        except ValueError:
            offset = length = -1
        if not 0 <= offset <= offset + length <= len(content):
            raise ModelError(f'{what}, outside of its {len(content)} bytes: {entries}')
        if length > self._remaining:
            raise ModelError(f'{what}: the tensors have more than {MAX_BYTES} bytes in all')
        self._remaining -= length
        return content[offset : offset + length]

    def _file(self, name: str, what: str) -> bytes:
        file = self._path.parent / name
        # Otherwise a model could name any file of this machine.
        folders = (self._path.parent.resolve(), self._path.resolve().parent)
        if Path(name).name != name or file.resolve().parent not in folders:
            raise ModelError(f'{what}, expected a file beside the model')
        if name not in self._files:
            if not file.exists():
                raise ModelMissingError(f'{what}, which is missing: copy it beside the model')
            limit = MAX_BYTES - sum(map(len, self._files.values()))
            self._files[name] = _read(self._path, file, limit)
        return self._files[name]


def _read(path: Path, file: Path, limit: int = MAX_BYTES) -> bytes:
    """Read a file of the model `path`."""
    what = f'{path}' if file == path else f'{path}: {file.name}'
    try:
        if file.exists() and not file.is_file():
            raise ModelError(f'{what}: not a regular file')
        size = file.stat().st_size
        if size > limit:
            raise ModelError(f'{what}: {size} bytes, expected at most {limit} in all')
        return file.read_bytes()
    except OSError as error:
        raise ModelMissingError(f'{what}: {error.strerror}') from error
