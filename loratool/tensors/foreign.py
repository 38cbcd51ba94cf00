"""Recognise what people find instead of a safetensors file, by its first bytes."""

from __future__ import annotations

from typing import NamedTuple


class Kind(NamedTuple):
    name: str
    remedy: str


_AGAIN = "Download the file again."
_PAGE = ("The site sent a page instead of the file (a login, an error): log in or use the direct "
         "download link.")
_PICKLE = ("It may run code when loaded, so loratool does not open it. Ask for a .safetensors file, "
           "or convert it in the program that you trust it with.")

_MAGIC: tuple[tuple[bytes, Kind], ...] = (
    (b"version https://git-lfs", Kind("a Git LFS pointer", "Run `git lfs pull` in its folder.")),
    (b"PK\x03\x04", Kind("a zip archive or PyTorch checkpoint (.pt, .ckpt, .bin)", _PICKLE)),
    (b"\x80\x02", Kind("a pickle (.pt, .ckpt, .bin)", _PICKLE)),
    (b"\x80\x03", Kind("a pickle (.pt, .ckpt, .bin)", _PICKLE)),
    (b"\x80\x04", Kind("a pickle (.pt, .ckpt, .bin)", _PICKLE)),
    (b"\x80\x05", Kind("a pickle (.pt, .ckpt, .bin)", _PICKLE)),
    (b"GGUF", Kind("a GGUF model", "loratool reads safetensors adapters only.")),
    (b"ggjt", Kind("a GGML model", "loratool reads safetensors adapters only.")),
    (b"\x89HDF\r\n", Kind("an HDF5 file", "loratool reads safetensors adapters only.")),
    (b"\x93NUMPY", Kind("a NumPy array", "loratool reads safetensors adapters only.")),
    (b"\x1f\x8b", Kind("a gzip archive", "Unpack it first.")),
    (b"7z\xbc\xaf\x27\x1c", Kind("a 7-Zip archive", "Unpack it first.")),
    (b"Rar!", Kind("a RAR archive", "Unpack it first.")),
    (b"\xfd7zXZ", Kind("an xz archive", "Unpack it first.")),
    (b"\x28\xb5\x2f\xfd", Kind("a Zstandard archive", "Unpack it first.")),
    (b"\x89PNG", Kind("a PNG picture", "Perhaps the preview was saved in its place. " + _AGAIN)),
    (b"\xff\xd8\xff", Kind("a JPEG picture", "Perhaps the preview was saved in its place. " + _AGAIN)),
    (b"RIFF", Kind("a WebP picture or another RIFF file", _AGAIN)),
    (b"GIF8", Kind("a GIF picture", _AGAIN)),
    (b"%PDF", Kind("a PDF document", _AGAIN)),
    (b"SQLite format 3", Kind("an SQLite database", _AGAIN)),
    (b"\x7fELF", Kind("a Linux program", "Do not run it. " + _AGAIN)),
    (b"MZ", Kind("a Windows program", "Do not run it. " + _AGAIN)),
)

_TEXT: tuple[tuple[bytes, Kind], ...] = (
    (b"<!doctype html", Kind("an HTML page", _PAGE)),
    (b"<html", Kind("an HTML page", _PAGE)),
    (b"<?xml", Kind("an XML document", _PAGE)),
    (b"<", Kind("an HTML or XML page", _PAGE)),
    (b"{", Kind("a JSON text", "It may be an error message of the site, or a sidecar file: open it in an editor.")),
    (b"[", Kind("a JSON text", "It may be an error message of the site, or a sidecar file: open it in an editor.")),
)


def kind_of(prefix: bytes, file_size: int) -> Kind | None:
    """Name the kind of file that begins with ``prefix`` (512 bytes or the whole file)."""
    if file_size == 0:
        return Kind("an empty file (0 bytes)", _AGAIN)
    for magic, kind in _MAGIC:
        if prefix.startswith(magic):
            return kind
    if not prefix.strip(b"\0"):
        return Kind("a file that begins with zeros (a download that never arrived)", _AGAIN)
    text = prefix.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for start, kind in _TEXT:
        if text.startswith(start):
            return kind
    if _is_text(prefix):
        return Kind("a text file", "Open it in an editor: it may be an error message of the site.")
    return None


def _is_text(prefix: bytes) -> bool:
    try:
        text = prefix[:500].decode("utf-8", errors="strict" if len(prefix) < 500 else "ignore")
    except UnicodeDecodeError:
        return False
    return len(text) > 3 and all(c.isprintable() or c in "\r\n\t" for c in text)
