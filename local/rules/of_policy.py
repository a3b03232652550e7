"""The rules of handler/policy.py."""

from __future__ import annotations

from local.rules.rule import Rule

RULES_OF_POLICY = [
    # Due?
    Rule(
        name="due: missing",
        words="A refresh is due if there is no token.",
        where="policy.State.due_reason",
        code="return MISSING",
        instead="return None",
        without_it="Without it nobody would ask for the first token: consumers would never get one.",
        is_contract=True,
    ),
    Rule(
        name="due: not the primary's",
        words="A refresh is due if the token is not the primary's, so that a rotation takes effect at once.",
        where="policy.State.due_reason",
        code="if token.principal != self.credentials.primary.principal:",
        instead="if False:",
        without_it=(
            "Without it a new primary would be asked only when the old client's token is nearly over, and "
            "consumers would use a standby's token for as long."
        ),
        is_contract=True,
    ),
    Rule(
        name="due: other configuration",
        words="A refresh is due, as `config_changed`, if the token was requested with other settings.",
        where="policy.State.due_reason",
        code="if not self.fits_configuration(token):",
        instead="if False:",
        without_it=(
            "Without it the answer would say `expired` after a changed setting, and a run that has read an older "
            "version of the credentials would ask with it."
        ),
        is_contract=True,
    ),
    Rule(
        name="due: revoked",
        words="A refresh is due, as `revoked`, if the probe was refused with the token.",
        where="policy.State.due_reason",
        code="if self.is_revoked(token):",
        instead="if False:",
        without_it=(
            "Without it the answer and the log would say `expired` of a token that the API refuses hours before "
            "its end."
        ),
        is_contract=True,
        test="test_revoked_token_is_replaced_at_once",
    ),
    Rule(
        name="due: expired",
        words="A refresh is due, as `expired`, if the token has no second left.",
        where="policy.State.due_reason",
        code="if not remaining:",
        instead="if False:",
        without_it="Without it the answer and the log would say `expiring` of a token that has expired.",
        is_contract=True,
    ),
    Rule(
        name="due: in the window",
        words="A refresh is due if the token ends within the refresh window.",
        where="policy.State.due_reason",
        code="if remaining <= self.window_seconds(token):",
        instead="if False:",
        without_it=(
            "Without it the next token would be requested only when the current one has expired: consumers would "
            "have none until the next run."
        ),
        is_contract=True,
    ),
    Rule(
        name="due: forced",
        words="`force` makes a refresh due at any time.",
        where="policy.State.due_reason",
        code="return FORCED",
        instead="return None",
        without_it="Without it `force` would do nothing while the token is fresh.",
        is_contract=True,
    ),
    Rule(
        name="forced once",
        words="A token that was acquired less than 10 minutes ago satisfies `force`.",
        where="policy.State.due_reason",
        code="request.force and self.now - token.acquired_at >= FORCED_SATISFIED_SECONDS",
        instead="request.force",
        without_it=(
            "Without it a forced event that Lambda repeats would ask for a second token, or would wait for the "
            "slot that the first one has spent."
        ),
        is_contract=True,
    ),
    Rule(
        name="window: a third of a life",
        words="The window is at most a third of the token's life.",
        where="policy.State.window_seconds",
        code="min(self.settings.refresh_window_seconds, longest)",
        instead="self.settings.refresh_window_seconds",
        without_it="Without it a token that lives for less than four hours would be due at every run.",
        is_contract=True,
    ),
    # Ours, good, short.
    Rule(
        name="ours: a configured principal",
        words="A token of a principal that is not configured any more is not good.",
        where="policy.State.is_ours",
        code="if token is None or token.principal not in self.credentials.principals:",
        instead="if token is None:",
        without_it=(
            "Without it the token of a client that was taken out of the credentials would count as good, "
            "although the vendor may have deactivated the client: the standby would not help."
        ),
        is_contract=True,
    ),
    Rule(
        name="ours: the token URL",
        words="A token from another token URL is not good.",
        where="policy.State.fits_configuration",
        code="if token.token_url != self.settings.token_url:",
        instead="if False:",
        without_it="Without it a token of the sandbox would count as good after a move to production.",
        is_contract=True,
    ),
    Rule(
        name="ours: the audience",
        words="A token for another audience is not good.",
        where="policy.State.fits_configuration",
        code="if token.audience != self.settings.audience:",
        instead="if False:",
        without_it="Without it a token for another audience would count as good, and the API refuses it.",
        is_contract=True,
    ),
    Rule(
        name="ours: the parameters",
        words="A token that was requested with other parameters is not good.",
        where="policy.State.fits_configuration",
        code="if token.requested_parameters != self.settings.parameters_hash:",
        instead="if False:",
        without_it="Without it a changed `PARAMETERS` would have an effect only when the token ends.",
        is_contract=True,
        test="test_parameters_of_the_environment_are_replaced_as_a_whole",
    ),
    Rule(
        name="ours: the scope",
        words="A token that was requested with another scope is not good.",
        where="policy.State.fits_configuration",
        code="return token.requested_scope == self.settings.scope",
        instead="return True",
        without_it="Without it a changed `SCOPE` would have an effect only when the token ends.",
        is_contract=True,
        test="test_other_requested_scope_is_a_reason",
    ),
    Rule(
        name="good: ours",
        words="A token that is not ours has no second left.",
        where="policy.State.seconds_remaining",
        code="not self.is_ours(token) or ",
        instead="",
        without_it=(
            "Without it a foreign token would count as good: `status` and the metric would show its time left, "
            "and a run could publish it."
        ),
        is_contract=True,
    ),
    Rule(
        name="good: not revoked",
        words="A token that the probe was refused with has no second left.",
        where="policy.State.seconds_remaining",
        code=" or self.is_revoked(token)",
        instead="",
        without_it=(
            "Without it a token that the API refuses would count as good: the standby would not be asked for "
            "another one."
        ),
        is_contract=True,
    ),
    Rule(
        name="revoked: the older ones too",
        words="If the probe was refused with a token, the older ones of its principal are not good either.",
        where="policy.State.is_revoked",
        code="token.is_superseded_by(revoked)",
        instead="token == revoked",
        without_it=(
            "Without it an older token of a client that the vendor has ended would be probed as well, and would "
            "come back if the API still takes it for a while."
        ),
        is_contract=True,
        test="test_revoked_token_does_not_come_back",
    ),
    Rule(
        name="short: without a good token",
        words="Without a good token the standby may be asked, and AWSPREVIOUS is read.",
        where="policy.State.is_current_short",
        code="        return True",
        instead="        return False",
        without_it=(
            "Without it consumers that have no good token would wait for the primary alone: neither the standby "
            "nor AWSPREVIOUS would help."
        ),
        is_contract=True,
    ),
    Rule(
        name="short: STANDBY_BELOW_SECONDS",
        words="A token is not short while it has `STANDBY_BELOW_SECONDS` left.",
        where="policy.State.is_current_short",
        code="if remaining >= self.settings.standby_below_seconds:",
        instead="if False:",
        without_it=(
            "Without it the standby would be asked when a token of a day still has up to six hours, and would "
            "have no slot when it is needed."
        ),
        is_contract=True,
    ),
    Rule(
        name="short: a quarter of a life",
        words="A token is not short while it has a quarter of its life left.",
        where="policy.State.is_current_short",
        code="return remaining < self.current.life_seconds / SHORT_PART_OF_LIFE",
        instead="return True",
        without_it=(
            "Without it a token of two hours would be short from its first second, and the standby would be "
            "asked whenever the primary may not ask."
        ),
        is_contract=True,
    ),
    # The same token again.
    Rule(
        name="same token",
        words="An answer with the token that consumers have is not published again.",
        where="policy.State.repeats_current",
        code="return is_revoked or not lives_longer",
        instead="return False",
        without_it=(
            "Without it an answer with the token that consumers have already would be reported as a refresh, and "
            "would cost two versions each time."
        ),
        is_contract=True,
        test="test_same_token_is_waited_out",
    ),
    Rule(
        name="same token: for another request",
        words="The same token is published if the one that consumers have was granted for another request.",
        where="policy.State.repeats_current",
        code="if not self.is_ours(self.current) or token.principal != self.current.principal:",
        instead="if False:",
        without_it=(
            "Without it a corrected setting would wait for half of the token's life if the vendor answers with "
            "the same token."
        ),
        test="test_same_token_for_another_request_is_a_new_one",
    ),
    Rule(
        name="same token: lives longer",
        words="The same token is published if it ends more than a minute later than stored.",
        where="policy.State.repeats_current",
        code="self.current.expires_at + SAME_TOKEN_SECONDS",
        instead="float('inf')",
        without_it="Without it consumers would not learn that the vendor has given their token a longer life.",
        is_contract=True,
        test="test_same_token_with_more_life_is_published",
    ),
    Rule(
        name="same token: more than a minute",
        words="If the same token ends less than a minute later than stored, that is nothing new.",
        where="policy.State.repeats_current",
        code=" + SAME_TOKEN_SECONDS",
        instead="",
        without_it=(
            "Without it an end that differs by a second, because of rounding, would be published as a new token."
        ),
        is_contract=True,
        test="test_same_token_must_live_more_than_a_minute_longer",
    ),
    Rule(
        name="same token: revoked",
        words="The same token is not published if the probe was refused with it.",
        where="policy.State.repeats_current",
        code="return is_revoked or not lives_longer",
        instead="return not lives_longer",
        without_it=(
            "Without it a token that the API refuses would be published again if the vendor gives it a later end."
        ),
        is_contract=True,
        test="test_same_token_that_the_probe_has_refused_is_an_error",
    ),
    # Slot.
    Rule(
        name="slot: told by the token",
        words="The current token itself tells when its principal may ask again, whatever the ledger says.",
        where="policy.State.slot",
        code="if token is None or token.principal != client.principal:",
        instead="if True:",
        without_it=(
            "Without it a principal whose ledger was lost or put back would ask within its interval, and would "
            "be refused."
        ),
        is_contract=True,
        test="test_slot_of_the_current_token_is_known_without_a_ledger",
    ),
    Rule(
        name="slot: the later time",
        words="Of what the token and the ledger tell of a slot, the later time counts.",
        where="policy.State.slot",
        code="if spent.not_before >= in_ledger.not_before:",
        instead="if True:",
        without_it=(
            "Without it a principal whose own token is the current one would be asked during a pause that the "
            "ledger has."
        ),
        is_contract=True,
    ),
    Rule(
        name="slot: closed",
        words="A principal is not asked while its slot is closed.",
        where="policy.State.may_ask",
        ablation="no slots",
        without_it=(
            "Without it a principal would ask within its interval: the vendor would refuse, and might start the "
            "interval again."
        ),
        is_contract=True,
    ),
    Rule(
        name="force: over our own pauses",
        words="`force` passes over a pause that is the keeper's own.",
        where="policy.State.may_ask",
        code="request.force and slot.reason in _PASSABLE_PAUSES",
        instead="False",
        without_it=(
            "Without it a person who has put something right would wait for the end of a pause, also with `force`."
        ),
        is_contract=True,
    ),
    Rule(
        name="force: not over the limit",
        words="`force` does not pass over the vendor's limit.",
        where="policy.State.may_ask",
        code="request.force and slot.reason in _PASSABLE_PAUSES",
        instead="request.force",
        without_it="Without it `force` would ask within the vendor's interval, and would be refused.",
        is_contract=True,
    ),
    Rule(
        name="force: every 10 minutes",
        words="Nobody is asked against a pause or a limit within 10 minutes of the last claim.",
        where="policy.State.may_be_forced",
        code="return self.now - asked_at >= MIN_SECONDS_BETWEEN_FORCED_CLAIMS",
        instead="return True",
        without_it=(
            "Without it each of Lambda's repetitions of a forced event that failed would ask the vendor again."
        ),
        is_contract=True,
    ),
    Rule(
        name="override",
        words="`override_limit` asks the primary whatever its slot says.",
        where="policy._who_may_ask",
        code="if request.override_limit and not tried and state.may_be_forced(primary):",
        instead="if False:",
        without_it=(
            "Without it `override_limit` would do nothing: a client whose limit the vendor has reset would wait "
            "for the end of the interval."
        ),
        is_contract=True,
    ),
    Rule(
        name="override: once",
        words="A run that has asked somebody does not override the limit.",
        where="policy._who_may_ask",
        code="request.override_limit and not tried and",
        instead="request.override_limit and",
        without_it=(
            "Without it a run could override the limit twice: with a long `ACQUIRE_TIMEOUT_SECONDS` its second "
            "request comes more than 10 minutes after the first."
        ),
        is_contract=True,
        test="test_override_counts_for_the_first_client_of_a_run",
    ),
    Rule(
        name="tried: the primary",
        words="The primary is not asked twice in a run.",
        where="policy._who_may_ask",
        code="primary.principal not in tried and ",
        instead="",
        without_it="Without it a run would ask the primary a second time if a 429 says `Retry-After: 0`.",
        is_contract=True,
        test="test_too_many_requests_waits_as_long_as_the_vendor_says",
    ),
    Rule(
        name="tried: the standby",
        words="The standby is not asked twice in a run.",
        where="policy._who_may_ask",
        code="standby.principal not in tried and ",
        instead="",
        without_it="Without it a run would ask the standby a second time if a 429 says `Retry-After: 0`.",
        is_contract=True,
        test="test_standby_is_left_alone",
    ),
    Rule(
        name="standby: asked",
        words="If the primary may not ask, the standby may.",
        where="policy._who_may_ask",
        code="if standby is None or not state.is_current_short():",
        instead="if True:",
        without_it=(
            "Without it nobody would be asked while the primary may not ask: a lost answer would leave consumers "
            "without a token for most of a day."
        ),
        is_contract=True,
    ),
    Rule(
        name="standby: only if short",
        words="The standby is asked only if the current token is short.",
        where="policy._who_may_ask",
        code=" or not state.is_current_short()",
        instead="",
        without_it=(
            "Without it the standby would be asked whenever the primary may not ask, and would have no slot when "
            "it is needed."
        ),
        is_contract=True,
    ),
    # At hand.
    Rule(
        name="at hand: unsaved",
        words="A token that the process could not save is published by its next run.",
        where="policy.State._at_hand",
        code="for token in self.unsaved",
        instead="for token in ()",
        without_it=(
            "Without it a token that could not be saved would be lost, and its client may have no slot for 20 hours."
        ),
        is_contract=True,
    ),
    Rule(
        name="at hand: previous",
        words="The token under AWSPREVIOUS comes back if the current one is not good.",
        where="policy.State._at_hand",
        code="if self.previous is not None:",
        instead="if False:",
        without_it=(
            "Without it a rotation that is rolled back would need a new token, and the old client may have no "
            "slot for it."
        ),
        is_contract=True,
    ),
    Rule(
        name="at hand: displaced",
        words="The token under REFRESH_LEDGER comes back if somebody wrote over it.",
        where="policy.State._at_hand",
        code="if self.displaced is not None:",
        instead="if False:",
        without_it=(
            "Without it a token that somebody writes over twice would be lost, and its client may have no slot "
            "for 20 hours."
        ),
        is_contract=True,
    ),
    Rule(
        name="at hand: if nothing is due, only unsaved",
        words="If no refresh is due, only the tokens that the process holds are looked at.",
        where="policy.State.best_at_hand",
        code="if not is_due:",
        instead="if False:",
        without_it=(
            "Without it `status` would announce a recovery that no run makes: if nothing is due, a run does not "
            "read the other tokens."
        ),
        test="test_token_in_a_version_is_not_looked_at_while_the_current_one_is_fresh",
    ),
    Rule(
        name="at hand: the primary's first",
        words="Of two tokens at hand the primary's is published.",
        where="policy.State._rank",
        code="self._is_primarys(found.token)",
        instead="False",
        without_it=(
            "Without it the standby's token could be published although one of the primary is at hand, and "
            "consumers would change tokens twice."
        ),
        is_contract=True,
        test="test_primarys_token_at_hand_comes_first",
    ),
    Rule(
        name="at hand: the longest life",
        words="Of two tokens at hand of one principal the one that lives longest is published.",
        where="policy.State._rank",
        code="self.seconds_remaining(found.token)",
        instead="0",
        without_it=(
            "Without it the older of two tokens of a principal could come back, and its next refresh would be "
            "due earlier."
        ),
        is_contract=True,
    ),
    Rule(
        name="better: good",
        words="A token that is not good is never better.",
        where="policy.State._is_better_than_current",
        code="if not remaining:",
        instead="if False:",
        without_it="Without it consumers would get an expired or a foreign token.",
        is_contract=True,
    ),
    Rule(
        name="better: than one that is not good",
        words="Any good token is better than a current one that is not.",
        where="policy.State._is_better_than_current",
        code="        return True\n    if token.principal",
        instead="        return False\n    if token.principal",
        without_it="Without it no token at hand would come back: consumers would wait until somebody may ask.",
        is_contract=True,
    ),
    Rule(
        name="better: the same principal's, if newer",
        words="Of two tokens of one principal the newer one is better.",
        where="policy.State._is_better_than_current",
        code="if token.principal == self.current.principal:",
        instead="if False:",
        without_it="Without it consumers could get the older of two tokens of one principal.",
        is_contract=True,
    ),
    Rule(
        name="better: the primary's",
        words="A token of the primary is better than another's.",
        where="policy.State._is_better_than_current",
        code="if self._is_primarys(token) and remaining > self.window_seconds(token):",
        instead="if False:",
        without_it=(
            "Without it a token of the primary that is at hand would not replace the standby's, and the primary "
            "would be asked for another one."
        ),
        is_contract=True,
    ),
    Rule(
        name="better: outside the window",
        words="A token of the primary is better than another's only if it is not in the window already.",
        where="policy.State._is_better_than_current",
        code=" and remaining > self.window_seconds(token)",
        instead="",
        without_it=(
            "Without it a token that must be renewed at once would be published first: consumers would change "
            "tokens twice, and two versions would be used up."
        ),
        is_contract=True,
        test="test_unsaved_token_that_is_not_better_costs_no_write",
    ),
    Rule(
        name="better: than a short one",
        words="If the current token is short, another's that lives longer is better.",
        where="policy.State._is_better_than_current",
        code="return self.is_current_short() and remaining > current_remaining",
        instead="return False",
        without_it=(
            "Without it consumers whose token is nearly over would not get the standby's unsaved token, which "
            "lives longer."
        ),
        is_contract=True,
    ),
    Rule(
        name="better: only than a short one",
        words="Another's token that lives longer is better only if the current one is short.",
        where="policy.State._is_better_than_current",
        code="self.is_current_short() and ",
        instead="",
        without_it=(
            "Without it the standby's unsaved token would replace one of the primary that still lives for hours."
        ),
        is_contract=True,
    ),
    # What a claim carries.
    Rule(
        name="carried: any",
        words="Each claim and each release holds the best token that the run knows.",
        where="policy.State.token_to_carry",
        ablation="claims carry no token",
        without_it=(
            "Without it a claim would take the ledger's label from a version that may hold the only copy of a "
            "token: if the run is killed then, the token is lost."
        ),
        is_contract=True,
    ),
    Rule(
        name="carried: at hand",
        words="A token at hand is carried if it is better than the current one.",
        where="policy.State.token_to_carry",
        code="if at_hand is not None:",
        instead="if False:",
        without_it=(
            "Without it the claim of a recovery would not hold what it recovers: if the run is killed then, the "
            "token can be lost."
        ),
        is_contract=True,
    ),
    Rule(
        name="carried: current",
        words="A good current token is carried, also if a known one lives longer.",
        where="policy.State.token_to_carry",
        code="if self.seconds_remaining(self.current):",
        instead="if False:",
        without_it=(
            "Without it a claim could carry a foreign token that lives longer, and the good one would be lost if "
            "somebody wrote over it."
        ),
        is_contract=True,
        test="test_token_that_a_claim_carries",
    ),
    Rule(
        name="carried: an unexpired one",
        words="If no known token is good, the one that lives longest is carried.",
        where="policy.State.token_to_carry",
        code="return max(unexpired, key=lambda token: token.expires_at, default=None)",
        instead="return None",
        without_it=(
            "Without it a wrong setting, which makes every token foreign, could lose the token for the time when "
            "it is put right."
        ),
    ),
    # The decision.
    Rule(
        name="locked",
        words="A run waits for another run's lock.",
        where="policy.decide",
        code="if state.ledger.lock is not None:",
        instead="if False:",
        without_it="Without it two runs would ask at the same time, and spend one slot twice.",
        is_contract=True,
    ),
    Rule(
        name="at hand before asking",
        words="A token at hand is published, and nobody is asked.",
        where="policy.decide",
        code="if at_hand is not None:",
        instead="if False:",
        without_it="Without it a run would spend a slot although a good token is at hand.",
        is_contract=True,
    ),
    Rule(
        name="ordinary after forced",
        words="If `force` or `override_limit` must wait, the run does what an ordinary one would do.",
        where="policy.decide",
        code="if isinstance(ordinary, Acquire):",
        instead="if False:",
        without_it="Without it a forced run that must wait would not refresh what is due anyway.",
    ),
    Rule(
        name="pace: to recover",
        words="A recovery needs a level of -1.",
        where="policy.decide",
        code="return _within_pace(at_hand, LEVEL_TO_RECOVER, state)",
        instead="return at_hand",
        without_it=(
            "Without it somebody who writes over the token in a loop would use up the 100 versions that AWS "
            "keeps: the next token could not be saved."
        ),
        is_contract=True,
        test="test_recovery_needs_no_level_of_its_own",
    ),
    Rule(
        name="pace: to acquire",
        words="A claim to acquire needs a level of 1.",
        where="policy._ask",
        code="level = LEVEL_TO_ACQUIRE",
        instead="level = -1000",
        without_it=(
            "Without it requests that fail in a loop would use up the 100 versions that AWS keeps: the next "
            "token could not be saved."
        ),
        is_contract=True,
    ),
    Rule(
        name="pace: against a closed slot",
        words="A claim against a closed slot needs a level of 4.",
        where="policy._ask",
        code="if is_closed or reason == FORCED:",
        instead="if reason == FORCED:",
        without_it=(
            "Without it whoever invokes the function with `force` during a pause could use up the claims that "
            "the next ordinary refresh needs."
        ),
        is_contract=True,
    ),
    Rule(
        name="pace: forced",
        words="A claim that only `force` makes due needs a level of 4.",
        where="policy._ask",
        code="if is_closed or reason == FORCED:",
        instead="if is_closed:",
        without_it=(
            "Without it whoever invokes the function with `force` could use up the claims that the next ordinary "
            "refresh needs."
        ),
        is_contract=True,
    ),
    Rule(
        name="life of an unknown token",
        words="If there is no token yet, pauses go by `MAX_LIFETIME_SECONDS`.",
        where="policy.token_life_seconds",
        code="return settings.max_lifetime_seconds",
        instead="return 0",
        without_it=(
            "Without it a vendor that fails before the first token would be asked again after 5 minutes in place of 45."
        ),
        is_contract=True,
    ),
]
