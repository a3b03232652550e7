"""What the report of the study says in fixed words. What it says in figures is in study_report.py."""

from __future__ import annotations

INTRODUCTION = """# Reliability: how often consumers hold a good token

Every table and plot here comes from one run of the study: `make study` plays the whole of it, and the end of the page
names the run. The same seeds give the same figures. It plays years of the real handler: its code decides, claims, asks
and publishes. Clock, schedule, Lambda, vendor, Secrets Manager, people and consumers are simulated, and all that
happens in a year comes from its one seed. Stand-ins take the place of the AWS client and the HTTP exchange. A test
plays some days with botocore and requests themselves, too, and finds the very same trace.

*Availability* is the part of the time, from the first token on, in which a consumer has a token that the vendor's API
takes, if it reads the secret again on a 401. A *plain* consumer caches the secret for an hour, whatever happens.
These are simulated figures under stated rates, not a promise: a vendor with other habits gives other figures.

The *realistic* rates are at the end of the page with their reasons, next to the *harsh* ones and to those of
*torture*. A *tick* is a run of the schedule. A *second party* is somebody else who asks for a token with our client. A
*probe* is a call of the vendor's API by which the function may check its token.
`.venv/bin/python -m local.simulate --seed 7` prints all that happened in one year, and `--help` says how to choose
others."""
ELSEWHERE = """Whether an hour from run to run is short enough is under [How often to look](#how-often-to-look), and
which settings must not be lowered is under [Settings](#settings)."""
HEADLINE = """Each year has a seed of its own, from 0 on. The interval says how sure the mean of so many years is.
*Most versions* is how many versions the token secret got in the worst 24 hours: AWS deletes no version that is
younger, and refuses more than about a hundred."""
CAUSES = """Hours without a token in 100 years, by cause. An outage counts for the first cause in this order that
happened since the last token was acquired. It counts for the first line only while what a person wrote has the label
AWSCURRENT. *Otherwise* means that none of these happened since then."""
LOST = """Tokens that were issued and lost, per 1,000 refreshes. `vendor_…` is the fault that the answer met, as the
rates name it. A *killed* process was killed in the run that had the token. The other processes ended after a run
that could not save it."""
VENDOR = """The vendor issues one token per client in 20 hours, and each is good for 24 hours. It differs from seed
to seed in what its guide leaves open: whether a request that it refuses begins the 20 hours again, as in about half
of the years; whether a token is a JWT; whether `expires_in` says 24 hours, 30 days or 0. Its clock is up to 5 s from
ours, and up to 5 minutes with the harsh rates. The first of these matters most:"""
COMPARISONS = """Each table below plays the same seeds in all of its lines. For one seed the plan is the same: the
outages, what people do, and the vendor's habits. The faults of single requests and calls are drawn again, so a line may
be better than the product by chance.

- *More hours* is how many more hours of a year consumers lack a token than with the product, or than with nothing
  changed: the mean of the differences of each seed. After the ± is its 95 % interval. It is empty if exactly the same
  happened.
- If the interval includes 0, so few plays are too few to show a difference. Below each table is which lines differ; one
  line in twenty is named there by chance.
- *Lost* tokens were issued and did not reach the consumers. *Refused* requests met the vendor's limit. Both are per
  year.
- In the plots each dot is a mean, and the bar through it is its 95 % interval; a bar that is narrower than its dot is
  hidden. The band is the interval of the product itself."""
COMPARED = """The rates are harsh, so that differences show, but without outages of a whole day, which no variant can
bridge."""
CHANGES = """A write by hand puts a placeholder or an older document into the token secret, or moves its label back.
A read that lags shows what was stored some seconds before. Service accounts are the vendor's newer generation,
without a limit of one token in 20 hours."""
FLEET = """Stores come and go, people mistype credentials and policies, processes are killed, and the vendor is down
for two hours. `make fleet` plays these days alone."""
SCHEDULES = """Each line is compared with the one of `1 h`, with or without a standby as it has one itself."""
ABLATIONS = """Each line is compared with the first one, which has everything and a standby. *Refreshes at every
run*, *refreshes when expiring* and *each service its own* are what others would write in place of the product. The
availability of the last of these is the mean of its three services. Some mechanisms cost no hour if they are
missing, or none in so few plays: they prevent what may not happen at all. [What holds at every
step](#what-holds-at-every-step) names what breaks without some of them, and [RULES.md](RULES.md) what each rule is
for."""
SETTINGS = """Each line is compared with the first one, which has the defaults."""
INVARIANTS = """The last column names what breaks each, which shows that each can fail. The list under [What each
mechanism is for](#what-each-mechanism-is-for) says what these leave out or do, except for the following:"""
RATES = """With the harsh rates most of what can happen to a request, a call or a tick happens twenty times as often,
and what happens some times a year 3 to 80 times as often. Clocks are up to five minutes apart. The rates of torture
break so much at once that availability means nothing; they are for the invariants alone."""
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
