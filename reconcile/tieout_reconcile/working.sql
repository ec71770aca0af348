-- Queries of the work on breaks. Schema access is read through its view.

-- name: lock_actions
select pg_advisory_xact_lock(7401685241)

-- name: people
select name, roles, public_key from access.people order by name

-- name: actions
select action, key, kind, actor, at, note, assignee, line, document, shares, expires_at, proposal, assets, since,
       recipient
from recon.break_actions where key = any($1::text[]) order by action

-- name: evidence
select l.load, a.actor as importer,
       array(select distinct p.key from recon.break_actions p
             where p.kind = 'propose' and recon.says_again(l.load, p.document)
               and not exists (select from recon.break_actions r where r.proposal = p.action and r.kind = 'reject')
             order by p.key) as used_by,
       array(select distinct c.key from recon.break_actions c
             where c.kind = 'cover' and recon.says_again(l.load, c.document) order by c.key) as covers
from recon.loads l left join recon.load_actors a using (load) where l.load = $1

-- name: lives
select key, event_at, first_run, last_run, first_ran_at from recon.break_lives where key = any($1::text[])

-- name: calendars
select symbol, calendar, closed, weekend from recon.instrument_calendars
where load = $1 and symbol = any($2::text[]) and calendar is not null

-- name: next_action
select coalesce(max(action), 0) + 1 as action, clock_timestamp() as at from recon.break_action_row

-- name: insert_action
insert into recon.break_action_row
    (action, key, kind, actor, at, note, assignee, line, document, shares, expires_at, proposal, signature, body, entry,
     assets, since, recipient)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)

-- name: signed_actions
select a.action, a.actor, a.signature, a.body, k.public_key
from recon.break_actions a
left join lateral (
    select k.public_key from access.person_keys k
    where k.name = a.actor and k.entry < a.entry order by k.version desc limit 1
) k on true
where a.signature is not null order by a.action

-- name: unsigned_actions
-- What no key signed and no session of its actor covers.
select a.action, a.actor, a.kind from recon.break_actions a
where a.signature is null and not exists (
    select from access.session_spans s where s.name = a.actor and a.at between s.from_at and s.to_at)
order by a.action

-- name: people_set
-- Each change of a person beside the key that its maker had then; the founder has none.
select p.name, p.version, e.entry, e.actor, e.details, k.public_key
from access.person_keys p
join audit.entries e using (entry)
left join lateral (
    select o.public_key from access.person_keys o
    where o.name = e.actor and o.entry < e.entry order by o.version desc limit 1
) k on true
order by e.entry

-- name: shortfall_actions
select a.action, a.signature, a.body, k.public_key
from recon.break_actions a
left join lateral (
    select k.public_key from access.person_keys k
    where k.name = a.actor and k.entry < a.entry order by k.version desc limit 1
) k on true
where a.key = any($1::text[]) and a.kind in ('cover', 'notify') order by a.action

-- name: signed_acknowledgements
select a.acknowledgement, a.actor, a.signature, a.body, k.public_key
from recon.alert_acknowledgements a
left join lateral (
    select k.public_key from access.person_keys k
    where k.name = a.actor and k.entry < a.entry order by k.version desc limit 1
) k on true
where a.signature is not null order by a.acknowledgement

-- name: signed_loads
select a.load, a.actor, e.details, l.sha256, k.public_key
from recon.load_actors a
join audit.entries e using (entry)
join recon.loads l on l.load = a.load
left join lateral (
    select k.public_key from access.person_keys k
    where k.name = a.actor and k.entry < a.entry order by k.version desc limit 1
) k on true
order by a.load

-- name: unclaimed
select l.sha256 from recon.loads l
where l.load = $1 and not exists (select from recon.load_actors a where a.load = l.load)

-- name: insert_load_actor
insert into recon.load_actor_row (load, actor, entry) values ($1, $2, $3)

-- name: genesis_hash
select genesis_hash from ledger.cluster

-- name: now
select clock_timestamp()
