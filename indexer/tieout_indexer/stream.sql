-- name: batches_after
select batch from ledger.batches where batch >= $1 order by batch limit $2

-- name: events_of_batch
select * from ledger.events_of_batch($1)

-- name: retractions_of_batch
select r.slot, r.tx_index, r.step, r.child, r.mint, r.row_batch
from ledger.retractions r where r.batch = $1 and r.relation = 'event'
order by r.slot, r.tx_index, r.step, r.child

-- name: provisional
select * from ledger.provisional_events where $1::text is null or mint = $1
order by slot, tx_index, step, child
