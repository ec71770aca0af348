-- name: batches
select batch, decoder_version, prev_hash, content_hash, hash from ledger.batch_row order by batch

-- name: supplies
select mint, decimals, supply from ledger.supply where mint = any($1) order by mint

-- name: supply_at
select ledger.supply_at($1, $2)

-- name: hidden
select sum(case kind when 'confidential_deposit' then amount::numeric
                     when 'confidential_withdrawal' then -amount::numeric end) as hidden,
       sum(fee::numeric) - coalesce(sum(amount::numeric) filter (where kind = 'fee_withdrawal'), 0) as withheld
from ledger.events where mint = $1

-- name: balance_sum
select sum(amount) from ledger.balances where mint = $1

-- name: evidence
select slot, tx_index, sha256, body from ledger.evidence_row order by slot, tx_index
