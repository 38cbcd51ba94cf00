"""Bytes of small safetensors files, made without the code under test."""

import json

import safetensors

ENTRY = '"dtype":"F32","shape":[2],"data_offsets":[0,8]'


def container(header, data=b"\0" * 8):
    """A file with this header (text, bytes or a document) and these tensor bytes."""
    if isinstance(header, dict):
        header = json.dumps(header)
    if isinstance(header, str):
        header = header.encode()
    return len(header).to_bytes(8, "little") + header + data


def file_of(tensors, metadata=None):
    """A file with ``{name: (dtype, shape, bytes)}`` in that order."""
    document, data = ({"__metadata__": metadata} if metadata else {}), b""
    for name, (dtype, shape, raw) in tensors.items():
        document[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    return container(document, data)


def official_accepts(data):
    """The verdict of the parser that the format's authors publish."""
    try:
        safetensors.deserialize(data)
    except safetensors.SafetensorError:
        return False
    return True
