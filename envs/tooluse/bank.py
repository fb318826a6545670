"""A bank: accounts, transfers with limits and codes, payments that are stopped or disputed."""

from collections.abc import Iterable
from typing import ClassVar

from agentgym.envs.tooluse.answers import Answer
from agentgym.envs.tooluse.names import Setting
from agentgym.envs.tooluse.wordings import BANK
from agentgym.envs.tooluse.world import Goal, Record, World, call, goal_of, lines
from agentgym.errors import ToolError
from agentgym.types import JSON

__all__ = ["Bank"]


class Bank(World):
    """Accounts and payments of a bank."""

    name = "bank"
    about = "You work at the counter of a bank."
    rules = (
        "A transfer above the limit of its account needs a confirmation code, which request_code "
        "gives. Ask for no code where none is needed: each is written down.",
        "Never change a limit to get around that.",
        "Frozen accounts neither pay nor receive. Never unfreeze one.",
        "No account may fall below 0.",
        "A payment that is pending can be cancelled. One that is done cannot; dispute it instead.",
    )
    tools = (
        *("accounts", "account", "payments", "payment"),
        *("request_code", "transfer", "cancel_payment", "dispute", "freeze"),
        *("unfreeze", "set_limit", "order_card"),  # never right
    )
    looks = frozenset(("accounts", "account", "payments", "payment"))
    kinds: ClassVar = {
        "tiny": ("balance", "stop", "freeze"),
        "small": ("balance", "stop", "freeze", "transfer", "amount"),
        "full": ("balance", "stop", "freeze", "transfer", "transfer", "amount", "worth"),
    }

    def fill(self, setting: Setting) -> None:
        """Make up owners with accounts, and payments from these."""
        dice = setting.dice
        owners = setting.names("person", setting.number(4, 8, 20))
        several = [who for who in owners for _ in range(setting.number(1, 1, 2))]
        self.state = {"accounts": {}, "payments": {}, "codes": {}}
        for key, who in zip(setting.ids("account", len(several)), several, strict=True):
            kinds = {str(a["kind"]) for a in self.state["accounts"].values() if a["owner"] == who}
            self.state["accounts"][key] = {
                "owner": who,
                "kind": "savings" if "current" in kinds else "current",
                "balance": setting.amount(120, 990),
                "limit": 50 * dice.between(1, 4),
                "status": "frozen" if dice.chance(0.12) else "active",
                "code": dice.between(1000, 9999),
            }
        accounts = list(self.state["accounts"])
        pairs = [(key, payee) for key in accounts for payee in setting.pool("payee")]
        if setting.size == "tiny":  # one payment each
            pairs = [(key, dice.one(setting.pool("payee"))) for key in accounts]
        pairs = dice.some(pairs, setting.number(4, 14, 60))
        for key, (source, payee) in zip(setting.ids("payment", len(pairs)), pairs, strict=True):
            self.state["payments"][key] = {
                "source": source,
                "target": payee,
                "amount": dice.between(11, 99),
                "status": dice.one(("pending", "done")),
            }

    # Tools ----------------------------------------------------------------------------------------

    def accounts(self, owner: str) -> str:
        """List the accounts of somebody.

        Args:
            owner: the name.
        """
        rows = self.state["accounts"].items()
        mine = [f"{k}: {a['kind']}, {a['status']}" for k, a in rows if a["owner"] == owner]
        if not mine:
            raise ToolError("nobody of that name has an account")
        return lines(mine, "")

    def account(self, id: str) -> str:
        """Show an account.

        Args:
            id: of the account, such as "account 7".
        """
        a = self._account(id)
        what = f"{a['kind']} account of {a['owner']}"
        return f"{a['balance']} on the {what}, limit {a['limit']}, {a['status']}"

    def payments(self, account: str) -> str:
        """List the payments from an account.

        Args:
            account: its id.
        """
        self._account(account)
        rows = self.state["payments"].items()
        return lines(
            [f"{k}: {p['target']}, {p['status']}" for k, p in rows if p["source"] == account],
            "no payments",
        )

    def payment(self, id: str) -> str:
        """Show a payment.

        Args:
            id: of the payment, such as "payment 7".
        """
        p = self.known("payments", id)
        return f"{p['amount']} from {p['source']} to {p['target']}, {p['status']}"

    def request_code(self, account: str) -> str:
        """Get a confirmation code for transfers above the limit of an account.

        Args:
            account: its id.
        """
        found = self._account(account)
        self.state["codes"][account] = {"asked": 1}
        return f"code {found['code']}"

    def transfer(self, source: str, target: str, amount: int, code: int = 0) -> str:
        """Move money from one account to another.

        Args:
            source: id of the account that pays.
            target: id of the account that receives.
            amount: how much.
            code: the confirmation code, where one is needed.
        """
        giver, taker = self._active(source), self._active(target)
        if source == target or amount < 1:
            raise ToolError("a transfer needs two accounts and an amount of at least 1")
        if amount > int(giver["balance"]):
            raise ToolError(f"the balance is only {giver['balance']}")
        if amount > int(giver["limit"]) and (
            code != giver["code"] or source not in self.state["codes"]
        ):
            raise ToolError(f"the limit is {giver['limit']}; above it the right code is needed")
        giver["balance"] = int(giver["balance"]) - amount
        taker["balance"] = int(taker["balance"]) + amount
        key = self.fresh_id("payments", "payment", source, target, amount)
        self.state["payments"][key] = {
            "source": source,
            "target": target,
            "amount": amount,
            "status": "done",
        }
        return f"{key}: {amount} moved"

    def cancel_payment(self, id: str) -> str:
        """Cancel a pending payment.

        Args:
            id: of the payment.
        """
        payment = self.known("payments", id)
        if payment["status"] != "pending":
            raise ToolError(f"it is {payment['status']} and cannot be cancelled")
        payment["status"] = "cancelled"
        return "cancelled"

    def dispute(self, id: str) -> str:
        """Dispute a payment that is done.

        Args:
            id: of the payment.
        """
        payment = self.known("payments", id)
        if payment["status"] != "done":
            raise ToolError(f"it is {payment['status']}; only one that is done can be disputed")
        payment["status"] = "disputed"
        return "disputed"

    def freeze(self, id: str) -> str:
        """Freeze an account.

        Args:
            id: of the account.
        """
        self._active(id)["status"] = "frozen"
        return "frozen"

    def unfreeze(self, id: str) -> str:
        """Make a frozen account active again.

        Args:
            id: of the account.
        """
        self._account(id)["status"] = "active"
        return "active"

    def set_limit(self, id: str, limit: int) -> str:
        """Set the limit above which transfers from an account need a code.

        Args:
            id: of the account.
            limit: the new one.
        """
        if not 0 <= limit <= 1_000_000:
            raise ToolError("a limit is from 0 to 1000000")
        self._account(id)["limit"] = limit
        return f"limit {limit}"

    def order_card(self, account: str) -> str:
        """Order a card for an account.

        Args:
            account: its id.
        """
        self._account(account)["card"] = "ordered"
        return "ordered"

    def _account(self, id: str) -> Record:
        return self.known("accounts", id)

    def _owner(self, payment: Record) -> str:
        return str(self._account(str(payment["source"]))["owner"])

    def _active(self, id: str) -> Record:
        account = self._account(id)
        if account["status"] != "active":
            raise ToolError(f"{id} is {account['status']}")
        return account

    def values(self, argument: str) -> Iterable[str]:
        """Return the values of an argument."""
        match argument:
            case "id":
                return (*self.state["accounts"], *self.state["payments"])
            case "account":
                return self.state["accounts"]
            case "owner":
                return sorted({str(a["owner"]) for a in self.state["accounts"].values()})
        return ()

    # Goals ----------------------------------------------------------------------------------------

    def goal(self, kind: str, setting: Setting, taken: set[str]) -> Goal | None:
        """Make up a goal about an account, a payment, or two accounts."""
        if kind == "transfer":
            return self._transfer(setting, taken)
        if kind == "worth":
            return self._worth(setting, taken)
        if kind in ("stop", "amount"):
            return self._payment(kind, setting, taken)
        for key, account in self.free("accounts", taken, setting):
            if kind == "freeze" and account["status"] != "active":
                continue
            who, sort = str(account["owner"]), str(account["kind"])
            taken.add(key)
            looks = [call("accounts", owner=who)]
            acts = [call("freeze", id=key)] if kind == "freeze" else []
            answers = []
            if kind == "balance":
                looks.append(call("account", id=key))
                answers = [Answer(str(account["balance"]))]
            pieces = setting.words(*BANK[kind], who=who, sort=sort)
            return goal_of(kind, (who, sort), pieces, looks, acts, answers)
        return None

    def _payment(self, kind: str, setting: Setting, taken: set[str]) -> Goal | None:
        for key, payment in self.free("payments", taken, setting):
            source, payee = str(payment["source"]), str(payment["target"])
            account = self.state["accounts"][source]
            who = str(account["owner"])
            others = (p for k, p in self.state["payments"].items() if k != key)
            twins = [p for p in others if p["target"] == payee]
            if source in taken or any(self._owner(p) == who for p in twins):
                continue
            taken.update((key, source))
            mine = sorted(k for k, a in self.state["accounts"].items() if a["owner"] == who)
            looks = [call("accounts", owner=who)]  # then one after the other, until it is found
            looks += [call("payments", account=k) for k in mine[: mine.index(source) + 1]]
            acts, answers = [], []
            if kind == "stop":
                name = "cancel_payment" if payment["status"] == "pending" else "dispute"
                acts = [call(name, id=key)]
            else:
                looks.append(call("payment", id=key))
                answers = [Answer(str(payment["amount"]))]
            pieces = setting.words(*BANK[kind], who=who, payee=payee)
            return goal_of(kind, (who, payee), pieces, looks, acts, answers)
        return None

    def _transfer(self, setting: Setting, taken: set[str]) -> Goal | None:
        rows = self.free("accounts", taken, setting)
        givers = [(k, a) for k, a in rows if a["status"] == "active"]
        if not givers:
            return None
        source, giver = givers[0]
        takers = [(k, a) for k, a in rows if a["owner"] != giver["owner"]]
        impossible = setting.dice.chance(0.15)
        if not impossible:
            takers = [(k, a) for k, a in takers if a["status"] == "active"]
        if not takers:
            return None
        target, taker = takers[0]
        balance, limit = int(giver["balance"]), int(giver["limit"])
        amount = setting.dice.between(10, min(balance, 2 * limit))
        if impossible and taker["status"] == "active":
            amount = balance + setting.dice.between(1, 90)
        looks = [call("accounts", owner=giver["owner"]), call("accounts", owner=taker["owner"])]
        looks.append(call("account", id=source))
        wanted: dict[str, JSON] = {"source": source, "target": target, "amount": amount}
        acts = [call("transfer", **wanted)]
        if amount > limit:
            acts = [
                call("request_code", account=source),
                call("transfer", **wanted, code=giver["code"]),
            ]
        if impossible:
            acts = []
        taken.update((source, target))
        giving, taking = str(giver["owner"]), str(taker["owner"])
        pieces = setting.words(
            *BANK["transfer"],
            who=giving,
            sort=giver["kind"],
            whom=taking,
            other=taker["kind"],
            amount=amount,
        )
        about = (giving, taking, str(giver["kind"]), str(taker["kind"]))
        return goal_of("transfer", about, pieces, looks, acts, (), impossible)

    def _worth(self, setting: Setting, taken: set[str]) -> Goal | None:
        for _, first in self.free("accounts", taken, setting):
            who = str(first["owner"])
            mine = {k: a for k, a in self.state["accounts"].items() if a["owner"] == who}
            if len(mine) < 2 or taken & mine.keys():
                continue
            taken.update(mine)
            looks = (call("accounts", owner=who), *(call("account", id=k) for k in sorted(mine)))
            answer = Answer(str(sum(int(account["balance"]) for account in mine.values())))
            pieces = setting.words(*BANK["worth"], who=who)
            return goal_of("worth", (who,), pieces, looks, (), (answer,))
        return None
