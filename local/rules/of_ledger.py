"""The rules of handler/ledger.py."""

from __future__ import annotations

from local.rules.rule import Rule

RULES_OF_LEDGER = [
    # Pauses.
    Rule(
        name="backing off",
        words="After failures in a row a principal pauses.",
        where="ledger.Terms.back_off_seconds",
        ablation="no backing off",
        without_it=(
            "Without it a vendor in trouble would be asked at each run, and the standby would not get its turn."
        ),
        is_contract=True,
    ),
    Rule(
        name="backing off: from the third failure",
        words="The first two failures in a row lead to no pause.",
        where="ledger.Terms.back_off_seconds",
        code="return 0",
        instead="doublings = 0",
        without_it="Without it a single lost answer would cost a pause of 45 minutes.",
        is_contract=True,
    ),
    Rule(
        name="backing off: a part of a life",
        words="The first pause is an eighth of the token's life, if that is less than 45 minutes.",
        where="ledger.Terms.back_off_seconds",
        code="max(MIN_BACK_OFF_SECONDS, self.token_life_seconds // BACK_OFF_PART_OF_LIFE)",
        instead="MAX_BACK_OFF_SECONDS",
        without_it="Without it a token of two hours would end within a pause or two of 45 minutes.",
        is_contract=True,
    ),
    Rule(
        name="backing off: 5 minutes at least",
        words="The first pause lasts at least 5 minutes.",
        where="ledger.Terms.back_off_seconds",
        code="max(MIN_BACK_OFF_SECONDS, self.token_life_seconds // BACK_OFF_PART_OF_LIFE)",
        instead="self.token_life_seconds // BACK_OFF_PART_OF_LIFE",
        without_it=(
            "Without it a vendor whose tokens live for less than 40 minutes would be asked more often than every "
            "5 minutes while it fails."
        ),
        is_contract=True,
        test="test_pauses_after_failures_in_a_row",
    ),
    Rule(
        name="backing off: doubled",
        words="Each further failure doubles the pause.",
        where="ledger.Terms.back_off_seconds",
        code="for _ in range(doublings):",
        instead="for _ in range(0):",
        without_it=(
            "Without it a vendor of short-lived tokens would be asked every few minutes for as long as it is down."
        ),
        is_contract=True,
    ),
    Rule(
        name="backing off: 45 minutes at most",
        words="The pause lasts at most 45 minutes, so that each hourly run can ask.",
        where="ledger.Terms.back_off_seconds",
        code="pause = min(first, MAX_BACK_OFF_SECONDS)",
        instead="pause = first",
        without_it=(
            "Without it the first pause would be three hours for a token of a day, and the hourly runs in "
            "between could not ask."
        ),
        is_contract=True,
    ),
    Rule(
        name="backing off: the standby twice as long",
        words="The standby's pauses are twice as long.",
        where="ledger.Terms.back_off_seconds",
        code="return 2 * pause",
        instead="return pause",
        without_it="Without it the standby would ask a vendor in trouble as often as the primary does.",
        is_contract=True,
    ),
    # A slot, as it counts now.
    Rule(
        name="spent slot",
        words="A token closes its principal's slot for the interval and a margin.",
        where="ledger.Slot.spent_by",
        ablation="no own slot",
        without_it="Without it a principal that has just had its token would ask again, and would be refused.",
        is_contract=True,
    ),
    Rule(
        name="slot: asked ahead of now",
        words="A last claim that lies ahead of now counts as now.",
        where="ledger.Slot.as_of",
        code="min(self.asked_at, int(now))",
        instead="self.asked_at",
        without_it=(
            "Without it `force` would do nothing after a claim of a clock that was ahead, until the right time "
            "has come."
        ),
        test="test_claim_ahead_of_now_counts_as_now",
    ),
    Rule(
        name="slot: believed limits",
        words="A slot that is closed for longer than can be true is open.",
        where="ledger.Slot.as_of",
        code="if slot.not_before > now + terms.settings.max_believed_closed_seconds:",
        instead="if False:",
        without_it="Without it a time that was written by hand could close a slot for years.",
        is_contract=True,
        test="test_damaged_ledger_keeps_no_token_out",
    ),
    Rule(
        name="asked_with",
        words="If the request is made with something else, our own pauses are over.",
        where="ledger.Slot.as_of",
        ablation="no asked_with",
        without_it="Without it whoever corrects the credentials would wait for the end of a pause.",
        is_contract=True,
    ),
    Rule(
        name="asked_with: null differs from nothing",
        words="A slot that does not say what was asked with stays closed.",
        where="ledger.Slot.as_of",
        code="slot.asked_with not in {None, terms.asked_with}",
        instead="slot.asked_with != terms.asked_with",
        without_it="Without it no pause would count for a slot that does not say what was asked with.",
        is_contract=True,
        test="test_nobody_claims_while_all_back_off",
    ),
    Rule(
        name="asked_with: not the limit",
        words="The vendor's limit stays, whatever the request is made with.",
        where="ledger.Slot.as_of",
        code="is_other_request and slot.reason in _REASONS_OF_THE_REQUEST",
        instead="is_other_request",
        without_it=(
            "Without it new credentials for the same client would be tried within the vendor's interval, and "
            "would be refused."
        ),
        is_contract=True,
    ),
    Rule(
        name="asked_with: failures begin again",
        words="If the request is made with something else, the failures begin at 0.",
        where="ledger.Slot.as_of",
        code="reason=None, failures=0)",
        instead="reason=None)",
        without_it="Without it the first failure of a corrected request would lead to a pause at once.",
        is_contract=True,
    ),
    Rule(
        name="slot: never earlier",
        words="No answer opens a slot earlier than it was.",
        where="ledger.Slot.closed_until",
        code="if not_before < self.not_before:",
        instead="if False:",
        without_it="Without it a short pause would open a slot that the vendor still counts as spent.",
        is_contract=True,
    ),
    Rule(
        name="slot: a limit stays the reason",
        words="A limit that still stands stays the reason when a pause of our own ends later.",
        where="ledger.Slot.closed_until",
        code="if self.reason in LIMITS and reason not in LIMITS and self.not_before > now:",
        instead="if False:",
        without_it=(
            "Without it a pause would hide the limit after an override that failed three times, and `force` "
            "would pass over both."
        ),
        is_contract=True,
        test="test_limit_that_still_stands_stays_the_reason",
    ),
    Rule(
        name="slot: a limit that is over",
        words="A limit that is over does not stay the reason.",
        where="ledger.Slot.closed_until",
        code=" and self.not_before > now",
        instead="",
        without_it=(
            "Without it `force` would not pass over a pause that came after a limit, and an alarm would name the limit."
        ),
    ),
    # The pace.
    Rule(
        name="pace",
        words="Only so many claims are made in a day.",
        where="ledger.Pace.level_at",
        ablation="no pace",
        without_it=(
            "Without it claims would use up the 100 versions that AWS keeps: the next token could not be saved."
        ),
        is_contract=True,
    ),
    Rule(
        name="pace: 8 at most",
        words="The pace regains no more than 8.",
        where="ledger.Pace.level_at",
        code="return min(PACE_MAX_LEVEL, self.level + elapsed / PACE_SECONDS_PER_CLAIM)",
        instead="return self.level + elapsed / PACE_SECONDS_PER_CLAIM",
        without_it="Without it a quiet week would allow hundreds of claims at once, and AWS keeps 100 versions.",
        is_contract=True,
    ),
    Rule(
        name="pace: regained",
        words="The pace regains one claim in 40 minutes.",
        where="ledger.Pace.level_at",
        code="self.level + elapsed / PACE_SECONDS_PER_CLAIM",
        instead="self.level",
        without_it="Without it nobody would claim any more after eight claims: consumers would get no new token.",
        is_contract=True,
    ),
    Rule(
        name="pace: -2 at least",
        words="No claim brings the pace below -2.",
        where="ledger.Pace.after_claim",
        code="max(PACE_MIN_LEVEL, self.level_at(now) - 1)",
        instead="self.level_at(now) - 1",
        without_it=(
            "Without it a level below -2, which is possible if a clock is set back before a claim, would make no "
            "sense to the next run: it would begin with a full pace."
        ),
        is_contract=True,
        test="test_each_claim_takes_one",
    ),
    Rule(
        name="pace: far ahead",
        words="A pace of a time far ahead of now counts as full: nobody would ever claim again.",
        where="ledger.Pace.as_of",
        code="if self.at > now + clock_margin_seconds:",
        instead="if False:",
        without_it=(
            "Without it nobody would claim until the time of a clock that was far ahead, which may be in years."
        ),
        test="test_damaged_ledger_keeps_no_token_out",
    ),
    Rule(
        name="pace: ahead counts as now",
        words="A pace of a time that is a little ahead counts as now.",
        where="ledger.Pace.level_at",
        code="max(0.0, now - self.at)",
        instead="now - self.at",
        without_it=(
            "Without it a clock that is some seconds ahead would take a part of a claim from the runs of other "
            "machines."
        ),
        is_contract=True,
    ),
    # The ledger, as it counts now.
    Rule(
        name="lock: lapses",
        words="A lock lapses at its `until`.",
        where="ledger.Ledger.as_of",
        ablation="locks do not lapse",
        without_it="Without it a run that died would lock out all others for ever.",
        is_contract=True,
    ),
    Rule(
        name="lock: of an own run",
        words="The lock of this run, or of one whose token the process holds, does not lock it out.",
        where="ledger.Ledger._is_locked",
        code=" or self.lock.run_id in own_runs",
        instead="",
        without_it="Without it the process that holds an unsaved token would wait for the end of its own lock.",
        is_contract=True,
    ),
    Rule(
        name="lock: believed limits",
        words="A lock that holds for more than 15 minutes is not believed.",
        where="ledger.Ledger._is_locked",
        code="return self.lock.until <= now + MAX_LOCK_SECONDS",
        instead="return True",
        without_it="Without it a lock that was written by hand could keep every run out for years.",
        is_contract=True,
        test="test_damaged_ledger_keeps_no_token_out",
    ),
    Rule(
        name="lapsed lock: counts",
        words="A run that died counts as a failure and a suspicion of the principal that it could ask.",
        where="ledger.Ledger.after_lapsed_lock",
        code="if lock.principal is None:",
        instead="if True:",
        without_it=(
            "Without it a token that a dead run may have lost would be forgotten: the next refusal would be "
            "asked again too soon."
        ),
        is_contract=True,
    ),
    Rule(
        name="lapsed lock: of a recovery",
        words="A run that died in a recovery counts for nothing: it asks nobody.",
        where="ledger.Ledger.after_lapsed_lock",
        code="if lock.principal is None:\n        return replace(self, lock=None)",
        instead="lock = replace(lock, principal=lock.principal or next(iter(terms.credentials.principals)))",
        without_it="Without it a run that died in a recovery would count against a principal that nobody has asked.",
        is_contract=True,
        test="test_lapsed_lock_is_a_failure_and_a_suspicion_of_its_principal",
    ),
    Rule(
        name="lapsed lock: from its claim on",
        words="The pause after a run that died counts from its claim.",
        where="ledger.Ledger.after_lapsed_lock",
        code="min(lock.claimed_at, now)",
        instead="now",
        without_it="Without it the pause after a run that died would begin anew at each look.",
        is_contract=True,
    ),
    Rule(
        name="lapsed lock: claimed ahead of now",
        words="A claim that lies ahead of now counts as now.",
        where="ledger.Ledger.after_lapsed_lock",
        code="min(lock.claimed_at, now)",
        instead="lock.claimed_at",
        without_it="Without it a lock of a clock that was ahead could close its principal's slot for up to a day.",
        test="test_lapsed_lock_ahead_of_now_counts_from_now",
    ),
    Rule(
        name="lapsed lock: refusal kept",
        words=(
            "After a run that died, credentials that were refused pause for an hour again. "
            "A claim does not keep the last pause."
        ),
        where="ledger.Ledger.after_lapsed_lock",
        code="failed = failed.with_refusal_kept(lock.principal, self.slot(lock.principal), died_at)",
        instead="",
        without_it=(
            "Without it wrong credentials would be sent again too soon after a run that died, and an account is "
            "blocked after ten wrong passwords."
        ),
        test="test_lapsed_lock_does_not_end_the_pauses_of_refused_credentials",
    ),
    Rule(
        name="former slots: while closed",
        words="The slot of a former principal is kept while it is closed, in case it comes back.",
        where="ledger.Ledger._slots_as_of",
        code="kept = configured | set(latest)",
        instead="kept = configured",
        without_it="Without it a rotation that is rolled back would ask with a client whose slot is still spent.",
        is_contract=True,
        test="test_slots_of_former_clients_go_when_they_are_past",
    ),
    Rule(
        name="former slots: not when open",
        words="The slot of a former principal goes when it is open.",
        where="ledger.Ledger._slots_as_of",
        code=" and slot.not_before > now",
        instead="",
        without_it="Without it the slots of the last four former clients would stay in the ledger for ever.",
        is_contract=True,
        test="test_slots_of_former_clients_go_when_they_are_past",
    ),
    Rule(
        name="former slots: four",
        words="Four slots of former principals are kept at most.",
        where="ledger.Ledger._slots_as_of",
        code="[-MAX_FORMER_SLOTS:]",
        instead="",
        without_it=(
            "Without it many rotations in a day would make the ledger so long that a token has no room next to it."
        ),
        is_contract=True,
        test="test_slots_of_at_most_four_former_principals_are_kept",
    ),
    Rule(
        name="former slots: short names",
        words="The slot of a former principal with a very long name is not kept.",
        where="ledger._is_former",
        code=" and len(principal) <= MAX_FORMER_PRINCIPAL_CHARACTERS",
        instead="",
        without_it="Without it four very long names, written by hand, would leave no room for a token in the secret.",
        test="test_slot_of_a_former_principal_with_a_long_name_is_not_kept",
    ),
    # The claim and the publish.
    Rule(
        name="claim: asked_at and asked_with",
        words="A claim notes when its principal is asked, and with what.",
        where="ledger.Ledger.with_claim",
        code="return claimed.with_slot(principal, asked)",
        instead="return claimed",
        without_it=(
            "Without it a forced event could be repeated at once, pauses would not be doubled, and a corrected "
            "request would wait for the end of a pause."
        ),
        is_contract=True,
    ),
    Rule(
        name="claim of a recovery: spent slot",
        words="The claim of a recovery notes the slot that the token has spent.",
        where="ledger.Ledger.with_spent_slot",
        code="return self.with_slot(token.principal, slot)",
        instead="return self",
        without_it="Without it the principal of a recovered token would ask within its interval if the run dies.",
        is_contract=True,
    ),
    Rule(
        name="publish: all is forgotten",
        words="A token ends the pauses, failures and suspicions of its principal.",
        where="ledger.Ledger.after_publish",
        code="if token.acquired_at < slot.asked_at:",
        instead="if True:",
        without_it=(
            "Without it the failures from before a token would count on: the next single failure would lead to a pause."
        ),
        is_contract=True,
    ),
    Rule(
        name="publish: only by the last request",
        words="A token from before the principal's last request ends no pause.",
        where="ledger.Ledger.after_publish",
        code="if token.acquired_at < slot.asked_at:",
        instead="if False:",
        without_it="Without it an older token that comes back would end the pause of a newer refusal.",
    ),
    # After an answer without a token.
    Rule(
        name="error: a refused override",
        words="An override that the limit refuses leaves the slot as it was.",
        where="ledger.Ledger.after_error",
        code="(is_limit or isinstance(error, CredentialsRefused))",
        instead="isinstance(error, CredentialsRefused)",
        without_it=(
            "Without it an override that the limit refuses would close the slot for longer, although its answer "
            "tells nothing new."
        ),
        is_contract=True,
    ),
    Rule(
        name="error: an override with wrong credentials",
        words="An override whose credentials are refused leaves the slot as it was.",
        where="ledger.Ledger.after_error",
        code="(is_limit or isinstance(error, CredentialsRefused))",
        instead="is_limit",
        without_it=(
            "Without it an override with wrong credentials would count as a failure of the slot, and could close "
            "it for longer."
        ),
        is_contract=True,
        test="test_override_refused_for_its_credentials_forgets_no_limit",
    ),
    Rule(
        name="error: refused credentials",
        words="After refused credentials the principal pauses.",
        where="ledger.Ledger.after_refused_credentials",
        ablation="no pause after refused credentials",
        without_it=(
            "Without it wrong credentials would be sent at every run, and an account is blocked after ten wrong "
            "passwords."
        ),
        is_contract=True,
    ),
    Rule(
        name="refused credentials: doubled",
        words="The pause after refused credentials is doubled at each further refusal.",
        where="ledger.Ledger.after_refused_credentials",
        code="if slot_before.reason == CREDENTIALS_REFUSED:",
        instead="if False:",
        without_it=(
            "Without it wrong credentials would be sent every hour, and an account is blocked after ten wrong "
            "passwords."
        ),
        is_contract=True,
    ),
    Rule(
        name="refused credentials: a day at most",
        words="The pause after refused credentials lasts a day at most.",
        where="ledger.Ledger.after_refused_credentials",
        code="min(2 * slot_before.refused_seconds, MAX_CREDENTIALS_REFUSED_SECONDS)",
        instead="2 * slot_before.refused_seconds",
        without_it=(
            "Without it the sixth pause would be 32 hours, which no run believes: wrong credentials would be "
            "sent at every run."
        ),
        is_contract=True,
        test="test_same_credentials_refused_again_are_left_alone_for_longer",
    ),
    Rule(
        name="refused credentials: whole hours",
        words="The pause before is counted in whole hours, one at least: the refusal came seconds after its claim.",
        where="ledger.Slot.refused_seconds",
        code="return max(1, hours) * CREDENTIALS_REFUSED_SECONDS",
        instead="return self.not_before - self.asked_at",
        without_it=(
            "Without it each pause would be some seconds shorter than twice the last one, and a pause of 0 would "
            "stay 0."
        ),
    ),
    Rule(
        name="error: refusal kept",
        words="After another failure the pause of refused credentials goes on.",
        where="ledger.Ledger.after_error",
        code="failed = failed.with_refusal_kept(principal, slot_before, now)",
        instead="",
        without_it=(
            "Without it wrong credentials would be sent again too soon after another failure, and an account is "
            "blocked after ten wrong passwords."
        ),
    ),
    Rule(
        name="error: rate limit",
        words="After a refusal for the limit the slot is closed as `rate_limited`.",
        where="ledger.Ledger.after_error",
        code="if isinstance(error, RateLimited):",
        instead="if False:",
        without_it=(
            "Without it a refusal for the limit would count as a failure of any kind: the vendor would be asked "
            "again at the next run."
        ),
        is_contract=True,
    ),
    Rule(
        name="rate limit: Retry-After",
        words="A 429 closes the slot for as long as its Retry-After says.",
        where="ledger.Ledger.after_rate_limit",
        code="pause = min(error.retry_after, MAX_RATE_LIMITED_SECONDS)",
        instead="pause = 0",
        without_it="Without it a vendor that says how long to wait would be asked before that.",
        is_contract=True,
    ),
    Rule(
        name="rate limit: a day at most",
        words="The Retry-After of a 429 is believed up to 24 hours.",
        where="ledger.Ledger.after_rate_limit",
        code="min(error.retry_after, MAX_RATE_LIMITED_SECONDS)",
        instead="error.retry_after",
        without_it=(
            "Without it a `Retry-After` of more than a day would close the slot for so long that no run believes "
            "it: the vendor would be asked at every run."
        ),
        is_contract=True,
        test="test_too_many_requests_waits_as_long_as_the_vendor_says",
    ),
    Rule(
        name="rate limit: with a suspicion",
        words="A refusal while there is a suspicion closes the slot for a whole interval.",
        where="ledger.Ledger.after_rate_limit",
        code="elif slot.suspicions:",
        instead="elif False:",
        without_it=(
            "Without it a principal whose slot is spent would ask every 15 minutes, and each request may start "
            "the interval again."
        ),
        is_contract=True,
    ),
    Rule(
        name="rate limit: without a suspicion",
        words="A refusal that nothing explains closes the slot for 15 minutes only.",
        where="ledger.Ledger.after_rate_limit",
        code="elif slot.suspicions:",
        instead="elif True:",
        without_it="Without it a refusal because clocks differ by minutes would cost a whole interval.",
        is_contract=True,
    ),
    Rule(
        name="rate limit: 15 minutes at least",
        words="A refusal closes the slot for at least 15 minutes, also if there is no interval.",
        where="ledger.Ledger.after_rate_limit",
        code="max(UNEXPLAINED_REFUSAL_SECONDS, terms.settings.slot_seconds(principal))",
        instead="terms.settings.slot_seconds(principal)",
        without_it=(
            "Without it a service account, which has no interval, would ask again 5 minutes after its second "
            "refusal for the limit."
        ),
        is_contract=True,
        test="test_refusal_for_the_limit_closes_the_slot_for_at_least_15_minutes",
    ),
    Rule(
        name="rate limit: or the pause of its failures",
        words="A refusal closes the slot for at least as long as a failure would.",
        where="ledger.Ledger.after_rate_limit",
        code="pause = max(pause, terms.back_off_seconds(principal, slot.failures))",
        instead="",
        without_it=(
            "Without it a proxy that answers 429 with a short wait would be asked at every run for as long as it fails."
        ),
        is_contract=True,
    ),
    Rule(
        name="rate limit: is a suspicion",
        words="A refusal for the limit is itself a suspicion.",
        where="ledger.Ledger.after_rate_limit",
        code="return closed.with_suspicion(principal)",
        instead="return closed",
        without_it=(
            "Without it each refusal for the limit would count as the first one: the vendor would be asked every "
            "15 minutes for a whole interval."
        ),
        is_contract=True,
    ),
    Rule(
        name="rate limit: a 429 is no suspicion",
        words="A 429 says nothing about the slot, so it is not a suspicion.",
        where="ledger.Ledger.after_rate_limit",
        code="if error.retry_after is None:\n",
        instead="if True:\n",
        without_it=(
            "Without it a 429 of a limiter in front of the vendor would make the next refusal cost a whole interval."
        ),
        is_contract=True,
        test="test_too_many_requests_waits_as_long_as_the_vendor_says",
    ),
    Rule(
        name="suspicions",
        words="What speaks for a spent slot is counted.",
        where="ledger.Ledger.with_suspicion",
        ablation="no suspicions",
        without_it=(
            "Without it a refusal after a lost answer would be asked again every 15 minutes, for a whole interval."
        ),
        is_contract=True,
    ),
    Rule(
        name="error: possibly granted",
        words="A request that may have been granted unheard is a suspicion.",
        where="ledger.Ledger.after_error",
        code="if error.possibly_granted:",
        instead="if False:",
        without_it=(
            "Without it a lost answer would be forgotten: the refusal that follows would be asked again too soon."
        ),
        is_contract=True,
    ),
    Rule(
        name="error: never sent",
        words="A request that can't have been granted is not a suspicion.",
        where="ledger.Ledger.after_error",
        code="if error.possibly_granted:",
        instead="if True:",
        without_it=(
            "Without it a request that never left would count as one that was granted unheard: the next refusal "
            "would cost a whole interval."
        ),
        is_contract=True,
        test="test_request_that_was_never_sent_spends_no_slot",
    ),
    Rule(
        name="error: Retry-After",
        words="A 5xx with a Retry-After closes the slot for so long.",
        where="ledger.Ledger.after_error",
        code="failed = failed.with_closed_slot(principal, int(now) + pause, BACKING_OFF, now)",
        instead="pass",
        without_it="Without it a vendor that is down and says until when would be asked before that.",
        is_contract=True,
        test="test_server_error_may_say_when_to_come_back",
    ),
    Rule(
        name="error: an hour at most",
        words="The Retry-After of a 5xx is believed up to an hour.",
        where="ledger.Ledger.after_error",
        code="min(error.retry_after, MAX_VENDOR_DOWN_SECONDS)",
        instead="error.retry_after",
        without_it="Without it a 5xx could close a slot for a day, although the outage may be over in minutes.",
        is_contract=True,
        test="test_server_error_may_say_when_to_come_back",
    ),
    Rule(
        name="same token: half of its life",
        words="After an answer with the current token the next request comes when half of its life is over.",
        where="ledger.Ledger.after_same_token",
        code="max(MIN_SAME_TOKEN_SECONDS, seconds_remaining // 2)",
        instead="MIN_SAME_TOKEN_SECONDS",
        without_it="Without it a vendor that answers with the same token would be asked every 5 minutes.",
        is_contract=True,
        test="test_same_token_is_waited_out",
    ),
    Rule(
        name="same token: 5 minutes at least",
        words="After an answer with the current token the next request does not come within 5 minutes.",
        where="ledger.Ledger.after_same_token",
        code="max(MIN_SAME_TOKEN_SECONDS, seconds_remaining // 2)",
        instead="seconds_remaining // 2",
        without_it=(
            "Without it a vendor that answers with the same token would be asked every few seconds when that "
            "token is nearly over."
        ),
        is_contract=True,
        test="test_same_token_is_waited_out",
    ),
    # What a document may say.
    Rule(
        name="parse: the lock",
        words="A lock with an id or a principal that nobody can have written is left out.",
        where="ledger._parse_lock",
        code=' or not _is_id(found["run_id"]) or not _is_principal(found["principal"])',
        instead="",
        without_it=(
            "Without it a text that UTF-8 can't hold, in the lock's id or principal, would end every run that "
            "tells of it."
        ),
        is_contract=True,
        test="test_half_a_surrogate_pair_in_the_ledger_ends_no_run",
    ),
    Rule(
        name="parse: a slot's principal",
        words="A slot of a principal that nobody can have written is left out.",
        where="ledger._parse_slots",
        code="_is_principal(principal) and ",
        instead="",
        without_it="Without it a text that UTF-8 can't hold, in a slot's name, would end every run that tells of it.",
        is_contract=True,
        test="test_half_a_surrogate_pair_in_the_ledger_ends_no_run",
    ),
    Rule(
        name="parse: reason and error",
        words="A slot with a reason or an error that is not one of ours is left out.",
        where="ledger._makes_sense",
        code='if slot["reason"] not in {None, *REASONS} or slot["error"] not in {None, *ERROR_CLASSES}:',
        instead="if False:",
        without_it=(
            "Without it a text that UTF-8 can't hold, in a slot's reason or error, would end every run that "
            "tells of it."
        ),
        is_contract=True,
        test="test_half_a_surrogate_pair_in_the_ledger_ends_no_run",
    ),
    Rule(
        name="parse: counts",
        words="A slot with more than 1,000 failures or suspicions is left out.",
        where="ledger._makes_sense",
        code='if slot["suspicions"] > MAX_COUNT or slot["failures"] > MAX_COUNT:',
        instead="if False:",
        without_it=(
            "Without it numbers of thousands of digits, written by hand, would leave no room for a token in the secret."
        ),
        test="test_slot_with_nonsense_in_a_field_is_absent",
    ),
    Rule(
        name="parse: asked_with",
        words="A slot with an `asked_with` that nobody can have written is left out.",
        where="ledger._makes_sense",
        code='return _is_id(slot["asked_with"])',
        instead="return True",
        without_it=(
            "Without it a text that UTF-8 can't hold, in a slot's `asked_with`, would end every run that tells of it."
        ),
        is_contract=True,
        test="test_half_a_surrogate_pair_in_the_ledger_ends_no_run",
    ),
    Rule(
        name="parse: printable",
        words="An id that can't be printed is left out.",
        where="ledger._is_id",
        code="text.isprintable() and ",
        instead="",
        without_it="Without it a text that UTF-8 can't hold, in an id, would end every run that tells of it.",
        is_contract=True,
        test="test_half_a_surrogate_pair_in_the_ledger_ends_no_run",
    ),
    Rule(
        name="parse: the pace's level",
        words="A pace whose level is not a number counts as full.",
        where="ledger._parse_pace",
        code="if isinstance(level, bool) or not isinstance(level, int | float):",
        instead="if False:",
        without_it="Without it a text in the place of the pace's level would end every run.",
        is_contract=True,
        test="test_pace_with_nonsense_in_a_field_is_a_new_one",
    ),
    Rule(
        name="parse: the pace's time",
        words="A pace whose time is not a whole number counts as full.",
        where="ledger._parse_pace",
        code="if isinstance(at, bool) or not isinstance(at, int) or at < 0:",
        instead="if False:",
        without_it="Without it a text in the place of the pace's time would end every run.",
        is_contract=True,
        test="test_pace_with_nonsense_in_a_field_is_a_new_one",
    ),
    Rule(
        name="parse: the pace's range",
        words="A pace whose level is not from -2 to 8 counts as full.",
        where="ledger._parse_pace",
        code="if not PACE_MIN_LEVEL <= level <= PACE_MAX_LEVEL:",
        instead="if False:",
        without_it=(
            "Without it a level of some thousands below 0, written by hand, would keep every run from claiming "
            "for months."
        ),
        is_contract=True,
        test="test_damaged_ledger_keeps_no_token_out",
    ),
]
