-- Queries of what batches hold.

-- name: parts_of_batch
select parts from ledger.content_row where batch = $1

-- name: parts
select batch, parts from ledger.content_row where batch <= $1 order by batch

-- name: batches_of_slots
select distinct batch from ledger.slot_row where slot = any($1::bigint[]) and batch <= $2

-- name: batches_of_evidence
select distinct e.batch
from unnest($1::bigint[], $2::integer[]) as p (slot, tx_index)
join ledger.evidence_row e on e.slot = p.slot and e.tx_index = p.tx_index
where e.batch <= $3

-- name: batches_of_touches
select distinct t.batch, t.mint
from unnest($1::bigint[], $2::integer[]) as p (slot, tx_index)
join ledger.touch_row t on t.slot = p.slot and t.tx_index = p.tx_index
where t.mint = any($3::text[]) and t.batch <= $4
