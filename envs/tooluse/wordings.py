"""How requests are worded: kind to the wordings of training, and those of `valid_unseen`.

The shortest comes first, and is the only one of the size "tiny". A user tells the pieces between
`|` one after the other.
"""

from collections.abc import Mapping
from typing import Final

Wordings = Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]]

SHOP: Final[Wordings] = {
    "drop": (
        (
            "{who} no longer wants the {what}.",
            "An order is to be given up. | It is the {what} of {who}.",
            "{who} has had second thoughts about the {what} | and wants to give it up.",
        ),
        (
            "The {what} that {who} ordered is not wanted any more.",
            "An order has to go. | {who} is the customer | and it is the one with the {what}.",
        ),
    ),
    "money_back": (
        (
            "{who} no longer wants the {what}, and wants the money back.",
            "Someone wants to give up an order and get the money back. | That is {who}, "
            "| and it is about the {what}.",
        ),
        ("End the order of {who} for the {what} | and see to it that the price is paid back.",),
    ),
    "send": (
        (
            "Send the {what} of {who} to {more}.",
            "An order has to go to another city, {more}. | It is the {what} of {who}.",
            "{who} has moved to {more}. | Please have the {what} sent there.",
        ),
        ("The {what} is for {who}, | but now it shall be delivered in {more}.",),
    ),
    "swap": (
        (
            "{who} wants the {more} instead of the {what}.",
            "Please change an order of {who}: | in place of the {what} | take the {more}.",
        ),
        ("Exchange the {what} that {who} ordered | for the {more}.",),
    ),
    "paid": (
        (
            "What did {who} pay for the {what}?",
            "I need to know a price. | It is what {who} paid for the {what}.",
        ),
        ("Tell me the amount of an order: | the {what} | of {who}.",),
    ),
    "left": (
        (
            "How many of the item {what} are left?",
            "Look into the store: | how many of the item {what} are there?",
        ),
        ("Tell me how much {what} we still have in stock.",),
    ),
    "total": (
        (
            "How much did {who} pay for all orders that were delivered, taken together?",
            "I need a sum. | It is over the delivered orders | of {who}.",
        ),
        ("Add up what {who} paid | for everything that has arrived.",),
    ),
}

OFFICE: Final[Wordings] = {
    "when": (
        (
            "When is the {topic} meeting{lead}?",
            "I forgot the time of a meeting. | It is the {topic} meeting{lead}: day and time?",
        ),
        ("On which day and at what time do we talk about the {topic}, in the meeting{lead}?",),
    ),
    "move": (
        (
            "Move the {topic} meeting{lead} to {day} at {hour}:00.",
            "A meeting has to be moved. | It is about the {topic}, the one{lead}. "
            "| The new time is {day} at {hour}:00.",
        ),
        ("The {topic} meeting{lead} does not suit me; | have it on {day} | at {hour}:00.",),
    ),
    "call_off": (
        (
            "Cancel the {topic} meeting{lead}.",
            "One meeting will not take place. | It is the {topic} meeting{lead}.",
        ),
        ("There is no need for the {topic} meeting{lead} any more; | take it off.",),
    ),
    "forward": (
        (
            "Forward the {subject} mail of {who} to {whom}.",
            "{whom} should see a mail. | It came from {who} | and is the {subject}.",
        ),
        ("Let {whom} have | what {who} wrote: | the {subject} mail.",),
    ),
    "archive": (
        (
            "Archive the {subject} mail of {who}.",
            "I am done with a mail. | It is the {subject} | from {who}. Put it into the archive.",
        ),
        ("The {subject} from {who} | can go into the archive.",),
    ),
    "code": (
        (
            "Which number is in the {subject} mail of {who}?",
            "I need a number from a mail. | It is the {subject} | that {who} sent.",
        ),
        ("{who} wrote me a number | in the {subject} mail; | what is it?",),
    ),
    "book": (
        (
            "Book a {topic} meeting with {who} on {day}, at the first hour at which we are both "
            "free.",
            "I want to meet {who} | on {day}, | about the {topic}. | Take the first hour at which "
            "both of us are free.",
        ),
        (
            "Find the earliest hour on {day} | that suits {who} and me, | and put a {topic} "
            "meeting there.",
        ),
    ),
}

FOLDERS: Final[Wordings] = {
    "number": (
        (
            "Which number is in {name}?",
            "I need a number that is written in a file. | The file is {name}.",
        ),
        ("Open {name} | and tell me the number in it.",),
    ),
    "move": (
        (
            "Move {name} to the folder {more}.",
            "A file is in the wrong place. | It is {name} | and belongs into the folder {more}.",
        ),
        ("{name} should lie in the folder {more}, | and nowhere else.",),
    ),
    "copy": (
        (
            "Copy {name} into the folder {more}.",
            "I need a second one of a file, | in the folder {more}. | The file is {name}.",
        ),
        ("Leave {name} where it is | and put a copy into the folder {more}.",),
    ),
    "throw_away": (
        ("Throw {name} away.", "There is a file that nobody needs. | It is {name}: away with it."),
        ("We can do without {name} now; | get rid of it.",),
    ),
    "rename": (
        (
            "Rename {name} to {more}.",
            "A file needs another name. | It is called {name} | and shall be called {more}.",
        ),
        ("From now on {name} shall have the name {more}.",),
    ),
    "size": (
        ("How big is {name}?", "Tell me the size of a file. | It is {name}."),
        ("What size does {name} have?",),
    ),
    "lock": (
        ("Lock {name}.", "Nobody may change a certain file any more: | {name}. | Lock it."),
        ("See to it that {name} | is locked.",),
    ),
    "biggest": (
        (
            "Throw the biggest file of the folder {name} away.",
            "We need space. | Of all files in the folder {name} | throw the biggest away.",
        ),
        ("One file of the folder {name} has to go: | the one that takes the most space.",),
    ),
    "new": (
        (
            "Make a folder {new} inside the folder {outer} and move {name} there.",
            "I want a new folder: | {new}, inside the folder {outer}. | Then move {name} there.",
        ),
        (
            "{name} shall go into a folder {new}, | which you have to make first, "
            "| inside the folder {outer}.",
        ),
    ),
}

BANK: Final[Wordings] = {
    "balance": (
        (
            "How much is on the {sort} account of {who}?",
            "I need a balance. | The owner is {who}, | and it is the {sort} account.",
        ),
        ("Look up what {who} has | on the {sort} account.",),
    ),
    "stop": (
        (
            "Stop the payment of {who} to the {payee}.",
            "{who} does not agree with a payment. | It is the one to the {payee}.",
        ),
        ("The {payee} shall not get the money | of {who}.",),
    ),
    "freeze": (
        (
            "Freeze the {sort} account of {who}.",
            "An account has to be frozen. | It is the {sort} account | of {who}.",
        ),
        ("{who} has lost a card: | nothing may leave the {sort} account from now on.",),
    ),
    "transfer": (
        (
            "Move {amount} from the {sort} account of {who} to the {other} account of {whom}.",
            "{who} owes {whom} money. | The amount is {amount}. | It comes from the {sort} account "
            "| and goes to the {other} account.",
        ),
        (
            "{whom} shall receive {amount} on the {other} account. | {who} pays for it, | from the "
            "{sort} account.",
        ),
    ),
    "amount": (
        (
            "How much was the payment of {who} to the {payee}?",
            "I am looking for the amount of a payment. | It is from {who} | to the {payee}.",
        ),
        ("What did the {payee} cost {who}?",),
    ),
    "worth": (
        (
            "How much is on all accounts of {who} together?",
            "I need a sum | over all accounts. | The owner is {who}.",
        ),
        ("Add up everything | that {who} has at our bank.",),
    ),
}
