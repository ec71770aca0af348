-- Queries of the report: what a bundle is made of. Of schema ledger it reads views and functions only.

-- name: loads
select load, kind, name, format, declared, body from recon.load_bodies where load <= $1 order by load

-- name: batches
select batch, decoder_version, prev_hash, hash, content_hash from ledger.batches where batch <= $1 order by batch

-- name: coverage
select mint, from_slot, to_slot from ledger.coverage_known($1) order by mint collate "C", from_slot

-- name: authorities
select mint, type, authority, from_slot from ledger.issuer_authorities_known($1, $2, $3)

-- name: openings
select mint, slot, tx_index, step, child, (details ->> 'decimals')::integer as decimals
from ledger.controls_known($2) where mint = any($1::text[]) and kind in ('mint_open', 'snapshot')
order by mint collate "C", slot, tx_index, step, child

-- name: events
select mint, slot, tx_index, step, child, block_time, signature, kind, source, source_owner, destination,
       destination_owner, authority, authority_role, amount, fee, memo
from ledger.opening_events_known($1::text[], $2, $3)
union all
select e.mint, e.slot, e.tx_index, e.step, e.child, e.block_time, e.signature, e.kind, e.source, e.source_owner,
       e.destination, e.destination_owner, e.authority, e.authority_role, e.amount, e.fee, e.memo
from ledger.counted_after($1::text[], $2, $3) b
join ledger.events_known($3) e on e.mint = b.mint and e.slot > b.slot
where e.slot <= $2
order by slot, tx_index, step, child

-- name: evidence
-- Of several answers one that is still there, the first of them.
select slot, tx_index, sha256, body from ledger.evidence where slot = $1 and tx_index = $2 and batch <= $3
order by detached, batch limit 1

-- name: lock_reports
select pg_advisory_xact_lock(7401685237)

-- name: report_of_run
-- $2: the signature that locks the period of which it is the report; null for none's.
select report, body from recon.reports where run_digest = $1 and lock is not distinct from $2 order by report limit 1

-- name: previous_report
-- The one before: the last made whose period ended earlier; locked periods follow locked periods.
select report, sha256, as_of_slot, as_of_time, known_load
from recon.reports where as_of_slot < $1 and (lock is not null) = $2 order by report desc limit 1

-- name: next_report
select coalesce(max(report), 0) + 1 from recon.report_row

-- name: insert_report
insert into recon.report_row (report, run_digest, as_of_slot, as_of_time, known_load, verdict, previous, digest, body, lock)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)

-- name: insert_signature
insert into recon.report_signature_row (report, public_key, signature) values ($1, $2, $3) on conflict do nothing

-- name: reports
select r.report, r.made_at, r.as_of_slot, r.as_of_time, r.verdict, r.sha256, r.previous, r.run, r.period,
       s.signers
from recon.reports r
left join lateral (
    select array_agg(s.public_key order by s.public_key) as signers from recon.report_signatures s
    where s.report = r.report
) s on true
order by r.report desc limit $1

-- name: report_by_number
select report, run, body from recon.reports where report = $1

-- name: first_signature
select public_key, signature from recon.report_signatures where report = $1 order by signed_at, public_key limit 1
