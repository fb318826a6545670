"""The words of ALFWorld's rooms: receptacles, objects, what fits where, what can be done to what.

Classes are written as ALFWorld's data writes them ("CounterTop"); a player sees them in lower case
with a number ("countertop 1"). No receptacle shares its name with an object.
"""

from collections.abc import Mapping


def class_list(text: str) -> tuple[str, ...]:
    """Return the classes that are named in a text, sorted by lower-case name."""
    return tuple(sorted(text.split(), key=str.lower))


def _class_set(text: str) -> frozenset[str]:
    return frozenset(text.split())


OPENABLE = _class_set("Cabinet Drawer Fridge Microwave Safe")
"""Receptacles that start closed and hide what they hold."""

_TABLE = """
    AlarmClock Apple BaseballBat BasketBall Book Bowl Box Bread ButterKnife Candle CD CellPhone
    Cloth CreditCard Cup DishSponge Egg Fork Glassbottle HandTowel Kettle KeyChain Knife Ladle
    Laptop Lettuce Mug Newspaper Pan Pen Pencil PepperShaker Plate Pot Potato RemoteControl
    SaltShaker SoapBar SoapBottle Spatula Spoon SprayBottle Statue TennisRacket TissueBox
    ToiletPaper Tomato Vase Watch WateringCan WineBottle
"""
_SEAT = """
    BasketBall Book Box CellPhone Cloth CreditCard KeyChain Laptop Newspaper Pillow RemoteControl
"""
_DESK = """
    AlarmClock BasketBall Book Bowl Box Candle CD CellPhone Cloth CreditCard Cup Glassbottle
    KeyChain Laptop Mug Newspaper Pen Pencil Plate RemoteControl SprayBottle Statue TennisRacket
    TissueBox ToiletPaper Vase Watch WateringCan WineBottle
"""
_FOOD = "Apple Bread Egg Lettuce Potato Tomato"
_PAPER = "Newspaper TissueBox ToiletPaper"
_SOAP = "SoapBar SoapBottle SprayBottle"

_FITS = {
    "ArmChair": _SEAT,
    "BathtubBasin": "Cloth DishSponge HandTowel SoapBar",
    "Bed": "BaseballBat BasketBall Book CellPhone Laptop Newspaper Pillow TennisRacket",
    "Cabinet": f"""
        {_PAPER} {_SOAP} Book Bowl Box Candle CD Cloth Cup DishSponge Glassbottle HandTowel Kettle
        Ladle Mug Pan PepperShaker Plate Plunger Pot SaltShaker Vase WateringCan WineBottle
    """,
    "Cart": f"""
        {_SOAP} Candle Cloth DishSponge HandTowel Mug Plunger Statue TissueBox ToiletPaper Vase
    """,
    "CoffeeMachine": "Mug",
    "CoffeeTable": _TABLE,
    "CounterTop": _TABLE,
    "Desk": f"{_DESK} SoapBottle",
    "DiningTable": _TABLE,
    "Drawer": f"""
        {_PAPER} {_SOAP} Book ButterKnife Candle CD CellPhone Cloth CreditCard DishSponge Fork
        HandTowel KeyChain Knife Ladle Pen Pencil PepperShaker RemoteControl SaltShaker Spatula
        Spoon Watch WateringCan
    """,
    "Dresser": _DESK,
    "Fridge": f"{_FOOD} Bowl Cup Glassbottle Mug Pan Plate Pot WineBottle",
    "GarbageCan": f"{_FOOD} {_PAPER} {_SOAP} CD Cloth DishSponge HandTowel Pen Pencil WineBottle",
    "HandTowelHolder": "HandTowel",
    "LaundryHamper": "Cloth",
    "Microwave": "Apple Bowl Bread Cup Egg Glassbottle Mug Plate Potato Tomato",
    "Ottoman": _SEAT,
    "Safe": "CD CellPhone CreditCard KeyChain Statue Vase Watch",
    "Shelf": f"""
        {_PAPER} {_SOAP} AlarmClock Book Bowl Box Candle CD CellPhone Cloth CreditCard Cup
        DishSponge Glassbottle HandTowel Kettle KeyChain Mug Pen Pencil PepperShaker Plate Pot
        RemoteControl SaltShaker Statue Vase Watch WateringCan WineBottle
    """,
    "SideTable": _TABLE,
    "SinkBasin": """
        Apple Bowl ButterKnife Cloth Cup DishSponge Egg Fork Glassbottle HandTowel Kettle Knife
        Ladle Lettuce Mug Pan Plate Pot Potato SoapBar Spatula Spoon Tomato
    """,
    "Sofa": _SEAT,
    "StoveBurner": "Kettle Pan Pot",
    "Toaster": "",
    "Toilet": f"{_PAPER} {_SOAP} Candle Cloth DishSponge HandTowel",
    "ToiletPaperHanger": "ToiletPaper",
    "TowelHolder": "Towel",
    "TVStand": "TissueBox",
}

FITS: Mapping[str, frozenset[str]] = {cls: _class_set(text) for cls, text in _FITS.items()}
"""Receptacle class -> the object classes that can be put into or onto it."""

PLACEABLE = frozenset().union(*FITS.values())
"""Every object class that can be carried."""

HEATABLE = _class_set("Apple Bread Cup Egg Mug Plate Potato Tomato")
COOLABLE = _class_set(f"{_FOOD} Bowl Cup Mug Pan Plate Pot WineBottle")
CLEANABLE = _class_set("""
    Apple Bowl ButterKnife Cloth Cup DishSponge Egg Fork Kettle Knife Ladle Lettuce Mug Pan
    Plate Pot Potato SoapBar Spatula Spoon Tomato
""")
SLICEABLE = _class_set(_FOOD)
KNIVES = _class_set("ButterKnife Knife")
CONTAINERS = _class_set("Bowl Box Cup Mug Pan Plate Pot")
"""Objects that are receptacles themselves: examining them lists their (always empty) inside."""

LAMPS = _class_set("DeskLamp FloorLamp")
"""Objects that can be used and never be carried."""

LAMP_PLACES: Mapping[str, frozenset[str]] = {
    "DeskLamp": _class_set("CoffeeTable CounterTop Desk DiningTable Dresser Shelf SideTable"),
    "FloorLamp": _class_set("ArmChair Bed CoffeeTable Desk Dresser Ottoman SideTable Sofa"),
}
"""The receptacles at which each kind of lamp is found; none of them can be closed."""
