"""The table of rules: every id that a finding can have, with its severity and explanation.

Levels build on one another: header (can the container be trusted?), structure (do the keys make
layers?), values (are the numbers sound?), family (does it fit the base model?), loader (will programs
load it?).
"""

from __future__ import annotations

from typing import NamedTuple

LEVELS = ("header", "structure", "values", "family", "loader")


class Rule(NamedTuple):
    level: str
    severity: str
    title: str
    why: str
    remedy: str


_AGAIN = "Download the file again; compare its size and sha256 with the source."
_RESAVE = "Save the file again with an up-to-date safetensors library."
_FOR = "`loratool convert --for PROGRAM` writes what it reads."
_DISTRUST = "Do not use the file: no program writes this by accident."


def _container(title: str, why: str, remedy: str = _AGAIN, severity: str = "error") -> Rule:
    return Rule("header", severity, title, why, remedy)


RULES: dict[str, Rule] = {
    "R01": _container("at least 8 bytes", "A safetensors file begins with 8 bytes that give the header's length."),
    "R02": _container("header of at most 100 000 000 bytes",
                      "Readers refuse longer headers; a huge length mostly means another kind of file."),
    "R03": _container("header inside the file", "The declared header is longer than the file: it was cut short, "
                      "or it is another kind of file."),
    "R04": _container("header is UTF-8", "The header's text is damaged."),
    "R05": _container("header is strict JSON", "NaN, comments, trailing characters, bare control characters and half "
                      "surrogates are not JSON; nesting deeper than 127 is refused."),
    "R06": _container("header begins with a brace", "White space before the opening brace is accepted by the official "
                      "reader, not by all.", _RESAVE, "info"),
    "R07": _container("header is padded with spaces", "Other white space is accepted by the official reader, not by "
                      "all.", _RESAVE, "info"),
    "R08": _container("header is an object", "The header must map tensor names to entries."),
    "R09": _container("metadata maps strings to strings", "The official reader refuses numbers, lists and objects in "
                      "__metadata__.", "Save the file again with every metadata value as text."),
    "R10": _container("no key twice", "Two parsers may use two different tensors of the same name.", _DISTRUST),
    "R11": _container("entries are complete", "Each entry has dtype, shape and data_offsets."),
    "R12": _container("known dtype", "The dtype is none of the 22 that the format knows.", _RESAVE),
    "R13": _container("shape of sizes", "A shape is a list of whole numbers below 2**64."),
    "R14": _container("two offsets", "data_offsets are two whole numbers."),
    "R15": _container("begin before end", "A tensor cannot end before it begins.", _DISTRUST),
    "R16": _container("no hole, no overlap", "Every byte belongs to exactly one tensor; anything else can hide data.",
                      _DISTRUST),
    "R17": _container("countable elements", "The shape has more elements than 2**64.", _DISTRUST),
    "R18": _container("countable bits", "The shape needs more bits than 2**64.", _DISTRUST),
    "R19": _container("whole bytes", "Elements smaller than a byte must fill whole bytes together."),
    "R20": _container("size fits shape", "The reserved bytes are not those that dtype and shape need."),
    "R21": _container("complete, and nothing behind", "The file ends before its last tensor (cut short), or goes on "
                      "after it."),
    "R22": _container("empty tensors are allowed", "A tensor without elements is valid.", "Nothing to do.", "info"),
    "R23": _container("scalars are allowed", "A tensor without axes holds one element.", "Nothing to do.", "info"),
    "R24": _container("a file without tensors is allowed", "The container is valid but holds nothing.",
                      "Nothing to do.", "info"),
    "R25": _container("values are not the container's business", "NaN and infinity are found by NONFINITE.",
                      "Nothing to do.", "info"),
    "R26": _container("little-endian and packed", "Tensors are stored in C order without gaps.", _RESAVE, "info"),
    "R27": _container("alignment", "Writers align the data to 8 bytes; readers do not require it.",
                      "Nothing to do.", "info"),
    "R28": _container("moderate sizes", "Sizes beyond 2**48 cannot exist in a real file.", _DISTRUST),
    "R29": _container("order of the header", "The order of keys in the header has no meaning.", "Nothing to do.",
                      "info"),
    "R30": _container("a regular file that can be opened", "Folders, pipes, devices and missing files are no input.",
                      "Check the name and the permissions."),
    "NO_ADAPTER": Rule("structure", "warn", "holds adapter layers", "No key ends in a suffix of a known algorithm: the "
                       "file may be a checkpoint, a VAE or an embedding.", "Use a program for that kind of file."),
    "UNPAIRED": Rule("structure", "error", "both halves there", "A LoRA layer needs up and down; with one of them its "
                     "update is unknown.", "Get another copy; if the layer is dispensable, remove its keys."),
    "RANK_MISMATCH": Rule("structure", "error", "one rank per layer", "up and down must have the same inner size.",
                          "Get another copy, or the file before it was resized."),
    "SWAPPED": Rule("structure", "error", "up and down in their places", "The factors are stored under each other's "
                    "name, so the product has the wrong shape.", "Exchange the two names of the layer."),
    "SHAPE": Rule("structure", "error", "factors are matrices", "A factor has too few axes or none of its elements.",
                  "Get another copy."),
    "DUPLICATE_FACTOR": Rule("structure", "error", "one tensor per factor", "Two keys name the same factor of a "
                             "module; loaders differ in which they use.", "Remove one of the two keys."),
    "DUPLICATE_MODULE": Rule("structure", "error", "one layer per weight", "The same rows of a weight are there under "
                             "two spellings; loaders use one, the other, or both.", "Remove one of the two layers."),
    "ALPHA_MISSING": Rule("structure", "warn", "alpha is stated", "Without alpha most programs use a scale of 1, some "
                          "fail. A file that lost its alphas is too strong by rank / alpha.",
                          "If the strength seems wrong, look for the alpha in the trainer's settings."),
    "ALPHA_ABSURD": Rule("structure", "warn", "alpha is a sensible number", "An alpha that is zero, negative or far "
                         "beyond the rank makes the layer useless or overwhelming.",
                         "Compare with the trainer's settings."),
    "ALPHA_INVALID": Rule("structure", "error", "alpha is a number", "NaN, infinity or several numbers give no scale.",
                          "Get another copy."),
    "ALPHA_TWICE": Rule("structure", "warn", "alpha in one place", "The file has alpha tensors and PEFT's settings "
                        "(lora_adapter_metadata); diffusers refuses such files.", "Convert it to one dialect."),
    "SETTINGS_INVALID": Rule("structure", "error", "PEFT's settings can be understood", "Rank and alpha stand in "
                             "lora_adapter_metadata or adapter_config.json; without them the scale is unknown, "
                             "unless each layer has an alpha of its own: then it is a warning.",
                             "Correct the settings, or get another copy."),
    "MIXED_DIALECTS": Rule("structure", "warn", "one dialect per component", "Modules of one component are spelled in "
                           "several dialects; programs may load only some of them.", "Convert it to one dialect."),
    "UNKNOWN_KEYS": Rule("structure", "warn", "known suffixes", "Keys that end in no known suffix are ignored by "
                         "programs.", "Look at them with `loratool inspect --keys`."),
    "ODD_DTYPE": Rule("structure", "warn", "a usual dtype", "Weights are expected as F16, BF16 or F32; other types are "
                      "refused or misread by some programs.", "Convert the weights to F16 or BF16."),
    "NONFINITE": Rule("values", "error", "finite weights", "NaN or infinite weights turn pictures black; training "
                      "diverged or the file was damaged.", "Use an earlier epoch or another copy."),
    "ZERO_LAYER": Rule("values", "warn", "layers have an effect", "A factor is all zero, so the layer changes nothing: "
                       "it was created but not trained, or its bytes were lost.",
                       "Nothing, if the layer was not to be trained; else get another copy."),
    "NO_EFFECT": Rule("values", "warn", "the file has an effect", "Every layer is zero.", "Get another copy."),
    "SHAPE_MISMATCH": Rule("family", "error", "fits the base model", "The layer has a shape that no variant of the "
                           "identified base model has.", "Use it with the model that it was made for."),
    "UNKNOWN_MODULE": Rule("family", "warn", "modules of the base model", "The identified base model has no module of "
                           "this name.", "Programs will ignore it."),
    "FAMILY_UNKNOWN": Rule("family", "info", "known base model", "No table explains the file's modules; nothing is "
                           "wrong with that.", "Nothing to do."),
    "FAMILY_AMBIGUOUS": Rule("family", "info", "one base model", "The modules present fit several base models.",
                             "The file's source says which one it is."),
    "BASE_CONFLICT": Rule("family", "warn", "metadata agrees with the tensors", "The metadata names another base model "
                          "than the tensors fit; the tensors are right.", "Correct the metadata."),
    "DECLARED_MISMATCH": Rule("family", "warn", "declared rank and alpha are true", "ss_network_dim or "
                              "ss_network_alpha says something else than the tensors.",
                              "The tensors count; correct the metadata."),
    "LOADER_NONE": Rule("loader", "error", "the program loads the file", "The program refuses the file, knows none of "
                        "its names, or does not know the base model.", _FOR),
    "LOADER_IGNORES": Rule("loader", "warn", "the program loads every layer", "The program does not know the layer's "
                           "name or algorithm and leaves it out, mostly without a word.", _FOR),
    "LOADER_NOTE": Rule("loader", "info", "programs agree about the file", "Programs read different names and "
                        "algorithms, and look for alpha in different places.",
                        "`loratool validate --for PROGRAM` says more."),
    "METADATA_BAD_JSON": Rule("structure", "info", "metadata can be parsed", "A metadata value that should be JSON is "
                              "not; it is kept as it is.", "Nothing to do."),
    "HEADER_OVER_1MIB": Rule("header", "info", "a short header", "Some viewers refuse headers above 1 MiB.",
                             "Remove large metadata such as thumbnails or captions."),
}
