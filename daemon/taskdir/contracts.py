"""Contracts: one per task type, checked when loaded, the last good one kept (SPEC section 6.3).

A task is bound at acceptance to its contract's text by hash; a later edit does not touch it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from taskdir import strictjson, validate
from taskdir.errors import Invalid
from taskdir.lint import lint
from taskdir.validate import Checker


@dataclass(slots=True)
class Contract:
    """One type's contract, ready for use: hash of its file, the document, and a checker for each side that has one."""

    type: str
    sha256: str
    document: dict[str, Any]
    input: Checker | None
    output: Checker | None

    @property
    def defaults(self) -> dict[str, Any]:
        """Task fields that a message of this type need not name."""
        found: dict[str, Any] = self.document.get("defaults", {})
        return found

    @property
    def output_schema(self) -> Any:
        """The schema that an output must meet, None when anything goes."""
        return self.document.get("output")


def check_document(document: Any, own: Checker | None = None) -> Invalid | None:
    """Return what is wrong with a contract: its shape first, then each schema in it; None when it can be used."""
    fault = (own or validate.document("contract")).check(document)
    if fault is not None:
        if f"{fault.pointer}/".startswith("/defaults/"):
            fault.code = "contract-default"
        return fault
    for side in ("input", "output"):
        if side in document and (fault := lint(document[side], f"/{side}")) is not None:
            return fault
    return None


def compile_contract(type: str, sha256: str, document: dict[str, Any]) -> Contract:
    """Make a checked document ready for use. Raises Invalid (schema-invalid) if an engine still refuses it."""
    sides = {side: Checker(document[side]) if side in document else None for side in ("input", "output")}
    return Contract(type, sha256, document, sides["input"], sides["output"])


def parse(type: str, data: bytes, own: Checker | None = None) -> Contract:
    """Read, check and compile the bytes of contracts/<type>.json. Raises Invalid."""
    document = strictjson.loads(data)
    fault = check_document(document, own)
    if fault is not None:
        raise fault
    return compile_contract(type, hashlib.sha256(data).hexdigest(), document)


class Catalog:
    """The contracts in force: by type for new tasks, by hash for tasks that are bound to one."""

    def __init__(self, keys: Catalog | None = None) -> None:
        """``keys`` holds the contracts of shared state, contracts/state/<key>.json: their ``input`` is the value's."""
        self.keys = keys
        self._own = validate.document("contract")
        self._by_type: dict[str, Contract] = {}
        self._by_hash: dict[str, Contract] = {}
        self.faults: dict[str, Invalid] = {}

    def load(self, type: str, data: bytes) -> None:
        """Take the bytes of a contract file: a good one comes into force, a bad one leaves the last good one there."""
        try:
            contract = parse(type, data, self._own)
        except Invalid as fault:
            self.refuse(type, fault)
            return
        self.faults.pop(type, None)
        self.put(contract)

    def refuse(self, type: str, fault: Invalid) -> None:
        """Remember what is wrong with a contract file; the last good text stays in force."""
        self.faults[type] = fault

    def put(self, contract: Contract) -> None:
        """Bring a contract into force."""
        self._by_type[contract.type] = contract
        self._by_hash[contract.sha256] = contract

    def drop(self, type: str) -> None:
        """Forget a type whose file is gone; tasks that are bound to it go on."""
        self._by_type.pop(type, None)
        self.faults.pop(type, None)

    def get(self, type: str) -> Contract | None:
        """Return the contract in force for new tasks of a type."""
        return self._by_type.get(type)

    def state_checker(self, key: str) -> Checker | None:
        """Return the checker for a key's values, None when anything may be put there."""
        contract = self.keys.get(key) if self.keys is not None else None
        return contract.input if contract is not None else None

    def __str__(self) -> str:
        """Say how many contracts are in force, and which files cannot be used, in words."""
        keys = self.keys or Catalog()
        named = {**self.faults, **{f"state/{key}": fault for key, fault in keys.faults.items()}}
        bad = "".join(f"; contracts/{name}.json cannot be used: {fault.message}" for name, fault in named.items())
        return f"contracts of {len(self._by_type)} types and {len(keys.types())} keys are in force{bad}"

    def types(self) -> list[str]:
        """Return the types that exist, sorted."""
        return sorted(self._by_type)

    def find(self, sha256: str) -> Contract | None:
        """Return the contract with this hash if it is at hand."""
        return self._by_hash.get(sha256)

    def bound(self, type: str, sha256: str, document: Any) -> Contract:
        """Return the contract with this hash, compiling ``document`` when it is not at hand."""
        if sha256 not in self._by_hash:
            self._by_hash[sha256] = compile_contract(type, sha256, document)
        return self._by_hash[sha256]
