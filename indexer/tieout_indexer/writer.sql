-- name: take_epoch
update ledger.writer set epoch = epoch + 1, holder = $1, acquired_at = clock_timestamp() returning epoch

-- name: holder
select holder, acquired_at from ledger.writer

-- name: lock_epoch
select epoch from ledger.writer for update

-- name: last_batch
select batch, hash from ledger.batch_row order by batch desc limit 1

-- name: insert_batch
with hashed as (insert into ledger.content_row (batch, parts) values ($1, $7))
insert into ledger.batch_row (batch, epoch, decoder_version, prev_hash, content_hash, hash)
values ($1, $2, $3, $4, $5, $6)

-- name: ensure_partitions
select ledger.ensure_partition(slot) from generate_series($1::bigint - $1::bigint % 10000000, $2::bigint, 10000000) as slot

-- name: cluster
select genesis_hash, epoch_schedule from ledger.cluster_row

-- name: insert_cluster
insert into ledger.cluster_row (genesis_hash, epoch_schedule) values ($1, $2) on conflict do nothing

-- name: tracked
select mint, from_slot from ledger.tracked_row order by mint

-- name: read_ranges
select r.mint, lower(range)::bigint as from_slot, upper(range)::bigint - 1 as to_slot
from ledger.read_known($1, null) r cross join lateral unnest(r.ranges) as range
order by r.mint, from_slot

-- name: cohort_of
-- $1: its mints in order
select m.cohort from ledger.cohort_row m
where m.cohort in (select f.cohort from ledger.cohort_row f where f.mint = ($1::text[])[1])
group by m.cohort having array_agg(m.mint order by m.mint) = $1::text[]
order by m.cohort limit 1

-- name: last_cohort
select coalesce(max(cohort), 0) from ledger.cohort_row

-- name: mark_coverage
select ledger.mark_coverage($1)

-- name: notify_provisional
select pg_notify('tieout_provisional', '')

-- name: standing_accounts
select account, frozen from ledger.balances where mint = $1 and closed_slot is null and last_slot <= $2

-- name: is_paused
select true from ledger.paused where mint = $1 and from_slot <= $2 and to_slot is null

-- name: known_slots
select slot, blockhash from ledger.slot_row where slot between $1 and $2

-- name: block_before
select slot, blockhash from ledger.slot_row where slot < $1 order by slot desc limit 1

-- name: block_after
select slot, parent_slot, parent_blockhash from ledger.slot_row where slot > $1 order by slot limit 1

-- name: evidence_known
select slot, tx_index from ledger.evidence_row where slot between $1 and $2

-- name: mint_controls
select c.mint, c.slot, c.kind, c.details
from ledger.controls c
where c.mint = any($1) and c.slot < $2
  and c.kind in ('mint_open', 'permanent_delegate', 'authority', 'default_state', 'transfer_fee', 'snapshot')
order by c.slot, c.tx_index, c.step, c.child

-- name: last_touches
select k.mint, k.account, t.post_amount, t.post_owner
from unnest($1::text[], $2::text[], $3::bigint[]) as k (mint, account, since_slot)
cross join lateral (
    select h.post_amount, h.post_owner
    from ledger.touches h
    where h.mint = k.mint and h.account = k.account and h.slot >= k.since_slot and h.slot < $4
    order by h.slot desc, h.tx_index desc limit 1
) t

-- name: first_touches
select distinct on (t.account) t.slot, t.tx_index, t.account, t.decimals, t.pre_amount, t.post_amount, t.pre_owner,
       t.post_owner,
       coalesce(
           (select e.signature from ledger.event_row e where e.slot = t.slot and e.tx_index = t.tx_index limit 1),
           (select c.signature from ledger.control_row c where c.slot = t.slot and c.tx_index = t.tx_index limit 1),
           '') as signature
from ledger.touches t
where t.mint = $1 and t.slot between $2 and $3
order by t.account, t.slot, t.tx_index

-- name: parked_slots
select slot, reason, since from ledger.parked where slot between $1 and $2 order by slot

-- name: holes
select lower(range)::bigint as from_slot, upper(range)::bigint - 1 as to_slot
from (select unnest(range_agg(int8range(from_slot, to_slot, '[]'))) as range from ledger.hole_row) merged
order by 1

-- name: listed
select distinct mint from ledger.listed_row where mint = any($1) and from_slot <= $3 and to_slot >= $2

-- name: listed_ranges
select from_slot, to_slot from ledger.listed_row where mint = $1 order by from_slot

-- name: openings
select mint, slot from ledger.opening_row where mint = any($1) order by mint, slot

-- name: coverage
select mint, from_slot, to_slot from ledger.coverage where mint = any($1) order by mint, from_slot

-- name: open_quarantine
select slot, signature, path, mint, reason from ledger.quarantine
where mint = any($1) and slot <= $2 order by slot, tx_index, step, child

-- name: forget_endpoints
delete from ledger.endpoint_standing

-- name: report_endpoint
insert into ledger.endpoint_standing (endpoint, standing, requests, failures, rate_limited, disagreements, latency_s,
    finalized_slot, lag_slots, first_slot)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)

-- name: notify
select pg_notify('tieout_ledger', $1)
