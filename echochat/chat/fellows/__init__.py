"""
The other servers of a cluster: what this one tells them, and what it knows of them. Standard library only, no I/O.

The problem. Each server knows who is connected to it, and everybody wants to know it of all: who follows a topic, who
comes and goes, whether a name is free. Messages between servers may be lost while a connection is; a server may start
again, hang, or be gone without a word; and nobody is in charge.

How. Each server is the only one to speak of its own people. It tells what has changed, as news with numbers that grow
by one, and says every few seconds that it is alive, with the number of its last news. Whoever finds that it has missed
some, or hears of a server for the first time, asks that server for everything, which replaces what it knew. Of a server
that is not heard of for as long as it had said itself, its lease, the people are gone.

The invariants:

- What is known here of a fellow is what it had to tell at the number that is known of it: news are taken in their order
  or not at all, and everything is taken when its last part has come.
- Whoever watches a topic is told of a name once, when it begins to follow the topic anywhere, and once, when it follows
  it nowhere any more: of what changes elsewhere only what no third server and nobody here makes untrue is told.
- A ban is nobody's own: whoever learns of one tells it, too, since whoever decided it may be gone. It has a number of
  its own (:mod:`echochat.chat.ban_book`), by which it is told once by each.
- A server's id is that of one start: one that was started again is another server, and nothing it says is taken for
  what the one before said. So there is no second number for a start, and an id needs no care: it is random.

A guest's name is free as soon as its server is missed, which is well before the lease ends: clients that lost their
server take their name with them, and publish nothing until they have it. So two guests may have one name, as when they
took it at the same moment. It is found out when their servers hear of each other: the one whose id comes first keeps
it, on the other the guest has to go.

Rejected: a record for each person in the broker (a write for each subscription, and records that nobody removes when a
server is killed); numbers for each topic (more to keep, nothing gained); letting everybody forward what it knows (then
nobody knows when it was true).
"""
