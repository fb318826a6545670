"""A store of texts under keys."""

from typing import Final, Literal

from agentgym.errors import ToolError, nearest

__all__ = ["KeyValue"]

MAX_KEY: Final = 200


class KeyValue:
    """A key-value store: put, get, delete, list.

    Attributes:
        items: what is stored, in the order in which the keys came first.
    """

    name = "kv"

    def __init__(self, *, max_items: int = 1000, max_value: int = 10_000) -> None:
        """Make an empty store.

        Args:
            max_items: keys at most.
            max_value: characters of a value at most.
        """
        self.items: dict[str, str] = {}
        self.max_items, self.max_value = max_items, max_value

    def __call__(
        self, action: Literal["get", "put", "delete", "list"], key: str = "", value: str = ""
    ) -> str:
        """Remember texts under keys.

        Args:
            action: "put" stores the value under the key (and replaces what was there), "get" shows
                it, "delete" removes it, "list" shows all keys that begin with `key`.
            key: the key; for "list" how keys begin, or nothing for all of them.
            value: the text to put.
        """
        if action == "list":
            found = sorted(each for each in self.items if each.startswith(key))
            return "\n".join(found) or "(no keys)"
        if not key:
            raise ToolError(f"{action} needs a key")
        if action == "put":
            return self._put(key, value)
        if key not in self.items:
            raise ToolError(f"there is no key {key[:80]!r}; {nearest(key[:80], self._first())}")
        if action == "delete":
            del self.items[key]
            return f"deleted {key}"
        return self.items[key]

    def _put(self, key: str, value: str) -> str:
        if len(key) > MAX_KEY:
            raise ToolError(f"the key has {len(key)} characters; at most {MAX_KEY}")
        if len(value) > self.max_value:
            raise ToolError(f"the value has {len(value)} characters; at most {self.max_value}")
        if key not in self.items and len(self.items) >= self.max_items:
            raise ToolError(f"the store is full ({self.max_items} keys); delete something first")
        what = "replaced" if key in self.items else "stored"
        self.items[key] = value
        return f"{what} {key}"

    def _first(self) -> list[str]:
        """Return the keys that a message may name."""
        return sorted(self.items)[:50]
