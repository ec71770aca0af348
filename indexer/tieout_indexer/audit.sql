-- name: batches
select batch, decoder_version, prev_hash, content_hash, hash from ledger.batch_row where batch > $1 order by batch

-- name: evidence
select slot, tx_index, sha256, body from ledger.evidence_row where batch = $1 and octet_length(body) > 0
order by slot, tx_index

-- name: supply
select supply from ledger.supply where mint = $1

-- name: balance_sum
select sum(amount) from ledger.balances where mint = $1

-- name: pseudo_sums
select p.account, sum(p.delta) as total
from ledger.postings_known($1, (select max(to_slot) from ledger.coverage where mint = $1)) p
where p.account in ('withheld', 'confidential')
group by p.account
