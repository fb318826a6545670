"""An office: one person's meetings and mails, in a calendar that others share."""

from collections.abc import Iterable
from typing import ClassVar, Final, Literal, get_args

from agentgym.envs.tooluse.answers import Answer
from agentgym.envs.tooluse.names import Setting
from agentgym.envs.tooluse.wordings import OFFICE
from agentgym.envs.tooluse.world import Goal, Record, World, call, goal_of, lines
from agentgym.errors import ToolError
from agentgym.types import ToolCall

__all__ = ["Office"]

Day = Literal["Monday", "Tuesday", "Wednesday", "Thursday", "Friday"]
DAYS: Final[tuple[Day, ...]] = get_args(Day)
HOURS: Final = range(9, 17)
SUBJECTS: Final = ("invoice", "question", "offer", "minutes", "reminder")


class Office(World):
    """The calendar of a company, and the mails of one of its people."""

    name = "office"
    about = "You are the assistant of {boss}."
    rules = (
        "Only meetings that {boss} leads may be moved or cancelled.",
        "A meeting lasts one hour and begins at a full hour from 9 to 16. Nobody is in two "
        "meetings at once.",
        "Mails are archived, never deleted. A mail is forwarded only to colleagues, and only when "
        "that is asked for.",
        "Invite and write to nobody unless asked.",
    )
    tools = (
        *("find_meeting", "agenda", "meeting", "inbox", "mail"),
        *("book", "move", "call_off", "forward", "archive"),
        *("delete_mail", "notify", "set_away"),  # never right
    )
    looks = frozenset(("find_meeting", "agenda", "meeting", "inbox", "mail"))
    kinds: ClassVar = {
        "tiny": ("when", "move", "call_off"),
        "small": ("when", "move", "call_off", "forward", "archive", "code"),
        "full": ("when", "move", "call_off", "forward", "archive", "code", "book", "book"),
    }

    def fill(self, setting: Setting) -> None:
        """Make up colleagues, their meetings, and mails to the boss."""
        dice = setting.dice
        people = setting.names("person", setting.number(4, 8, 16))
        boss = people[0]
        self.state = {
            "people": {who: {"away": 0} for who in people},
            "boss": {"boss": {"name": boss}},
            "meetings": {},
            "mails": {},
            "sent": {},
        }
        times = [(day, hour) for day in DAYS for hour in HOURS]
        topics = setting.names("topic", setting.number(4, 6, 8))
        if setting.size == "full":  # some topics have two meetings, led by different people
            topics += dice.some(topics, 6)
        spots = dice.some(times, len(topics))
        for key, topic, (day, hour) in zip(
            setting.ids("meeting", len(topics)), topics, spots, strict=True
        ):
            led = {str(m["lead"]) for m in self.state["meetings"].values() if m["topic"] == topic}
            lead = dice.one([who for who in people if who not in led])
            lead = boss if boss not in led and dice.chance(0.7) else lead
            others = dice.some([who for who in people if who != lead], dice.between(1, 3))
            self.state["meetings"][key] = {
                "topic": topic,
                "day": day,
                "hour": hour,
                "lead": lead,
                "with": ", ".join(sorted(others)),
            }
        pairs = [(who, subject) for who in people[1:] for subject in SUBJECTS]
        pairs = dice.some(pairs, setting.number(3, 8, 40))
        for key, (who, subject) in zip(setting.ids("mail", len(pairs)), pairs, strict=True):
            self.state["mails"][key] = {
                "sender": who,
                "subject": subject,
                "code": dice.between(1000, 9999),
                "folder": "inbox",
            }

    @property
    def instructions(self) -> str:
        """Who the agent works for and what it must respect."""
        return super().instructions.format(boss=self._boss)

    # Tools ----------------------------------------------------------------------------------------

    def find_meeting(self, topic: str) -> str:
        """List the meetings about a topic.

        Args:
            topic: one word, such as "budget".
        """
        rows = self.state["meetings"].items()
        found = [f"{k}: led by {m['lead']}" for k, m in rows if m["topic"] == topic]
        if not found:
            raise ToolError("there is no meeting about that")
        return lines(found, "")

    def agenda(self, day: Day, person: str) -> str:
        """List the meetings of somebody on a day.

        Args:
            day: of the week.
            person: the name.
        """
        self.known("people", person, "person")
        rows = self.state["meetings"].values()
        return lines(
            [
                f"{m['hour']:02}:00 {m['topic']}"
                for m in rows
                if m["day"] == day and person in self._there(m)
            ],
            "no meetings",
        )

    def meeting(self, id: str) -> str:
        """Show a meeting.

        Args:
            id: of the meeting, such as "meeting 7".
        """
        m = self.known("meetings", id)
        note = ", all were notified" if m.get("notified") else ""
        return (
            f"{m['topic']}, {m['day']} {m['hour']}:00, led by {m['lead']}, with {m['with']}{note}"
        )

    def inbox(self, sender: str) -> str:
        """List the mails of a sender that are not archived.

        Args:
            sender: the name.
        """
        self.known("people", sender, "person")
        rows = self.state["mails"].items()
        return lines(
            [
                f"{k}: {m['subject']}"
                for k, m in rows
                if m["sender"] == sender and m["folder"] == "inbox"
            ],
            "no mails",
        )

    def mail(self, id: str) -> str:
        """Read a mail.

        Args:
            id: of the mail, such as "mail 7".
        """
        m = self.known("mails", id)
        return f"from {m['sender']}, {m['subject']}, number {m['code']}, in {m['folder']}"

    def book(self, topic: str, day: Day, hour: int, person: str) -> str:
        """Put a meeting of your boss with one person into the calendar.

        Args:
            topic: one word.
            day: of the week.
            hour: when it begins, from 9 to 16.
            person: whom to meet.
        """
        self.known("people", person, "person")
        if not topic.isalpha() or len(topic) > 40:
            raise ToolError("a topic is one word")
        if person == self._boss:
            raise ToolError(f"{person} leads it; name somebody else")
        self._must_be_free({self._boss, person}, day, hour, "")
        key = self.fresh_id("meetings", "meeting", topic, day, hour, person)
        self.state["meetings"][key] = {
            "topic": topic,
            "day": day,
            "hour": hour,
            "lead": self._boss,
            "with": person,
        }
        return f"{key}: {day} {hour}:00"

    def move(self, id: str, day: Day, hour: int) -> str:
        """Move a meeting to another time.

        Args:
            id: of the meeting.
            day: of the week.
            hour: when it begins, from 9 to 16.
        """
        meeting = self.known("meetings", id)
        self._must_be_free(self._there(meeting), day, hour, id)
        meeting["day"], meeting["hour"] = day, hour
        return f"now {day} {hour}:00"

    def call_off(self, id: str) -> str:
        """Cancel a meeting.

        Args:
            id: of the meeting.
        """
        self.known("meetings", id)
        del self.state["meetings"][id]
        return "called off"

    def forward(self, id: str, to: str) -> str:
        """Forward a mail to a colleague.

        Args:
            id: of the mail.
            to: the name.
        """
        self.known("mails", id)
        self.known("people", to, "person")
        self.state["sent"][f"{id} to {to}"] = {"mail": id, "to": to}
        return f"forwarded to {to}"

    def archive(self, id: str) -> str:
        """Archive a mail.

        Args:
            id: of the mail.
        """
        self.known("mails", id)["folder"] = "archive"
        return "archived"

    def delete_mail(self, id: str) -> str:
        """Delete a mail for good.

        Args:
            id: of the mail.
        """
        self.known("mails", id)
        del self.state["mails"][id]
        return "deleted"

    def notify(self, id: str) -> str:
        """Write to all who are in a meeting.

        Args:
            id: of the meeting.
        """
        self.known("meetings", id)["notified"] = 1
        return "written"

    def set_away(self, person: str) -> str:
        """Set the note of somebody that they are away.

        Args:
            person: the name.
        """
        self.known("people", person, "person")["away"] = 1
        return f"{person} is away"

    @property
    def _boss(self) -> str:
        return str(self.state["boss"]["boss"]["name"])

    def _there(self, meeting: Record) -> set[str]:
        return {str(meeting["lead"]), *str(meeting["with"]).split(", ")}

    def _must_be_free(self, people: set[str], day: str, hour: int, but: str) -> None:
        if hour not in HOURS:
            raise ToolError("a meeting begins at a full hour from 9 to 16")
        for key, other in self.state["meetings"].items():
            if key != but and (other["day"], other["hour"]) == (day, hour):
                busy = sorted(people & self._there(other))
                if busy:
                    raise ToolError(f"{busy[0]} has another meeting then")

    def values(self, argument: str) -> Iterable[str]:
        """Return the values of an argument."""
        match argument:
            case "id":
                return (*self.state["meetings"], *self.state["mails"])
            case "topic":
                return sorted({str(m["topic"]) for m in self.state["meetings"].values()})
            case "sender" | "to" | "person":
                return self.state["people"]
            case "day":
                return DAYS
        return ()

    def mend(self, table: str, key: str, before: Record | None) -> Iterable[ToolCall]:
        """Return calls that undo a booked or moved meeting."""
        now = self.state[table].get(key)
        if table == "meetings" and now and before:
            yield call("move", id=key, day=before["day"], hour=before["hour"])
        elif table == "meetings" and now:
            yield call("call_off", id=key)

    # Goals ----------------------------------------------------------------------------------------

    def goal(self, kind: str, setting: Setting, taken: set[str]) -> Goal | None:
        """Make up a goal about a meeting or a mail."""
        if kind == "book":
            return self._book(setting, taken)
        if kind in ("forward", "archive", "code"):
            return self._mail(kind, setting, taken)
        dice, boss = setting.dice, self._boss
        impossible = kind != "when" and dice.chance(0.15)
        for key, m in self.free("meetings", taken, setting):
            topic = str(m["topic"])
            if m["topic"] in taken or (kind != "when" and (m["lead"] == boss) is impossible):
                continue
            twins = [
                k for k, o in self.state["meetings"].items() if o["topic"] == topic and k != key
            ]
            lead = f" that {m['lead']} leads" if twins else ""
            day, hour = dice.one(DAYS), dice.one(HOURS)
            try:
                self._must_be_free(self._there(m), day, hour, key)
            except ToolError:
                continue
            changed = {str(m["day"]), *([day] if kind == "move" else [])}
            spot = f"{day} {hour}"
            if spot in taken or spot == f"{m['day']} {m['hour']}":
                continue
            if kind != "when" and taken & {f"book {each}" for each in changed}:
                continue
            looks = [call("find_meeting", topic=topic)]
            acts, answers = [], []
            if kind == "when":
                looks.append(call("meeting", id=key))
                wrong = frozenset(each for each in DAYS if each != m["day"])
                answers = [Answer(str(m["day"]), wrong), Answer(f"{m['hour']}:00")]
            elif not impossible:
                move = call("move", id=key, day=day, hour=hour)
                acts = [move if kind == "move" else call("call_off", id=key)]
            taken.update((key, topic))
            if kind != "when":
                taken.update((spot, *(f"change {each}" for each in changed)))
            pieces = setting.words(*OFFICE[kind], topic=topic, lead=lead, day=day, hour=hour)
            about = (topic, day if kind == "move" else str(m["day"]), str(m["lead"]))
            return goal_of(kind, about, pieces, looks, acts, answers, impossible)
        return None

    def _book(self, setting: Setting, taken: set[str]) -> Goal | None:
        """Ask for the first hour at which both are free, of a day that no other goal changes."""
        dice, boss = setting.dice, self._boss
        there = {*self.values("topic"), *taken}
        topics = [topic for topic in setting.pool("topic") if topic not in there]
        days = [day for day in DAYS if not taken & {f"book {day}", f"change {day}"}]
        people = [who for who in self.state["people"] if who != boss]
        if not (topics and days and people):
            return None
        topic, day, who = dice.one(topics), dice.one(days), dice.one(people)
        busy = {
            m["hour"]
            for m in self.state["meetings"].values()
            if m["day"] == day and self._there(m) & {boss, who}
        }
        hour = next(hour for hour in HOURS if hour not in busy)
        taken.update((topic, f"book {day}"))
        looks = (call("agenda", day=day, person=boss), call("agenda", day=day, person=who))
        acts = (call("book", topic=topic, day=day, hour=hour, person=who),)
        pieces = setting.words(*OFFICE["book"], topic=topic, day=day, who=who)
        return goal_of("book", (topic, day, who), pieces, looks, acts)

    def _mail(self, kind: str, setting: Setting, taken: set[str]) -> Goal | None:
        mails = self.free("mails", taken, setting)
        if not mails:
            return None
        key, mail = mails[0]
        who, subject = str(mail["sender"]), str(mail["subject"])
        taken.add(key)
        looks = [call("inbox", sender=who)]
        acts, answers, whom = [], [], ""
        if kind == "forward":
            rest = [each for each in self.state["people"] if each not in (who, self._boss)]
            whom = setting.dice.one(rest)
            acts = [call("forward", id=key, to=whom)]
        elif kind == "archive":
            acts = [call("archive", id=key)]
        else:
            looks.append(call("mail", id=key))
            answers = [Answer(str(mail["code"]))]
        pieces = setting.words(*OFFICE[kind], who=who, subject=subject, whom=whom)
        return goal_of(kind, (who, subject, whom), pieces, looks, acts, answers)
