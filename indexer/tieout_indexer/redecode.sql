-- name: evidence
select e.slot, e.tx_index, e.body, e.sha256, s.block_time
from ledger.evidence_row e join ledger.slot_row s using (slot)
where e.slot between $1 and $2 and e.encoding = 'json'
order by e.slot, e.tx_index, e.batch
