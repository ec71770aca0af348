-- Queries of control in time. Each is held to its index: what it reads grows with what is new, not with the ledger.

-- name: lock
-- One writer of crossings and notices at a time, whatever the number of daemons: held until commit.
select pg_advisory_xact_lock(7401685244)

-- name: state
select batch, ordinal, load, source_seen_at, registry_load, acts_load from recon.control_state for update

-- name: advance
update recon.control_state set batch = $1, ordinal = $2, advanced_at = clock_timestamp()

-- name: advance_load
update recon.control_state set load = $1, source_seen_at = $2, advanced_at = clock_timestamp()

-- name: batches_after
select batch from ledger.batches where batch > $1 order by batch limit $2

-- name: events_of_batch
select * from ledger.events_of_batch($1)

-- name: owner_changes_of_batch
select * from ledger.owner_changes_of_batch($1, $2)

-- name: touches_of_batch
select * from ledger.touches_of_batch($1, $2)

-- name: retractions_of_batch
select slot, tx_index, step, child, mint from ledger.retractions
where batch = $1 and relation in ('event', 'control') order by slot, tx_index, step, child

-- name: taken_back
-- Which rows of a batch some later batch took back: what is read of both at once never stood.
select r.slot, r.tx_index, r.step, r.child, r.mint
from unnest($1::bigint[], $2::integer[], $3::integer[], $4::integer[], $5::text[]) as p(slot, tx_index, step, child, mint)
join ledger.retractions r using (slot, tx_index, step, child, mint)
where r.relation in ('event', 'control') and r.row_batch = $6

-- name: crossings_at
-- The crossings told of a row that a correction took back.
select c.crossing from recon.control_crossing_row c
where c.slot = $1 and c.tx_index = $2 and c.step = $3 and c.child = $4 and c.mint = $5 and c.batch < $6
  and not exists (select from recon.control_withdrawal_row w where w.crossing = c.crossing)

-- name: created
-- Mints whose creation was read: with no multiplier announced they have none.
select m.mint from unnest($1::text[]) as m(mint)
where exists (select from ledger.controls c where c.mint = m.mint and c.kind = 'mint_open')

-- name: block_time
select block_time from ledger.slots where slot <= $1 and block_time is not null order by slot desc limit 1

-- name: last_registry
select load from recon.load_row where kind = 'registry' order by load desc limit 1

-- name: source
-- The newest order file, when it came, and when it was last handed in again.
select l.load, greatest(l.recorded_at, (
           select s.seen_at from recon.source_seen_row s where s.load = l.load order by s.seen_at desc limit 1)) as seen_at
from recon.load_row l where l.kind = 'orders' order by l.load desc limit 1

-- name: last_load
select load from recon.load_row order by load desc limit 1

-- name: advance_registry
update recon.control_state set registry_load = $1, advanced_at = clock_timestamp()

-- name: event_at
select * from ledger.events where slot = $1 and tx_index = $2 and step = $3 and child = $4 and mint = $5

-- name: insert_crossing
insert into recon.control_crossing_row
    (key, symbol, mint, slot, tx_index, step, child, signature, kind, outward, raw, unit, at, account, issuer_role,
     counterparty, counterparty_role, memo, batch, ordinal, registry_load)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21)
on conflict (mint, key, batch) do nothing
returning crossing

-- name: insert_reference
insert into recon.control_reference_row (reference, outward, crossing) values ($1, $2, $3)

-- name: withdraw
insert into recon.control_withdrawal_row (crossing, reason) values ($1, $2) on conflict do nothing

-- name: crossings
select c.* from recon.control_crossing_row c
where c.crossing = any ($1::bigint[])
  and not exists (select from recon.control_withdrawal_row w where w.crossing = c.crossing)

-- name: references
select reference, outward, crossing from recon.control_reference_row where crossing = any ($1::bigint[])

-- name: claims
-- The first movements that name each request, in the direction that its order moves tokens.
select distinct r.crossing from unnest($1::text[], $2::boolean[]) as o(reference, outward)
cross join lateral (
    select n.crossing from recon.control_reference_row n
    where n.reference = o.reference and n.outward = o.outward order by n.crossing limit $3) r

-- name: signed_crossings
select crossing from recon.control_crossing_row where signature = any ($1::text[]) limit $2

-- name: signed_orders
select distinct request_id from recon.order_row where signature = any ($1::text[])

-- name: messages
-- The newest version of each bridge message that a crossing names, or that names a crossing's transaction.
select distinct on (b.message_id)
       b.line, b.message_id, b.mint, b.direction, b.network, b.raw, b.signature, b.remote_reference, b.sent_at, b.delivered_at
from (
    select unnest($1::text[]) as message_id
    union select s.message_id from recon.bridge_message_row s where s.signature = any ($2::text[])) named
cross join lateral (
    select * from recon.bridge_message_row m where m.message_id = named.message_id order by m.load desc limit 1) b
order by b.message_id, b.load desc

-- name: named_by_loads
-- The crossings that the orders and messages of some loads speak of.
select r.crossing from recon.order_row o join recon.control_reference_row r on r.reference = o.request_id
where o.load > $1 and o.load <= $2
union
select c.crossing from recon.order_row o join recon.control_crossing_row c on c.signature = o.signature
where o.load > $1 and o.load <= $2
union
select r.crossing from recon.bridge_message_row b join recon.control_reference_row r on r.reference = b.message_id
where b.load > $1 and b.load <= $2
union
select c.crossing from recon.bridge_message_row b join recon.control_crossing_row c on c.signature = b.signature
where b.load > $1 and b.load <= $2
order by crossing

-- name: firing_crossings
select n.crossing from recon.control_notice_row n
where n.status = 'firing' and n.crossing is not null
  and not exists (select from recon.control_notice_row l where l.fingerprint = n.fingerprint and l.notice > n.notice)
order by n.crossing

-- name: notices_of_crossings
-- How each alert about some crossings stands.
select distinct on (n.fingerprint) n.* from recon.control_notice_row n
where n.crossing = any ($1::bigint[]) order by n.fingerprint, n.notice desc

-- name: controls_of_batch
select * from ledger.controls_of_batch($1, $2, $3)

-- name: insert_act
insert into recon.control_act_row
    (key, symbol, mint, kind, slot, tx_index, step, child, signature, at, raw, unit, account, owner, memo, authority,
     details, batch, registry_load)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
on conflict (mint, key, batch) do nothing
returning act

-- name: insert_act_reference
insert into recon.control_act_reference_row (reference, act) values ($1, $2)

-- name: withdraw_act
insert into recon.control_act_withdrawal_row (act, reason) values ($1, $2) on conflict do nothing

-- name: acts_at
-- The acts told of a row that a correction took back.
select a.act from recon.control_act_row a
where a.slot = $1 and a.tx_index = $2 and a.step = $3 and a.child = $4 and a.mint = $5 and a.batch < $6
  and not exists (select from recon.control_act_withdrawal_row w where w.act = a.act)

-- name: acts
select a.* from recon.control_act_row a
where a.act = any ($1::bigint[])
  and not exists (select from recon.control_act_withdrawal_row w where w.act = a.act)

-- name: withdrawn_acts
select mint, kind from recon.control_act_row where act = any ($1::bigint[])

-- name: acts_of_mints
select a.* from recon.control_act_row a
where a.mint = any ($1::text[]) and a.kind = $2
  and not exists (select from recon.control_act_withdrawal_row w where w.act = a.act)

-- name: act_references
select reference, act from recon.control_act_reference_row where act = any ($1::bigint[])

-- name: acts_naming
-- The first mints that name each request, or that an order names by its transaction.
select distinct r.act from unnest($1::text[]) as o(reference)
cross join lateral (
    select n.act from recon.control_act_reference_row n where n.reference = o.reference order by n.act limit $3) r
union
select a.act from recon.control_act_row a where a.signature = any ($2::text[]) and a.kind = 'inventory_mint'

-- name: acts_of_orders
-- The mints that the orders of some loads speak of.
select r.act from recon.order_row o join recon.control_act_reference_row r on r.reference = o.request_id
where o.load > $1 and o.load <= $2
union
select a.act from recon.order_row o join recon.control_act_row a on a.signature = o.signature
where o.load > $1 and o.load <= $2 and a.kind = 'inventory_mint'

-- name: firing_acts
select n.act from recon.control_notice_row n
where n.status = 'firing' and n.act is not null
  and not exists (select from recon.control_notice_row l where l.fingerprint = n.fingerprint and l.notice > n.notice)
order by n.act

-- name: notices_of_acts
-- How each alert about some acts stands.
select distinct on (n.fingerprint) n.* from recon.control_notice_row n
where n.act = any ($1::bigint[]) order by n.fingerprint, n.notice desc

-- name: last_act_load
-- The newest file that may say something else of a control.
select greatest(
    (select load from recon.load_row where kind = 'actions' order by load desc limit 1),
    (select load from recon.load_row where kind = 'registry' order by load desc limit 1))

-- name: advance_acts
update recon.control_state set acts_load = $1, advanced_at = clock_timestamp()

-- name: action_isins
-- The ISINs of which the files of some loads declared an action.
select isin from recon.action_row where load > $1 and load <= $2
union select new_isin from recon.action_row where load > $1 and load <= $2 and new_isin is not null

-- name: actions
-- The newest version of each action of some ISINs.
select distinct on (a.action_id)
       a.line, a.action_id, a.isin, a.kind, a.status, a.announced_at, a.ex_date, a.record_date, a.pay_date,
       a.effective_at, a.factor, a.cash_rate, a.currency, a.withholding, a.new_isin
from recon.action_row a
where a.action_id in (select i.action_id from recon.action_row i where i.isin = any ($1::text[]) or i.new_isin = any ($1::text[]))
order by a.action_id, a.load desc

-- name: renaming_actions
-- Those by which an instrument's shares come under another ISIN.
select isin, new_isin from recon.action_row where new_isin is not null

-- name: notice_of_fingerprint
select * from recon.control_notice_row where fingerprint = $1 order by notice desc limit 1

-- name: last_notice
select coalesce(max(notice), 0) from recon.control_notice_row

-- name: insert_notice
insert into recon.control_notice_row
    (notice, fingerprint, status, reason, mint, crossing, labels, annotations, starts_at, ends_at, act)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)

-- name: tell
select pg_notify('tieout_control', $1)

-- name: now
select clock_timestamp()

-- name: deliver_lock
-- One daemon tells a receiver at a time; held by the connection that does.
select pg_try_advisory_lock(7401685245 # hashtext($1)::bigint)

-- name: add_receiver
-- A new receiver is told from the oldest alert that still fires on.
insert into recon.control_receiver (receiver, delivered_through)
select $1, coalesce(
    (select min(n.notice) - 1 from recon.control_notice_row n
     where n.status = 'firing' and not exists (
        select from recon.control_notice_row l where l.fingerprint = n.fingerprint and l.notice > n.notice)),
    (select max(notice) from recon.control_notice_row), 0)
on conflict do nothing

-- name: pending
-- The oldest undelivered notice of each fingerprint, in order.
with receiver as (
    select receiver, delivered_through from recon.control_receiver where receiver = $1
), waiting as (
    select n.* from receiver r join recon.control_notice_row n on n.notice > r.delivered_through
    where not exists (select from recon.control_delivery_row d where d.receiver = r.receiver and d.notice = n.notice)
      and not (n.fingerprint = any ($2::text[]))
    order by n.notice limit $3
)
select distinct on (fingerprint) * from waiting order by fingerprint, notice

-- name: insert_delivery
insert into recon.control_delivery_row (receiver, notice, attempts, http_status) values ($1, $2, $3, $4)
on conflict do nothing

-- name: advance_receiver
-- Up to the notice before the first that is not delivered.
update recon.control_receiver r set failures = 0, last_error = null, tried_at = clock_timestamp(),
    delivered_through = greatest(r.delivered_through, coalesce(
        (select n.notice - 1 from recon.control_notice_row n
         where n.notice > r.delivered_through and not exists (
            select from recon.control_delivery_row d where d.receiver = r.receiver and d.notice = n.notice)
         order by n.notice limit 1),
        (select max(notice) from recon.control_notice_row), 0))
where r.receiver = $1

-- name: note_failure
update recon.control_receiver set failures = failures + 1, last_error = $2, tried_at = clock_timestamp()
where receiver = $1

-- name: position
select batch, ordinal, load, advanced_at from recon.control_position

-- name: frontier
-- The newest batch, the oldest one not checked yet, and when each was committed.
select (select max(batch) from ledger.batches) as last_batch,
       (select committed_at from ledger.batches where batch > $1 order by batch limit 1) as waiting_since

-- name: outbox
select r.receiver, r.failures, r.last_error, r.tried_at, r.delivered_through, w.depth, w.oldest
from recon.alert_receivers r
cross join lateral (
    select count(*) as depth, min(n.made_at) as oldest from recon.alert_notices n
    where n.notice > r.delivered_through
      and not exists (select from recon.alert_deliveries d where d.receiver = r.receiver and d.notice = n.notice)) w
order by r.receiver

-- name: firing
select * from recon.alerts where status = 'firing' order by notice desc limit $1

-- name: firing_named
-- The alerts that fire whose fingerprint begins so; two are enough to know that it is not one.
select * from recon.alerts where status = 'firing' and $1 <> '' and starts_with(fingerprint, $1) limit 2

-- name: insert_acknowledgement
insert into recon.control_acknowledgement_row (acknowledgement, notice, actor, at, note, signature, body, entry)
select coalesce(max(acknowledgement), 0) + 1, $1, $2, $3, $4, $5, $6, $7 from recon.control_acknowledgement_row

-- name: listed
select * from recon.alerts where $1::boolean or status = 'firing' order by notice desc limit $2

-- name: counts
select labels ->> 'alertname' as alertname, labels ->> 'symbol' as symbol, count(*) as alerts
from recon.alerts where status = 'firing' group by 1, 2 order by 1, 2

-- name: tips
-- How far each mint is proven, the time of that block, and what stands in its way.
select c.mint, max(c.to_slot) as slot,
       (select s.block_time from ledger.slots s
        where s.slot <= max(c.to_slot) and s.block_time is not null order by s.slot desc limit 1) as at,
       (select count(*) from ledger.quarantine q where q.mint = c.mint) as quarantined
from ledger.coverage c where c.mint = any ($1::text[]) group by c.mint

-- name: ledger_holes
select slot, reason from ledger.parked order by slot limit $1

-- name: given_up
-- Slots of a mint's proven range that were given up for good and never read since.
select m.mint, h.from_slot, h.to_slot from unnest($1::text[]) as m(mint) cross join ledger.holes h
where not exists (
    select from ledger.coverage c where c.mint = m.mint and c.from_slot <= h.from_slot and h.to_slot <= c.to_slot)
  and exists (select from ledger.tracked t where t.mint = m.mint and t.from_slot <= h.to_slot)
order by m.mint, h.from_slot

-- name: open_findings
select m.mint, f.audit, f.subject from unnest($1::text[]) as m(mint)
join ledger.findings f on f.mint is null or f.mint = m.mint
where f.closed_at is null order by m.mint, f.audit, f.subject

-- name: statement_times
-- One dated ahead of today shows nothing of today.
select custodian, account, max(as_of) as as_of from recon.position_row r
where basis = 'settled' and as_of <= clock_timestamp() and not exists (
        select from recon.statement_correction_row c
        where c.corrected_load = r.load and c.custodian = r.custodian and c.account = r.account)
group by custodian, account

-- name: last_run
select max(run) from recon.runs

-- name: conditions
select subject, pulled, bad, since, observations, reasons from recon.control_condition where subject = any ($1::text[])

-- name: keep_condition
insert into recon.control_condition (subject, pulled, bad, since, observations, reasons, looked_at)
values ($1, $2, $3, $4, $5, $6, $7)
on conflict (subject) do update
set pulled = excluded.pulled, bad = excluded.bad, since = excluded.since, observations = excluded.observations,
    reasons = excluded.reasons, looked_at = excluded.looked_at

-- name: forced
-- The transactions in which the permanent delegate took tokens, among some.
select distinct c.signature from recon.control_crossing_row c
where c.signature = any ($1::text[]) and c.kind in ('seizure', 'forced_burn')
  and not exists (select from recon.control_withdrawal_row w where w.crossing = c.crossing)

-- name: announced_mints
-- The mints of which acts of some kinds were ever told.
select distinct mint from recon.control_act_row where kind = any ($1::text[])
