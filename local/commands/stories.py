"""What happens to the played function in its two days: what operators do, and how the vendor fails.

A story has a function for each hour in which something happens. It is called right before the tick of that hour, and
returns in words what it did.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from local.emulators.faults import Fault
from local.emulators.world import SERVICE_ACCOUNTS

if TYPE_CHECKING:
    from collections.abc import Callable

    from local.emulators.world import World

    Story = dict[int, Callable[[], str]]

OUTAGE = Fault.answer(503, {"error": "temporarily_unavailable"})
OLD_ACCOUNT, STANDBY_ACCOUNT = SERVICE_ACCOUNTS
NEW_ACCOUNT = "client-violet#keeper-3"
NEW_PASSWORD = "third-password-of-the-emulator"


class StoryOfClients:
    """The vendor's first generation: a rotation of the client, a lost answer and an outage."""

    def __init__(self, world: World, *, standby: bool) -> None:
        self._world = world
        self._with_standby = standby

    def hours(self) -> Story:
        return {
            3: self._rotate,
            5: self._retire,
        } | failures_of_vendor(self._world)

    def _rotate(self) -> str:
        if self._with_standby:
            self._world.put_credentials("client-green", "client-blue")
        else:
            self._world.put_credentials("client-green")
        return "operator puts the new credential in"

    def _retire(self) -> str:
        self._world.vendor.deactivate("client-blue")
        if not self._with_standby:
            return "operator deactivates the old one"
        self._world.client_secrets["client-red"] = "red-secret-of-the-emulator"
        self._world.vendor.add_client("client-red", self._world.client_secrets["client-red"])
        self._world.put_credentials("client-green", "client-red")
        return "operator deactivates the old one, and makes a new standby"


class StoryOfAccounts:
    """The vendor's second generation: a rotation of the service account, at first with a mistyped password.

    The new service account goes in with the old one as the standby, so the old one's token stays good until the
    new one has its own. Then a lost answer and an outage, as in the other story.
    """

    def __init__(self, world: World, *, standby: bool) -> None:
        self._world = world
        self._with_standby = standby
        self._is_old_account_active = True

    def hours(self) -> Story:
        return {
            3: self._rotate_with_mistyped_password,
            4: self._correct_password,
            5: self._retire_if_safe,
            6: self._retire_if_safe,
        } | failures_of_vendor(self._world)

    def _rotate_with_mistyped_password(self) -> str:
        self._world.add_account(NEW_ACCOUNT, NEW_PASSWORD)
        self._world.passwords[NEW_ACCOUNT] = NEW_PASSWORD + "x"
        self._world.put_credentials(NEW_ACCOUNT, OLD_ACCOUNT)
        return "operator puts a new account in, and mistypes its password"

    def _correct_password(self) -> str:
        self._world.passwords[NEW_ACCOUNT] = NEW_PASSWORD
        self._world.put_credentials(NEW_ACCOUNT, OLD_ACCOUNT)
        return "operator puts the password right"

    def _retire_if_safe(self) -> str:
        if not self._is_old_account_active:
            return ""
        status = self._world.invoke({"action": "status"})
        if status["safe_to_deactivate"] != OLD_ACCOUNT:
            return "status: consumers may still have the old token"
        self._is_old_account_active = False
        self._world.vendor.deactivate(OLD_ACCOUNT)
        if self._with_standby:
            self._world.put_credentials(NEW_ACCOUNT, STANDBY_ACCOUNT)
        else:
            self._world.put_credentials(NEW_ACCOUNT)
        return "status says it is safe: operator deactivates the old one"


def failures_of_vendor(world: World) -> Story:
    def lose_answer() -> str:
        world.vendor.script(Fault.cut(issues=True))
        return "the vendor issues a token, and its answer is lost"

    def begin_outage() -> str:
        world.vendor.outage = OUTAGE
        return "the vendor is down"

    def end_outage() -> str:
        world.vendor.outage = None
        return "the vendor is back"

    return {24: lose_answer, 45: begin_outage, 47: end_outage}
