"""The built-in services: what their tools take and give, and what users ask of them."""

from collections.abc import Mapping
from typing import Final

from agentgym.envs.simtools.domains import (
    DAYS,
    ID,
    SKIES,
    Domain,
    Request,
    call,
    many,
    one,
    result,
    say,
    text,
    tool,
    whole,
)  # fmt: skip

TRAVEL: Final = Domain(
    dict(
        (
            tool("search_hotels", "Find hotels in a city; prices are per night.",
                  {"city": text("Where."), "nights": whole(1, 30)},
                  {"hotels": many(4, hotel_id=ID, price=whole(40, 240), stars=whole(1, 5))}),
            tool("book_hotel", "Book a room.", {"hotel_id": ID, "nights": whole(1, 30)},
                  {"booking_id": ID, "deposit": whole(10, 90), "status": one("confirmed")}),
            tool("get_booking", "Look up a booking.", {"booking_id": ID},
                  {"hotel_id": ID, "check_in": one(*DAYS),
                   "status": one("confirmed", "cancelled")}),
            tool("cancel_booking", "Cancel a booking. This cannot be undone.",
                  {"booking_id": ID}, {"status": one("cancelled"), "fee": whole(0, 30)}),
            tool("search_flights", "Find flights between two cities on a day.",
                  {"origin": text("From."), "destination": text("To."), "day": one(*DAYS)},
                  {"flights": many(3, flight_id=ID, fare=whole(50, 600))}),
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
            tool("get_weather", "Tell the present weather of a city.", {"city": text("Where.")},
                  {"sky": one(*SKIES), "temperature": whole(-10, 35)}),
            tool("get_forecast", "Tell the weather of a day to come.",
                  {"city": text("Where."), "day": one(*DAYS)},
                  {"sky": one(*SKIES), "wind": whole(0, 90)}),
            tool("set_alert", "Warn when something is expected in a city.",
                  {"city": text("Where."), "event": text("What, e.g. frost.")},
                  {"alert_id": ID, "hours_ahead": whole(1, 48)}),
            tool("delete_alert", "Delete a warning.", {"alert_id": ID},
                  {"status": one("deleted"), "alerts_left": whole(0, 9)}),
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
            tool("find_song", "Find a song by its title.", {"title": text("The title.")},
                  {"song_id": ID, "minutes": whole(2, 12), "year": whole(1960, 2025)}),
            tool("create_playlist", "Make an empty playlist.", {"name": text("Its name.")},
                  {"playlist_id": ID, "slots": whole(50, 400)}),
            tool("add_song", "Add a song to a playlist.", {"playlist_id": ID, "song_id": ID},
                  {"position": whole(1, 40)}),
            tool("delete_playlist", "Delete a playlist.", {"playlist_id": ID},
                  {"status": one("deleted")}),
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
            tool("find_device", "Find a device in a room.",
                  {"room": text("Which room."), "device": text("What it is.")},
                  {"device_id": ID, "state": one("running", "idle"), "watts": whole(5, 900)}),
            tool("switch", "Switch a device on or off.",
                  {"device_id": ID, "state": one("on", "off")}, {"minutes_used": whole(0, 500)}),
            tool("set_temperature", "Set the temperature of a room.",
                  {"room": text("Which room."), "degrees": whole(10, 28)},
                  {"minutes_needed": whole(5, 90)}),
            tool("reset_home", "Switch everything off and forget all settings.", {},
                  {"status": one("reset")}),
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
            tool("search_products", "Find what is for sale.",
                  {"query": text("What to look for.")},
                  {"products": many(4, product_id=ID, price=whole(3, 300),
                                     stock=whole(0, 40))}),
            tool("place_order", "Order something.", {"product_id": ID, "count": whole(1, 20)},
                  {"order_id": ID, "arrives": one(*DAYS)}),
            tool("get_order", "Look up an order.", {"order_id": ID},
                  {"status": one("placed", "packed", "shipped", "cancelled"),
                   "parcel": whole(1, 9)}),
            tool("cancel_order", "Cancel an order. This cannot be undone.", {"order_id": ID},
                  {"status": one("cancelled"), "refund": whole(3, 900)}),
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
            tool("find_restaurants", "Find places to eat.",
                  {"city": text("Where."), "cuisine": text("What kind.")},
                  {"restaurants": many(4, restaurant_id=ID, rating=whole(10, 99))}),
            tool("reserve_table", "Reserve a table.",
                  {"restaurant_id": ID, "people": whole(1, 12), "optional_day": one(*DAYS)},
                  {"reservation_id": ID, "table": whole(1, 40)}),
            tool("change_reservation", "Change the number of people.",
                  {"reservation_id": ID, "people": whole(1, 12)}, {"new_table": whole(1, 40)}),
            tool("cancel_reservation", "Cancel a reservation.", {"reservation_id": ID},
                  {"status": one("cancelled")}),
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
            tool("add_event", "Put something into the calendar.",
                  {"title": text("What."), "day": one(*DAYS), "hour": whole(0, 23)},
                  {"event_id": ID, "reminder_minutes": whole(5, 60)}),
            tool("move_event", "Move an event to another day.",
                  {"event_id": ID, "day": one(*DAYS)}, {"events_that_day": whole(1, 9)}),
            tool("count_events", "Count the events of a day.", {"day": one(*DAYS)},
                  {"events": whole(0, 12)}),
            tool("clear_day", "Delete all events of a day.", {"day": one(*DAYS)},
                  {"deleted": whole(0, 12)}),
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
            tool("find_book", "Find a book by its title.", {"title": text("The title.")},
                  {"book_id": ID, "shelf": whole(1, 80), "copies": whole(0, 9)}),
            tool("borrow_book", "Borrow a book.", {"book_id": ID},
                  {"loan_id": ID, "due": one(*DAYS)}),
            tool("renew_loan", "Keep a book for longer.", {"loan_id": ID},
                  {"renewals_left": whole(0, 5)}),
            tool("return_book", "Give a book back.", {"loan_id": ID},
                  {"status": one("returned"), "fine": whole(0, 9)}),
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

TINY: Final = Domain(
    dict(
        (
            tool("sky", "The sky over a city.", {"city": ID},
                  {"sky": one("clear", "cloudy", "rainy", "snowy")}),
            tool("price", "The price of an item.", {"item": ID}, {"coins": whole(1, 20)}),
            tool("room", "The room of a guest.", {"guest": ID}, {"room": ID}),
            tool("stock", "How many of an item a shop has.", {"item": ID, "shop": ID},
                  {"left": whole(1, 20)}),
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
