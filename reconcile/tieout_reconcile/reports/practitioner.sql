-- Queries of practitioners' statements: attached to a report, never part of it.

-- name: lock
select pg_advisory_xact_lock(7401685247)

-- name: report_of
select report, as_of_time from recon.reports where sha256 = $1

-- name: issuers_keys
-- Every key that anybody here ever acted by, or that signed any report.
select k.public_key, 'that of ' || k.name || ', a person of these books' as whose
from access.person_keys k where k.public_key is not null
union all
select s.public_key, 'the one that signed report ' || min(s.report)
from recon.report_signatures s group by s.public_key

-- name: genesis_hash
select genesis_hash from ledger.cluster

-- name: now
select clock_timestamp()

-- name: next_statement
select coalesce(max(statement), 0) + 1 from recon.practitioner_row

-- name: insert
insert into recon.practitioner_row
    (statement, report, public_key, signature, body, digest, actor, attached_body, attached_signature, entry)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)

-- name: statements
select statement, report, public_key, signature, body, sha256, actor, attached_at, outside
from recon.practitioner_statements where $1::bigint is null or report = $1 order by statement

-- name: by_digest
select statement, report, public_key, signature, body, sha256, actor, attached_at, outside
from recon.practitioner_statements where sha256 = $1

-- name: signed
select p.statement, p.actor, p.public_key as practitioner_key, p.signature as practitioner_signature, p.body,
       p.attached_body, p.attached_signature, k.public_key
from recon.practitioner_statements p
left join lateral (
    select k.public_key from access.person_keys k
    where k.name = p.actor and k.entry < p.entry order by k.version desc limit 1
) k on true
order by p.statement
