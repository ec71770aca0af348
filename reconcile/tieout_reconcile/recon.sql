-- Queries of the reconciliation. Of schema ledger it reads views and functions only.

-- name: lock_loads
-- Loads are numbered in commit order: the lock is held until commit.
select pg_advisory_xact_lock(7401685235)

-- name: lock_runs
select pg_advisory_xact_lock(7401685236)

-- name: file_load
select load from recon.load_row where kind = $1 and content_sha256 = $2 order by load limit 1

-- name: next_load
select coalesce(max(load), 0) + 1 from recon.load_row

-- name: max_load
select coalesce(max(load), 0) from recon.load_row

-- name: insert_load
insert into recon.load_row (load, kind, name, sha256, content_sha256, rows, body, format, declared)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- name: insert_saying
insert into recon.load_saying_row (load, digests) values ($1, $2)

-- name: insert_instrument
insert into recon.instrument_row
    (load, symbol, mint, isin, decimals, name, buffer_shares, valid_from, valid_to, chains, chain_age_hours_max,
     bridge_hours_max, late_days_max, redemption_days_max, large_share, inventory_authorised, calendar, price_days_max)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)

-- name: insert_calendar
insert into recon.calendar_row (load, calendar, closed, weekend) values ($1, $2, $3, $4)

-- name: insert_venue
insert into recon.venue_row (load, venue, name, max_age_hours) values ($1, $2, $3, $4)

-- name: insert_wallet
insert into recon.wallet_row
    (load, ordinal, address, kind, role, instrument, valid_from, valid_to, source, evidence, venue, holder, proven_at,
     wrapper)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)

-- name: insert_source
insert into recon.source_row (load, kind, name, every_minutes, due_at, time_zone, calendar, grace_minutes)
values ($1, $2, $3, $4, $5, $6, $7, $8)

-- name: insert_announcement
insert into recon.announcement_row (load, ordinal, kind, instrument, account, valid_from, valid_to, source)
values ($1, $2, $3, $4, $5, $6, $7, $8)

-- name: insert_payment_token
insert into recon.payment_token_row (load, currency, mint, decimals) values ($1, $2, $3, $4)

-- name: insert_custodian
insert into recon.custodian_row (load, custodian, name, currency, quantum, max_age_hours, calendar, evidence)
values ($1, $2, $3, $4, $5, $6, $7, $8)

-- name: insert_custody_account
insert into recon.custody_account_row (load, custodian, account, instruments, valid_from, valid_to)
values ($1, $2, $3, $4, $5, $6)

-- name: insert_position
insert into recon.position_row (load, line, custodian, account, isin, quantity, basis, as_of)
values ($1, $2, $3, $4, $5, $6, $7, $8)

-- name: insert_encumbrance
insert into recon.encumbrance_row (load, line, kind, quantity) values ($1, $2, $3, $4)

-- name: insert_order
insert into recon.order_row
    (load, line, request_id, side, mint, shares, raw, status, wallet, signature, created_at, settled_at, fee, network,
     settlement, cash_amount, cash_currency)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17)

-- name: insert_trade
insert into recon.trade_row
    (load, line, custodian, account, isin, reference, side, quantity, traded_at, settles_on, status, status_at, action_id)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)

-- name: trades_known
select distinct on (custodian, reference)
       line, custodian, account, isin, reference, side, quantity, traded_at, settles_on, status, status_at, action_id
from recon.trade_row where load <= $1 order by custodian, reference, load desc

-- name: registry_load
select load, content_sha256 from recon.load_row where kind = 'registry' and load <= $1 order by load desc limit 1

-- name: registry_instruments
select symbol, mint, isin, decimals, name, buffer_shares, valid_from, valid_to, chains, chain_age_hours_max,
       bridge_hours_max, late_days_max, redemption_days_max, large_share, inventory_authorised, calendar, price_days_max
from recon.instrument_row where load = $1

-- name: registry_wallets
select address, kind, role, instrument, valid_from, valid_to, source, evidence, venue, holder, proven_at, wrapper
from recon.wallet_row where load = $1

-- name: registry_custodians
select custodian, name, currency, quantum, max_age_hours, calendar, evidence
from recon.custodian_row where load = $1

-- name: registry_calendars
select calendar, closed, weekend from recon.calendar_row where load = $1

-- name: registry_venues
select venue, name, max_age_hours from recon.venue_row where load = $1

-- name: registry_sources
select kind, name, every_minutes, due_at, time_zone, calendar, grace_minutes from recon.source_row where load = $1

-- name: registry_announced
select kind, instrument, account, valid_from, valid_to, source from recon.announcement_row where load = $1

-- name: registry_payment_tokens
select currency, mint, decimals from recon.payment_token_row where load = $1

-- name: registry_accounts
select custodian, account, instruments, valid_from, valid_to from recon.custody_account_row where load = $1

-- name: orders_known
-- The orders of some mints, each in its newest version: a newer one may name another mint.
select line, request_id, side, mint, shares, raw::text as raw, status, wallet, signature, created_at, settled_at, fee, network, load,
       settlement, cash_amount, cash_currency
from (
    select distinct on (request_id)
           line, request_id, side, mint, shares, raw, status, wallet, signature, created_at, settled_at, fee, network, load,
           settlement, cash_amount, cash_currency
    from recon.order_row where load <= $1 and mint = any($2::text[]) order by request_id, load desc
) known
where not exists (
    select from recon.order_row n where n.request_id = known.request_id and n.load > known.load and n.load <= $1)

-- name: ordered_since
-- The mints of which an order was told in a load after one, up to another.
select distinct mint from recon.order_row where load > $1 and load <= $2

-- name: worked_isins
-- Under which ISINs custody moved or an action was announced, as known at a load.
select isin from recon.custody_movement_row where load <= $1
union select isin from recon.action_row where load <= $1
union select new_isin from recon.action_row where load <= $1 and new_isin is not null

-- name: bridged_mints
select distinct mint from recon.bridge_message_row where load <= $1

-- name: touched_since
select mint from ledger.touched_since($1, $2, $3, $4, $5, $6)

-- name: history_heads
select symbol, mint, known_load, known_batch, until_at
from recon.history_head where rules = $1 and registry_load = $2

-- name: history_steps
-- Of each symbol the chunk that holds the step in force at a place.
select s.symbol, c.steps
from unnest($1::text[]) as s(symbol)
cross join lateral (
    select h.steps from recon.history_chunk h
    where h.symbol = s.symbol and (h.from_micros, h.from_slot) <= ($2::bigint, $3::bigint)
    order by h.from_micros desc, h.from_slot desc limit 1) c

-- name: history_newer
-- Whether what is kept already was found from more than a run knew.
select exists (
    select from recon.history_head where as_of_slot > $1 or known_batch > $2 or known_load > $3)

-- name: forget_history
delete from recon.history_head

-- name: insert_history
insert into recon.history_head
    (symbol, mint, run, rules, registry_load, known_load, known_batch, as_of_slot, as_of_time, until_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)

-- name: order_counts
-- How many versions of orders some mints have: how much work they are.
select mint, count(*)::integer as orders from recon.order_row where load <= $1 and mint = any($2::text[]) group by mint

-- name: export_snapshot
-- A standby cannot share its snapshot.
select case when pg_is_in_recovery() then null else pg_export_snapshot() end

-- name: orders_of
select distinct on (request_id)
       line, request_id, side, mint, shares, raw, status, wallet, signature, created_at, settled_at, fee, network, load,
       settlement, cash_amount, cash_currency
from recon.order_row where request_id = any($1::text[]) order by request_id, load desc

-- name: orders_named
-- The orders of some request ids, whichever instrument's, each in the version known at a load.
select distinct on (request_id)
       line, request_id, side, mint, shares, raw, status, wallet, signature, created_at, settled_at, fee, network, load,
       settlement, cash_amount, cash_currency
from recon.order_row where load <= $1 and request_id = any($2::text[]) order by request_id, load desc

-- name: statements_known
-- The latest settled statement of each account at or before the cut-off: its rows of the highest load.
with latest as (
    select distinct on (custodian, account) custodian, account, as_of, load
    from recon.position_row r
    where basis = 'settled' and load <= $1 and as_of <= $2 and not exists (
        select from recon.statement_correction_row c
        where c.corrected_load = r.load and c.custodian = r.custodian and c.account = r.account and c.load <= $1)
    order by custodian, account, as_of desc, load desc
)
select p.custodian, p.account, p.as_of, p.load, p.isin, p.quantity,
       (select jsonb_object_agg(e.kind, e.quantity::text) from recon.encumbrance_row e
        where e.load = p.load and e.line = p.line) as encumbered
from latest l join recon.position_row p using (custodian, account, as_of, load)
where p.basis = 'settled'

-- name: statements_later
select custodian, account, min(as_of) as as_of from recon.position_row r
where basis = 'settled' and load <= $1 and as_of > $2 and not exists (
        select from recon.statement_correction_row c
        where c.corrected_load = r.load and c.custodian = r.custodian and c.account = r.account and c.load <= $1)
group by custodian, account

-- name: same_bytes
-- Under which dates the bytes of a statement were taken in before, by account.
select distinct l.load, l.name, p.custodian, p.account, p.as_of
from recon.load_row l join recon.position_row p using (load)
where l.kind = 'statement' and l.sha256 = $1 and not exists (
    select from recon.statement_correction_row c
    where c.corrected_load = p.load and c.custodian = p.custodian and c.account = p.account)
order by l.load, p.custodian, p.account, p.as_of

-- name: is_corrected
select exists (select from recon.statement_correction_row where corrected_load = $1)

-- name: insert_statement_correction
insert into recon.statement_correction_row (load, corrected_load, custodian, account) values ($1, $2, $3, $4)

-- name: loads_known
select load, kind, sha256, declared from recon.load_row where load <= $1 order by load

-- name: list_statements
select l.load, l.name, encode(l.sha256, 'hex') as sha256, l.recorded_at, p.custodian, p.account, p.basis, p.as_of,
       count(*)::integer as positions, bool_and(p.superseded_load is not null) as superseded,
       coalesce(l.format, 'csv') as format
from recon.load_row l join recon.positions p using (load)
where l.kind = 'statement'
group by l.load, p.custodian, p.account, p.basis, p.as_of
order by l.load, p.custodian, p.account, p.basis, p.as_of

-- name: list_orders
select line, request_id, side, mint, shares, raw, status, wallet, signature, created_at, settled_at, fee, network, load,
       settlement, cash_amount, cash_currency
from recon.orders order by created_at, request_id

-- name: max_batch
select coalesce(max(batch), 0) from ledger.batches

-- name: batch_hash
select hash from ledger.batches where batch = $1

-- name: genesis_hash
select genesis_hash from ledger.cluster

-- name: default_slot
-- The highest slot that all tracked registered mints cover, those with an open quarantine left out:
-- they must turn incomplete, not hold all the others back at an old slot.
with proven as (
    select c.mint, max(c.to_slot) as to_slot,
           exists (select from ledger.quarantine q where q.mint = c.mint and q.batch <= $2) as doubtful
    from ledger.coverage_known($2) c where c.mint = any($1::text[]) group by c.mint
)
select coalesce(min(to_slot) filter (where not doubtful), min(to_slot)) from proven

-- name: slot_at
-- The last slot at or before an instant (a chain's clock never goes back), and whether a later block
-- proves that it is the last.
select slot, passed from ledger.slot_at_known($1, $2, $3)

-- name: slot_time
select slot, blockhash, block_time from ledger.slot_time_known($1, $2, $3)

-- name: chain_states
select mint, known_from, known_to, covered_to, decimals, supply from ledger.mint_states_known($1, $2, $3)

-- name: holdings
-- $4: registered owners, $5: registered token accounts
select mint, account, owner, amount from ledger.wallet_balances_known($1, $2, $3, $4, $5)

-- name: movements
-- $4 and $5 as above, of those that ever had an issuer's role. Amounts as text: there are millions, and it is read
-- sooner than a numeric.
select mint, slot, tx_index, step, child, block_time, signature, kind, source, source_owner, destination,
       destination_owner, authority, authority_role, amount::text as amount, fee::text as fee, memo
from ledger.boundary_events_known($1, $2, $3, $4, $5)

-- name: token_spans
-- The proven range of each mint that reaches a slot.
select mint, from_slot, to_slot from ledger.coverage_known($3)
where mint = any($1::text[]) and $2 between from_slot and to_slot

-- name: token_births
select mint, slot from ledger.controls_known($3) where mint = any($1::text[]) and kind = 'mint_open' and slot <= $2

-- name: token_movements
-- What some transactions moved of payment tokens, and the first movement of each in the range that reaches the slot.
with counted as materialized (
    select b.mint, b.slot, c.from_slot
    from ledger.counted_after($1::text[], $2, $3) b
    left join ledger.coverage_known($3) c on c.mint = b.mint and $2 between c.from_slot and c.to_slot
)
select c.mint, e.slot, e.tx_index, e.step, e.child, e.block_time, e.signature, e.kind, e.source, e.source_owner,
       e.destination, e.destination_owner, e.authority, e.authority_role, e.amount, e.fee, e.memo
from counted c join ledger.events_known($3) e on e.mint = c.mint and e.slot > c.slot
where e.slot <= $2 and e.signature = any($4::text[])
union
select c.mint, f.slot, f.tx_index, f.step, f.child, f.block_time, f.signature, f.kind, f.source, f.source_owner,
       f.destination, f.destination_owner, f.authority, f.authority_role, f.amount, f.fee, f.memo
from counted c cross join lateral (
    select e.* from ledger.events_known($3) e
    where e.mint = c.mint and e.slot > c.slot and e.slot between c.from_slot and $2
    order by e.slot, e.tx_index, e.step, e.child limit 1
) f
order by slot, tx_index, step, child

-- name: owner_changes
select mint, slot, tx_index, step, child, block_time, signature, account, authority, new_owner
from ledger.owner_changes_known($1, $2, $3)

-- name: open_findings
-- Of audits of the ledger, as known at a batch; one that names no mint speaks of the whole ledger.
select mint, audit, subject, expected, found from ledger.findings_known($1, $2)

-- name: multipliers
-- Bytes that are no number stand for what nobody can say: whoever computes with them finds it unknown.
select mint, announced_slot, tx_index, step, child, effective_at, coalesce(bits, '\x000000000000f87f'::bytea) as bits,
       superseded_slot, announced_at, effective_seconds, signature
from ledger.multiplier_steps($1, $2) order by announced_slot, tx_index, step, child

-- name: quarantined
select mint, slot, signature, path, reason from ledger.quarantine_known($1, $2, $3)

-- name: authority_changes
select mint, slot, tx_index, step, child, block_time, signature, authority_type, authority, new_authority
from ledger.authority_changes_known($1, $2, $3)

-- name: control_acts
select mint, slot, tx_index, step, child, block_time, signature, kind, account, authority, value
from ledger.control_acts_known($1, $2, $3)

-- name: frozen
-- Accounts that are frozen, or of which that is not known (null); amount null: closed.
select mint, account, owner, amount, frozen from ledger.frozen_known($1, $2, $3)

-- name: orphans
-- Slots of movements of which the ledger had no block at a batch.
select slot from ledger.slots_unknown($1, $2)

-- name: holders
select owner, amount from ledger.holders_known($1, $2, $3)

-- name: unseen
select ledger.unseen_known($1, $2, $3)

-- name: next_run
select coalesce(max(run), 0) + 1 from recon.run_row

-- name: run_with_digest
select run from recon.run_row where digest = $1 and content_run = run order by run limit 1

-- name: insert_run
insert into recon.run_row
    (run, as_of_slot, as_of_time, known_batch, known_load, rules, verdict, breaks, digest, content_run, body)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
returning ran_at

-- name: insert_result
insert into recon.result_row
    (run, symbol, mint, isin, verdict, supply, inventory, in_transit, circulating, owed_returns, owed_forced, liability_raw,
     multiplier_bits, multiplier, liability_shares, custody_shares, difference_shares, tolerance_short, tolerance_over, reasons,
     unsettled_shares, custody_traded_shares)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22)

-- name: insert_custody
insert into recon.custody_row (run, symbol, custodian, account, shares, as_of, load, aggregate, encumbered)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9)

-- name: insert_cash
insert into recon.cash_row
    (run, symbol, request_id, kind, currency, agreed, owed, paid, returned, outstanding, overdue, overpaid, state,
     owed_since, due_on, tokens_at, paid_at, ahead, payments)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)

-- name: insert_finding
insert into recon.finding_row
    (run, id, key, code, name, severity, symbol, raw, shares, at, signature, request_id, summary, details)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)

-- name: run_body
select run, ran_at, body from recon.run_bodies where run = coalesce($1, (select max(run) from recon.runs))

-- name: run_lines
select symbol, count, lines from recon.run_lines where run = $1 order by symbol, ordinal

-- name: lines_stored
select sha256 from recon.lines_row where sha256 = any($1::bytea[])

-- name: insert_lines
insert into recon.lines_row (sha256, lines) values ($1, $2) on conflict (sha256) do nothing

-- name: insert_run_lines
insert into recon.run_lines_row (run, symbol, ordinal, lines, from_slot, to_slot, sha256)
values ($1, $2, $3, $4, $5, $6, $7)

-- name: run_history
select run, ran_at, as_of_slot, as_of_time, known_batch, known_load, verdict, breaks, encode(digest, 'hex') as digest
from recon.run_row order by run desc limit $1

-- name: accounts_at
select account, owner, amount, frozen from ledger.balances_at($1, $2, $3) where amount > 0

-- name: orders_seen
-- When the newest order file came, or was last handed in again: it is as fresh as that.
select greatest(l.recorded_at, (
    select s.seen_at from recon.source_sightings s where s.load = l.load order by s.seen_at desc limit 1))
from recon.loads l where l.kind = 'orders' order by l.load desc limit 1

-- name: now
select clock_timestamp()

-- name: passed
-- The latest instant that has passed: by our clock, or by the newest proven block's where that chain runs ahead.
select greatest(clock_timestamp(), (
    select block_time from ledger.slots where block_time is not null order by slot desc limit 1))

-- name: insert_sighting
-- Only the newest order file speaks for the source: an older one handed in again proves nothing.
insert into recon.source_seen_row (load)
select $1 where $1 = (select load from recon.load_row where kind = 'orders' order by load desc limit 1)
