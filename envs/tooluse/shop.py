"""A shop: orders that are cancelled, taken back, changed and refunded."""

from collections.abc import Iterable
from typing import ClassVar, Final, Literal

from agentgym.envs.tooluse.answers import Answer
from agentgym.envs.tooluse.names import Setting
from agentgym.envs.tooluse.wordings import SHOP
from agentgym.envs.tooluse.world import Goal, Record, World, call, goal_of, lines
from agentgym.errors import ToolError
from agentgym.types import ToolCall

__all__ = ["Shop"]

PAID: Final = ("card", "transfer", "voucher")
ENDED: Final = ("cancelled", "returned")


class Shop(World):
    """Orders, customers and goods of a shop."""

    name = "shop"
    about = "You look after the orders of a shop."
    rules = (
        "An order that is given up is cancelled while it is open, and taken back once it was "
        "delivered.",
        "Only open orders may be changed. A shipped order may be neither changed, nor cancelled, "
        "nor taken back.",
        "Money goes back only when that is asked for, after the order was cancelled or taken back, "
        "and only in the way in which the order was paid.",
        "An item may be swapped only for one of which some are left.",
        "Never delete an order. Write to customers only when asked.",
    )
    tools = (
        *("find", "show", "item", "customer"),
        *("cancel", "take_back", "refund", "send_to", "swap"),
        *("delete", "remind", "gift_wrap"),  # never right
    )
    looks = frozenset(("find", "show", "item", "customer"))
    kinds: ClassVar = {
        "tiny": ("drop", "send", "paid"),
        "small": ("drop", "money_back", "send", "swap", "paid", "left"),
        "full": ("drop", "money_back", "send", "swap", "paid", "left", "total"),
    }

    def fill(self, setting: Setting) -> None:
        """Make up customers, goods and orders; no customer ordered an item twice."""
        dice = setting.dice
        people = setting.names("person", setting.number(4, 6, 20))
        items = setting.names("item", setting.number(6, 8, 16))
        cities = setting.pool("city")
        self.state = {
            "customers": {
                who: {"city": dice.one(cities), "points": dice.between(0, 90)} for who in people
            },
            "items": {
                what: {"price": setting.amount(11, 99), "left": max(0, dice.between(-4, 40))}
                for what in items
            },
            "orders": {},
        }
        pairs = [(who, what) for who in people for what in items]
        if setting.size == "tiny":  # one order each
            pairs = [(who, dice.one(items)) for who in people]
        pairs = dice.some(pairs, setting.number(4, 12, 60))
        for key, (who, what) in zip(setting.ids("order", len(pairs)), pairs, strict=True):
            self.state["orders"][key] = {
                "customer": who,
                "item": what,
                "price": self.state["items"][what]["price"],
                "status": dice.one(("open", "open", "delivered", "delivered", "shipped")),
                "city": self.state["customers"][who]["city"],
                "paid": dice.one(PAID),
                "money_back": "",
                "notes": "",
            }

    # Tools ----------------------------------------------------------------------------------------

    def find(self, customer: str) -> str:
        """List the orders of a customer.

        Args:
            customer: the name.
        """
        self.known("customers", customer)
        orders = self.state["orders"].items()
        return lines(
            [f"{k}: {o['item']}, {o['status']}" for k, o in orders if o["customer"] == customer],
            "no orders",
        )

    def show(self, id: str) -> str:
        """Show all about an order.

        Args:
            id: of the order, such as "order 7".
        """
        o = self._order(id)
        back = f", refunded by {o['money_back']}" if o["money_back"] else ""
        return (
            f"{o['price']} paid by {o['paid']}, {o['status']}, {o['item']} for {o['customer']}, "
            f"to {o['city']}{back}{o['notes']}"
        )

    def item(self, name: str) -> str:
        """Tell the price of an item and how many are left.

        Args:
            name: of the item.
        """
        found = self.known("items", name)
        return f"price {found['price']}, left {found['left']}"

    def customer(self, name: str) -> str:
        """Tell where a customer lives and how many points they have.

        Args:
            name: of the customer.
        """
        found = self.known("customers", name)
        return f"{found['city']}, {found['points']} points"

    def cancel(self, id: str) -> str:
        """Cancel an open order.

        Args:
            id: of the order.
        """
        self._must_be(id, "open", "cancelled")["status"] = "cancelled"
        return "cancelled"

    def take_back(self, id: str) -> str:
        """Take a delivered order back.

        Args:
            id: of the order.
        """
        self._must_be(id, "delivered", "taken back")["status"] = "returned"
        return "taken back"

    def refund(self, id: str, by: Literal["card", "transfer", "voucher"]) -> str:
        """Pay the price of a cancelled or returned order back.

        Args:
            id: of the order.
            by: the way of payment.
        """
        order = self._order(id)
        if order["status"] not in ENDED:
            raise ToolError(f"it is {order['status']}; there is nothing to pay back")
        if order["money_back"]:
            raise ToolError(f"it was paid back already, by {order['money_back']}")
        order["money_back"] = by
        return f"{order['price']} paid back by {by}"

    def send_to(self, id: str, city: str) -> str:
        """Change the city that an open order goes to.

        Args:
            id: of the order.
            city: where it shall go.
        """
        order = self._must_be(id, "open", "sent elsewhere")
        if not city.isalpha() or len(city) > 40:
            raise ToolError("that is no city")
        order["city"] = city
        return f"goes to {city}"

    def swap(self, id: str, item: str) -> str:
        """Put another item into an open order.

        Args:
            id: of the order.
            item: the new one.
        """
        order = self._must_be(id, "open", "changed")
        new = self.known("items", item)
        if int(new["left"]) < 1:
            raise ToolError(f"no {item} is left")
        order["item"], order["price"] = item, new["price"]
        return f"now {item}, {new['price']}"

    def delete(self, id: str) -> str:
        """Delete an order for good.

        Args:
            id: of the order.
        """
        self._order(id)
        del self.state["orders"][id]
        return "deleted"

    def remind(self, id: str) -> str:
        """Write to the customer of an order that it is on its way.

        Args:
            id: of the order.
        """
        self._order(id)["notes"] = ", reminded"
        return "written"

    def gift_wrap(self, id: str) -> str:
        """Have an order wrapped as a gift.

        Args:
            id: of the order.
        """
        self._order(id)["notes"] = ", gift"
        return "wrapped"

    def _order(self, id: str) -> Record:
        return self.known("orders", id)

    def _must_be(self, id: str, status: str, verb: str) -> Record:
        order = self._order(id)
        if order["status"] != status:
            raise ToolError(f"it is {order['status']} and cannot be {verb}")
        return order

    def values(self, argument: str) -> Iterable[str]:
        """Return the values of an argument."""
        match argument:
            case "id":
                return self.state["orders"]
            case "customer":
                return self.state["customers"]
            case "city":
                return sorted({str(c["city"]) for c in self.state["customers"].values()})
            case "item":
                return self.state["items"]
            case "by":
                return PAID
        return ()

    def mend(self, table: str, key: str, before: Record | None) -> Iterable[ToolCall]:
        """Return calls that undo another city or item of an order."""
        now = self.state[table].get(key)
        if table == "orders" and now and before:
            if now["item"] != before["item"]:
                yield call("swap", id=key, item=before["item"])
            if now["city"] != before["city"]:
                yield call("send_to", id=key, city=before["city"])

    # Goals ----------------------------------------------------------------------------------------

    def goal(self, kind: str, setting: Setting, taken: set[str]) -> Goal | None:
        """Make up a goal about an order, an item or a customer."""
        if kind == "left":
            return self._left(setting, taken)
        if kind == "total":
            return self._total(setting, taken)
        dice = setting.dice
        wanted = {
            "drop": ("open", "delivered"),
            "money_back": ("open", "delivered"),
            "send": ("open",),
            "swap": ("open",),
            "paid": ("open", "delivered", "shipped"),
        }[kind]
        impossible = kind != "paid" and dice.chance(0.15)
        if impossible:
            wanted = ("shipped",) if kind in ("drop", "money_back") else ("shipped", "delivered")
        orders = self.free("orders", taken, setting)
        found = next(((k, o) for k, o in orders if o["status"] in wanted), None)
        if found is None:
            return None
        key, order = found
        who, what = str(order["customer"]), str(order["item"])
        taken.update((key, who))
        looks, acts, answers = [call("find", customer=who)], [], []
        ending = call("cancel" if order["status"] == "open" else "take_back", id=key)
        more = ""
        if kind == "drop":
            acts = [ending]
        elif kind == "money_back":
            looks.append(call("show", id=key))
            acts = [ending, call("refund", id=key, by=order["paid"])]
        elif kind == "send":
            more = dice.one([city for city in setting.pool("city") if city != order["city"]])
            acts = [call("send_to", id=key, city=more)]
        elif kind == "swap":
            shelf = self.state["items"]
            fitting = [i for i, row in shelf.items() if i != what and int(row["left"]) > 0]
            if not fitting:
                return None
            more = dice.one(fitting)
            looks.append(call("item", name=more))
            acts = [call("swap", id=key, item=more)]
        else:
            looks.append(call("show", id=key))
            answers = [Answer(str(order["price"]))]
        if impossible:
            acts, looks = [], looks[:1]
        pieces = setting.words(*SHOP[kind], who=who, what=what, more=more)
        return goal_of(kind, (who, what, more), pieces, looks, acts, answers, impossible)

    def _left(self, setting: Setting, taken: set[str]) -> Goal | None:
        items = self.free("items", taken, setting)
        if not items:
            return None
        what, row = items[0]
        taken.add(what)
        pieces = setting.words(*SHOP["left"], what=what)
        answer = Answer(str(row["left"]))
        return goal_of("left", (what,), pieces, (call("item", name=what),), (), (answer,))

    def _total(self, setting: Setting, taken: set[str]) -> Goal | None:
        for who, _ in self.free("customers", taken, setting):
            mine = {k: o for k, o in self.state["orders"].items() if o["customer"] == who}
            there = {k: o for k, o in mine.items() if o["status"] == "delivered"}
            if len(there) < 2 or taken & mine.keys():
                continue
            taken.update((who, *mine))
            looks = (call("find", customer=who), *(call("show", id=key) for key in sorted(there)))
            answer = Answer(str(sum(int(order["price"]) for order in there.values())))
            pieces = setting.words(*SHOP["total"], who=who)
            return goal_of("total", (who,), pieces, looks, (), (answer,))
        return None
