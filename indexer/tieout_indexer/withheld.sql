-- name: counted_after
-- Right after a snapshot nothing is read yet that would rest on it.
select greatest(c.slot, coalesce((select o.slot from ledger.opening_row o where o.mint = $1 and o.slot = $2), -1))
from ledger.counted_after(array[$1::text], $2, null) c

-- name: steps
-- In ledger order: what a transfer left behind (fee), or an instruction that sweeps (fee null).
select slot, tx_index, step, child, destination as account, fee::numeric as fee
from ledger.events where mint = $1 and slot > $2 and slot <= $3 and fee > 0
union all
select slot, tx_index, step, child, null, null
from ledger.events where mint = $1 and slot > $2 and slot <= $3 and kind = 'fee_withdrawal'
union all
select slot, tx_index, step, child, null, null
from ledger.controls where mint = $1 and slot > $2 and slot <= $3 and kind = 'harvest'
order by slot, tx_index, step, child

-- name: evidence
select distinct on (encoding, sha256) sha256, body from ledger.evidence_row
where slot = $1 and tx_index = $2 and encoding in ('json', 'snapshot') and octet_length(body) > 0
order by encoding, sha256, batch desc
