"""The words of the built-in encyclopedias: names, relations, and how they are told and asked."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


def _list(text: str) -> tuple[str, ...]:
    return tuple(text.split())


@dataclass(frozen=True, slots=True)
class Relation:
    """What one entry of an encyclopedia says of another, or a word or number that it has.

    Attributes:
        subject: the kind of entry that has it. value: the kind of entry it leads to, or what else
            its values are ("goods", "year", ...).
        told: sentences with {s} for the subject and {v} for the value.
        phrase: the value in terms of the subject {x}, for questions that go on from there; empty
            where none go on.
        asked: questions for the value, with {x} for the subject.
    """

    subject: str
    value: str
    told: tuple[str, ...]
    phrase: str
    asked: tuple[str, ...]


RELATIONS: Final[Mapping[str, Relation]] = {
    "birthplace": Relation(
        "person", "town",
        ("{s} was born in {v}.", "{s} came into the world in {v}.", "{s} was a native of {v}."),
        "the birthplace of {x}",
        ("Where was {x} born?", "In which town was {x} born?"),
    ),
    "teacher": Relation(
        "person", "person",
        ("{s} was taught by {v}.", "{s} was a pupil of {v}.", "{s} learned the trade from {v}."),
        "the teacher of {x}",
        ("Who taught {x}?", "Who was the teacher of {x}?"),
    ),
    "employer": Relation(
        "person", "organisation",
        ("{s} worked for {v}.", "{s} spent many years with {v}.", "{s} earned a living at {v}."),
        "the employer of {x}",
        ("For whom did {x} work?", "Who was the employer of {x}?"),
    ),
    "residence": Relation(
        "person", "town",
        ("{s} later lived in {v}.", "{s} settled in {v} in later life."),
        "the later home of {x}",
        ("Where did {x} live later?", "In which town did {x} settle?"),
    ),
    "spouse": Relation(
        "person", "person",
        ("{s} was married to {v}.", "{s} shared a home with {v} after their wedding."),
        "the spouse of {x}",
        ("Who was married to {x}?", "Who was the spouse of {x}?"),
    ),
    "occupation": Relation(
        "person", "occupation",
        ("{s} was a {v}.", "{s} became known as a {v}."),
        "",
        ("What was the occupation of {x}?", "As what did {x} become known?"),
    ),
    "birth year": Relation(
        "person", "year",
        ("{s} was born in {v}.", "{s} first saw the light of day in {v}."),
        "",
        ("In which year was {x} born?", "When was {x} born?"),
    ),
    "author": Relation(
        "work", "person",
        ("{s} was written by {v}.", "{s} came from the pen of {v}.", "{s} is a book by {v}."),
        "the author of {x}",
        ("Who wrote {x}?", "Who is the author of {x}?"),
    ),
    "setting": Relation(
        "work", "town",
        ("{s} takes place in {v}.", "{s} is set in {v}."),
        "the setting of {x}",
        ("Where does {x} take place?", "In which town is {x} set?"),
    ),
    "dedicatee": Relation(
        "work", "person",
        ("{s} is dedicated to {v}.", "{s} carries a dedication to {v}."),
        "the dedicatee of {x}",
        ("To whom is {x} dedicated?", "Who is the dedicatee of {x}?"),
    ),
    "genre": Relation(
        "work", "genre",
        ("{s} is a {v}.", "{s} is usually read as a {v}."),
        "",
        ("What kind of book is {x}?",),
    ),
    "publication": Relation(
        "work", "year",
        ("{s} was published in {v}.", "{s} first appeared in {v}."),
        "",
        ("In which year was {x} published?", "When did {x} appear?"),
    ),
    "founder": Relation(
        "organisation", "person",
        ("{s} was founded by {v}.", "{s} owes its existence to {v}.", "{s} was set up by {v}."),
        "the founder of {x}",
        ("Who founded {x}?", "Who was the founder of {x}?"),
    ),
    "seat": Relation(
        "organisation", "town",
        ("{s} has its seat in {v}.", "{s} is based in {v}."),
        "the seat of {x}",
        ("Where does {x} have its seat?", "In which town is {x} based?"),
    ),
    "trade": Relation(
        "organisation", "goods",
        ("{s} deals in {v}.", "{s} is a maker of {v}."),
        "",
        ("What does {x} deal in?",),
    ),
    "founding": Relation(
        "organisation", "year",
        ("{s} dates from {v}.", "{s} opened its doors in {v}."),
        "",
        ("In which year was {x} founded?", "From when does {x} date?"),
    ),
    "mayor": Relation(
        "town", "person",
        ("{s} had {v} as its mayor.", "{s} was led for years by mayor {v}."),
        "the mayor of {x}",
        ("Who was mayor of {x}?",),
    ),
    "produce": Relation(
        "town", "goods",
        ("{s} is known for {v}.", "{s} lives on {v}."),
        "",
        ("What is {x} known for?",),
    ),
    "country": Relation(
        "town", "country",
        ("{s} is a town in {v}.", "{s} lies in {v}."),
        "the country of {x}",
        ("In which country is {x}?", "To which country does {x} belong?"),
    ),
    "river": Relation(
        "town", "river",
        ("{s} stands on the {v}.", "{s} grew up on the banks of the {v}."),
        "the river at {x}",
        ("On which river does {x} stand?", "Which river flows through {x}?"),
    ),
    "capital": Relation(
        "country", "town",
        ("{s} has {v} as its capital.", "{s} is governed from {v}."),
        "the capital of {x}",
        ("What is the capital of {x}?",),
    ),
    "ruler": Relation(
        "country", "person",
        ("{s} was once ruled by {v}.", "{s} had {v} at its head."),
        "the ruler of {x}",
        ("Who once ruled {x}?", "Who was the ruler of {x}?"),
    ),
    "currency": Relation(
        "country", "currency",
        ("{s} pays in the {v}.", "{s} has the {v} as its money."),
        "",
        ("What is the currency of {x}?",),
    ),
    "source": Relation(
        "river", "mountain",
        ("{s} rises on {v}.", "{s} has its source on {v}."),
        "the source of {x}",
        ("Where does {x} rise?", "On which mountain does {x} rise?"),
    ),
    "length": Relation(
        "river", "kilometres",
        ("{s} is {v} long.", "{s} runs for {v}."),
        "",
        ("How long is {x}?",),
    ),
    "climber": Relation(
        "mountain", "person",
        ("{s} was first climbed by {v}.", "{s} was conquered by {v}."),
        "the first climber of {x}",
        ("Who first climbed {x}?",),
    ),
    "height": Relation(
        "mountain", "metres",
        ("{s} is {v} high.", "{s} reaches a height of {v}."),
        "",
        ("How high is {x}?",),
    ),
}  # fmt: skip

KINDS: Final = ("person", "work", "organisation", "town", "country", "river", "mountain")

MEN: Final = _list("""
    Arvid Lukas Jonas Bruno Hugo Felix Oskar Anton Casper Marius Viktor Emil Ruben Tobias Konrad
    Laszlo Matteo Pavel Stefan Ulrich Zoltan Benno Dario Fabian Henrik Jasper Leopold Nikolai Piet
    Igor
""")
WOMEN: Final = _list("""
    Tova Mira Edda Selma Ingrid Clara Nora Greta Wilma Frida Helga Linnea Astrid Paula Sigrid
    Verena Dagny Irene Judit Renata Thora Ylva Agnes Carla Elin Gisela Ilona Katrin Marta Olga
""")
GIVEN: Final = tuple(name for pair in zip(MEN, WOMEN, strict=True) for name in pair)
FAMILY: Final = _list("""
    Holt Velling Marsh Orrin Castell Brandt Thorne Lindqvist Abbot Carrow Dunmore Eskola Farrow
    Galt Hartigan Isling Jessop Kestrel Lorimer Maddock Nyland Ostrow Pember Quill Ravn Sandoval
    Tarrant Umber Varga Wexley Yarrow Zeller Ashdown Birk Calder Drummond Everard Fenwick Grebe
    Haldane Ivarsen Joss Kemble Lund Morrow Norling Ogden Pascoe Rydell Stroud Tansley Ulven Vance
    Whitlock Yates Zander Bellamy Corbin Devlin Eames
""")
NOUN: Final = _list("""
    Ember Thistle Harbour Lantern Orchard Winter Mirror Compass Feather Garden Anchor Shadow
    Candle Meadow Voyage Letter Tempest Sparrow Bridge Crown Echo Tower Marble Ribbon Clock Island
    Raven Ferry Window Stone Cellar Well Thread Key Violin Comet Gate Lighthouse Stair Map
""")
ADJECTIVE: Final = _list("""
    Copper Silent Distant Broken Hidden Golden Bitter Narrow Last Second Hollow Crimson Restless
    Northern Patient Borrowed Frozen Wandering Quiet Burning Ninth Velvet Salted Forgotten Paper
    Sunken Gentle Iron Painted Secret
""")
COINED: Final = _list("""
    Corvane Ilmar Sorrel Brenta Dorvik Halcon Merano Novara Pellam Ravello Tessel Ulmar Aldane
    Bexley Cindra Delmore Estrava Fontane Gildan Hexham Ivernia Jorvane Kelmar Lucerna Montane
    Nerida
""")
BODY: Final = _list(
    "Press Works Institute Bank Mills Academy Brothers Foundry Theatre Shipyard Museum Archive"
)
TOWN_BEGIN: Final = _list("""
    Ald Kes Bram Wyn Har Thel Mor Pen Ost Raven Stan Lin Cold Elm Grim Nor Sel Tar Wex Birch Dun
    Fal Gren Hol Ives Kirk Lam Mil Nant Orm Pad Quen Ros Shel Tor Under Vel Whit Yar Zel
""")
TOWN_END: Final = _list("""
    ford mere wick holm stead bury ton ley port haven field gate brook combe worth cliff
""")
COUNTRY_BEGIN: Final = _list("Alv Bor Cas Dal Ern Fal Gor Hest Isv Jor")
COUNTRY_END: Final = _list("ania onia mark eria")
RIVER_BEGIN: Final = _list("Vel Os Tam Lir Dov Sar Ner Ulm Eb Ard Wes Kor Ist Rho Mur")
RIVER_END: Final = _list("m na t is ra en au ge")
PEAK_BEGIN: Final = _list("Grau Stor Hvit Kald Skar Tind Brand Orl Fjell Drei Falk Sturm")
PEAK_END: Final = _list("horn berg tind spitz nuten")

WORDS: Final[Mapping[str, tuple[str, ...]]] = {
    "goods": _list("""
        salt glass honey silk paper clocks wool cheese copper candles timber pottery cider lace
        amber saffron marble rope violins linen
    """),
    "occupation": _list("""
        painter botanist printer surgeon sculptor composer geographer baker judge poet chemist
        watchmaker dancer historian gardener weaver
    """),
    "genre": _list("novel play satire ballad memoir fable tragedy comedy romance chronicle"),
    "currency": _list("""
        dalem tolar ruvel krant pesk mirra talent orin sequin groat lumen bezant
    """),
}
"""Values that are words."""
