"""Where one site ends and the next begins: the Public Suffix List (publicsuffix.org) and its algorithm.

The list comes with the package `publicsuffixlist`; it is read when the first name has to be judged. Knows canonical host names (lower case,
IDNA); no cookie and no URL.
"""

from __future__ import annotations

from functools import cache, lru_cache

__all__ = ["is_address", "is_public_suffix", "site"]


def is_address(host: str) -> bool:
    """Whether the host is an IP address (without brackets): it has neither parents nor children."""
    return ":" in host or host.rpartition(".")[2].isdigit()


def is_public_suffix(host: str) -> bool:
    """Whether anybody may register a name below this one: `com`, `co.uk`, `github.io`, and every name of one label."""
    name = host.removesuffix(".")
    return "." not in name or (not is_address(host) and _public_suffix(name) == name)


@lru_cache(maxsize=4096)
def site(host: str) -> str:
    """The registrable domain of a host: one label more than its public suffix. A public suffix, or an address, is its own."""
    name = host.removesuffix(".")
    if "." not in name or is_address(host):
        return name
    suffix = _public_suffix(name)
    return name if suffix == name else name[: -len(suffix) - 1].rpartition(".")[2] + "." + suffix


@lru_cache(maxsize=1024)
def _public_suffix(name: str) -> str:
    rules = _rules()
    labels = name.split(".")
    written = [_as_listed(label) for label in labels]
    # The longest rule prevails, an exception ("!") over all. What "*." stands before is taken for a suffix too, though no rule says so.
    for start in range(len(labels)):
        rest, parent = ".".join(written[start:]), ".".join(written[start + 1 :])
        if "!" + rest in rules:
            return ".".join(labels[start + 1 :])
        if rest in rules or "*." + rest in rules or "*." + parent in rules:
            return ".".join(labels[start:])
    return labels[-1]


def _as_listed(label: str) -> str:
    # The list has its names in Unicode.
    if label.startswith("xn--"):
        try:
            return label[4:].encode("ascii").decode("punycode")
        except UnicodeError:
            pass
    return label


@cache
def _rules() -> frozenset[str]:
    # Not by the package's own class: that takes hundreds of milliseconds to encode every name in a second way.
    from publicsuffixlist import PSLFILE

    with open(PSLFILE, encoding="utf-8") as file:
        return frozenset(line.split()[0] for line in file if line.strip() and not line.startswith("//"))
