"""What a subscriber knows of one start of one publisher: which numbers came, what a snapshot still adds.

Pure bookkeeping: no sockets, no time. It never asks for a snapshot itself, it only says that one is needed.
"""

from dataclasses import dataclass, field

from common.messages import Alert, Envelope, Fill, Snapshot, SourceCount, Tick

_FACTS = (Tick, Fill, Alert)
"""Each of these stands for itself; of everything else only the newest per topic counts."""


@dataclass(slots=True)
class Continuity:
    """The numbers of one (source, boot), and the state that outran them."""

    source: str
    boot: str
    first_seq: int = 0
    last_seq: int = 0
    received: int = 0
    missed: int = 0
    repeated: int = 0
    gaps: int = 0
    snapshot_seq: int = 0
    """Everything up to here was in a snapshot."""
    holes: list[tuple[int, int]] = field(default_factory=list)
    """Numbers, first and last, that neither came nor were in a snapshot since."""
    _newest: dict[str, int] = field(default_factory=dict)
    """While a hole is open: the newest number delivered per topic, so that a snapshot cannot set it back."""
    _ahead_topics: dict[str, int] = field(default_factory=dict)
    _ahead_facts: set[int] = field(default_factory=set)
    """What the last snapshot delivered before it came by itself."""

    def live(self, envelope: Envelope) -> bool:
        """Account for one published message; whether it is news."""
        seq = envelope.seq
        if seq <= self.last_seq:
            self.repeated += 1
            return False
        if not self.first_seq:
            self.first_seq = seq
        elif seq > self.last_seq + 1:
            self.missed += seq - self.last_seq - 1
            self.gaps += 1
        first_absent = max(self.last_seq, self.snapshot_seq) + 1
        if seq > first_absent:
            self.holes.append((first_absent, seq - 1))
        self.last_seq = seq
        self.received += 1
        if seq > self.snapshot_seq:
            self._ahead_topics.clear()
            self._ahead_facts.clear()
        elif isinstance(envelope.body, _FACTS):
            if seq in self._ahead_facts:
                return False
        elif self._ahead_topics.get(envelope.topic, 0) >= seq:
            return False
        self._newest[envelope.topic] = seq
        return True

    def repair(self, snapshot: Snapshot) -> list[Envelope]:
        """What of a snapshot is news; closes the holes it covers."""
        if snapshot.seq < self.snapshot_seq:
            return []  # older than one that was taken in: it would set state back
        news = []
        for envelope in snapshot.envelopes:
            if isinstance(envelope.body, _FACTS):
                if envelope.seq <= self.last_seq and not self._is_absent(envelope.seq):
                    continue
                if envelope.seq > self.last_seq:
                    if envelope.seq in self._ahead_facts:
                        continue
                    self._ahead_facts.add(envelope.seq)
            else:
                if self._newest.get(envelope.topic, 0) >= envelope.seq:
                    continue
                self._newest[envelope.topic] = envelope.seq
                if envelope.seq > self.last_seq:
                    self._ahead_topics[envelope.topic] = envelope.seq
            news.append(envelope)
        self.snapshot_seq = max(self.snapshot_seq, snapshot.seq)
        self.holes = [
            (max(first, snapshot.seq + 1), last) for first, last in self.holes if last > snapshot.seq
        ]
        return news

    def settle(self) -> None:
        """Nothing is being repaired any more: forget what only mattered for that."""
        self._newest.clear()

    def count(self) -> SourceCount:
        """The numbering for the status."""
        return SourceCount(
            source=self.source,
            boot=self.boot,
            first_seq=self.first_seq,
            last_seq=self.last_seq,
            received=self.received,
            missed=self.missed,
            repeated=self.repeated,
            gaps=self.gaps,
        )

    def _is_absent(self, seq: int) -> bool:
        return any(first <= seq <= last for first, last in self.holes)
