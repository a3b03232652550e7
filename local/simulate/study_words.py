"""What the report of the study says in fixed words. What it says in figures is in study_report.py."""

from __future__ import annotations

INTRODUCTION = """\
# Reliability: how often consumers hold a good token

Every table and plot here comes from one run of the study: `make study` plays the whole of it, and the end of the page
names the run. The same seeds give the same figures. It plays years of the real handler: its code decides, claims,
asks and publishes. Clock, schedule, Lambda, vendor, Secrets Manager, people and consumers are simulated, and all that
happens in a year comes from its one seed. Stand-ins take the place of the AWS client and the HTTP exchange. A test
plays some days with botocore and requests themselves, too, and finds the very same trace.

*Availability* is the part of the time, from the first token on, in which a consumer has a token that the vendor's API
takes, if it reads the secret again on a 401. A *plain* consumer caches the secret for an hour, whatever happens.
These are simulated figures under stated rates, not a promise: a vendor with other habits gives other figures.

The *realistic* rates are at the end of the page with their reasons, next to the *harsh* ones and to those of
*torture*. A *tick* is a run of the schedule. A *second party* is somebody else who asks for a token with our client.
A *probe* is a call of the vendor's API by which the function may check its token.
`.venv/bin/python -m local.simulate --seed 7` prints all that happened in one year, and `--help` says how to choose
others."""
ELSEWHERE = """\
[How often to look](#how-often-to-look) compares schedules, and [Settings](#settings) compares settings."""
HEADLINE = """\
Each year has a seed of its own, from 0 on. The interval is an estimate of how sure the mean of so many years is. Most
of the lost hours come from a few long outages, so the true mean is outside of it more often than one time in twenty.
*Most versions* is how many versions the function put into the token secret in the worst 24 hours; those that people
put are not counted. AWS deletes no version that is younger than 24 hours, and refuses a new one if there are more
than about a hundred."""
CAUSES = """\
Hours without a token in 100 years, by cause. An outage counts for the first cause in this order that happened since
the newest published token was acquired. It counts for the first line only while what a person wrote has the label
AWSCURRENT. *Otherwise* means that none of these happened since then: there were only faults of single requests or
calls."""
LOST = """\
Tokens that were issued and lost, per 1,000 tokens that were published. `vendor_…` is the fault that the answer met,
as the rates name it. A *killed* process was killed in the run that had the token. The other processes ended after a
run that could not save it."""
VENDOR = """\
The vendor issues one token per client in 20 hours, and each is good for 24 hours. It differs from seed to seed in
what its guide leaves open: whether a request that it refuses begins the 20 hours again, as in about half of the
years; whether a token is a JWT; whether `expires_in` says 24 hours, 30 days or 0. Its clock is up to 5 s from ours,
and up to 5 minutes with the harsh rates. The table splits the years by the first of these."""
COMPARISONS = """\
In each of the next tables all lines play the same seeds. For one seed the same outages, habits of the vendor and
times at which people act are planned, except for what the line changes. The faults of single requests, calls and
ticks may differ, so a line may be better than the product by chance.

- *More hours* is how many more hours of a year consumers lack a token than with the product, or than with nothing
  changed: the mean of the differences of each seed. After the ± is its 95 % interval. It is empty if exactly the same
  happened, and `+0.0 ± 0.0` is a difference of less than 0.1 hours.
- If the interval includes 0, so few plays cannot tell whether there is a difference. Below each table is which lines
  differ. Of the lines that do not really differ, about one in twenty is named there by chance.
- *Lost* tokens were issued and did not reach the consumers. *Refused* requests met the vendor's limit. Both are per
  year.
- In the plots each dot is a mean, and the bar through it is its 95 % interval; a bar that is narrower than its dot is
  hidden. The band is the interval of the product itself."""
COMPARED = """\
The rates are harsh, so that differences show, but without outages of a whole day, which no variant can bridge."""
CHANGES = """\
These few years have fewer outages than those above, so read the differences here, and the level there. A write by
hand puts a placeholder or an older document into the token secret, or moves its label back. A read that lags shows
what was stored some seconds before. Service accounts are the vendor's newer generation, without a limit of one token
in 20 hours."""
FLEET = """\
One store in five is a client with the vendor's limit, the others have service accounts, and none has a standby. The
rates are the realistic ones, but processes are killed twenty times as often. Stores come and go, people mistype
credentials and policies, and the vendor is down for two hours. So these figures are not comparable with those above.
The hours are sums over all stores. [CONNECTIONS.md](CONNECTIONS.md) and [PROTOCOL.md](PROTOCOL.md#words) explain the
words. `make fleet` plays these days alone."""
SCHEDULES = """\
Each line is compared with the one of `1 h`, with or without a standby as it has one itself. The template accepts no
period longer than an hour: the lines of two to four hours are there for the comparison only."""
ABLATIONS = """\
Each line is compared with the first one, which has everything and a standby. *Refreshes at every run*, *refreshes
when expiring* and *each service its own* are what others would write in place of the product. They have no standby,
and the availability of the last of these is the mean of its three services. *No slots*, *no ledger*, *no suspicions*
and *no claim* have wide intervals, because they lose weeks in a few plays and hardly anything in the others. Those
few are plays in which a refusal begins the vendor's 20 hours again: whoever keeps asking then gets no token. Some
mechanisms cost no hour if they are missing, or none in so few plays: they prevent what may not happen at all. [What
holds at every step](#what-holds-at-every-step) names what breaks without some of them, and [RULES.md](RULES.md) what
each rule is for."""
SETTINGS = """Each line is compared with the first one, which has the defaults."""
INVARIANTS = """\
The words are those of [PROTOCOL.md](PROTOCOL.md#words). The last column names the changed handlers that break each,
and how often they do in two plays of 60 days; so each check can fail. The list under [What each mechanism is
for](#what-each-mechanism-is-for) says what these leave out or do, except for the following:"""
RATES = """\
With the harsh rates most faults of a request, a call or a tick are twenty times as frequent (`aws_burst` 200 times).
The rates per year are 3 to 80 times as high, and those per rotation ten times. Outages of a whole day
(`vendor_down_day`) happen only with them and with those of torture. Clocks are up to five minutes apart. The rates of
torture break so much at once that availability means nothing; they are for the invariants alone."""
DRAWN_AGAIN = """`.venv/bin/python -m local.simulate --plots-only` draws them from it again."""

ALL = (
    INTRODUCTION,
    ELSEWHERE,
    HEADLINE,
    CAUSES,
    LOST,
    VENDOR,
    COMPARISONS,
    COMPARED,
    CHANGES,
    FLEET,
    SCHEDULES,
    ABLATIONS,
    SETTINGS,
    INVARIANTS,
    RATES,
    DRAWN_AGAIN,
)
