-- name: tracked
select t.mint, t.opening, s.decimals, s.supply
from ledger.tracked t join ledger.supply s using (mint) order by t.mint

-- name: coverage
select mint, from_slot, to_slot from ledger.coverage order by mint, from_slot

-- name: listed
select mint, from_slot, to_slot from ledger.listed order by mint, from_slot

-- name: parked
select slot, reason, since from ledger.parked order by slot

-- name: holes
select from_slot, to_slot, reason, accepted_by, accepted_at from ledger.holes order by from_slot, batch

-- name: quarantine
select slot, signature, mint, path, reason from ledger.quarantine order by slot, tx_index, step, child

-- name: findings
select audit, subject, mint, slot, expected, found, opened_at, opened_batch from ledger.findings
where closed_at is null order by opened_batch, audit, subject

-- name: endpoints
select endpoint, standing, requests, failures, rate_limited, disagreements, latency_s, finalized_slot, lag_slots,
       first_slot, seen_at
from ledger.endpoints order by endpoint

-- name: rates
-- Of the newest batches only: going back through all of them for their times would take ever longer.
with recent as materialized (
    select n.batch from (select b.batch, b.committed_at from ledger.batch_row b order by b.batch desc limit 20000) n
    where n.committed_at > clock_timestamp() - make_interval(secs => $1)
), read as (
    select m.mint, r.from_slot, r.to_slot
    from recent b join ledger.cohort_coverage_row r using (batch) join ledger.cohort_row m using (cohort)
    union all
    select c.mint, c.from_slot, c.to_slot from recent b join ledger.coverage_row c using (batch)
)
select mint, sum(to_slot - from_slot + 1)::double precision / $1::double precision as slots_per_s
from read group by mint
