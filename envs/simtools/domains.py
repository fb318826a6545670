"""What the built-in dialogues are about: services, and what users ask of them.

A request is worded in several ways (the last is kept for `valid_unseen`), and has a plan. Words in
braces are slots: drawn from `NAMES` (the last third of each is kept for `valid_unseen`), or kept
from an earlier request of the dialogue that this one builds on.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from agentgym.envs.simtools.dialogue import SimTool
from agentgym.types import JSON

Step = Mapping[str, Any]


@dataclass(frozen=True)
class Request:
    """Something that a user may ask for.

    Attributes:
        asked: wordings. plan: calls, then what to say; see `rules`.
        after: the requests of which one must have been made before. draw: slots drawn anew.
        never: tools that would be wrong here.
    """

    asked: tuple[str, ...]
    plan: tuple[Step, ...]
    after: tuple[str, ...] = ()
    draw: tuple[str, ...] = ()
    never: tuple[str, ...] = ()


@dataclass(frozen=True)
class Domain:
    """A service: its tools by name, and the requests that it gets."""

    tools: Mapping[str, SimTool]
    requests: Mapping[str, Request] = field(default_factory=dict)


def result(tool: str, at: str) -> dict[str, JSON]:
    """Return a value that is taken from what a tool returned."""
    return {"result": tool, "at": at}


def call(tool: str, **arguments: Any) -> Step:
    """Return a call of a plan."""
    return {"call": tool, "arguments": arguments}


def say(*parts: Any) -> Step:
    """Return the answer of a plan."""
    return {"say": list(parts)}


def _text(description: str) -> dict[str, JSON]:
    return {"type": "string", "description": description}


def _whole(least: int, most: int) -> dict[str, JSON]:
    return {"type": "integer", "minimum": least, "maximum": most}


def _one(*values: str) -> dict[str, JSON]:
    return {"type": "string", "enum": list(values)}


def _many(most: int, **properties: JSON) -> dict[str, JSON]:
    items: JSON = {"type": "object", "properties": properties, "required": [*properties]}
    return {"type": "array", "minItems": 2, "maxItems": most, "items": items}


_ID: Final[dict[str, JSON]] = {"type": "string"}


def _tool(
    name: str, description: str, takes: Mapping[str, JSON], gives: Mapping[str, JSON]
) -> tuple[str, SimTool]:
    """Return a tool whose arguments and results are all required, but for `optional_...`."""
    kinds: list[dict[str, JSON]] = []
    for properties in (takes, gives):
        named = {key.removeprefix("optional_"): value for key, value in properties.items()}
        required: list[JSON] = [key for key in properties if not key.startswith("optional_")]
        kinds.append({"type": "object", "properties": named, "required": required})
    return name, SimTool(name, description, *kinds)


DAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
SKIES: Final = ("clear", "cloudy", "rainy", "snowy", "foggy", "stormy")

NAMES: Final[Mapping[str, tuple[JSON, ...]]] = {
    "city": ("Aldport", "Brenholm", "Corvale", "Dunmere", "Estwick", "Farrow", "Galdry", "Holmby",
             "Istrel", "Jornvik", "Kesselby", "Lunden"),
    "other_city": ("Marrow Bay", "Nordholt", "Ostrava Hill", "Pellham", "Quenby", "Rothsay"),
    "nights": (1, 2, 3, 4, 5, 6),
    "day": DAYS,
    "event": ("frost", "flood", "storm", "heat", "smoke", "fog"),
    "song": ("Copper Rain", "Slow Harbour", "Nine Lanterns", "The Orchard Door", "Winter Static",
             "Paper Comet"),
    "playlist": ("Morning run", "Quiet evening", "Road trip", "Dinner", "Study", "Party"),
    "room": ("kitchen", "bedroom", "hall", "office", "bathroom", "garage"),
    "device": ("lamp", "heater", "fan", "radio", "kettle", "projector"),
    "degrees": (17, 18, 19, 20, 21, 22),
    "product": ("tent", "desk lamp", "backpack", "kettle", "notebook", "rain coat", "bicycle pump",
                "tea pot", "sleeping bag"),
    "count": (1, 2, 3, 4, 5, 6),
    "order": tuple(f"order {k}" for k in range(101, 131)),
    "cuisine": ("thai", "greek", "indian", "mexican", "italian", "korean"),
    "people": (2, 3, 4, 5, 6, 7),
    "hour": (9, 10, 11, 14, 15, 16),
    "title": ("Dentist", "Team lunch", "Piano lesson", "Budget review", "Yoga", "Car inspection"),
    "book": ("The Salt Garden", "Glass Mountains", "A Map of Rivers", "The Second Lighthouse",
             "Letters to Nobody", "Iron Feathers"),
}  # fmt: skip

TRAVEL: Final = Domain(
    dict(
        (
            _tool("search_hotels", "Find hotels in a city; prices are per night.",
                  {"city": _text("Where."), "nights": _whole(1, 30)},
                  {"hotels": _many(4, hotel_id=_ID, price=_whole(40, 240), stars=_whole(1, 5))}),
            _tool("book_hotel", "Book a room.", {"hotel_id": _ID, "nights": _whole(1, 30)},
                  {"booking_id": _ID, "deposit": _whole(10, 90), "status": _one("confirmed")}),
            _tool("get_booking", "Look up a booking.", {"booking_id": _ID},
                  {"hotel_id": _ID, "check_in": _one(*DAYS),
                   "status": _one("confirmed", "cancelled")}),
            _tool("cancel_booking", "Cancel a booking. This cannot be undone.",
                  {"booking_id": _ID}, {"status": _one("cancelled"), "fee": _whole(0, 30)}),
            _tool("search_flights", "Find flights between two cities on a day.",
                  {"origin": _text("From."), "destination": _text("To."), "day": _one(*DAYS)},
                  {"flights": _many(3, flight_id=_ID, fare=_whole(50, 600))}),
        )
    ),
    {
        "hotel": Request(
            ("What does the cheapest hotel in {city} cost per night? I stay {nights} nights.",
             "I need a place in {city} for {nights} nights. How much is the cheapest, per night?",
             "Staying {nights} nights in {city}: tell me the lowest price per night."),
            (call("search_hotels", city="{city}", nights="{nights}"),
             say("The cheapest costs ", result("search_hotels", "hotels[min price].price"),
                 " a night.")),
            draw=("city", "nights"), never=("book_hotel",)),
        "book": Request(
            ("Book that one and tell me the deposit.",
             "Good, take the cheapest. What deposit do they want?",
             "Please reserve it. How much is the deposit?"),
            (call("book_hotel", hotel_id=result("search_hotels", "hotels[min price].hotel_id"),
                  nights="{nights}"),
             say("It is booked; the deposit is ", result("book_hotel", "deposit"), ".")),
            after=("hotel",)),
        "check in": Request(
            ("On which day do I check in?", "What is the check-in day of my booking?",
             "Remind me which day the booking starts."),
            (call("get_booking", booking_id=result("book_hotel", "booking_id")),
             say("You check in on ", result("get_booking", "check_in"), ".")),
            after=("book",), never=("cancel_booking",)),
        "cancel": Request(
            ("I changed my mind, cancel the booking. Is there a fee?",
             "Cancel the hotel again and tell me the fee.",
             "Please call the booking off. What does that cost me?"),
            (call("cancel_booking", booking_id=result("book_hotel", "booking_id")),
             say("It is cancelled; the fee is ", result("cancel_booking", "fee"), ".")),
            after=("book",)),
        "flight": Request(
            ("How much is the cheapest flight from {city} to {other_city} on {day}?",
             "I want to fly on {day} from {city} to {other_city}. What is the lowest fare?",
             "Lowest fare {city} to {other_city}, {day}?"),
            (call("search_flights", origin="{city}", destination="{other_city}", day="{day}"),
             say("The lowest fare is ", result("search_flights", "flights[min fare].fare"), ".")),
            draw=("city", "other_city", "day")),
    },
)  # fmt: skip

WEATHER: Final = Domain(
    dict(
        (
            _tool("get_weather", "Tell the present weather of a city.", {"city": _text("Where.")},
                  {"sky": _one(*SKIES), "temperature": _whole(-10, 35)}),
            _tool("get_forecast", "Tell the weather of a day to come.",
                  {"city": _text("Where."), "day": _one(*DAYS)},
                  {"sky": _one(*SKIES), "wind": _whole(0, 90)}),
            _tool("set_alert", "Warn when something is expected in a city.",
                  {"city": _text("Where."), "event": _text("What, e.g. frost.")},
                  {"alert_id": _ID, "hours_ahead": _whole(1, 48)}),
            _tool("delete_alert", "Delete a warning.", {"alert_id": _ID},
                  {"status": _one("deleted"), "alerts_left": _whole(0, 9)}),
        )
    ),
    {
        "now": Request(
            ("How is the sky over {city} now?", "What does the sky look like in {city}?",
             "Describe the sky above {city}."),
            (call("get_weather", city="{city}"),
             say("It is ", result("get_weather", "sky"), ".")), draw=("city",)),
        "temperature": Request(
            ("How warm is it in {city}?", "What is the temperature in {city}?",
             "Give me the temperature for {city}."),
            (call("get_weather", city="{city}"),
             say("It is ", result("get_weather", "temperature"), " degrees.")), draw=("city",)),
        "wind": Request(
            ("How strong will the wind be in {city} on {day}?",
             "Wind speed in {city} for {day}, please.", "What wind is forecast for {city}, {day}?"),
            (call("get_forecast", city="{city}", day="{day}"),
             say("The wind will be ", result("get_forecast", "wind"), " km/h.")),
            draw=("city", "day")),
        "alert": Request(
            ("Warn me of {event} in {city}. How many hours ahead will I hear?",
             "Set a {event} alert for {city}; how many hours in advance does it come?",
             "I need a warning before {event} in {city}. With how many hours of notice?"),
            (call("set_alert", city="{city}", event="{event}"),
             say("You will hear ", result("set_alert", "hours_ahead"), " hours ahead.")),
            draw=("city", "event")),
        "no alert": Request(
            ("Delete that alert. How many are left?", "I do not need that warning: delete it and "
             "count what is left.", "Remove the alert again. How many remain?"),
            (call("delete_alert", alert_id=result("set_alert", "alert_id")),
             say("It is gone; ", result("delete_alert", "alerts_left"), " are left.")),
            after=("alert",)),
    },
)  # fmt: skip

MUSIC: Final = Domain(
    dict(
        (
            _tool("find_song", "Find a song by its title.", {"title": _text("The title.")},
                  {"song_id": _ID, "minutes": _whole(2, 12), "year": _whole(1960, 2025)}),
            _tool("create_playlist", "Make an empty playlist.", {"name": _text("Its name.")},
                  {"playlist_id": _ID, "slots": _whole(50, 400)}),
            _tool("add_song", "Add a song to a playlist.", {"playlist_id": _ID, "song_id": _ID},
                  {"position": _whole(1, 40)}),
            _tool("delete_playlist", "Delete a playlist.", {"playlist_id": _ID},
                  {"status": _one("deleted")}),
        )
    ),
    {
        "year": Request(
            ("From which year is the song {song}?", "When did {song} come out?",
             "Tell me the year of {song}."),
            (call("find_song", title="{song}"),
             say("It is from ", result("find_song", "year"), ".")), draw=("song",)),
        "list": Request(
            ("Make a playlist called {playlist}. How many songs does it hold?",
             "I want a new playlist, {playlist}. How many slots has it?",
             "Create the playlist {playlist} and tell me its number of slots."),
            (call("create_playlist", name="{playlist}"),
             say("It holds ", result("create_playlist", "slots"), " songs.")),
            draw=("playlist",)),
        "add": Request(
            ("Add the song {song} to it. At which position?",
             "Put {song} on that playlist and tell me the position.",
             "{song} should go on the list; which place did it get?"),
            (call("find_song", title="{song}"),
             call("add_song", playlist_id=result("create_playlist", "playlist_id"),
                  song_id=result("find_song", "song_id")),
             say("It is at position ", result("add_song", "position"), ".")),
            after=("list",), draw=("song",), never=("create_playlist", "delete_playlist")),
    },
)  # fmt: skip

HOME: Final = Domain(
    dict(
        (
            _tool("find_device", "Find a device in a room.",
                  {"room": _text("Which room."), "device": _text("What it is.")},
                  {"device_id": _ID, "state": _one("running", "idle"), "watts": _whole(5, 900)}),
            _tool("switch", "Switch a device on or off.",
                  {"device_id": _ID, "state": _one("on", "off")}, {"minutes_used": _whole(0, 500)}),
            _tool("set_temperature", "Set the temperature of a room.",
                  {"room": _text("Which room."), "degrees": _whole(10, 28)},
                  {"minutes_needed": _whole(5, 90)}),
            _tool("reset_home", "Switch everything off and forget all settings.", {},
                  {"status": _one("reset")}),
        )
    ),
    {
        "state": Request(
            ("Is the {device} in the {room} running or idle?", "Check whether the {device} in the "
             "{room} is running or idle.", "{device} in the {room}: running or idle?"),
            (call("find_device", room="{room}", device="{device}"),
             say("It is ", result("find_device", "state"), ".")),
            draw=("room", "device"), never=("switch",)),
        "watts": Request(
            ("How many watts does the {device} in the {room} draw?",
             "What is the power of the {device} in the {room}?",
             "Tell me the watts of the {room}'s {device}."),
            (call("find_device", room="{room}", device="{device}"),
             say("It draws ", result("find_device", "watts"), " watts.")),
            draw=("room", "device"), never=("switch", "reset_home")),
        "switch": Request(
            ("Switch it off. How many minutes was it used?",
             "Turn it off and tell me the minutes it was in use.",
             "Off with it, please. For how many minutes did it run?"),
            (call("switch", device_id=result("find_device", "device_id"), state="off"),
             say("It is off after ", result("switch", "minutes_used"), " minutes.")),
            after=("watts",), never=("reset_home",)),
        "warm": Request(
            ("Make the {room} {degrees} degrees. How many minutes will that take?",
             "Set the {room} to {degrees} degrees; how many minutes does it need?",
             "{degrees} degrees in the {room}, please. In how many minutes?"),
            (call("set_temperature", room="{room}", degrees="{degrees}"),
             say("It takes ", result("set_temperature", "minutes_needed"), " minutes.")),
            draw=("room", "degrees"), never=("reset_home",)),
    },
)  # fmt: skip

SHOPPING: Final = Domain(
    dict(
        (
            _tool("search_products", "Find what is for sale.",
                  {"query": _text("What to look for.")},
                  {"products": _many(4, product_id=_ID, price=_whole(3, 300),
                                     stock=_whole(0, 40))}),
            _tool("place_order", "Order something.", {"product_id": _ID, "count": _whole(1, 20)},
                  {"order_id": _ID, "arrives": _one(*DAYS)}),
            _tool("get_order", "Look up an order.", {"order_id": _ID},
                  {"status": _one("placed", "packed", "shipped", "cancelled"),
                   "parcel": _whole(1, 9)}),
            _tool("cancel_order", "Cancel an order. This cannot be undone.", {"order_id": _ID},
                  {"status": _one("cancelled"), "refund": _whole(3, 900)}),
        )
    ),
    {
        "price": Request(
            ("What is the cheapest {product} you have?", "I look for a {product}. What is the "
             "lowest price?", "Lowest price for a {product}?"),
            (call("search_products", query="{product}"),
             say("The cheapest costs ", result("search_products", "products[min price].price"),
                 ".")),
            draw=("product",), never=("place_order",)),
        "order": Request(
            ("Order {count} of those. On which day do they arrive?",
             "I take {count} of the cheapest. When will they be here?",
             "{count} of them, please. Which day will they come?"),
            (call("place_order", product_id=result("search_products",
                  "products[min price].product_id"), count="{count}"),
             say("They arrive on ", result("place_order", "arrives"), ".")),
            after=("price",), draw=("count",)),
        "undo": Request(
            ("No, cancel that order. What do I get back?", "Cancel what I just ordered; how much "
             "is the refund?", "I do not want it after all. How much is refunded?"),
            (call("cancel_order", order_id=result("place_order", "order_id")),
             say("It is cancelled; you get back ", result("cancel_order", "refund"), ".")),
            after=("order",), never=("place_order",)),
        "status": Request(
            ("What is the status of {order}?", "Where is {order} now, what does it say?",
             "Look up {order} for me: its status?"),
            (call("get_order", order_id="{order}"),
             say("It is ", result("get_order", "status"), ".")),
            draw=("order",), never=("cancel_order",)),
    },
)  # fmt: skip

FOOD: Final = Domain(
    dict(
        (
            _tool("find_restaurants", "Find places to eat.",
                  {"city": _text("Where."), "cuisine": _text("What kind.")},
                  {"restaurants": _many(4, restaurant_id=_ID, rating=_whole(10, 99))}),
            _tool("reserve_table", "Reserve a table.",
                  {"restaurant_id": _ID, "people": _whole(1, 12), "optional_day": _one(*DAYS)},
                  {"reservation_id": _ID, "table": _whole(1, 40)}),
            _tool("change_reservation", "Change the number of people.",
                  {"reservation_id": _ID, "people": _whole(1, 12)}, {"new_table": _whole(1, 40)}),
            _tool("cancel_reservation", "Cancel a reservation.", {"reservation_id": _ID},
                  {"status": _one("cancelled")}),
        )
    ),
    {
        "best": Request(
            ("What rating has the best {cuisine} restaurant in {city}?",
             "Find the best {cuisine} place in {city}. Its rating?",
             "Best {cuisine} food in {city}: which rating?"),
            (call("find_restaurants", city="{city}", cuisine="{cuisine}"),
             say("It is rated ", result("find_restaurants", "restaurants[max rating].rating"),
                 ".")),
            draw=("city", "cuisine"), never=("reserve_table",)),
        "table": Request(
            ("A table for {people} there, please. Which table is it?",
             "Reserve for {people} people at that place and tell me the table.",
             "We are {people}. Book the best one; what table do we get?"),
            (call("reserve_table", restaurant_id=result("find_restaurants",
                  "restaurants[max rating].restaurant_id"), people="{people}"),
             say("You have table ", result("reserve_table", "table"), ".")),
            after=("best",), draw=("people",)),
        "more": Request(
            ("We will be {people} instead. Which table now?", "Make it {people} people. What is "
             "the new table?", "Change that to {people}; where do we sit then?"),
            (call("change_reservation", reservation_id=result("reserve_table", "reservation_id"),
                  people="{people}"),
             say("You now have table ", result("change_reservation", "new_table"), ".")),
            after=("table",), draw=("people",), never=("cancel_reservation", "reserve_table")),
    },
)  # fmt: skip

CALENDAR: Final = Domain(
    dict(
        (
            _tool("add_event", "Put something into the calendar.",
                  {"title": _text("What."), "day": _one(*DAYS), "hour": _whole(0, 23)},
                  {"event_id": _ID, "reminder_minutes": _whole(5, 60)}),
            _tool("move_event", "Move an event to another day.",
                  {"event_id": _ID, "day": _one(*DAYS)}, {"events_that_day": _whole(1, 9)}),
            _tool("count_events", "Count the events of a day.", {"day": _one(*DAYS)},
                  {"events": _whole(0, 12)}),
            _tool("clear_day", "Delete all events of a day.", {"day": _one(*DAYS)},
                  {"deleted": _whole(0, 12)}),
        )
    ),
    {
        "add": Request(
            ("Add {title} on {day} at {hour}. How many minutes before am I reminded?",
             "Put {title} into my calendar, {day} at {hour}; when is the reminder, in minutes?",
             "{title} is on {day} at {hour}: note it. How many minutes ahead is the reminder?"),
            (call("add_event", title="{title}", day="{day}", hour="{hour}"),
             say("You are reminded ", result("add_event", "reminder_minutes"),
                 " minutes before.")),
            draw=("title", "day", "hour"), never=("clear_day",)),
        "move": Request(
            ("Move it to {day}. How many events are there on that day?",
             "{day} suits me better, move it; how many events has that day then?",
             "Make that {day} instead. How many events do I have then?"),
            (call("move_event", event_id=result("add_event", "event_id"), day="{day}"),
             say("There are ", result("move_event", "events_that_day"), " events that day.")),
            after=("add",), draw=("day",), never=("add_event", "clear_day")),
        "count": Request(
            ("How many events do I have on {day}?", "Count my events for {day}.",
             "{day}: how many events?"),
            (call("count_events", day="{day}"),
             say("There are ", result("count_events", "events"), ".")),
            draw=("day",), never=("clear_day",)),
    },
)  # fmt: skip

LIBRARY: Final = Domain(
    dict(
        (
            _tool("find_book", "Find a book by its title.", {"title": _text("The title.")},
                  {"book_id": _ID, "shelf": _whole(1, 80), "copies": _whole(0, 9)}),
            _tool("borrow_book", "Borrow a book.", {"book_id": _ID},
                  {"loan_id": _ID, "due": _one(*DAYS)}),
            _tool("renew_loan", "Keep a book for longer.", {"loan_id": _ID},
                  {"renewals_left": _whole(0, 5)}),
            _tool("return_book", "Give a book back.", {"loan_id": _ID},
                  {"status": _one("returned"), "fine": _whole(0, 9)}),
        )
    ),
    {
        "shelf": Request(
            ("On which shelf is {book}?", "Where do I find {book}, which shelf?",
             "Shelf number of {book}, please."),
            (call("find_book", title="{book}"),
             say("It is on shelf ", result("find_book", "shelf"), ".")),
            draw=("book",), never=("borrow_book",)),
        "borrow": Request(
            ("I want to borrow it. Until when?", "Borrow that book for me and tell me the day it "
             "is due.", "Lend it to me. On which day is it due?"),
            (call("borrow_book", book_id=result("find_book", "book_id")),
             say("It is due on ", result("borrow_book", "due"), ".")),
            after=("shelf",)),
        "renew": Request(
            ("Renew it at once. How many renewals are left?",
             "Can I keep it longer? Renew it and count what renewals are left.",
             "Extend the loan, please; how many renewals remain?"),
            (call("renew_loan", loan_id=result("borrow_book", "loan_id")),
             say("There are ", result("renew_loan", "renewals_left"), " renewals left.")),
            after=("borrow",), never=("return_book", "borrow_book")),
    },
)  # fmt: skip

DOMAINS: Final[Mapping[str, Domain]] = {
    "travel": TRAVEL,
    "weather": WEATHER,
    "music": MUSIC,
    "home": HOME,
    "shopping": SHOPPING,
    "food": FOOD,
    "calendar": CALENDAR,
    "library": LIBRARY,
}

TINY_NAMES: Final[Mapping[str, tuple[JSON, ...]]] = {
    kind: tuple(f"{kind} {k}" for k in range(1, 10)) for kind in ("city", "item", "shop", "guest")
}

TINY: Final = Domain(
    dict(
        (
            _tool("sky", "The sky over a city.", {"city": _ID},
                  {"sky": _one("clear", "cloudy", "rainy", "snowy")}),
            _tool("price", "The price of an item.", {"item": _ID}, {"coins": _whole(1, 20)}),
            _tool("room", "The room of a guest.", {"guest": _ID}, {"room": _ID}),
            _tool("stock", "How many of an item a shop has.", {"item": _ID, "shop": _ID},
                  {"left": _whole(1, 20)}),
        )
    ),
    {
        "sky": Request(("Sky over {city}?", "How is the sky over {city}?"),
                       (call("sky", city="{city}"), say(result("sky", "sky"))), draw=("city",)),
        "price": Request(("Price of {item}?", "What is the price of {item}?"),
                         (call("price", item="{item}"), say(result("price", "coins"))),
                         draw=("item",)),
        "room": Request(("Room of {guest}?", "Where is the room of {guest}?"),
                        (call("room", guest="{guest}"), say(result("room", "room"))),
                        draw=("guest",)),
        "stock": Request(("How many {item} has {shop}?", "{shop} has how many of {item}?"),
                         (call("stock", item="{item}", shop="{shop}"),
                          say(result("stock", "left"))), draw=("item", "shop")),
    },
)  # fmt: skip
"""Names of one word and a number, answers of one word: what a very small policy can learn."""
