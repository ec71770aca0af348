-- Queries of reporting periods. Schema access is read through its view.

-- name: lock_periods
select pg_advisory_xact_lock(7401685247)

-- name: periods
-- Those that stand, in order of time.
select period, from_at, to_at, opening from recon.periods where withdrawn is null order by to_at

-- name: withdrawn_periods
select period, from_at, to_at, opening from recon.periods where withdrawn is not null order by to_at, opening

-- name: actions
select a.action, a.period, a.kind, a.actor, a.at, a.note, a.run, a.proposal, a.signature, a.body, k.public_key
from recon.period_actions a
left join lateral (
    select k.public_key from access.person_keys k
    where k.name = a.actor and k.entry < a.entry order by k.version desc limit 1
) k on true
where a.period = $1 and a.opening = $2 order by a.action

-- name: content
select content from recon.period_actions where action = $1

-- name: signed
select 'period ' || a.period || ', action ' || a.action as what, a.actor, a.signature, a.body, k.public_key
from recon.period_actions a
left join lateral (
    select k.public_key from access.person_keys k
    where k.name = a.actor and k.entry < a.entry order by k.version desc limit 1
) k on true
union all
select 'period ' || p.period, p.actor, p.signature, p.body, k.public_key
from recon.periods p
left join lateral (
    select k.public_key from access.person_keys k
    where k.name = p.actor and k.entry < p.entry order by k.version desc limit 1
) k on true
order by what

-- name: insert_period
insert into recon.period_row (period, opening, from_at, to_at, actor, at, signature, body, entry)
select $1, coalesce(max(opening), 0) + 1, $2, $3, $4, clock_timestamp(), $5, $6, $7
from recon.period_row where period = $1

-- name: insert_action
insert into recon.period_action_row
    (action, period, opening, kind, actor, at, note, run, content, proposal, signature, body, entry)
select coalesce(max(action), 0) + 1, $1, $11, $2, $3, clock_timestamp(), $4, $5, $6, $7, $8, $9, $10
from recon.period_action_row
returning action

-- name: importers
select l.load, l.kind, a.actor as importer
from recon.loads l left join recon.load_actors a using (load)
where l.load = any($1::bigint[]) order by l.load

-- name: opening_slot
select slot, block_time from ledger.slots where block_time <= $1 order by block_time desc, slot desc limit 1

-- name: run_at_slot
select max(run) from recon.runs where as_of_slot = $1

-- name: heads
select (select coalesce(max(batch), 0) from ledger.batches) as batch,
       (select coalesce(max(load), 0) from recon.loads) as load

-- name: later_loads
select l.load, l.kind, l.name, l.recorded_at, a.actor as importer
from recon.loads l left join recon.load_actors a using (load)
where l.load > $1 and l.load <= $2 order by l.load

-- name: dated_inside
-- Which of the later files say something dated inside a period. A registry speaks of every instant.
select distinct l.load from recon.loads l
where l.load > $1 and l.load <= $2 and (
    l.kind = 'registry'
    or exists (select from recon.position_row x where x.load = l.load and x.as_of > $3 and x.as_of <= $4)
    or exists (select from recon.order_row x where x.load = l.load and x.created_at <= $4
               and coalesce(x.settled_at, x.created_at) > $3)
    or exists (select from recon.trade_row x where x.load = l.load and x.traded_at <= $4
               and coalesce(x.status_at, x.traded_at) > $3)
    or exists (select from recon.action_row x where x.load = l.load and x.announced_at > $3 and x.announced_at <= $4)
    or exists (select from recon.action_row x where x.load = l.load and x.effective_at > $3 and x.effective_at <= $4)
    or exists (select from recon.chain_reading_row x where x.load = l.load and x.as_of > $3 and x.as_of <= $4)
    or exists (select from recon.bridge_message_row x where x.load = l.load and x.sent_at <= $4
               and coalesce(x.delivered_at, x.sent_at) > $3)
    or exists (select from recon.custody_movement_row x where x.load = l.load
               and coalesce(x.settled_at, x.traded_at) > $3 and coalesce(x.settled_at, x.traded_at) <= $4)
    or exists (select from recon.stock_loan_row x where x.load = l.load and x.lent_at <= $4
               and coalesce(x.returned_at, x.recalled_at, x.lent_at) > $3)
    or exists (select from recon.payment_row x where x.load = l.load and x.paid_at > $3 and x.paid_at <= $4)
    or exists (select from recon.venue_line_row x where x.load = l.load and x.as_of > $3 and x.as_of <= $4))
order by l.load
